"""Read the numbers of an IMU table in text: one stream of samples per sensor."""

from array import array
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain, islice

import numpy as np

from imagebind.errors import MediaError, warn_of
from imagebind.media.imu_clock import XSENS, Clock, Where, read_clock
from imagebind.media.imu_columns import EXPECTED, ClockColumn
from imagebind.media.imu_form import Form, form_of
from imagebind.media.imu_layouts import Columns
from imagebind.media.imu_names import kind_of_tag
from imagebind.media.imu_text import (
    BLANKS,
    HEAD_CHARACTERS,
    HEAD_LINES,
    Line,
    number_in,
    splitter,
    text_lines,
    without_comment_sign,
)
from imagebind.media.imu_units import TIME_UNITS, unit_of

SAMPLE_ROWS = 50  # examined; a clock's column must not be empty in all of them


@dataclass(frozen=True, kw_only=True, eq=False)
class Stream:
    """One sensor: samples (t, 3) as written, seconds (t,) after `start`, and the line of each in its file.

    The streams of one table have one `start`, in seconds after the zero of the table's clock.
    """

    samples: np.ndarray
    seconds: np.ndarray
    start: Fraction
    lines: np.ndarray
    unit: str | None = None  # as spelled


@dataclass(frozen=True, kw_only=True)
class Streams:
    """The sensors of a table, and its form."""

    sensors: dict[str, Stream]
    form: Form
    has_clock: bool = True


@dataclass
class _Rows:
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
) -> Streams:
    """Read a table's sensors.

    Rows without a number for a sensor are left out of its stream, so sensors may start late, or have rows of
    their own. A last line that is cut short is left out, with a warning.

    Args:
        columns: as the user gives them.
        role: the sensor of unnamed axes.
        rate: used if there is no clock; without both, rows count as seconds and `has_clock` is False.
        time_unit: overrides the header's.

    Raises:
        MediaError: no text, no known columns or two for one axis, a row with more or fewer cells than the
            first, or a cell that is no number; names the line.
    """
    lines = text_lines(data, name=name)
    head = _head(lines)
    form = form_of(head, name=name, columns=columns, role=role)
    rows = chain(head[form.first_row :], lines)
    clock = _clock_column(form, head)
    kinds, groups = _collect(rows, form, clock, name)
    sensors = {}
    rate = rate or form.rate
    for group, each in groups.items():
        table = np.frombuffer(each.numbers, dtype=np.float64).reshape(len(each.lines), -1)
        numbers = np.frombuffer(each.lines, dtype=np.int64)
        _refuse_infinite(table, numbers, name)
        stamped = np.array([bool(stamp) for stamp in each.stamps]) if clock else np.ones(len(table), bool)
        if not stamped.any():
            continue
        times = _times(each, stamped, clock, rate, time_unit, name)
        for place, kind in enumerate(kinds if group is None else [group]):
            samples = table[:, 3 * place : 3 * place + 3]
            there = stamped & ~np.isnan(samples).any(axis=1)
            if there.any():
                sensors[kind] = Stream(
                    samples=samples[there],
                    seconds=times.seconds[there[stamped]],
                    start=times.start,
                    lines=numbers[there],
                    unit=form.plan.units.get(kind),
                )
                _warn_of_holes(there, kind, len(kinds), name)
    if not sensors:
        raise MediaError(name, got="no row with numbers for a sensor", expected=EXPECTED)
    return Streams(sensors=sensors, form=form, has_clock=clock is not None or rate is not None)


def _head(lines: Iterator[Line]) -> list[Line]:
    head, characters = [], 0
    for line in islice(lines, HEAD_LINES):
        head.append(line)
        characters += len(line[1])
        if characters > HEAD_CHARACTERS:
            break
    return head


def _clock_column(form: Form, head: list[Line]) -> ClockColumn | None:
    """Return the preferred clock column that is not empty; Xsens's SampleTimeFine can be empty."""
    split = splitter(form.delimiter)
    sample = [split(line) for _, line in head[form.first_row : form.first_row + SAMPLE_ROWS]]
    for clock in form.plan.clocks:
        place = clock.index + form.shift
        if any(place < len(cells) and cells[place].strip().lower() not in BLANKS for cells in sample):
            return clock
    return None


def _collect(
    rows: Iterator[Line], form: Form, clock: ClockColumn | None, name: str
) -> tuple[list[str], dict[str | None, _Rows]]:
    """Collect each row's numbers; by sensor if a column tags rows with one."""
    plan, shift = form.plan, form.shift
    kinds = list(plan.sensors)
    triples = [plan.sensors[kind] for kind in kinds] if plan.tag is None else [plan.bare or (0, 1, 2)]
    needed = [index + shift for triple in triples for index in triple]
    tag = None if plan.tag is None else plan.tag + shift
    stamp_of = _stamp_reader(clock, shift)
    split, has_comma = splitter(form.delimiter), form.delimiter == ","
    groups: dict[str | None, _Rows] = defaultdict(_Rows)
    group: str | None = None
    for number, line in rows:
        if not line or line.isspace() or (line[0] in " #%/" and without_comment_sign(line) is not None):
            continue
        line = line.rstrip(";") if has_comma else line.replace(",", ".")  # a decimal comma
        cells = split(line)
        try:
            if len(cells) != form.width:
                cells = _mended(cells, form, number, name)
            if tag is not None:
                group = kind_of_tag(cells[tag])
                if group is None:
                    continue
            try:
                values = [float(cells[index]) for index in needed]
            except ValueError:
                values = [_number(cells[index], index - shift, form, number, name) for index in needed]
        except MediaError as error:
            if any(line.strip() for _, line in rows):  # more follow
                raise
            if not groups:
                raise
            warn_of(name, f"its last line, {number}, is cut short and left out ({error.got})")
            break
        taken = groups[group]
        taken.numbers.extend(values)
        taken.lines.append(number)
        if stamp_of is not None:
            taken.stamps.append(stamp_of(cells))
    return kinds, groups


def _stamp_reader(clock: ClockColumn | None, shift: int) -> Callable[[list[str]], str] | None:
    if clock is None:
        return None
    first, second = clock.index + shift, None if clock.second is None else clock.second + shift

    def stamp(cells: list[str]) -> str:
        text = cells[first].strip().replace(",", ".")
        if text.lower() in BLANKS:
            return ""
        if second is None:
            return text
        other = cells[second].strip()
        if clock.is_whole_seconds:
            return f"{text}{other:0>9}" if other.isdigit() else ""
        return f"{other} {text}" if ":" in text else text

    return stamp


def _mended(cells: list[str], form: Form, number: int, name: str) -> list[str]:
    """Add or remove blank cells at a row's end, so that it is as long as the first row."""
    extra = cells[form.width :]
    if extra and not "".join(extra).strip():
        return cells[: form.width]
    named = len(form.header) + form.shift
    if named and named <= len(cells) < form.width:  # the first row has a delimiter at its end
        return cells + [""] * (form.width - len(cells))
    raise MediaError(
        name,
        got=f"{len(cells)} cells in line {number}, but {form.width} in the first row",
        expected="the same number in each row; or remove the line",
    )


def _number(cell: str, index: int, form: Form, number: int, name: str) -> float:
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
    rows: _Rows,
    stamped: np.ndarray,
    column: ClockColumn | None,
    rate: float | None,
    time_unit: str | None,
    name: str,
) -> Clock:
    """Return the clock of the rows with a stamp; without a clock, count rows from the first."""
    if column is None:
        return Clock(seconds=np.arange(len(stamped)) / (rate or 1.0), start=Fraction(0))
    known = XSENS if column.unit == XSENS else unit_of(column.unit or "", TIME_UNITS)
    return read_clock(
        [stamp for stamp in rows.stamps if stamp],
        unit=known if time_unit is None else unit_of(time_unit, TIME_UNITS),
        name=name,
        where=line_of(np.frombuffer(rows.lines, dtype=np.int64)[stamped]),
        spelled=column.unit if known is None else None,
    )


def line_of(lines: np.ndarray) -> Where:
    """Return a function that names a sample by its line, for errors."""
    return lambda sample: f"line {lines[sample]}"


def _warn_of_holes(there: np.ndarray, kind: str, sensors: int, name: str) -> None:
    """Warn of rows without a value, except if sensors alternate, start late or end early."""
    inside = there[int(there.argmax()) : len(there) - int(there[::-1].argmax())]
    missing = int(np.sum(~inside))
    if missing and (sensors == 1 or missing < len(inside) // 4):
        warn_of(name, f"{missing:,} of {len(there):,} rows have no value of the {kind}; they are left out")
