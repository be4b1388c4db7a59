"""Read IMU tables in text, with both sensors in one file or with one file per sensor."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from imagebind.errors import CompanionMediaError, MediaError
from imagebind.io.source import name_of
from imagebind.media.imu_columns import COLUMNS_HINT, missing_columns_error
from imagebind.media.imu_csv import SensorStream, SensorStreams, read_streams
from imagebind.media.imu_form import TableForm, form_of, rows_of_numbers
from imagebind.media.imu_join import ImuTable, join
from imagebind.media.imu_layouts import LAYOUTS, Columns, Layout, layout_of
from imagebind.media.imu_names import ACCEL, GRAVITY, GYRO, USER
from imagebind.media.imu_parts import RecordingFiles, recording_files, role_of
from imagebind.media.imu_recording import G_MAGNITUDES, unit_scales
from imagebind.media.imu_text import ENCODING_BYTES, HEAD_LINES, Line, encoding_of, splitter, text_lines

# Tables without a header or a clock, recognised by their rows, file names or columns.
_WISDM_ROW = re.compile(r"\d{1,9},[A-S],\d{1,20},-?[\d.eE+-]{1,25},-?[\d.eE+-]{1,25},-?[\d.eE+-]{1,25};?")
_UCI_HAR_NAME = re.compile(r"(?:acc|gyro)_exp\d+_user\d+", re.IGNORECASE)
_MOTIONSENSE_COLUMNS = ("attitude.roll", "rotationRate.x", "userAcceleration.x", "gravity.x")
_XSENS_DOT = re.compile(r"\bdot\b|devicetag", re.IGNORECASE)  # Xsens DOT's metadata

FileReader = Callable[[Path], bytes]


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """Options for reading a table: the layout, and the caller's rate and units.

    Raises:
        ValueError: a unit is unknown.
    """

    layout: Layout
    rate: float | None = None
    accel_unit: str | None = None
    gyro_unit: str | None = None
    time_unit: str | None = None

    def __post_init__(self) -> None:
        unit_scales(self.accel_unit, self.gyro_unit, self.time_unit)


def read_table(
    data: bytes, *, name: str, options: TableOptions, path: Path | None, read: FileReader
) -> ImuTable:
    """Read the six channels of a table; if it has only one sensor, also read the other sensor's file.

    Args:
        path: the path of the table, if it is a local file.
        read: function that reads another file.

    Raises:
        MediaError: as `read_streams` and `join`; or the other sensor is missing.
    """
    lines = list(islice(text_lines(data, name=name), HEAD_LINES))
    layout = options.layout
    if layout == Layout():
        layout = recognised_layout(lines, path) or layout
    options = replace(options, layout=layout)
    form = form_of(lines, name=name, columns=layout.columns)
    if _has_both_sensors(form, layout.columns):
        return _joined(_streams(data, name, options, layout.columns, None), name, options)
    files = None if path is None else recording_files(path)
    if files is None:
        raise _one_sensor_error(form, lines, name, path)
    return _read_files(files, options, read)


def is_imu_table(text: str, *, name: str, path: Path | None, layout: Layout | None = None) -> bool:
    """Whether a text, by its first lines, is an IMU recording, alone or with the files of other sensors.

    Args:
        layout: the layout that the user gave.

    Raises:
        CompanionMediaError: the table belongs to a recording that another file identifies.
    """
    lines = [(number, line) for number, line in enumerate(text.splitlines()[:HEAD_LINES], start=1)]
    layout = recognised_layout(lines, path) if layout is None or layout == Layout() else layout
    try:
        form = form_of(lines, name=name, columns=None if layout is None else layout.columns)
    except MediaError:
        return False
    if _has_both_sensors(form, None if layout is None else layout.columns):
        return True
    role = None if path is None else role_of(path)
    files = None if path is None or role is None else recording_files(path)
    if files is None or path is None or not (layout is not None or form.plan.may_be_one_sensor):
        return False
    if path != files.first:
        raise CompanionMediaError(
            name,
            got=f"a table whose header is {lines[0][1][:80]!r}, part of a recording",
            expected=f"{files.first.name}, which is read together with {files.others}",
        )
    return True


def refuse_companion(path: Path, *, layout: str | None) -> None:
    """Refuse a file that is declared as IMU but belongs to a recording that another file identifies.

    Raises:
        CompanionMediaError: as `is_imu_table`.
    """
    try:
        with path.open("rb") as file:
            head = file.read(ENCODING_BYTES)
    except OSError:  # the error is reported when the file is read
        return
    encoding = encoding_of(head)
    if encoding is not None:
        text = head.decode(encoding, errors="replace")
        is_imu_table(text, name=name_of(path), path=path, layout=layout_of(layout))


def first_number_row(text: str) -> int | None:
    """Return the index of the line at which rows of three or more numbers begin; None without such rows.

    Only the first lines of the text are examined. Up to half of them may precede the rows, and fewer
    than one in ten lines from there on may have another number of cells.
    """
    lines = [(number, line) for number, line in enumerate(text.splitlines()[:HEAD_LINES], start=1)]
    rows = rows_of_numbers(lines[:-1] if len(lines) > 3 else lines)  # the last line may be truncated
    if rows is None:
        return None
    position, delimiter = rows
    below = [line for _, line in lines[position:-1] if line.strip()] or [lines[position][1]]
    width = len(splitter(delimiter)(below[0]))
    same = sum(len(splitter(delimiter)(line)) == width for line in below)
    return position if position <= 0.5 * len(lines) and same > 0.9 * len(below) else None


def recognised_layout(lines: Sequence[Line], path: Path | None) -> Layout | None:
    """Return the layout of a logger that writes no clock or no header, by its rows and names; else None."""
    written = [line for _, line in lines[:20] if line.strip()]
    if len(written) > 1 and all(_WISDM_ROW.fullmatch(line.strip()) for line in written[:-1]):
        return LAYOUTS["wisdm"]
    if path is not None and _UCI_HAR_NAME.fullmatch(path.stem):
        return LAYOUTS["uci_har"]
    if (
        written
        and all(column in written[0] for column in _MOTIONSENSE_COLUMNS)
        and "time" not in written[0].lower()
    ):
        return LAYOUTS["motionsense"]
    return None


def first_stamp(table: bytes, *, name: str) -> float:
    """Return the start of a recording in seconds on its table's clock; the first lines of the table suffice.

    Raises:
        MediaError: as `read_streams` and `join`; or the table has no clock, or only one sensor.
    """
    streams = read_streams(table, name=name)
    if not streams.has_clock:
        raise MediaError(name, got="none", expected="the time column canonical_timestamp_ms")
    return _joined(streams, name, TableOptions(layout=Layout())).start


def _has_both_sensors(form: TableForm, columns: Columns | None) -> bool:
    """Whether one file has both sensors. A layout with equal columns for both means one file per sensor."""
    return form.plan.has_both_sensors and not (columns is not None and columns.accel == columns.gyro)


def _streams(
    data: bytes, name: str, options: TableOptions, columns: Columns | None, role: str | None
) -> SensorStreams:
    rate = options.layout.rate if options.rate is None else options.rate
    unit = options.time_unit or options.layout.time_unit
    return read_streams(data, name=name, columns=columns, role=role, rate=rate, time_unit=unit)


def _joined(streams: SensorStreams, name: str, options: TableOptions) -> ImuTable:
    sensors, form = dict(streams.sensors), streams.form
    if form.plan.tag is not None and form.plan.is_sensor_logger and {ACCEL, GRAVITY} <= {*sensors}:
        sensors[USER] = sensors.pop(ACCEL)
    if GYRO not in sensors or not {ACCEL, USER} & {*sensors}:
        there = ", ".join(sensors) or "other sensors"
        raise MediaError(
            name, got=f"samples of {there} only", expected="samples of an accelerometer and a gyroscope"
        )
    accel_unit, gyro_unit = (
        options.accel_unit or options.layout.accel_unit,
        options.gyro_unit or options.layout.gyro_unit,
    )
    if gyro_unit is None and sensors[GYRO].unit is None and _is_xsens_dot(form):
        gyro_unit = "deg/s"
    return join(sensors, name=name, accel_unit=accel_unit, gyro_unit=gyro_unit, has_clock=streams.has_clock)


def _is_xsens_dot(form: TableForm) -> bool:
    """Whether an Xsens table is from a DOT, whose gyroscope is in deg/s and whose clock is in µs."""
    if not any(clock.unit == "xsens" for clock in form.plan.clocks):
        return False
    return any(_XSENS_DOT.search(line[:200]) for line in form.preamble)


def _read_files(files: RecordingFiles, options: TableOptions, read: FileReader) -> ImuTable:
    """Read the files of a recording and join them to one table."""
    columns = options.layout.columns
    name = str(files.first)
    accel_columns = None if columns is None else replace(columns, gyro=None)
    gyro_columns = None if columns is None else replace(columns, accel=None)
    if gyro_columns is not None and gyro_columns.gyro is None:
        gyro_columns = None
    first = _streams(read(files.first), name, options, accel_columns, ACCEL)
    gyro = _streams(read(files.gyro), str(files.gyro), options, gyro_columns, GYRO)
    sensors = {sensor: stream for sensor, stream in first.sensors.items() if sensor != GYRO}
    if first.form.plan.is_sensor_logger and ACCEL in sensors:
        options = replace(options, layout=_sensor_logger(files, sensors, options, read))
    sensors |= {sensor: stream for sensor, stream in gyro.sensors.items() if sensor == GYRO}
    whole = SensorStreams(sensors=sensors, form=first.form, has_clock=first.has_clock and gyro.has_clock)
    return _joined(whole, name, options)


def _sensor_logger(
    files: RecordingFiles, sensors: dict[str, SensorStream], options: TableOptions, read: FileReader
) -> Layout:
    """Add gravity from TotalAcceleration.csv or Gravity.csv to `sensors`, and return the layout.

    Sensor Logger states no unit. Accelerations are in m/s², or in g on an iPhone if units were not
    standardised in the app.
    """
    layout = LAYOUTS["sensor_logger"]
    accel = sensors.pop(ACCEL)
    is_total = files.first.stem.lower().endswith("totalacceleration")
    if files.total is not None:
        accel, is_total = _stream_of(files.total, ACCEL, options, read), True
    sensors[ACCEL if is_total else USER] = accel
    if is_total:
        low, high = G_MAGNITUDES
        in_g = low <= float(np.median(np.linalg.norm(accel.samples, axis=1))) <= high
        return replace(layout, accel_unit="g") if in_g else layout
    if files.gravity is not None:
        sensors[GRAVITY] = _stream_of(files.gravity, GRAVITY, options, read)
        return replace(layout, accel_unit=None)  # inferred from the magnitude of gravity
    return layout


def _stream_of(path: Path, sensor: str, options: TableOptions, read: FileReader) -> SensorStream:
    """Return the stream of a sensor in a file whose name states this sensor."""
    sensors = _streams(read(path), str(path), options, None, sensor).sensors
    if sensor not in sensors:
        raise MediaError(
            str(path), got=f"samples of {', '.join(sensors)} only", expected=f"samples of {sensor}"
        )
    return sensors[sensor]


def _one_sensor_error(form: TableForm, lines: Sequence[Line], name: str, path: Path | None) -> MediaError:
    """Return the error for a table with only one sensor."""
    plan = form.plan
    if path is None and (plan.sensors or plan.bare):
        got = "samples of one sensor in bytes or an open file, which have no neighbouring files"
        expected = "a table with both sensors"
        hint = "pass the path of the accelerometer's file, with the gyroscope's beside it"
        return MediaError(name, got=got, expected=expected, hint=hint)
    if plan.bare is not None and not plan.sensors:
        return MediaError(
            name,
            got=f"axes without a sensor's name, in a header of {', '.join(form.header)[:120]}",
            expected="Accelerometer.csv with Gyroscope.csv beside it",
            hint=COLUMNS_HINT,
        )
    if not form.header:
        return MediaError(
            name,
            got="columns of one sensor",
            expected="the other sensor's file in the same folder, with the sensor in its name",
        )
    return missing_columns_error(plan, form.header, name)
