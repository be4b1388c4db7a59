"""Distinguish a single item from a collection of items, such as a column of a table."""

from collections.abc import Iterable, Mapping
from numbers import Number
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from imagebind.errors import MediaError
from imagebind.io.source import is_source, name_of
from imagebind.media.decoders import is_decoder


def items_of(items: Any) -> tuple[Iterable[Any], bool]:
    """Return the items to process, and whether the caller passed a single item.

    A column, that is an array or Series of texts, paths or other objects (NumPy, pandas, Polars, pyarrow), is
    a collection of its values. An array of numbers is one item. Other iterables are not consumed here.

    Raises:
        MediaError: the items are a table, or an array of texts or objects with several dimensions.
    """
    if (columns := _columns(items)) is not None:
        raise MediaError(
            name_of(items),
            got=f"a table with the columns {', '.join(columns) or '(none)'}",
            expected=f"one column, such as table[{(columns or ['text'])[0]!r}], or a mapping per row",
        )
    if isinstance(items, (str, bytes, Mapping, Tensor, Image.Image)):
        return [items], True
    if hasattr(type(items), "to_pylist"):  # pyarrow's arrays
        values = items.to_pylist()
        return ([np.asarray(values)], True) if _are_numbers(values) else (values, False)
    if hasattr(type(items), "__array__") and hasattr(items, "dtype"):  # NumPy, Series, and others' arrays
        return _array_items(np.asarray(items))
    if is_source(items) or is_decoder(items) or not isinstance(items, Iterable):
        return [items], True
    return items, False


def _array_items(array: np.ndarray) -> tuple[list[Any], bool]:
    if array.dtype.kind not in "OUST" or (array.dtype.kind == "O" and _are_numbers(array.flat)):
        return [array], True
    if array.ndim == 0:
        return [array.item()], True
    if array.ndim != 1:
        raise MediaError(
            name_of(array),
            got=f"texts or objects in {array.ndim} dimensions",
            expected="one dimension, (n,), such as array[:, 0]",
        )
    return array.tolist(), False


def _are_numbers(values: Iterable[Any]) -> bool:
    """Whether there are values, and all are numbers, as in a nullable column of numbers."""
    value: Any = None
    for value in values:
        if not isinstance(value, (Number, np.number)):
            return False
    return value is not None


def _columns(items: Any) -> list[str] | None:
    """Return the names of a table's columns; None for anything else."""
    table_class = type(items)
    if getattr(getattr(items, "dtype", None), "names", None):  # NumPy's structured arrays
        return list(items.dtype.names)
    # Tables and RecordBatches of pyarrow.
    if hasattr(table_class, "to_pylist") and hasattr(table_class, "schema"):
        return list(items.schema.names)
    # Data frames of pandas, Polars and Dask.
    if hasattr(table_class, "columns") and hasattr(table_class, "dtypes"):
        return [str(name) for name in items.columns]
    return None
