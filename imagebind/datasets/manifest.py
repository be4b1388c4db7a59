"""Reads pairs from a table of files: CSV, JSON lines or parquet.

One column is `vision`, the others are named after modalities. A cell is an absolute path, a path
relative to the manifest's folder, or a URI; in the column `text` it is the text itself. A row gives one pair
for each other modality that has a value. Optional columns:

- `name`: the row's name in error messages;
- `start` and `end`: the used part of the vision, in seconds;
- `offset`: seconds to add to a time of the vision to get the time of the other item;
- options of an item, such as `depth.sensor`, `depth.focal`, `audio.channel`, `imu.rate`, `thermal.low`.

    vision,depth,depth.sensor,text
    0001.jpg,0001.png,kinect_v2,a chair by a window
"""

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from imagebind.datasets.pairs import Pair
from imagebind.datasets.tables import numbered_lines, numbered_rows
from imagebind.errors import MediaError
from imagebind.io.uri import is_uri
from imagebind.modality import ModalityType

VISION = ModalityType.VISION.value
OTHERS = tuple(modality.value for modality in ModalityType if modality is not ModalityType.VISION)
NUMBER_COLUMNS = ("start", "end", "offset")
NAME_COLUMN = "name"
FILE_OPTIONS = ("focal",)  # options whose value may be a file, such as intrinsics.txt

ManifestRow = Mapping[str, Any]


def read_pairs(manifest: str | os.PathLike[str]) -> list[Pair]:
    """Return the pairs of a `.csv`, `.jsonl` or `.parquet` manifest in order; see the module for its columns.

    The files are not checked: a missing one is a broken pair when it is read.

    Raises:
        MediaError: the manifest cannot be read or has no pair, a column is unknown, or a row is invalid;
            names an invalid row.
    """
    path = Path(manifest)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise MediaError(
            str(path), got=repr(path.suffix), expected=f"one of the suffixes {', '.join(READERS)}"
        )
    try:
        rows = list(reader(path))
    except MediaError:  # is a ValueError
        raise
    except (OSError, ValueError) as error:  # includes pyarrow's
        raise MediaError(
            str(path), got=f"one that cannot be read ({error})", expected="a complete manifest"
        ) from error
    pairs = [pair for line, row in rows for pair in _pairs_of(row, path.parent, f"{path}, {line}")]
    if not pairs:
        raise MediaError(
            str(path),
            got=f"{len(rows):,} rows without a pair",
            expected=f"a column {VISION} and one or more of {', '.join(OTHERS)}",
        )
    return pairs


def _csv_rows(path: Path) -> Iterator[tuple[str, ManifestRow]]:
    for line, row in numbered_rows(path, ()):
        yield f"line {line}", row


def _jsonl_rows(path: Path) -> Iterator[tuple[str, ManifestRow]]:
    for number, line in numbered_lines(path):
        item, expected = f"{path}, line {number}", "an object in JSON"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            got = f"one that cannot be read ({getattr(error, 'msg', error)})"
            raise MediaError(item, got=got, expected=expected) from error
        if not isinstance(row, dict):
            raise MediaError(item, got=f"a {type(row).__name__}", expected=expected)
        yield f"line {number}", row


def _parquet_rows(path: Path) -> Iterator[tuple[str, ManifestRow]]:
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path) as file:
        number = 0
        for batch in file.iter_batches():
            for row in batch.to_pylist():
                yield f"row {number}", row
                number += 1


READERS: dict[str, Callable[[Path], Iterator[tuple[str, ManifestRow]]]] = {
    ".csv": _csv_rows,
    ".jsonl": _jsonl_rows,
    ".parquet": _parquet_rows,
}


def _pairs_of(row: ManifestRow, folder: Path, item: str) -> Iterator[Pair]:
    cells = {key: value for key, value in row.items() if not _is_empty(value)}
    unknown = sorted(key for key in row if not _is_known(key))
    if unknown:
        columns = (VISION, *OTHERS, NAME_COLUMN, *NUMBER_COLUMNS)
        expected = f"the columns {', '.join(columns)}, or an option such as depth.sensor"
        got = ", ".join(key or "one without a name" for key in unknown)
        raise MediaError(item, got=got, expected=expected)
    others = [key for key in OTHERS if key in cells]
    if not others:
        return
    if VISION not in cells:
        raise MediaError(item, got="no vision", expected=f"an image or video beside {', '.join(others)}")
    numbers = {key: _number(cells[key], key, item) for key in NUMBER_COLUMNS if key in cells}
    if ("start" in numbers) != ("end" in numbers):
        raise MediaError(item, got="one of them", expected="both start and end, or neither")
    span = (numbers["start"], numbers["end"]) if "start" in numbers else None
    name = str(cells.get(NAME_COLUMN) or f"{item} ({cells[VISION]})")
    for key in others:
        try:
            yield Pair(
                vision=_item(VISION, cells, folder),
                other=_item(key, cells, folder),
                modality=ModalityType(key),
                name=name,
                span=span,
                offset=numbers.get("offset", 0.0),
            )
        except ValueError as error:
            raise MediaError(item, got=f"an invalid one ({error})", expected="a valid pair") from error


def _item(key: str, cells: ManifestRow, folder: Path) -> dict[str, Any]:
    """Return a cell and its options as a mapping for `identify`."""
    is_text = key == ModalityType.TEXT.value
    item = {key: str(cells[key]) if is_text else _path_or_uri(str(cells[key]), folder)}
    for column, value in cells.items():
        modality, _, option = column.partition(".")
        if modality == key and option:
            value = _parse_number(value)
            is_file = option in FILE_OPTIONS and isinstance(value, str)
            item[option] = _path_or_uri(value, folder) if is_file else value
    return item


def _path_or_uri(cell: str, folder: Path) -> str:
    return cell if is_uri(cell) else str(folder / cell)


def _parse_number(value: Any) -> Any:
    """Return a text cell as a number if it is one, otherwise unchanged."""
    if not isinstance(value, str):
        return value
    for number_type in (int, float):
        try:
            return number_type(value)
        except ValueError:
            continue
    return value


def _number(value: Any, key: str, item: str) -> float:
    try:
        number = float(value)
    except (OverflowError, TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise MediaError(item, got=repr(value), expected=f"a number of seconds as {key}")
    return number


def _is_empty(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _is_known(key: str) -> bool:
    modality, _, option = key.partition(".")
    if key in (VISION, *OTHERS, NAME_COLUMN, *NUMBER_COLUMNS):
        return True
    return modality in (VISION, *OTHERS) and bool(option)
