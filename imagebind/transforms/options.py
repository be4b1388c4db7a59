"""Mark the options of transforms that describe one item, such as the unit of its depth; check mean and std.

`--map` sets the marked ones for the files that match a pattern. The embedding space does not depend on them.
"""

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from imagebind.checks import is_number

STATISTICS = {"mean": "finite", "std": "positive, finite"}  # options -> which numbers they take
PER_ITEM = {"per_item": True}  # metadata of the fields of these options


def item_options(transform: Any) -> frozenset[str]:
    """Return the names of a transform's options that describe one item."""
    return frozenset(option.name for option in fields(transform) if option.metadata.get("per_item"))


def check_statistics(transform: Any, *, channels: int | None = None) -> None:
    """Refuse a `mean` that is not finite, and a `std` that is not positive and finite.

    Args:
        channels: the number of values of each; None if each is one number.

    Raises:
        ValueError: one is of another form; the message names it.
    """
    for option, quality in STATISTICS.items():
        given = as_python(getattr(transform, option))
        values = [given] if channels is None else _listed(given)
        if not are_statistics(option, values) or (channels is not None and len(values) != channels):
            expected = f"one {quality} number" if channels is None else f"{channels} {quality} numbers"
            raise ValueError(f"{option}: expected {expected}, got {given!r}")


def are_statistics(option: str, values: Iterable[Any]) -> bool:
    """Return whether each value is a finite number, and a positive one if the option is `std`."""
    return all(is_number(value) and (option == "mean" or value > 0) for value in values)


def as_python(values: Any) -> Any:
    """Return an array or tensor as a number or nested lists; anything else unchanged."""
    return values.tolist() if hasattr(values, "tolist") else values


def _listed(values: Any) -> list[Any]:
    try:
        return list(values)
    except TypeError:  # one number, for instance
        return []
