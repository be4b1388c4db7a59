"""Checks of numeric options; each raises a `ValueError` that names the option. NaN, inf and bool fail."""

import math
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number that fits a float, also in a 0-d array; a bool is not one."""
    try:
        value = value.item() if getattr(value, "ndim", None) == 0 else value  # of NumPy or PyTorch
        return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False


def check_positive(**values: Any) -> None:
    """Check that values are positive and finite."""
    _check(values, "a positive, finite number", lambda value: value > 0)


def check_not_negative(**values: Any) -> None:
    """Check that values are finite and at least 0."""
    _check(values, "a finite number of at least 0", lambda value: value >= 0)


def check_unit_interval(**values: Any) -> None:
    """Check that values are in [0, 1]; False is 0, and True is 1."""
    numbers = {name: float(value) if isinstance(value, bool) else value for name, value in values.items()}
    _check(numbers, "a number in [0, 1]", lambda value: 0 <= value <= 1)


def check_whole(least: int, /, **values: Any) -> None:
    """Check that values are whole numbers of at least `least`; a float such as 2.0 is not one."""
    expected = f"a whole number of at least {least}"
    _check(values, expected, lambda value: isinstance(value, Integral) and int(value) >= least)


def _check(values: Mapping[str, Any], expected: str, is_valid: Callable[[Any], bool]) -> None:
    for name, value in values.items():
        if not is_number(value) or not is_valid(value):
            raise ValueError(f"{name}: expected {expected}, got {value!r}")
