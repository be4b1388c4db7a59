"""Check the options of transforms, and mark those that describe one item, such as the unit of its depth.

`--map` sets the marked ones for the files that match a pattern. The embedding space does not depend on them.
"""

import math
from dataclasses import fields
from numbers import Integral, Real
from typing import Any

PER_ITEM = {"per_item": True}  # metadata of the fields of these options


def item_options(transform: Any) -> frozenset[str]:
    """Return the names of a transform's options that describe one item."""
    return frozenset(option.name for option in fields(transform) if option.metadata.get("per_item"))


def is_number(value: object) -> bool:
    """Return whether a value is a finite number that fits a float; a bool is not one."""
    try:
        return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False


def check_counts(transform: Any, *options: str, least: int = 1) -> None:
    """Refuse options that are not whole numbers of at least `least`.

    Raises:
        ValueError: one is not; the message names it.
    """
    for option in options:
        value = getattr(transform, option)
        if not isinstance(value, Integral) or not is_number(value) or value < least:
            raise ValueError(f"{option}: expected a whole number of at least {least}, got {value!r}")


def check_positive(transform: Any, *options: str) -> None:
    """Refuse options that are not positive, finite numbers.

    Raises:
        ValueError: one is not; the message names it.
    """
    for option in options:
        value = getattr(transform, option)
        if not is_number(value) or value <= 0:
            raise ValueError(f"{option}: expected a positive, finite number, got {value!r}")


def check_statistics(transform: Any, *, channels: int | None = None) -> None:
    """Refuse a `mean` that is not finite, and a `std` that is not positive and finite.

    Args:
        channels: the number of values of each; None if each is one number.

    Raises:
        ValueError: one is of another form; the message names it.
    """
    for option, quality in (("mean", "finite"), ("std", "positive, finite")):
        given = getattr(transform, option)
        values = [given] if channels is None else _listed(given)
        valid = all(is_number(value) and (option == "mean" or value > 0) for value in values)
        if not valid or (channels is not None and len(values) != channels):
            expected = f"one {quality} number" if channels is None else f"{channels} {quality} numbers"
            raise ValueError(f"{option}: expected {expected}, got {given!r}")


def _listed(values: Any) -> list[Any]:
    try:
        return list(values)
    except TypeError:  # one number, for instance
        return []
