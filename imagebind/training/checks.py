"""Checks of numeric settings; each raises a `ValueError` that names the setting. NaN and infinity fail."""

import math
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any


def check_positive(**values: Any) -> None:
    """Check that values are positive and finite."""
    _check(values, "a positive, finite number", lambda value: 0 < value < math.inf)


def check_not_negative(**values: Any) -> None:
    """Check that values are finite and at least 0."""
    _check(values, "a finite number of at least 0", lambda value: 0 <= value < math.inf)


def check_unit_interval(**values: Any) -> None:
    """Check that values are in [0, 1]."""
    _check(values, "a number in [0, 1]", lambda value: 0 <= value <= 1)


def check_integers(least: int, /, **values: Any) -> None:
    """Check that values are integers of at least `least`."""
    expected = f"an integer of at least {least}"
    _check(values, expected, lambda value: isinstance(value, Integral) and int(value) >= least)


def _check(values: Mapping[str, Any], expected: str, is_valid: Callable[[Any], bool]) -> None:
    for name, value in values.items():
        if not isinstance(value, Real) or not is_valid(value):
            raise ValueError(f"{name}: expected {expected}, got {value!r}")
