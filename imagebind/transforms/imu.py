"""Convert a recording of an accelerometer and a gyroscope to the tensor that the IMU trunk takes.

No loader was ever published. Channels and units are those of Ego4D's data (community). The window of 5 s is
the paper's; its 2000 steps then mean 400 Hz, while the data set's own tools use 200 Hz over 10 s.
"""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from imagebind.checks import check_positive, is_number
from imagebind.errors import MediaError
from imagebind.io.source import DEFAULT_LIMITS, Limits, Source, is_source, name_of, open_source
from imagebind.media.arrays import NPY_MAGIC, read_npy
from imagebind.media.clips import Span, as_floats
from imagebind.media.imu_join import MAX_GAP_SECONDS, ImuTable, warn_of_gaps
from imagebind.media.imu_layouts import Columns, Layout, layout_of
from imagebind.media.imu_parts import first_in_folder, local_path
from imagebind.media.imu_recording import EXPECTED_IMU, ImuRecording, to_recording, unit_scales
from imagebind.media.imu_table import TableOptions, read_table
from imagebind.media.imu_units import TIME_UNITS
from imagebind.modality import ModalityType
from imagebind.transforms.imu_resample import IMU_STEPS as IMU_STEPS
from imagebind.transforms.imu_resample import resample
from imagebind.transforms.options import PER_ITEM

IMU_WINDOW_SECONDS = 5.0  # paper
IMU_TABLE_OPTIONS = ("rate", "accel_unit", "gyro_unit", "time_unit", "columns", "layout")  # of `load_imu`


def load_imu(
    source: Source,
    *,
    rate: float | None = None,
    accel_unit: str | None = None,
    gyro_unit: str | None = None,
    time_unit: str | None = None,
    columns: Columns | Mapping[str, Any] | None = None,
    layout: str | os.PathLike[str] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> ImuRecording:
    """Read a logger's text table, or an `.npy` of shape (t, 6) or (6, t), or 7 channels with time first.

    The table's delimiter, header, units and clock are detected for the loggers in `imu_layouts.LAYOUTS` and
    for others with the same column names. If each sensor has its own file, pass the path of either file or of
    their folder to read both. Source: ours.

    Args:
        rate: samples per second, if the file has no clock.
        accel_unit, gyro_unit, time_unit: override the header's units. Without either, m/s2 and rad/s are
            assumed, and the time unit that fits the clock's values, or s.
        columns: {"accel": (x, y, z), "gyro": (x, y, z), "time": t}, names or numbers from 0, for tables
            with unknown names.
        layout: the name of a logger, or a JSON file with columns, units and rate.

    Raises:
        MediaError: as `to_recording`; or the file is missing, damaged, or longer than `limits.max_seconds`.
        ValueError: `columns`, `layout` or a unit is invalid.
    """
    logger_layout = layout_of(layout)
    logger_layout = replace(logger_layout, columns=Columns.of(columns) or logger_layout.columns)
    path = local_path(source)
    if path is not None and path.is_dir():
        source = path = first_in_folder(path)
    name = name_of(source)
    clock_unit: str | None = time_unit or logger_layout.time_unit
    with open_source(source, limits=limits) as file:
        binary = file.read(len(NPY_MAGIC)) == NPY_MAGIC
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        if binary:
            units = (accel_unit or logger_layout.accel_unit, gyro_unit or logger_layout.gyro_unit)
            table = ImuTable(
                samples=read_npy(file, name=name, size=size), accel_unit=units[0], gyro_unit=units[1]
            )
        else:
            options = TableOptions(
                layout=logger_layout,
                rate=rate,
                accel_unit=accel_unit,
                gyro_unit=gyro_unit,
                time_unit=time_unit,
            )
            read = partial(_read_file, limits=limits)
            table = read_table(file.read(), name=name, options=options, path=path, read=read)
            clock_unit = None
    recording = to_recording(
        table.samples,
        rate=logger_layout.rate if rate is None else rate,
        timestamps=table.seconds,
        accel_unit=table.accel_unit,
        gyro_unit=table.gyro_unit,
        time_unit=clock_unit,
        name=name,
    )
    if recording.seconds[-1] > limits.max_seconds:
        raise MediaError(
            name,
            got=f"{recording.seconds[-1]:.6g} s",
            expected=f"at most {limits.max_seconds:g} s (max_seconds)",
            hint=f"pass the time_unit= of its clock ({', '.join(TIME_UNITS)})",
        )
    warn_of_gaps(recording.seconds, name)
    return recording


def _read_file(path: Path, *, limits: Limits) -> bytes:
    with open_source(path, limits=limits) as file:
        return file.read()


@dataclass(frozen=True, kw_only=True)
class ImuTransform:
    """Convert a recording to (6, 2000), unnormalised. Source: paper (5 s), community (channels, units).

    Args:
        window_seconds: length of the window that the 2000 steps span.
        start: start of the window in seconds after the first sample; by default the window is the middle of
            the recording (ours).
        rate, accel_unit, gyro_unit, time_unit, columns, layout: as in `load_imu`; options in a mapping
            replace them.
        max_gap_seconds: the longest allowed time without a sample, within the window or at its end.
        antialias: low-pass a recording before resampling if its rate is higher than the result's (ours).
    """

    modality: ClassVar[ModalityType] = ModalityType.IMU

    window_seconds: float = IMU_WINDOW_SECONDS
    start: float | None = field(default=None, metadata=PER_ITEM)
    rate: float | None = field(default=None, metadata=PER_ITEM)
    accel_unit: str | None = field(default=None, metadata=PER_ITEM)
    gyro_unit: str | None = field(default=None, metadata=PER_ITEM)
    time_unit: str | None = field(default=None, metadata=PER_ITEM)
    columns: Columns | Mapping[str, Any] | None = field(default=None, metadata=PER_ITEM)
    layout: str | None = field(default=None, metadata=PER_ITEM)
    max_gap_seconds: float = field(default=MAX_GAP_SECONDS, metadata=PER_ITEM)
    antialias: bool = field(default=True, metadata=PER_ITEM)
    limits: Limits = field(default=DEFAULT_LIMITS, metadata=PER_ITEM)

    def __post_init__(self) -> None:
        check_positive(window_seconds=self.window_seconds, max_gap_seconds=self.max_gap_seconds)
        if self.rate is not None:
            check_positive(rate=self.rate)
        if self.start is not None and not (is_number(self.start) and self.start >= 0):
            raise ValueError(f"start: expected finite seconds from 0, got {self.start!r}")
        for option in ("accel_unit", "gyro_unit", "time_unit"):
            if not isinstance(unit := getattr(self, option), str | None):
                raise ValueError(f"{option}: expected a text, got {unit!r}")
        if not isinstance(self.layout, str | os.PathLike | Layout | None):
            raise ValueError(f"layout: expected the name of a logger or a path, got {self.layout!r}")
        unit_scales(self.accel_unit, self.gyro_unit, self.time_unit)
        object.__setattr__(self, "columns", Columns.of(self.columns))  # so that it can be hashed
        layout_of(self.layout)

    @property
    def reading(self) -> dict[str, Any]:
        """The options of `load_imu`."""
        return {option: getattr(self, option) for option in (*IMU_TABLE_OPTIONS, "limits")}

    def __call__(self, recording: object) -> Tensor:
        """Return one window, (6, 2000) float32, of a recording as `with_spans` takes it."""
        return self.with_spans(recording)[0][0]

    def with_spans(
        self, recording: object, spans: Sequence[Span] | None = None
    ) -> tuple[Tensor, list[tuple[float, float]]]:
        """Return windows (s, 6, 2000) float32, and the [start, end) of each in seconds from the first sample.

        Args:
            recording: a file, an `ImuRecording`, an array or tensor, (file or array, rate), or
                {"imu": file or array, "rate": hertz} or {"imu": array, "timestamps": array}, a time per
                sample, which may also contain options of `load_imu`.
            spans: the windows; by default one window, from `start` and `window_seconds`.

        Raises:
            MediaError: as `load_imu`; or the recording does not fill a window or has a gap in it, or a
                mapping has other keys.
            ValueError: a span starts before 0, is empty or infinite, there are no spans, or an option in a
                mapping is invalid.
        """
        name, whole = self._recording(recording)
        if spans is None:
            middle = max(whole.duration - self.window_seconds, 0.0) / 2
            start = middle if self.start is None else self.start
            spans = [(start, start + self.window_seconds)]
        windows = as_floats(spans)
        if not windows:
            raise ValueError("spans: expected at least one")
        for start, end in windows:
            if not 0 <= start < end < math.inf:
                raise ValueError(f"span: expected finite 0 <= start < end, got ({start}, {end})")
            self._check_window(whole, start, end, name)
        resampled = [resample(whole, span, antialias=self.antialias) for span in windows]
        return torch.from_numpy(np.stack(resampled).astype(np.float32)), windows  # (s, 6, 2000)

    def _recording(self, item: object) -> tuple[str, ImuRecording]:
        if isinstance(item, ImuRecording):
            checked = to_recording(
                item.samples, timestamps=item.seconds, accel_unit="m/s2", name="<ImuRecording>"
            )
            return "<ImuRecording>", checked
        rate, timestamps = self.rate, None
        if isinstance(item, Mapping):
            if not {"imu"} <= set(item) <= {"imu", "timestamps", *IMU_TABLE_OPTIONS}:
                keys = ", ".join(map(repr, item))
                expected = f"'imu', and some of 'timestamps', {', '.join(map(repr, IMU_TABLE_OPTIONS))}"
                raise MediaError("imu mapping", got=keys, expected=f"the keys {expected}")
            if "rate" in item and "timestamps" in item:
                raise MediaError("imu mapping", got="both", expected="one of 'rate' and 'timestamps'")
            timestamps = item.get("timestamps")
            options = {name: item[name] for name in IMU_TABLE_OPTIONS if name in item and name != "rate"}
            if options:
                given = {key: item[key] for key in ("imu", "rate", "timestamps") if key in item}
                return replace(self, **options)._recording(given)
            rate, item = item.get("rate", rate), item["imu"]
        elif isinstance(item, tuple) and len(item) == 2:
            item, rate = item
        name = name_of(item)
        if is_source(item) and timestamps is None:
            return name, load_imu(item, **{**self.reading, "rate": rate})  # type: ignore[arg-type]
        units = {"accel_unit": self.accel_unit, "gyro_unit": self.gyro_unit, "time_unit": self.time_unit}
        if not isinstance(item, (np.ndarray, Tensor)):
            raise MediaError(name, got=type(item).__name__, expected=EXPECTED_IMU)
        return name, to_recording(item, rate=rate, timestamps=timestamps, **units, name=name)

    def _check_window(self, recording: ImuRecording, start: float, end: float, name: str) -> None:
        """Refuse a window with more than `max_gap_seconds` without a sample."""
        clock, duration = recording.seconds, recording.duration
        if end > duration + self.max_gap_seconds:
            raise MediaError(
                name,
                got=f"{duration:.4g} s of IMU data for a window from {start:.4g} to {end:.4g} s",
                expected=f"at least {end - self.max_gap_seconds:.4g} s",
                hint="pass a shorter window_seconds=; on the command line, repeat the last sample with --map "
                f"'GLOB=imu:max_gap_seconds={math.ceil(end - duration)}'",
            )
        before = max(int(np.searchsorted(clock, start, side="right")) - 1, 0)
        after = int(np.searchsorted(clock, end, side="left"))
        steps = np.diff(clock[before : after + 1])
        if len(steps) and steps.max() > self.max_gap_seconds:
            at = clock[before + int(steps.argmax())]
            raise MediaError(
                name,
                got=f"no sample for {steps.max():.4g} s from {at:.4g} s on",
                expected=f"gaps of at most max_gap_seconds={self.max_gap_seconds:g}",
                hint="check time_unit= and rate=",
            )
