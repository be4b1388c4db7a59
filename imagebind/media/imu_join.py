"""Join accelerometer and gyroscope streams on one clock, with units and gravity. Source: ours."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from imagebind.errors import MediaError, warn_of
from imagebind.media.imu_clock import merge_duplicates
from imagebind.media.imu_csv import SensorStream, line_of
from imagebind.media.imu_names import ACCEL, GRAVITY, GYRO, USER
from imagebind.media.imu_units import ACCEL_UNITS, GYRO_UNITS, STANDARD_GRAVITY, unit_of

MAX_GAP_SECONDS = 0.5  # a tenth of a window; shorter gaps are interpolated
PLAUSIBLE_GRAVITY = (0.9, 1.1)  # range of a gravity sensor's median magnitude, in standard gravities


@dataclass(frozen=True, kw_only=True, eq=False)
class ImuTable:
    """Accelerometer and gyroscope samples (t, 6) on one clock, as written, and their units.

    Args:
        seconds: (t,), increasing from 0; None if the file has no clock and no rate is given.
        start: time of the first sample on the file's clock, in seconds.
    """

    samples: np.ndarray
    seconds: np.ndarray | None = None
    start: float = 0.0
    accel_unit: str | None = None
    gyro_unit: str | None = None


def join(
    sensors: Mapping[str, SensorStream],
    *,
    name: str,
    accel_unit: str | None = None,
    gyro_unit: str | None = None,
    has_clock: bool = True,
) -> ImuTable:
    """Return one table on the accelerometer's clock, over the time that both sensors cover.

    The gyroscope, and gravity if the accelerometer lacks it, are interpolated linearly if their times differ
    from the accelerometer's, but not across gaps above `MAX_GAP_SECONDS`. Samples that share a time are
    averaged.

    Args:
        accel_unit, gyro_unit: override the units in the header.

    Raises:
        MediaError: a clock runs back or repeats most of its times, fewer than two samples lie in the time of
            both sensors, or a unit is unknown.
    """
    accel = sensors[ACCEL] if ACCEL in sensors else sensors[USER]
    gyro = sensors[GYRO]
    gravity = sensors.get(GRAVITY) if ACCEL not in sensors else None
    unit = _known_unit(accel_unit or accel.unit, ACCEL_UNITS, "accel", name)
    if unit is None and gravity is not None:
        unit = _unit_of_gravity(gravity, name)
    parts = [accel, gyro] if gravity is None else [accel, gyro, gravity]
    if all(np.array_equal(part.seconds, accel.seconds) and part.start == accel.start for part in parts):
        seconds, together = merge_duplicates(
            accel.seconds, np.hstack([part.samples for part in parts]), name=name, locate=line_of(accel.lines)
        )
    else:
        seconds, together = _on_one_clock(parts, name)
    samples = together[:, :6]
    if gravity is not None:
        samples = np.hstack([samples[:, :3] + together[:, 6:], samples[:, 3:]])
    elif ACCEL not in sensors:
        warn_of(
            name, "the accelerometer's data are without gravity, but the model's training data include it"
        )
    return ImuTable(
        samples=samples,
        seconds=seconds - seconds[0] if has_clock else None,
        start=float(accel.start) + float(seconds[0]),
        accel_unit=unit,
        gyro_unit=_known_unit(gyro_unit or gyro.unit, GYRO_UNITS, "gyro", name),
    )


def _on_one_clock(parts: list[SensorStream], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return seconds (t,) on the clock of the first stream, and the samples (t, 3n) of all at these times."""
    start = parts[0].start
    merged = []
    for part in parts:
        shifted = part.seconds + float(part.start - start)
        merged.append(merge_duplicates(shifted, part.samples, name=name, locate=line_of(part.lines)))
    first = max(seconds[0] for seconds, _ in merged)
    last = min(seconds[-1] for seconds, _ in merged)
    clock, samples = merged[0]
    inside = (clock >= first) & (clock <= last)
    for seconds, _ in merged[1:]:  # do not interpolate across another sensor's gap
        steps = np.diff(seconds, append=seconds[-1])
        before = np.clip(np.searchsorted(seconds, clock, side="right") - 1, 0, None)
        inside &= (steps[before] <= MAX_GAP_SECONDS) | (seconds[before] == clock)
    if inside.sum() < 2:
        spans = [
            f"{seconds[0] + float(start):.6g} to {seconds[-1] + float(start):.6g} s" for seconds, _ in merged
        ]
        raise MediaError(
            name,
            got=f"an accelerometer from {spans[0]} and a gyroscope from {spans[1]}",
            expected="samples of both sensors at the same time",
            hint="check time_unit=",
        )
    clock = clock[inside]
    others = [
        np.stack([np.interp(clock, seconds, axis) for axis in values.T], axis=1)
        for seconds, values in merged[1:]
    ]
    return clock, np.hstack([samples[inside], *others])


def _known_unit(spelling: str | None, units: Mapping[str, float], sensor: str, name: str) -> str | None:
    unit = None if spelling is None else unit_of(spelling, dict(units))
    if unit is None and spelling is not None:
        raise MediaError(
            name,
            got=repr(spelling),
            expected=f"{sensor} in one of {', '.join(units)}",
            hint=f"pass its unit as {sensor}_unit=",
        )
    return unit


def _unit_of_gravity(gravity: SensorStream, name: str) -> str:
    """Infer the unit from the magnitude of gravity."""
    magnitude = float(np.median(np.linalg.norm(gravity.samples, axis=1)))
    for unit, scale in ACCEL_UNITS.items():
        if PLAUSIBLE_GRAVITY[0] <= magnitude * scale / STANDARD_GRAVITY <= PLAUSIBLE_GRAVITY[1]:
            return unit
    raise MediaError(
        name,
        got=f"a median magnitude of {magnitude:.4g}",
        expected="gravity in a known unit",
        hint=f"pass accel_unit=, one of {', '.join(ACCEL_UNITS)}",
    )


def warn_of_gaps(seconds: np.ndarray, name: str) -> None:
    """Warn of gaps between samples; by default, a window with a gap is refused when it is cut out."""
    steps = np.diff(seconds)
    gaps = steps > max(MAX_GAP_SECONDS, 5 * float(np.median(steps)))
    if gaps.any():
        at = int(steps.argmax())
        others = f", and {gaps.sum() - 1} shorter gaps" if gaps.sum() > 1 else ""
        warn_of(name, f"no sample for {steps[at]:.4g} s from {seconds[at]:.4g} s on{others}")
