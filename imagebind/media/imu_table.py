"""Read an IMU table in text, with both sensors in one file or each in a file of its own."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from imagebind.errors import CompanionMediaError, MediaError
from imagebind.io.source import name_of
from imagebind.media.imu_columns import COLUMNS_WAY, missing_of
from imagebind.media.imu_csv import Stream, Streams, read_streams
from imagebind.media.imu_form import Form, form_of, rows_of_numbers
from imagebind.media.imu_join import Table, join
from imagebind.media.imu_layouts import LAYOUTS, Columns, Layout, layout_of
from imagebind.media.imu_names import ACCEL, GRAVITY, GYRO, USER
from imagebind.media.imu_parts import Parts, parts_of, role_of
from imagebind.media.imu_text import ENCODING_BYTES, HEAD_LINES, Line, encoding_of, splitter, text_lines

# Known tables without a header or a clock, recognised by their rows, file names or columns.
_WISDM = re.compile(r"\d{1,9},[A-S],\d{1,20},-?[\d.eE+-]{1,25},-?[\d.eE+-]{1,25},-?[\d.eE+-]{1,25};?")
_UCI_HAR = re.compile(r"(?:acc|gyro)_exp\d+_user\d+", re.IGNORECASE)
_MOTIONSENSE = ("attitude.roll", "rotationRate.x", "userAcceleration.x", "gravity.x")
_DOT = re.compile(r"\bdot\b|devicetag", re.IGNORECASE)  # Xsens DOT's metadata

Read = Callable[[Path], bytes]


@dataclass(frozen=True, kw_only=True)
class Told:
    """How to read a table: the caller's options, and a logger's layout."""

    layout: Layout
    rate: float | None = None
    accel_unit: str | None = None
    gyro_unit: str | None = None
    time_unit: str | None = None


def read_table(data: bytes, *, name: str, told: Told, path: Path | None, read: Read) -> Table:
    """Read the six channels of a table; if it has only one sensor, also read the other sensor's file.

    Args:
        path: the table's path, if it is a local file.
        read: function that reads another file.

    Raises:
        MediaError: as `read_streams` and `join`; or the other sensor is missing.
    """
    lines = list(islice(text_lines(data, name=name), HEAD_LINES))
    layout = told.layout
    if layout == Layout():
        layout = recognised(lines, path) or layout
    told = replace(told, layout=layout)
    form = form_of(lines, name=name, columns=layout.columns)
    if _is_whole(form, layout.columns):
        return _joined(_streams(data, name, told, layout.columns, None), name, told)
    parts = None if path is None else parts_of(path)
    if parts is None:
        raise _part_alone(form, lines, name, path)
    return _of_parts(parts, told, read)


def look_at_table(text: str, *, name: str, path: Path | None, layout: Layout | None = None) -> bool:
    """Whether a text, by its first lines, is an IMU recording, alone or with other sensors' files.

    Args:
        layout: as the user gives it.

    Raises:
        CompanionMediaError: the table belongs to a recording that another file identifies.
    """
    lines = [(number, line) for number, line in enumerate(text.splitlines()[:HEAD_LINES], start=1)]
    layout = recognised(lines, path) if layout is None or layout == Layout() else layout
    try:
        form = form_of(lines, name=name, columns=None if layout is None else layout.columns)
    except MediaError:
        return False
    if _is_whole(form, None if layout is None else layout.columns):
        return True
    role = None if path is None else role_of(path)
    parts = None if path is None or role is None else parts_of(path)
    if parts is None or path is None or not (layout is not None or form.plan.is_part):
        return False
    if path != parts.first:
        raise CompanionMediaError(
            name,
            got=f"a table whose header is {lines[0][1][:80]!r}, a part of a recording",
            expected=f"{parts.first.name}, which is read together with {parts.others}",
        )
    return True


def refuse_companion(path: Path, *, layout: str | None) -> None:
    """Refuse a file, declared as IMU, that belongs to a recording which another file identifies.

    Raises:
        CompanionMediaError: as `look_at_table`.
    """
    try:
        with path.open("rb") as file:
            head = file.read(ENCODING_BYTES)
    except OSError:  # reported when the file is read
        return
    encoding = encoding_of(head)
    if encoding is not None:
        text = head.decode(encoding, errors="replace")
        look_at_table(text, name=name_of(path), path=path, layout=layout_of(layout))


def number_rows_at(text: str) -> int | None:
    """Return the line at which rows of at least three numbers begin; None if a text's first lines have none.

    Other lines may come before the rows, but hardly any between them.
    """
    lines = [(number, line) for number, line in enumerate(text.splitlines()[:HEAD_LINES], start=1)]
    rows = rows_of_numbers(lines[:-1] if len(lines) > 3 else lines)  # the last line may be cut
    if rows is None:
        return None
    place, delimiter = rows
    below = [line for _, line in lines[place:-1] if line.strip()] or [lines[place][1]]
    width = len(splitter(delimiter)(below[0]))
    same = sum(len(splitter(delimiter)(line)) == width for line in below)
    return place if place <= 0.5 * len(lines) and same > 0.9 * len(below) else None


def recognised(lines: Sequence[Line], path: Path | None) -> Layout | None:
    """Return the layout of a logger that writes no clock or no header, recognised by rows and names."""
    written = [line for _, line in lines[:20] if line.strip()]
    if len(written) > 1 and all(_WISDM.fullmatch(line.strip()) for line in written[:-1]):
        return LAYOUTS["wisdm"]
    if path is not None and _UCI_HAR.fullmatch(path.stem):
        return LAYOUTS["uci_har"]
    if written and all(column in written[0] for column in _MOTIONSENSE) and "time" not in written[0].lower():
        return LAYOUTS["motionsense"]
    return None


def first_stamp(table: bytes, *, name: str) -> float:
    """Return a recording's start in seconds on the table's own clock, from its first lines.

    Raises:
        MediaError: as `read_streams`; or the table has no clock.
    """
    streams = read_streams(table, name=name)
    if not streams.has_clock:
        raise MediaError(name, got="no column of time", expected="canonical_timestamp_ms")
    return join(streams.sensors, name=name).start


def _is_whole(form: Form, columns: Columns | None) -> bool:
    """Whether one file has both sensors. If a layout has equal columns for both, each has its own file."""
    return form.plan.is_whole and not (columns is not None and columns.accel == columns.gyro)


def _streams(data: bytes, name: str, told: Told, columns: Columns | None, role: str | None) -> Streams:
    rate = told.rate or told.layout.rate
    unit = told.time_unit or told.layout.time_unit
    return read_streams(data, name=name, columns=columns, role=role, rate=rate, time_unit=unit)


def _joined(streams: Streams, name: str, told: Told) -> Table:
    sensors, form = dict(streams.sensors), streams.form
    if form.plan.tag is not None and form.plan.is_sensor_logger and {ACCEL, GRAVITY} <= {*sensors}:
        sensors[USER] = sensors.pop(ACCEL)
    if GYRO not in sensors or not {ACCEL, USER} & {*sensors}:
        there = ", ".join(sensors)
        raise MediaError(
            name, got=f"samples of {there} alone", expected="an accelerometer's and a gyroscope's"
        )
    accel_unit, gyro_unit = told.accel_unit or told.layout.accel_unit, told.gyro_unit or told.layout.gyro_unit
    if gyro_unit is None and sensors[GYRO].unit is None and _is_dot(form, sensors[GYRO]):
        gyro_unit = "deg/s"
    return join(sensors, name=name, accel_unit=accel_unit, gyro_unit=gyro_unit, has_clock=streams.has_clock)


def _is_dot(form: Form, gyro: Stream) -> bool:
    """Whether a table with Xsens' names is a DOT's, whose gyroscope is in deg/s and whose clock is in µs."""
    if not any(clock.unit == "xsens" for clock in form.plan.clocks):
        return False
    return any(_DOT.search(line[:200]) for line in form.preamble)


def _of_parts(parts: Parts, told: Told, read: Read) -> Table:
    """Read a recording's files and join them to one table."""
    columns = told.layout.columns
    name = str(parts.first)
    accel_columns = None if columns is None else replace(columns, gyro=None)
    gyro_columns = None if columns is None else replace(columns, accel=None)
    if gyro_columns is not None and gyro_columns.gyro is None:
        gyro_columns = None
    first = _streams(read(parts.first), name, told, accel_columns, ACCEL)
    gyro = _streams(read(parts.gyro), str(parts.gyro), told, gyro_columns, GYRO)
    sensors = {kind: stream for kind, stream in first.sensors.items() if kind != GYRO}
    if first.form.plan.is_sensor_logger:
        told = replace(told, layout=_sensor_logger(parts, sensors, told, read))
    sensors |= {kind: stream for kind, stream in gyro.sensors.items() if kind == GYRO}
    whole = Streams(sensors=sensors, form=first.form, has_clock=first.has_clock and gyro.has_clock)
    return _joined(whole, name, told)


def _sensor_logger(parts: Parts, sensors: dict[str, Stream], told: Told, read: Read) -> Layout:
    """Add gravity, which Sensor Logger writes to TotalAcceleration.csv or Gravity.csv.

    Its files name no unit. It is m/s², or g on an iPhone if units were not standardised in the app.
    """
    layout = LAYOUTS["sensor_logger"]
    accel = sensors.pop(ACCEL)
    is_total = parts.first.stem.lower().endswith("totalacceleration")
    if parts.total is not None:
        accel, is_total = (
            _streams(read(parts.total), str(parts.total), told, None, ACCEL).sensors[ACCEL],
            True,
        )
    sensors[ACCEL if is_total else USER] = accel
    if is_total:
        in_g = 0.8 <= float(np.median(np.linalg.norm(accel.samples, axis=1))) <= 1.25
        return replace(layout, accel_unit="g") if in_g else layout
    if parts.gravity is not None:
        gravity = _streams(read(parts.gravity), str(parts.gravity), told, None, GRAVITY)
        sensors[GRAVITY] = gravity.sensors[GRAVITY]
        return replace(layout, accel_unit=None)  # inferred from gravity's magnitude
    return layout


def _part_alone(form: Form, lines: Sequence[Line], name: str, path: Path | None) -> MediaError:
    """Return the error for one sensor without the other."""
    plan = form.plan
    if path is None and (plan.sensors or plan.bare):
        got = "one sensor's samples, in bytes or an open file, which have no file beside them"
        expected = (
            "the path of the accelerometer's file, with the gyroscope's beside it; or one table with both"
        )
        return MediaError(name, got=got, expected=expected)
    if plan.bare is not None and not plan.sensors:
        return MediaError(
            name,
            got=f"axes without a sensor's name, in a header of {', '.join(form.header)[:120]}",
            expected=f"Accelerometer.csv with Gyroscope.csv beside it, or {COLUMNS_WAY}",
        )
    if not form.header:
        return MediaError(
            name,
            got="one sensor's columns",
            expected="the other sensor's file beside it, with the sensor in its name",
        )
    return missing_of(plan, form.header, name)
