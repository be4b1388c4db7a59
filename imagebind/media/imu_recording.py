"""A motion recording: samples on a clock, its shape, units and clock checked before anything else sees it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from imagebind.errors import MediaError
from imagebind.io.source import name_of
from imagebind.media.arrays import as_numpy
from imagebind.media.imu_clock import merge_duplicates
from imagebind.media.imu_units import ACCEL_UNITS, GYRO_UNITS, TIME_UNITS, unit_of

IMU_CHANNELS = 6  # accelerometer x, y, z in m/s², gyroscope x, y, z in rad/s (community, after Ego4D)

# What cannot be, all ours. A device lies, walks and runs at a median of 9 to 15 m/s², gravity included.
LOOKS_LIKE_G = (0.8, 1.25)  # median magnitude of a recording that is in g
MAX_ACCEL = 50.0  # m/s², 5 g: as a median no body bears it
MAX_GYRO = 35.0  # rad/s, 2000 deg/s: a usual gyroscope's full scale on an axis; 1 sample in 100 may pass it
EXPECTED = "6 channels, accelerometer x, y, z and gyroscope x, y, z: an array (t, 6) or (6, t), and its rate"

Values = np.ndarray | Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """Motion on a clock: samples (t, 6) float64 in m/s² and rad/s, seconds (t,) float64 from 0, rising."""

    samples: np.ndarray
    seconds: np.ndarray


def to_recording(
    values: Values,
    *,
    rate: float | None = None,
    timestamps: Values | Sequence[float] | None = None,
    accel_unit: str | None = None,
    gyro_unit: str | None = None,
    time_unit: str | None = None,
    name: str | None = None,
) -> Recording:
    """Samples (t, 6) or (6, t), or 7 with time first, and a rate or a time each, to a checked recording.

    Seconds count from the first sample; times in the table override the rate. Samples with the same time are
    averaged. A given unit is trusted. Without one, an accelerometer that looks like g is refused: it is in g,
    or its gravity was removed, and only the caller knows which.

    Raises:
        MediaError: another or an ambiguous shape, no clock or two, a clock that runs back, NaN, or
            implausible units; the message says what to pass.
        ValueError: an unknown unit.
    """
    accel, gyro, second = unit_scales(accel_unit, gyro_unit, time_unit)
    name = name or name_of(values)
    table = _rows(as_numpy(values), name)  # (t, 6) or (t, 7)
    if table.shape[1] == IMU_CHANNELS + 1:
        if timestamps is not None:
            raise MediaError(name, got="timestamps, and a time column besides", expected="one clock")
        timestamps, table = table[:, 0], table[:, 1:]
    if timestamps is not None:
        seconds = _seconds_after_first(timestamps, len(table), name, second)
        seconds, table = merge_duplicates(seconds, table, name=name, where=lambda sample: f"sample {sample}")
    elif rate is not None:
        seconds = np.arange(len(table)) / _frequency(rate, name)
    else:
        raise MediaError(name, got="no clock", expected="rate= in Hz, or a timestamp for each sample")
    samples = table * np.repeat([accel, gyro], 3)  # (t, 6) in m/s² and rad/s
    _check_samples(samples, name, accel=accel, accel_unit=accel_unit)
    return Recording(samples=samples, seconds=seconds)


def unit_scales(
    accel_unit: str | None, gyro_unit: str | None, time_unit: str | None
) -> tuple[float, float, float]:
    """What to multiply by for m/s², rad/s and s; a unit that is not given is that already."""
    given = (
        ("accel_unit", accel_unit, ACCEL_UNITS),
        ("gyro_unit", gyro_unit, GYRO_UNITS),
        ("time_unit", time_unit, TIME_UNITS),
    )
    scales = []
    for option, spelling, units in given:
        unit = next(iter(units)) if spelling is None else unit_of(spelling, units)
        if unit is None:
            raise ValueError(f"{option}: expected one of {', '.join(units)}, got {spelling!r}")
        scales.append(units[unit])
    return scales[0], scales[1], scales[2]


def _rows(values: np.ndarray, name: str) -> np.ndarray:
    """One row a sample: (t, c) or (c, t) -> (t, c) float64, c being 6, or 7 with time first."""
    columns = (IMU_CHANNELS, IMU_CHANNELS + 1)
    if values.ndim != 2 or values.dtype.kind not in "iuf":
        raise MediaError(name, got=f"{values.dtype} of shape {values.shape}", expected=EXPECTED)
    rows, across = values.shape
    if rows in columns and across in columns:
        raise MediaError(
            name,
            got=f"shape {values.shape}, either way round",
            expected="more samples, or fewer: 6 and 7 are ambiguous",
        )
    table = values if across in columns else values.T
    if table.shape[1] not in columns or len(table) < 2:
        raise MediaError(name, got=f"shape {values.shape}", expected=f"{EXPECTED}, of 2 samples or more")
    return table.astype(np.float64)


def _frequency(rate: object, name: str) -> float:
    try:
        hertz = float(rate)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        hertz = math.nan
    if not 0 < hertz < math.inf:
        raise MediaError(name, got=f"a rate of {rate!r}", expected="a positive rate in Hz")
    return hertz


def _seconds_after_first(
    timestamps: Values | Sequence[float], samples: int, name: str, second: float
) -> np.ndarray:
    """A clock in any unit and from any zero to seconds after the first sample: (t,) -> (t,)."""
    try:
        clock = as_numpy(timestamps) if isinstance(timestamps, Tensor) else np.asarray(timestamps)
    except ValueError as error:  # a ragged list
        raise MediaError(name, got=f"timestamps that are no list ({error})", expected="numbers") from error
    if clock.shape != (samples,) or clock.dtype.kind not in "iuf":
        raise MediaError(
            name,
            got=f"timestamps: {clock.dtype} of shape {clock.shape}",
            expected=f"one for each of {samples} samples",
        )
    with np.errstate(over="ignore", invalid="ignore"):
        clock = clock.astype(np.int64 if clock.dtype.kind == "i" else np.float64)
        seconds = (clock - clock[0]) * second  # as integers first: nanoseconds since 1970 do not fit a float
    if not np.isfinite(seconds).all():
        raise MediaError(name, got="timestamps that are NaN or infinite", expected="finite timestamps")
    return seconds


def _check_samples(samples: np.ndarray, name: str, *, accel: float, accel_unit: str | None) -> None:
    """Refuse NaN, and units that cannot be."""
    with np.errstate(over="ignore"):
        finite = np.isfinite(samples.astype(np.float32)).all(axis=1)
    if not finite.all():
        raise MediaError(
            name,
            got=f"NaN or infinite values in {np.sum(~finite):,} samples, first in sample {finite.argmin()}",
            expected="finite values",
        )
    magnitude = float(np.median(np.linalg.norm(samples[:, :3], axis=1)))  # m/s²
    if accel_unit is None and LOOKS_LIKE_G[0] <= magnitude <= LOOKS_LIKE_G[1]:
        raise MediaError(
            name,
            got=f"an accelerometer of median magnitude {magnitude:.3g}, as if in g",
            expected="m/s²: pass accel_unit='g', or accel_unit='m/s2' if gravity was taken out",
        )
    if magnitude > MAX_ACCEL:
        raise MediaError(
            name,
            got=f"an accelerometer of median magnitude {magnitude / accel:.4g}, {magnitude:.4g} m/s²",
            expected=f"at most {MAX_ACCEL:g} m/s²: pass the right accel_unit= ({', '.join(ACCEL_UNITS)})",
        )
    turning = float(np.percentile(np.abs(samples[:, 3:]).max(axis=1), 99))  # rad/s, of the fastest axis
    if turning > MAX_GYRO:
        raise MediaError(
            name,
            got=f"a gyroscope that reaches {turning:.4g} rad/s, as if in deg/s",
            expected=f"at most {MAX_GYRO:g} rad/s: pass gyro_unit='deg/s'",
        )
