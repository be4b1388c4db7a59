"""IMU recordings: samples on a clock, with their shape, units and clock checked."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch import Tensor

from imagebind.errors import MediaError
from imagebind.io.source import name_of
from imagebind.media.arrays import as_numpy
from imagebind.media.imu_clock import merge_duplicates
from imagebind.media.imu_units import ACCEL_UNITS, GYRO_UNITS, TIME_UNITS, unit_of

IMU_CHANNELS = 6  # accelerometer x, y, z in m/s², gyroscope x, y, z in rad/s (community, after Ego4D)

# Limits of plausible data, all ours. At rest, walking or running, the median magnitude is 9 to 15 m/s².
G_MAGNITUDES = (0.8, 1.25)  # median magnitude, in m/s², that suggests g
MAX_ACCEL = 50.0  # m/s², 5 g: far above the median of any recording of a person
MAX_GYRO = 35.0  # rad/s, 2000 deg/s: the usual full scale per axis; 1 sample in 100 may exceed it
EXPECTED_IMU = (
    "6 channels, accelerometer x, y, z and gyroscope x, y, z, as an array (t, 6) or (6, t) with its rate"
)

ArrayOrTensor = np.ndarray | Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class ImuRecording:
    """Samples (t, 6) float64 in m/s² and rad/s, and seconds (t,) float64, increasing from 0."""

    samples: np.ndarray
    seconds: np.ndarray

    @cached_property
    def duration(self) -> float:
        """Seconds from the first sample to the end of the last one, which lasts one sampling interval."""
        return float(self.seconds[-1] + np.median(np.diff(self.seconds)))


def to_recording(
    values: ArrayOrTensor,
    *,
    rate: float | None = None,
    timestamps: ArrayOrTensor | Sequence[float] | None = None,
    accel_unit: str | None = None,
    gyro_unit: str | None = None,
    time_unit: str | None = None,
    name: str | None = None,
) -> ImuRecording:
    """Return a checked recording of samples (t, 6) or (6, t), or 7 channels with time first.

    The clock is a rate or a timestamp for each sample; timestamps override the rate. Seconds count from the
    first sample. Samples with the same time are averaged. Recordings above `MAX_ACCEL` or `MAX_GYRO` are
    refused in any unit. Without `accel_unit`, accelerometer values that look like g are also refused: they
    are in g, or exclude gravity, and only the caller knows which.

    Raises:
        MediaError: the shape is wrong or ambiguous, there is no clock or there are two, the clock runs back
            or repeats most of its times, a rate, time or value is invalid, NaN or infinite, or units are
            implausible.
        ValueError: a unit is unknown.
    """
    accel_scale, gyro_scale, tick_seconds = unit_scales(accel_unit, gyro_unit, time_unit)
    name = name or name_of(values)
    hertz = None if rate is None else checked_rate(rate, name)
    table = _rows(as_numpy(values), name)  # (t, 6) or (t, 7)
    if table.shape[1] == IMU_CHANNELS + 1:
        if timestamps is not None:
            raise MediaError(name, got="timestamps and a time column", expected="one clock")
        timestamps, table = table[:, 0], table[:, 1:]
    if timestamps is not None:
        seconds = _seconds_after_first(timestamps, len(table), name, tick_seconds)
        seconds, table = merge_duplicates(seconds, table, name=name, locate=lambda sample: f"sample {sample}")
    elif hertz is not None:
        seconds = np.arange(len(table)) / hertz
    else:
        raise MediaError(name, got="no clock", expected="rate= in Hz, or a timestamp for each sample")
    samples = table * np.repeat([accel_scale, gyro_scale], 3)  # (t, 6) in m/s² and rad/s
    _check_samples(samples, name, accel_scale=accel_scale, accel_unit=accel_unit)
    return ImuRecording(samples=samples, seconds=seconds)


def unit_scales(
    accel_unit: str | None, gyro_unit: str | None, time_unit: str | None
) -> tuple[float, float, float]:
    """Return the factors that convert to m/s², rad/s and s; 1 for a unit that is not given.

    Raises:
        ValueError: a unit is unknown.
    """
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
    """Return one row per sample: (t, c) or (c, t) -> (t, c) float64, where c is 6, or 7 with time first."""
    columns = (IMU_CHANNELS, IMU_CHANNELS + 1)
    if values.ndim != 2 or values.dtype.kind not in "iuf":
        raise MediaError(name, got=f"{values.dtype} of shape {values.shape}", expected=EXPECTED_IMU)
    rows, across = values.shape
    if rows in columns and across in columns:
        raise MediaError(
            name,
            got=f"shape {values.shape}",
            expected="a number of samples other than 6 and 7, which are ambiguous",
        )
    table = values if across in columns else values.T
    if table.shape[1] not in columns or len(table) < 2:
        raise MediaError(name, got=f"shape {values.shape}", expected=f"{EXPECTED_IMU} and t of at least 2")
    return table.astype(np.float64)


def checked_rate(rate: object, name: str) -> float:
    """Return a rate as a float.

    Raises:
        MediaError: it is not a positive, finite number.
    """
    try:
        hertz = float(rate)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        hertz = math.nan
    if not 0 < hertz < math.inf:
        raise MediaError(name, got=f"a rate of {rate!r}", expected="a positive, finite rate in Hz")
    return hertz


def _seconds_after_first(
    timestamps: ArrayOrTensor | Sequence[float], samples: int, name: str, tick_seconds: float
) -> np.ndarray:
    """Convert timestamps in ticks of `tick_seconds` to seconds after the first sample: (t,) -> (t,)."""
    try:
        clock = as_numpy(timestamps) if isinstance(timestamps, Tensor) else np.asarray(timestamps)
    except ValueError as error:  # a ragged list
        raise MediaError(name, got=f"others ({error})", expected="timestamps as a list of numbers") from error
    if clock.shape != (samples,) or clock.dtype.kind not in "iuf":
        raise MediaError(
            name,
            got=f"{clock.dtype} of shape {clock.shape}",
            expected=f"one timestamp for each of {samples} samples",
        )
    with np.errstate(over="ignore", invalid="ignore"):
        clock = clock.astype(np.int64 if clock.dtype.kind in "iu" else np.float64)
        # Integers are subtracted before scaling: nanoseconds since 1970 do not fit a float.
        seconds = (clock - clock[0]) * tick_seconds
    if not np.isfinite(seconds).all():
        raise MediaError(name, got="NaN or infinite ones", expected="finite timestamps")
    return seconds


def _check_samples(samples: np.ndarray, name: str, *, accel_scale: float, accel_unit: str | None) -> None:
    """Refuse NaN, infinite values and implausible units."""
    with np.errstate(over="ignore"):
        finite = np.isfinite(samples.astype(np.float32)).all(axis=1)
    if not finite.all():
        raise MediaError(
            name,
            got=f"NaN or infinite values in {np.sum(~finite):,} samples, first in sample {finite.argmin()}",
            expected="finite values",
        )
    magnitude = float(np.median(np.linalg.norm(samples[:, :3], axis=1)))  # m/s²
    if accel_unit is None and G_MAGNITUDES[0] <= magnitude <= G_MAGNITUDES[1]:
        raise MediaError(
            name,
            got=f"a median magnitude of {magnitude:.3g}, as if in g",
            expected="an accelerometer in m/s²",
            hint="pass accel_unit='g', or accel_unit='m/s2' if gravity was removed",
        )
    if magnitude > MAX_ACCEL:
        raise MediaError(
            name,
            got=f"a median magnitude of {magnitude / accel_scale:.4g}, {magnitude:.4g} m/s²",
            expected=f"an accelerometer of at most {MAX_ACCEL:g} m/s²",
            hint=f"pass the right accel_unit= ({', '.join(ACCEL_UNITS)})",
        )
    turning = float(np.percentile(np.abs(samples[:, 3:]).max(axis=1), 99))  # rad/s, of the fastest axis
    if turning > MAX_GYRO:
        raise MediaError(
            name,
            got=f"{turning:.4g} rad/s, as if in deg/s",
            expected=f"a gyroscope of at most {MAX_GYRO:g} rad/s",
            hint="pass gyro_unit='deg/s'",
        )
