"""Read the numbers of a text table of IMU samples: one stream of samples per sensor."""

from array import array
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain, islice

import numpy as np

from imagebind.errors import MediaError, warn_of
from imagebind.media.imu_clock import XSENS, ImuClock, SampleLocator, read_clock
from imagebind.media.imu_columns import COLUMNS_HINT, ClockColumn
from imagebind.media.imu_form import TableForm, form_of
from imagebind.media.imu_layouts import Columns
from imagebind.media.imu_names import sensor_of_tag
from imagebind.media.imu_recording import checked_rate
from imagebind.media.imu_text import (
    BLANK_CELLS,
    HEAD_CHARACTERS,
    HEAD_LINES,
    Line,
    number_in,
    splitter,
    text_lines,
    without_comment_sign,
)
from imagebind.media.imu_units import TIME_UNITS, unit_of

CLOCK_CHECK_ROWS = 50  # first rows; a clock column that is empty in all of them is not used


@dataclass(frozen=True, kw_only=True, eq=False)
class SensorStream:
    """One sensor's samples (t, 3) as written, seconds (t,) after `start`, and line numbers (t,) in its file.

    `start` is in seconds after the zero of the table's clock. A table's streams share it, unless a tag column
    names each row's sensor.
    """

    samples: np.ndarray
    seconds: np.ndarray
    start: Fraction
    lines: np.ndarray
    unit: str | None = None  # as spelled


@dataclass(frozen=True, kw_only=True)
class SensorStreams:
    """The sensors of a table, and its form."""

    sensors: dict[str, SensorStream]
    form: TableForm
    has_clock: bool = True


@dataclass
class _TableRows:
    """The values read so far: numbers row by row, clock cells, and line numbers."""

    numbers: array = field(default_factory=lambda: array("d"))
    stamps: list[str] = field(default_factory=list)
    lines: array = field(default_factory=lambda: array("q"))


def read_streams(
    data: bytes,
    *,
    name: str,
    columns: Columns | None = None,
    role: str | None = None,
    rate: float | None = None,
    time_unit: str | None = None,
) -> SensorStreams:
    """Read the sensors of a table.

    A row without numbers for a sensor is left out of that sensor's stream, so sensors may start late or have
    separate rows. A truncated last line is left out, with a warning.

    Args:
        columns: the columns that the user gave.
        role: the sensor of axes without a sensor's name.
        rate: used if there is no clock; defaults to the rate in the lines before the header. Without clock
            and rate, rows count as seconds and `has_clock` is False.
        time_unit: overrides the header's unit.

    Raises:
        MediaError: the data are not text, have no known columns, two for one axis, or no rows with numbers; a
            clock that `read_clock` refuses, or an invalid rate; or a row with more or fewer cells than the
            first, or with a cell that is neither blank nor a finite number (the message names its line).
    """
    lines = text_lines(data, name=name)
    head = _head(lines)
    form = form_of(head, name=name, columns=columns, role=role)
    rows = chain(head[form.first_row :], lines)
    clock = _clock_column(form, head)
    sensor_names, groups = _collect(rows, form, clock, name)
    sensors = {}
    rate = rate or form.rate
    for group, each in groups.items():
        table = np.frombuffer(each.numbers, dtype=np.float64).reshape(len(each.lines), -1)
        line_numbers = np.frombuffer(each.lines, dtype=np.int64)
        _refuse_infinite(table, line_numbers, name)
        stamped = np.array([bool(stamp) for stamp in each.stamps]) if clock else np.ones(len(table), bool)
        if not stamped.any():
            continue
        times = _times(each, stamped, clock, rate, time_unit, name)
        for position, sensor in enumerate(sensor_names if group is None else [group]):
            samples = table[:, 3 * position : 3 * position + 3]
            present = stamped & ~np.isnan(samples).any(axis=1)
            if present.any():
                sensors[sensor] = SensorStream(
                    samples=samples[present],
                    seconds=times.seconds[present[stamped]],
                    start=times.start,
                    lines=line_numbers[present],
                    unit=form.plan.units.get(sensor),
                )
                _warn_of_missing_rows(present, sensor, len(sensor_names), name)
    if not sensors:
        raise MediaError(name, got="none", expected="rows with numbers for a sensor", hint=COLUMNS_HINT)
    return SensorStreams(sensors=sensors, form=form, has_clock=clock is not None or rate is not None)


def _head(lines: Iterator[Line]) -> list[Line]:
    head, characters = [], 0
    for line in islice(lines, HEAD_LINES):
        head.append(line)
        characters += len(line[1])
        if characters > HEAD_CHARACTERS:
            break
    return head


def _clock_column(form: TableForm, head: list[Line]) -> ClockColumn | None:
    """Return the preferred clock column among those with values; Xsens's SampleTimeFine can be empty."""
    split = splitter(form.delimiter)
    sample = [split(line) for _, line in head[form.first_row : form.first_row + CLOCK_CHECK_ROWS]]
    for clock in form.plan.clocks:
        position = clock.index + form.shift
        if any(
            position < len(cells) and cells[position].strip().lower() not in BLANK_CELLS for cells in sample
        ):
            return clock
    return None


def _collect(
    rows: Iterator[Line], form: TableForm, clock: ClockColumn | None, name: str
) -> tuple[list[str], dict[str | None, _TableRows]]:
    """Collect the numbers of each row, grouped by sensor if a column names the sensor of each row."""
    plan, shift = form.plan, form.shift
    sensor_names = list(plan.sensors)
    triples = (
        [plan.sensors[sensor] for sensor in sensor_names] if plan.tag is None else [plan.bare or (0, 1, 2)]
    )
    needed = [index + shift for triple in triples for index in triple]
    tag = None if plan.tag is None else plan.tag + shift
    stamp_of = _stamp_reader(clock, shift)
    split, has_comma = splitter(form.delimiter), form.delimiter == ","
    groups: dict[str | None, _TableRows] = defaultdict(_TableRows)
    group: str | None = None
    for number, line in rows:
        if not line or line.isspace() or (line[0] in " #%/" and without_comment_sign(line) is not None):
            continue
        line = line.rstrip(";") if has_comma else line.replace(",", ".")  # a decimal comma
        cells = split(line)
        try:
            if len(cells) != form.width:
                cells = _with_row_width(cells, form, number, name)
            if tag is not None:
                group = sensor_of_tag(cells[tag])
                if group is None:
                    continue
            try:
                values = [float(cells[index]) for index in needed]
            except ValueError:
                values = [_number(cells[index], index - shift, form, number, name) for index in needed]
        except MediaError as error:
            if any(line.strip() for _, line in rows):  # it is not the last line
                raise
            if not groups:
                raise
            warn_of(name, f"the last line, {number}, is cut short and left out ({error.got})")
            break
        collected = groups[group]
        collected.numbers.extend(values)
        collected.lines.append(number)
        if stamp_of is not None:
            collected.stamps.append(stamp_of(cells))
    return sensor_names, groups


def _stamp_reader(clock: ClockColumn | None, shift: int) -> Callable[[list[str]], str] | None:
    if clock is None:
        return None
    first = clock.index + shift
    second = None if clock.second_index is None else clock.second_index + shift

    def stamp(cells: list[str]) -> str:
        text = cells[first].strip().replace(",", ".")
        if text.lower() in BLANK_CELLS:
            return ""
        if second is None:
            return text
        other = cells[second].strip()
        if clock.is_whole_seconds:
            return f"{text}{other:0>9}" if other.isdigit() else ""
        return f"{other} {text}" if ":" in text else text

    return stamp


def _with_row_width(cells: list[str], form: TableForm, number: int, name: str) -> list[str]:
    """Add or remove blank cells at the end of a row, so that it has as many as the first row."""
    extra = cells[form.width :]
    if extra and not "".join(extra).strip():
        return cells[: form.width]
    named = len(form.header) + form.shift
    if named and named <= len(cells) < form.width:  # the first row has a delimiter at its end
        return cells + [""] * (form.width - len(cells))
    raise MediaError(
        name,
        got=f"{len(cells)} cells in line {number}, but {form.width} in the first row",
        expected="the same number of cells in each row",
        hint="remove the line",
    )


def _number(cell: str, index: int, form: TableForm, number: int, name: str) -> float:
    value = number_in(cell)
    if value is None:
        column = form.header[index].strip() if index < len(form.header) else f"number {index}, from 0"
        raise MediaError(
            name,
            got=f"{cell.strip()[:40]!r} in column {column}, line {number}",
            expected="a number or a blank cell",
        )
    return value


def _refuse_infinite(table: np.ndarray, lines: np.ndarray, name: str) -> None:
    infinite = np.isinf(table).any(axis=1)
    if infinite.any():
        raise MediaError(
            name, got=f"an infinite value in line {lines[int(infinite.argmax())]}", expected="finite values"
        )


def _times(
    rows: _TableRows,
    stamped: np.ndarray,
    column: ClockColumn | None,
    rate: float | None,
    time_unit: str | None,
    name: str,
) -> ImuClock:
    """Return the clock of the rows with a timestamp; without a clock column, count rows from the first."""
    if column is None:
        hertz = 1.0 if rate is None else checked_rate(rate, name)
        return ImuClock(seconds=np.arange(len(stamped)) / hertz, start=Fraction(0))
    known = XSENS if column.unit == XSENS else unit_of(column.unit or "", TIME_UNITS)
    return read_clock(
        [stamp for stamp in rows.stamps if stamp],
        unit=known if time_unit is None else unit_of(time_unit, TIME_UNITS),
        name=name,
        locate=line_of(np.frombuffer(rows.lines, dtype=np.int64)[stamped]),
        spelled=column.unit if known is None else None,
    )


def line_of(lines: np.ndarray) -> SampleLocator:
    """Return a function that gives the line of a sample, for errors."""
    return lambda sample: f"line {lines[sample]}"


def _warn_of_missing_rows(present: np.ndarray, sensor: str, sensors: int, name: str) -> None:
    """Warn of rows without a value, unless the sensors alternate, start late or end early."""
    inside = present[int(present.argmax()) : len(present) - int(present[::-1].argmax())]
    missing = int(np.sum(~inside))
    if missing and (sensors == 1 or missing < len(inside) // 4):
        warn_of(
            name, f"{missing:,} of {len(present):,} rows have no value of the {sensor}; they are left out"
        )
