"""Find the columns of a table that hold an IMU recording."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from imagebind.errors import MediaError
from imagebind.media.imu_layouts import Columns
from imagebind.media.imu_names import (
    ACCEL,
    AXES,
    CLOCK_PHRASES,
    GRAVITY,
    GYRO,
    NANOSECONDS,
    PHRASE_UNITS,
    TAG_PHRASES,
    USER,
    WHOLE_SECONDS,
    ColumnName,
    clock_of,
    read_name,
)
from imagebind.media.imu_units import ACCEL_UNITS, GYRO_UNITS, unit_of

AxisColumns = tuple[int, int, int]
MAX_COLUMNS = 4096
COLUMNS_HELP = (
    "columns={'accel': ('ax', 'ay', 'az'), 'gyro': ('gx', 'gy', 'gz'), 'time': 't'}, names or numbers from "
    "0; on the command line, pass a JSON file with them: --map '**/*.csv=imu:my_logger.json'"
)
COLUMNS_HINT = f"pass {COLUMNS_HELP}"
EXPECTED_COLUMNS = (
    "known column names for the accelerometer's and the gyroscope's x, y and z (such as timestamp, accl_x, "
    "accl_y, accl_z, gyro_x, gyro_y, gyro_z)"
)
# Name of CoreMotion's gyroscope. CoreMotion's `acceleration` excludes gravity if a gravity column exists.
_COREMOTION = "rotation rate"


@dataclass(frozen=True, kw_only=True)
class ClockColumn:
    """The column of a clock.

    `second_index` is the column of the clock's nanoseconds, or of the dates that belong to its times of day.
    """

    index: int
    unit: str | None = None  # as spelled, or the logger's known unit
    second_index: int | None = None
    is_whole_seconds: bool = False


@dataclass(frozen=True, kw_only=True)
class ColumnPlan:
    """The columns of each sensor.

    `bare` are columns of axes without a sensor's name. `tag` is the column that names each row's sensor.
    """

    sensors: dict[str, AxisColumns] = field(default_factory=dict)
    units: dict[str, str | None] = field(default_factory=dict)  # as spelled
    clocks: tuple[ClockColumn, ...] = ()
    bare: AxisColumns | None = None
    tag: int | None = None
    is_sensor_logger: bool = False

    @property
    def has_both_sensors(self) -> bool:
        """Whether the table has both sensors, or a tag column that may name both."""
        has_accel = ACCEL in self.sensors or USER in self.sensors
        return (has_accel and GYRO in self.sensors) or self.tag is not None

    @property
    def may_be_one_sensor(self) -> bool:
        """Whether the table has a sensor, or a clock and axes without a sensor's name."""
        return bool(self.sensors) or (self.bare is not None and bool(self.clocks))


def plan_from_header(header: Sequence[str], *, name: str = "header", role: str | None = None) -> ColumnPlan:
    """Find the columns by the header's names.

    Args:
        role: the sensor that axes without a sensor's name belong to, if the file's name states it.

    Raises:
        MediaError: there are two columns for one axis or clock.
    """
    names = [read_name(cell) for cell in header[:MAX_COLUMNS]]
    sensors = {sensor: _sensor_axes(names, sensor, name) for sensor in (ACCEL, USER, GRAVITY, GYRO)}
    found = {sensor: triple for sensor, triple in sensors.items() if triple is not None}
    gyro = names[found[GYRO][0]] if GYRO in found else None
    if gyro is not None and USER in found and ACCEL not in found and GRAVITY not in found:
        user = names[found[USER][0]]
        if user.phrase == "linear acceleration" and gyro.phrase == "angular velocity":
            found[ACCEL] = found.pop(USER)  # ROS: sensor_msgs/Imu
    if gyro is not None and gyro.phrase == _COREMOTION and USER not in found and {ACCEL, GRAVITY} <= {*found}:
        is_user = names[found[ACCEL][0]].text == "acceleration"
        found[USER if is_user else ACCEL] = found.pop(ACCEL)
    plain = [name.text for name in names]
    is_sensor_logger = "seconds elapsed" in plain and "time" in plain
    bare = _bare_axes(names)
    tag = None
    if not found and bare is not None:
        tag = next((index for index, text in enumerate(plain) if text in TAG_PHRASES), None)
    if tag is None:
        found |= _axes_by_unit(names, found)
    if role is not None and bare is not None and role not in found and tag is None:
        found[role] = bare
    return ColumnPlan(
        sensors=found,
        units={
            sensor: _one_unit([names[index] for index in triple], sensor) for sensor, triple in found.items()
        },
        clocks=tuple(_clocks(names, name)),
        bare=bare,
        tag=tag,
        is_sensor_logger=is_sensor_logger,
    )


def plan_from_columns(columns: Columns, header: Sequence[str], *, name: str) -> ColumnPlan:
    """Find the columns that the user gave by name, or by number from 0.

    Raises:
        MediaError: the header lacks a given name, or has it twice.
    """

    def index_of(column: str | int) -> int:
        return column if isinstance(column, int) else _index_of(column, header, name)

    sensors, units = {}, {}
    for sensor, listed in ((ACCEL, columns.accel), (GYRO, columns.gyro)):
        if listed is not None:
            x, y, z = (index_of(column) for column in listed)
            sensors[sensor] = (x, y, z)
            named = [read_name(header[index]) for index in (x, y, z) if index < len(header)]
            units[sensor] = _one_unit(named, sensor)
    clocks: tuple[ClockColumn, ...] = ()
    if columns.time is not None:
        index = index_of(columns.time)
        clock = clock_of(read_name(header[index])) if index < len(header) else None
        spelled = read_name(header[index]).unit if index < len(header) else None
        clocks = (ClockColumn(index=index, unit=(clock[2] or CLOCK_PHRASES[clock[1]]) if clock else spelled),)
    return ColumnPlan(sensors=sensors, units=units, clocks=clocks)


def missing_columns_error(plan: ColumnPlan, header: Sequence[str], name: str) -> MediaError:
    """Return the error for a table without both sensors."""
    absent = []
    for sensor in (ACCEL, GYRO):
        if sensor in plan.sensors or (sensor == ACCEL and USER in plan.sensors):
            continue
        there = {each.axis for each in map(read_name, header[:MAX_COLUMNS]) if each.sensor == sensor}
        absent += [f"{sensor}_{axis}" for axis in AXES if axis not in there]
    got = (
        f"no column for {', '.join(absent)} in a header of {len(header)} columns ({', '.join(header)[:120]})"
    )
    return MediaError(name, got=got, expected=EXPECTED_COLUMNS, hint=COLUMNS_HINT)


def _sensor_axes(names: Sequence[ColumnName], sensor: str, name: str) -> AxisColumns | None:
    """Return the preferred x, y and z of a sensor, whose names differ only in the axis."""
    groups: dict[tuple[str, ...], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for index, each in enumerate(names):
        if each.sensor == sensor and each.axis is not None:
            groups[each.words][each.axis].append(index)
    whole = sorted(
        (names[group["x"][0]].order, words) for words, group in groups.items() if {*AXES} <= {*group}
    )
    if not whole:
        return None
    order, words = whole[0]
    rivals = [other for other in whole if other[0][0] == order[0]]
    if len(rivals) > 1 and order[1] > 0:  # left_acc_x and right_acc_x
        both = " and ".join(" ".join(other[1]) for other in rivals[:2])
        raise MediaError(
            name,
            got=f"two columns for {sensor}_x, of {both}",
            expected="one column of each axis",
            hint=COLUMNS_HINT,
        )
    for axis in AXES:
        if len(groups[words][axis]) > 1:
            raise MediaError(
                name,
                got=f"two columns for {sensor}_{axis}",
                expected="one column of each axis",
                hint=COLUMNS_HINT,
            )
    return groups[words]["x"][0], groups[words]["y"][0], groups[words]["z"][0]


def _bare_axes(names: Sequence[ColumnName]) -> AxisColumns | None:
    """Find the axes `x`, `y` and `z` without a sensor's name."""
    positions = [[i for i, each in enumerate(names) if each.axis == axis and not each.words] for axis in AXES]
    if any(len(indices) != 1 for indices in positions):
        return None
    return positions[0][0], positions[1][0], positions[2][0]


def _axes_by_unit(names: Sequence[ColumnName], found: dict[str, AxisColumns]) -> dict[str, AxisColumns]:
    """Assign bare axes to sensors by their units: MetaWear's `x-axis (g)` and `x-axis (deg/s)`."""
    found_axes = {}
    for sensor, units in ((ACCEL, ACCEL_UNITS), (GYRO, GYRO_UNITS)):
        positions = {
            each.axis: i
            for i, each in enumerate(names)
            if each.axis is not None and not each.words and each.unit and unit_of(each.unit, units)
        }
        if sensor not in found and {*AXES} <= {*positions}:
            found_axes[sensor] = (positions["x"], positions["y"], positions["z"])
    return found_axes


def _clocks(names: Sequence[ColumnName], name: str) -> list[ClockColumn]:
    """Return every clock column, the preferred one first."""
    plain = [" ".join(word for word in each.words if word not in ("field", "imu")) for each in names]
    ranked: list[tuple[int, int, str, str | None]] = []
    for index, each in enumerate(names):
        clock = clock_of(each)
        if clock is not None and plain[index] not in WHOLE_SECONDS | NANOSECONDS:
            ranked.append((clock[0], index, clock[1], clock[2]))
    phrases = [phrase for _, _, phrase, _ in ranked]
    twice = next((phrase for phrase in phrases if phrases.count(phrase) > 1), None)
    if twice is not None and min(ranked)[2] == twice:
        raise MediaError(
            name, got=f"two named {twice!r}", expected="one column for the clock", hint=COLUMNS_HINT
        )
    dates = [index for _, index, phrase, _ in ranked if phrase == "date"]
    clocks = []
    for _, index, phrase, unit in sorted(ranked):
        if phrase == "time" and unit is None and dates:  # may be a time of day; its date is in another column
            clocks.append(ClockColumn(index=index, second_index=dates[0]))
        else:
            clocks.append(ClockColumn(index=index, unit=unit or CLOCK_PHRASES[phrase]))
    whole = next((index for index, text in enumerate(plain) if text in WHOLE_SECONDS), None)
    nanos = next((index for index, text in enumerate(plain) if text in NANOSECONDS), None)
    if whole is not None and nanos is not None:
        clocks.insert(0, ClockColumn(index=whole, second_index=nanos, is_whole_seconds=True, unit="ns"))
    return clocks


def _one_unit(names: Sequence[ColumnName], sensor: str) -> str | None:
    """Return the unit of the axes; different ones are joined by "and": an option may override them."""
    units = GYRO_UNITS if sensor == GYRO else ACCEL_UNITS
    given = {unit_of(each.unit, units) or each.unit for each in names if each.unit}
    return " and ".join(sorted(given)) or PHRASE_UNITS.get(names[0].phrase or "" if names else "")


def _index_of(column: str, header: Sequence[str], name: str) -> int:
    """Find a column by its exact name, else ignoring case, else also ignoring punctuation and unit."""
    stripped = [cell.strip().strip('"').strip() for cell in header]
    for same in (
        lambda cell: cell == column.strip(),
        lambda cell: cell.casefold() == column.strip().casefold(),
        lambda cell: _words_and_axis(cell) == _words_and_axis(column),
    ):
        positions = [index for index, cell in enumerate(stripped) if same(cell)]
        if len(positions) == 1:
            return positions[0]
        if positions:
            raise MediaError(
                name,
                got=f"{len(positions)} columns named {column!r}",
                expected="the number of the column (counted from 0)",
            )
    listed = ", ".join(stripped)[:200] or "nothing"
    raise MediaError(name, got=repr(column), expected=f"a name in the header ({listed})")


def _words_and_axis(cell: str) -> tuple[tuple[str, ...], str | None]:
    each = read_name(cell)
    return each.words, each.axis
