"""Read the clock of an IMU recording (its unit and its start), and average repeated times. Source: ours."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from functools import lru_cache

import numpy as np

from imagebind.errors import MediaError, warn_of
from imagebind.media.imu_text import number_in
from imagebind.media.imu_units import TIME_UNITS

UNIT_SECONDS = {unit: Fraction(str(scale)) for unit, scale in TIME_UNITS.items()}
XSENS = "xsens"  # SampleTimeFine, in ticks of 100 µs (MTi, MTw) or 1 µs (DOT); the plausible rate decides
XSENS_TICK_SECONDS = Fraction(1, 10_000)
XSENS_MAX_STEP_TICKS = 1500  # ticks; larger steps of 100 µs mean under 7 Hz, smaller ones of 1 µs over 660 Hz
XSENS_WRAP_TICKS = 2**32  # ticks; 71 minutes at 1 µs

EPOCH_SECONDS = (9e8, 4.2e9)  # 1998 to 2103; a timestamp that a unit puts into this range counts from 1970
SAMPLE_STEP_SECONDS = (1 / 2000, 1 / 10)  # between samples of an IMU
MAX_STEP_SECONDS = 1.0  # a clock without a unit and with longer steps is not in seconds
DUPLICATE_WARNING_SHARE = 0.01  # share of samples above which a warning is given
DAY_SECONDS, SECOND_NS = 86400, 10**9

_DATE_PATTERN = re.compile(r"(\d{4})[-/.](\d\d?)[-/.](\d\d?)[T _] ?")
_TIME_PATTERN = re.compile(r"(\d\d?)[:\-](\d\d)[:\-](\d\d)(?:[.,:_](\d{1,12}))?")
_ZONE_PATTERN = re.compile(r" ?(?:Z|UTC|GMT|([+-])(\d\d):?(\d\d)?)?", re.IGNORECASE)
_EXPECTED_STAMP = "a finite number, or a date and time such as 2024-05-01T10:30:00.250"

SampleLocator = Callable[[int], str]  # sample number -> its position for an error, such as its line


@dataclass(frozen=True, kw_only=True, eq=False)
class ImuClock:
    """Seconds (t,) after the first timestamp, and `start`, the exact first timestamp in seconds."""

    seconds: np.ndarray
    start: Fraction


def read_clock(
    cells: Sequence[str], *, unit: str | None, name: str, locate: SampleLocator, spelled: str | None = None
) -> ImuClock:
    """Convert a file's timestamps: numbers in some unit, dates with times, or times of day.

    Args:
        unit: unit of numeric timestamps; inferred from the first one and the median step by default.
        spelled: the header's unit as spelled, if it is unknown.

    Raises:
        MediaError: a timestamp has another form, or the unit cannot be inferred.
    """
    ticks, first = _read_numbers(cells)
    if ticks is None:
        ticks, first = _read_dates(cells, name, locate)
        unit = "ns"
    if unit == XSENS:
        ticks = _unwrapped(ticks)
    step = float(np.median(np.diff(ticks))) if len(ticks) > 1 else 0.0
    if unit == XSENS:
        tick = UNIT_SECONDS["us"] if step > XSENS_MAX_STEP_TICKS else XSENS_TICK_SECONDS
    else:
        tick = UNIT_SECONDS[unit or _unit_by_size(float(first), step, name, spelled)]
    return ImuClock(seconds=ticks * float(tick), start=Fraction(first) * tick)


def merge_duplicates(
    seconds: np.ndarray, samples: np.ndarray, *, name: str, locate: SampleLocator
) -> tuple[np.ndarray, np.ndarray]:
    """Average samples (t, c) that share a time; leave a clock without repeated times unchanged.

    Raises:
        MediaError: the clock runs back, or has fewer times than half its samples.
    """
    steps = np.diff(seconds)
    if not len(steps) or steps.min() > 0:
        return seconds, samples
    if steps.min() < 0:
        row = int((steps < 0).argmax())
        raise MediaError(
            name,
            got=f"one that runs back by {-steps[row]:.6g} s at {locate(row + 1)}",
            expected="a clock that increases",
            hint="sort the rows, or remove those before or after this one",
        )
    first = np.flatnonzero(np.concatenate([[True], steps > 0]))
    merged = len(seconds) - len(first)
    if len(first) * 2 < len(seconds):
        raise MediaError(
            name,
            got=f"{len(first):,} times for {len(seconds):,} samples",
            expected="a distinct time for each sample",
            hint="pass columns= without 'time', and rate=",
        )
    if merged > DUPLICATE_WARNING_SHARE * len(seconds):
        warn_of(
            name, f"{merged:,} of {len(seconds):,} samples repeat a time; each time's samples are averaged"
        )
    counts = np.diff(np.append(first, len(seconds)))
    return seconds[first], np.add.reduceat(samples, first, axis=0) / counts[:, None]


def _read_numbers(cells: Sequence[str]) -> tuple[np.ndarray | None, int | float]:
    """Return the differences to the first number, and that number; None and 0 unless all are finite numbers.

    Integers are subtracted exactly, because nanoseconds since 1970 do not fit a float.
    """
    try:
        whole = [int(cell) for cell in cells]
        float(whole[0])  # an OverflowError if it is too large
        return np.array([number - whole[0] for number in whole], dtype=np.float64), whole[0]
    except ValueError:
        pass
    except OverflowError:
        return None, 0
    try:
        numbers = np.array([float(cell) for cell in cells], dtype=np.float64)
    except ValueError:
        return None, 0
    if not np.isfinite(numbers).all():
        return None, 0
    return numbers - numbers[0], float(numbers[0])


def _unwrapped(ticks: np.ndarray) -> np.ndarray:
    """Undo the wraparound of Xsens's 32-bit tick counter."""
    steps = np.diff(ticks)
    steps[steps < -XSENS_WRAP_TICKS / 2] += XSENS_WRAP_TICKS
    return np.concatenate([[0.0], np.cumsum(steps)])


def _unit_by_size(first: float, step: float, name: str, spelled: str | None) -> str:
    """Infer the unit from the first timestamp if it counts from 1970, else from the step."""
    for unit, scale in TIME_UNITS.items():
        if EPOCH_SECONDS[0] <= first * scale <= EPOCH_SECONDS[1] and step * scale <= MAX_STEP_SECONDS:
            return unit
    if step <= MAX_STEP_SECONDS and spelled is None:
        return "s"
    fitting = [
        unit
        for unit, scale in TIME_UNITS.items()
        if SAMPLE_STEP_SECONDS[0] <= step * scale <= SAMPLE_STEP_SECONDS[1]
    ]
    if len(fitting) == 1 and spelled is None:
        warn_of(
            name,
            f"the clock has no unit; steps of {step:g} are taken for {fitting[0]}; if that is wrong, pass "
            "time_unit=",
        )
        return fitting[0]
    clock = f"one in {spelled!r}, with" if spelled else "one without a unit, with"
    raise MediaError(
        name,
        got=f"{clock} steps of {step:g}",
        expected="a clock with a known unit",
        hint=f"pass time_unit=, one of {', '.join(TIME_UNITS)}",
    )


def _read_dates(cells: Sequence[str], name: str, locate: SampleLocator) -> tuple[np.ndarray, int]:
    stamps: list[int] = []
    day = 0
    if cells and _nanoseconds(cells[0]) is None:  # report the first cell that is not a finite number
        numbers = map(number_in, cells)
        wrong = next((row for row, value in enumerate(numbers) if value in (None, math.inf, -math.inf)), 0)
        got = f"{cells[wrong][:40]!r} in the time column at {locate(wrong)}"
        raise MediaError(name, got=got, expected=_EXPECTED_STAMP)
    for row, cell in enumerate(cells):
        stamp = _nanoseconds(cell)
        if stamp is None:
            got = f"{cell[:40]!r} in the time column at {locate(row)}"
            raise MediaError(name, got=got, expected=_EXPECTED_STAMP)
        nanoseconds, has_date = stamp
        nanoseconds += day * DAY_SECONDS * SECOND_NS
        # A time of day that falls by more than half a day has passed midnight.
        if not has_date and stamps and stamps[-1] - nanoseconds > DAY_SECONDS * SECOND_NS // 2:
            day += 1
            nanoseconds += DAY_SECONDS * SECOND_NS
        stamps.append(nanoseconds)
    return np.array([stamp - stamps[0] for stamp in stamps], dtype=np.float64), stamps[0]


def _nanoseconds(cell: str) -> tuple[int, bool] | None:
    """Return nanoseconds since 1970 in UTC, or since midnight without a date, and whether there is a date.

    A time without a zone is taken as UTC. None if the cell has another form.
    """
    text = cell.strip().strip('"')
    dated = _DATE_PATTERN.match(text)
    at = dated.end() if dated else 0
    clock = _TIME_PATTERN.match(text, at)
    zone = _ZONE_PATTERN.fullmatch(text, clock.end()) if clock else None
    if clock is None or zone is None:
        return None
    days = _day_number(dated[1], dated[2], dated[3]) if dated else 0
    if days is None:
        return None
    offset = 0
    if zone[1]:
        offset = (int(zone[2]) * 60 + int(zone[3] or 0)) * (60 if zone[1] == "+" else -60)
    seconds = days * DAY_SECONDS + int(clock[1]) * 3600 + int(clock[2]) * 60 + int(clock[3]) - offset
    return seconds * SECOND_NS + int(f"{clock[4] or '':0<9}"[:9]), dated is not None


@lru_cache(maxsize=16)
def _day_number(year: str, month: str, day: str) -> int | None:
    try:
        return date(int(year), int(month), int(day)).toordinal() - date(1970, 1, 1).toordinal()
    except ValueError:
        return None
