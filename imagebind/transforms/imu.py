"""Motion: an accelerometer's and a gyroscope's recording to the tensor the IMU trunk takes.

No loader was ever published. Channels and their units are the Ego4D data's (community); a window of 5 s is
the paper's, and its 2000 steps then mean 400 Hz, while the data set's own tools use 200 Hz over 10 s.
"""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from imagebind.errors import MediaError
from imagebind.modality import ModalityType
from imagebind.transforms.arrays import NPY_MAGIC, read_npy
from imagebind.transforms.clips import Span, as_floats
from imagebind.transforms.imu_csv import TIME_UNITS, Table, parse_csv
from imagebind.transforms.imu_recording import WANTED, Recording, to_recording, unit_scales
from imagebind.transforms.source import DEFAULT_LIMITS, Limits, Source, is_source, name_of, open_source

IMU_STEPS = 2000  # of a window, as the released stem takes them
WINDOW_SECONDS = 5.0  # paper
MAX_GAP_SECONDS = 0.5  # a tenth of a window, drawn as a straight line (ours)


def load_imu(
    source: Source,
    *,
    rate: float | None = None,
    accel_unit: str | None = None,
    gyro_unit: str | None = None,
    time_unit: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Recording:
    """Read a CSV with a header, Ego4D's own among them, or an `.npy` (t, 6) or (6, t), or 7 with time first.

    Args:
        rate: samples a second, where the file has no clock.
        accel_unit, gyro_unit, time_unit: go before the header's; by default m/s2, rad/s and s.

    Raises:
        MediaError: as `to_recording`; or no such file, or damaged, or longer than `limits.max_seconds`.
    """
    name = name_of(source)
    with open_source(source, limits=limits) as file:
        binary = file.read(len(NPY_MAGIC)) == NPY_MAGIC
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        if binary:
            table = Table(samples=read_npy(file, name=name, size=size))
        else:
            table = parse_csv(file.read(), name=name)
    recording = to_recording(
        table.samples,
        rate=rate,
        timestamps=table.clock,
        accel_unit=accel_unit or table.accel_unit,
        gyro_unit=gyro_unit or table.gyro_unit,
        time_unit=time_unit or table.time_unit,
        name=name,
    )
    if recording.seconds[-1] > limits.max_seconds:
        raise MediaError(
            name,
            seen=f"{recording.seconds[-1]:.6g} s",
            wanted=f"at most {limits.max_seconds:g} s (max_seconds), or the time_unit= of its clock "
            f"({', '.join(TIME_UNITS)})",
        )
    return recording


def resample(recording: Recording, span: Span) -> np.ndarray:
    """Linear interpolation on time at 2000 even steps of [start, end): (t, 6) -> (6, 2000). Source: ours.

    Beyond the recording's ends its first and last sample hold.
    """
    start, end = float(span[0]), float(span[1])
    times = start + np.arange(IMU_STEPS) * ((end - start) / IMU_STEPS)
    return np.stack([np.interp(times, recording.seconds, channel) for channel in recording.samples.T])


@dataclass(frozen=True, kw_only=True)
class ImuTransform:
    """A motion recording to (6, 2000), unnormalised. Source: paper (5 s), community (channels, units).

    Args:
        window_seconds: how much of the recording the 2000 steps span.
        start: seconds after the first sample where the window starts; by default it is the middle (ours).
        rate, accel_unit, gyro_unit, time_unit: as in `load_imu`; for what doesn't say them itself.
        max_gap_seconds: the longest stretch without a sample, within the window or missing at its end.
    """

    modality: ClassVar[ModalityType] = ModalityType.IMU

    window_seconds: float = WINDOW_SECONDS
    start: float | None = None
    rate: float | None = None
    accel_unit: str | None = None
    gyro_unit: str | None = None
    time_unit: str | None = None
    max_gap_seconds: float = MAX_GAP_SECONDS
    limits: Limits = DEFAULT_LIMITS

    def __post_init__(self) -> None:
        for option in ("window_seconds", "rate", "max_gap_seconds"):
            value = getattr(self, option)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{option} wants a positive number, got {value}")
        if self.start is not None and not 0 <= self.start < math.inf:
            raise ValueError(f"start wants seconds from 0, got {self.start}")
        unit_scales(self.accel_unit, self.gyro_unit, self.time_unit)

    def __call__(self, recording: object) -> Tensor:
        """One window, (6, 2000) float32; what a recording may be is said in `with_spans`."""
        return self.with_spans(recording)[0][0]

    def with_spans(
        self, recording: object, spans: Sequence[Span] | None = None
    ) -> tuple[Tensor, list[tuple[float, float]]]:
        """Windows (s, 6, 2000) float32, and from when to when each is, in seconds after the first sample.

        Args:
            recording: a file, a `Recording`, an array or tensor, (array, rate), or
                {"imu": array, "rate": hertz} or {"imu": array, "timestamps": one each}.
            spans: the windows; by default the one that `start` and `window_seconds` say.

        Raises:
            MediaError: as `load_imu`; a window that the recording does not fill, or a gap in it.
            ValueError: a span that is not a positive stretch of time from 0 on, or no spans.
        """
        name, motion = self._recording(recording)
        clock = motion.seconds
        duration = float(clock[-1] + np.median(np.diff(clock)))  # each sample stands for a step
        if spans is None:
            middle = max(duration - self.window_seconds, 0.0) / 2
            start = middle if self.start is None else self.start
            spans = [(start, start + self.window_seconds)]
        windows = as_floats(spans)
        if not windows:
            raise ValueError("spans wants at least one")
        for start, end in windows:
            if not 0 <= start < end < math.inf:
                raise ValueError(f"a span wants 0 <= start < end, got ({start}, {end})")
            self._check_window(clock, duration, start, end, name)
        stack = np.stack([resample(motion, span) for span in windows])  # (s, 6, 2000)
        return torch.from_numpy(stack.astype(np.float32)), windows

    def _recording(self, item: object) -> tuple[str, Recording]:
        if isinstance(item, Recording):
            checked = to_recording(
                item.samples, timestamps=item.seconds, accel_unit="m/s2", name="<Recording>"
            )
            return "<Recording>", checked
        rate, timestamps = self.rate, None
        if isinstance(item, Mapping):
            if not {"imu"} <= set(item) <= {"imu", "rate", "timestamps"}:
                keys = ", ".join(map(repr, item))
                raise MediaError(
                    "imu mapping", seen=f"keys {keys}", wanted="'imu', and 'rate' or 'timestamps'"
                )
            if "rate" in item and "timestamps" in item:
                raise MediaError("imu mapping", seen="'rate' and 'timestamps'", wanted="one of the two")
            timestamps, rate = item.get("timestamps"), item.get("rate", rate)
            item = item["imu"]
        elif isinstance(item, tuple) and len(item) == 2:
            item, rate = item
        name = name_of(item)
        units = {"accel_unit": self.accel_unit, "gyro_unit": self.gyro_unit, "time_unit": self.time_unit}
        if is_source(item) and timestamps is None:
            return name, load_imu(item, rate=rate, **units, limits=self.limits)  # type: ignore[arg-type]
        if not isinstance(item, (np.ndarray, Tensor)):
            raise MediaError(name, seen=f"a {type(item).__name__}", wanted=WANTED)
        return name, to_recording(item, rate=rate, timestamps=timestamps, **units, name=name)

    def _check_window(self, clock: np.ndarray, duration: float, start: float, end: float, name: str) -> None:
        """Refuse a window with a stretch of more than `max_gap_seconds` that no sample speaks for."""
        if end > duration + self.max_gap_seconds:
            raise MediaError(
                name,
                seen=f"{duration:.4g} s of motion for a window from {start:.4g} to {end:.4g} s",
                wanted=f"at least {end - self.max_gap_seconds:.4g} s; or pass window_seconds= of its length",
            )
        before = max(int(np.searchsorted(clock, start, side="right")) - 1, 0)
        after = int(np.searchsorted(clock, end, side="left"))
        steps = np.diff(clock[before : after + 1])
        if len(steps) and steps.max() > self.max_gap_seconds:
            at = clock[before + int(steps.argmax())]
            raise MediaError(
                name,
                seen=f"no sample for {steps.max():.4g} s from {at:.4g} s on",
                wanted=f"at most max_gap_seconds={self.max_gap_seconds:g}; is the time_unit= or rate= right?",
            )
