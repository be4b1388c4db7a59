"""Find the form of a table: its header, its first row, and its delimiter."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from imagebind.errors import MediaError
from imagebind.media.imu_columns import (
    COLUMNS_HINT,
    EXPECTED_COLUMNS,
    MAX_COLUMNS,
    ColumnPlan,
    missing_columns_error,
    plan_from_columns,
    plan_from_header,
)
from imagebind.media.imu_layouts import Columns
from imagebind.media.imu_names import AXES
from imagebind.media.imu_text import (
    IMU_DELIMITERS,
    Line,
    is_row,
    number_in,
    separator_line,
    splitter,
    without_comment_sign,
)

HEADER_LINES = 200  # searched for the header
HEADER_LINE_CHARACTERS = 2**16  # per line; bounds the cost of a hostile header
MIN_SINGLE_ROW_CELLS = 5  # a table of one row needs at least this many cells
MAX_UNIT_ROWS = 3  # below a header; Shimmer writes one row with RAW or CAL, and one with units
_RATE_PATTERN = re.compile(
    r"(?:sampl\w*|update|output|data)[ _-]?(?:rate|frequency)\W{0,6}(\d[\d.]{0,9}) ?hz", re.IGNORECASE
)


@dataclass(frozen=True, kw_only=True)
class TableForm:
    """Where the header and the rows of a table are, and which columns they have.

    Args:
        first_row: index of the first row in the examined lines.
        width: cells per row.
        shift: 1 if rows begin with a row number that the header does not name, else 0.
        preamble: the lines before the header.
    """

    plan: ColumnPlan
    header: list[str] = field(default_factory=list)
    delimiter: str
    first_row: int
    width: int
    shift: int = 0
    preamble: tuple[str, ...] = ()

    @property
    def rate(self) -> float | None:
        """The sampling rate stated in the preamble, such as Xsens's `// Sample rate: 100.0Hz`."""
        found = (_RATE_PATTERN.search(line[:200]) for line in self.preamble)
        return next((float(match[1]) for match in found if match and match[1].count(".") < 2), None) or None


def form_of(
    lines: Sequence[Line], *, name: str, columns: Columns | None = None, role: str | None = None
) -> TableForm:
    """Find the header and the first row in the first lines of a table.

    Raises:
        MediaError: the table has no known columns, two for one axis, or no rows; it lacks a given column; or
            its first row does not fit the header.
    """
    separator = next((sign for sign in (separator_line(line) for _, line in lines[:3]) if sign), None)
    delimiters = IMU_DELIMITERS if separator is None else (separator, *IMU_DELIMITERS)
    start = next((position + 1 for position, (_, line) in enumerate(lines[:3]) if separator_line(line)), 0)
    if columns is not None:
        return _form_from_columns(lines, start, delimiters, columns, name)
    found = _header(lines, start, delimiters, role, name)
    if found is None:
        raise _no_header_error(lines, start, delimiters, name)
    position, delimiter, header, plan = found
    return _form_below(lines, position, delimiter, delimiters, header, plan, name)


def rows_of_numbers(
    lines: Sequence[Line], *, delimiters: Sequence[str] = IMU_DELIMITERS
) -> tuple[int, str] | None:
    """Return the index of the first of two consecutive rows of three or more numbers, and their delimiter.

    A single row is enough if there is no other line and it has `MIN_SINGLE_ROW_CELLS` cells. None without
    rows.
    """
    found = None
    for position, (_, line) in enumerate(lines):
        if not line.strip() or without_comment_sign(line) is not None:
            continue
        delimiter = _best_delimiter(line, delimiters)
        if delimiter is None:
            found = None
        elif found is not None and found[1] == delimiter:
            return found
        else:
            found = position, delimiter
    if found is None or len([line for _, line in lines if line.strip()]) > 1:
        return None
    return found if len(splitter(found[1])(lines[found[0]][1])) >= MIN_SINGLE_ROW_CELLS else None


def _header(
    lines: Sequence[Line], start: int, delimiters: Sequence[str], role: str | None, name: str
) -> tuple[int, str, list[str], ColumnPlan] | None:
    """Return the position, delimiter, cells and plan of the header; None if no line names a sensor.

    The header is the last line before the rows that names sensors; a line that names both is preferred.
    """
    best: tuple[int, str, list[str], ColumnPlan] | None = None
    first_error: MediaError | None = None
    for position in range(start, min(len(lines), start + HEADER_LINES)):
        line = lines[position][1][:HEADER_LINE_CHARACTERS]
        if not line.strip():
            continue
        if best is not None and is_row(splitter(best[1])(line)):
            break
        text = without_comment_sign(line)
        text = line if text is None else text
        if text.lstrip()[:1] in (*"0123456789-+.",) or not {*AXES} <= {*text.lower()}:
            continue
        candidates = []
        for delimiter in delimiters:
            header = splitter(delimiter)(text)
            if not 3 <= len(header) <= MAX_COLUMNS:
                continue
            try:
                plan = plan_from_header(header, name=name, role=role)
            except MediaError as error:
                first_error = first_error or error
                continue
            if plan.may_be_one_sensor or plan.has_both_sensors:
                candidates.append((position, delimiter, header, plan))
        if candidates:
            candidate = max(candidates, key=lambda one: (one[3].has_both_sensors, len(one[3].sensors)))
            if best is None or candidate[3].has_both_sensors >= best[3].has_both_sensors:
                best = candidate
    if first_error is not None and (best is None or not best[3].has_both_sensors):
        raise first_error
    return best


def _form_from_columns(
    lines: Sequence[Line], start: int, delimiters: Sequence[str], columns: Columns, name: str
) -> TableForm:
    named = [
        column
        for column in (*(columns.accel or ()), *(columns.gyro or ()), columns.time)
        if isinstance(column, str)
    ]
    if not named:
        rows = rows_of_numbers(lines[start:], delimiters=delimiters)
        if rows is None:
            raise MediaError(name, got="no two consecutive rows of three numbers", expected="rows of numbers")
        position, delimiter = start + rows[0], rows[1]
        header = []
        for _, line in reversed(lines[start:position]):  # this line may name units
            cells = splitter(delimiter)(without_comment_sign(line) or line)
            if len(cells) == len(splitter(delimiter)(lines[position][1])):
                header = cells
                break
        plan = plan_from_columns(columns, header, name=name)
        return _form_below(lines, position - 1, delimiter, delimiters, [], plan, name)
    first_error = None
    for position in range(start, min(len(lines), start + HEADER_LINES)):
        line = lines[position][1][:HEADER_LINE_CHARACTERS]
        text = without_comment_sign(line)
        for delimiter in delimiters:
            header = splitter(delimiter)(line if text is None else text)
            if len(header) < 3:
                continue
            try:
                plan = plan_from_columns(columns, header, name=name)
            except MediaError as error:
                first_error = first_error or error
                continue
            return _form_below(lines, position, delimiter, delimiters, header, plan, name)
    raise first_error or MediaError(
        name, got="none", expected=f"a header with {', '.join(named)}", hint="pass column numbers from 0"
    )


def _form_below(
    lines: Sequence[Line],
    position: int,
    delimiter: str,
    delimiters: Sequence[str],
    header: list[str],
    plan: ColumnPlan,
    name: str,
) -> TableForm:
    """Find the first row below a header, and the rows of units between them."""
    units: list[str] = []
    unit_rows = 0
    for row in range(position + 1, len(lines)):
        line = lines[row][1]
        if not line.strip() or without_comment_sign(line) is not None:
            continue
        cut, shift = _row_delimiter(line, len(header), delimiter, delimiters)
        cells = splitter(cut)(line)
        if header and unit_rows < MAX_UNIT_ROWS and _is_unit_row(cells, plan, shift):
            units, unit_rows = cells, unit_rows + 1
            continue
        if header and not _fits(cells, header, shift):
            raise MediaError(
                name,
                got=f"{len(cells)} cells in line {lines[row][0]}, but {len(header)} in the header",
                expected="the same number of cells in each row",
            )
        indices = [index for triple in plan.sensors.values() for index in triple]
        largest = max([*indices, *(clock.index for clock in plan.clocks)], default=0)
        if largest + shift >= len(cells):  # a number that the user gave
            raise MediaError(
                name,
                got=f"{len(cells)} in line {lines[row][0]}",
                expected=f"at least {largest + 1} columns for the column number {largest}, counted from 0",
            )
        return TableForm(
            plan=_with_units(plan, units),
            header=header,
            delimiter=cut,
            first_row=row,
            width=len(cells),
            shift=shift,
            preamble=tuple(line for _, line in lines[: max(position, 0)]),
        )
    raise MediaError(name, got="none", expected="rows below the header")


def _row_delimiter(line: str, width: int, delimiter: str, delimiters: Sequence[str]) -> tuple[str, int]:
    """Return the delimiter that splits a row into as many cells as the header, and `TableForm.shift`."""
    for cut in dict.fromkeys((delimiter, *delimiters)):
        if width and len(splitter(cut)(line)) == width:
            return cut, 0
    cells = splitter(delimiter)(line)
    is_numbered = cells[0].strip().strip('"').isdigit()  # R and others number rows
    return delimiter, int(width > 0 and len(cells) == width + 1 and bool(cells[-1].strip()) and is_numbered)


def _fits(cells: list[str], header: list[str], shift: int) -> bool:
    """Whether a row has as many cells as the header, ignoring blank cells at the end of either."""
    longer, shorter = (cells, header) if len(cells) > len(header) + shift else (header, cells)
    return not "".join(longer[len(shorter) + (shift if longer is cells else 0) :]).strip()


def _is_unit_row(cells: list[str], plan: ColumnPlan, shift: int) -> bool:
    """Whether the sensors' cells contain text and no number."""
    positions = [index + shift for triple in plan.sensors.values() for index in triple]
    positions += [index + shift for index in plan.bare or ()] if not positions else []
    needed = [cells[index].strip() for index in positions if index < len(cells)]
    return bool("".join(needed)) and all(not cell or number_in(cell) is None for cell in needed)


def _with_units(plan: ColumnPlan, units: list[str]) -> ColumnPlan:
    """Add the units from a row below the header for columns whose name has no unit."""
    if not units:
        return plan
    sensor_units = dict(plan.units)
    for sensor, triple in plan.sensors.items():
        written = {units[index].strip().strip('"') for index in triple if index < len(units)} - {""}
        sensor_units[sensor] = sensor_units.get(sensor) or " and ".join(sorted(written)) or None
    clocks = tuple(
        clock
        if clock.unit or clock.index >= len(units)
        else replace(clock, unit=units[clock.index].strip().strip('"') or None)
        for clock in plan.clocks
    )
    return replace(plan, units=sensor_units, clocks=clocks)


def _best_delimiter(line: str, delimiters: Sequence[str]) -> str | None:
    """Return the delimiter that splits a line into the most numbers, at least three; None if none does."""
    best, most = None, 2
    for delimiter in dict.fromkeys(delimiters):
        cells = splitter(delimiter)(line.rstrip(";") if delimiter == "," else line)
        numbers = sum((number_in(cell) is not None) and bool(cell.strip()) for cell in cells[:MAX_COLUMNS])
        if numbers > most and is_row(cells):
            best, most = delimiter, numbers
    return best


def _no_header_error(lines: Sequence[Line], start: int, delimiters: Sequence[str], name: str) -> MediaError:
    """Return the error for a table in which no line names a sensor."""
    for _, line in lines[start : start + HEADER_LINES]:
        text = line[:HEADER_LINE_CHARACTERS].strip()
        if not text:
            continue
        header = max((splitter(cut)(text) for cut in delimiters), key=len)
        if rows_of_numbers([(1, text), (2, text)], delimiters=delimiters) is not None:  # needs two rows
            return MediaError(
                name,
                got=f"a table of numbers without a header ({text[:80]!r})",
                expected=EXPECTED_COLUMNS,
                hint=COLUMNS_HINT,
            )
        cut = max((";", "\t", ","), key=text.count)
        header = splitter(cut)(text)
        return missing_columns_error(plan_from_header(header, name=name), header, name)
    return MediaError(name, got="only blank lines", expected="an IMU table")
