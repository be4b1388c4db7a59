"""The columns of a motion recording in text: which is which, in what unit, and their numbers."""

import io
import re
from dataclasses import dataclass

import numpy as np

from imagebind.errors import MediaError

STANDARD_GRAVITY = 9.80665  # m/s², what "1 g" is by definition
DEGREE = np.pi / 180

ACCEL_UNITS = {"m/s2": 1.0, "g": STANDARD_GRAVITY, "mg": STANDARD_GRAVITY / 1000}  # to m/s²
GYRO_UNITS = {"rad/s": 1.0, "deg/s": DEGREE, "mrad/s": 1e-3, "mdeg/s": DEGREE / 1000}  # to rad/s
TIME_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}  # to seconds
UNIT_SPELLINGS = {
    **{"m/s^2": "m/s2", "m/s²": "m/s2", "m/s/s": "m/s2", "ms-2": "m/s2", "m s-2": "m/s2", "m/s**2": "m/s2"},
    **{"dps": "deg/s", "°/s": "deg/s", "degrees/s": "deg/s", "mdps": "mdeg/s", "radians/s": "rad/s"},
    **{"sec": "s", "seconds": "s", "milliseconds": "ms", "microseconds": "us", "nanoseconds": "ns"},
    **{"µs": "us", "μs": "us"},  # the micro sign and the Greek letter
}

CLOCK, ACCEL, GYRO = "clock", "accel", "gyro"
CHANNELS = tuple(f"{sensor}_{axis}" for sensor in (ACCEL, GYRO) for axis in "xyz")
COLUMN_PATTERNS = {
    CLOCK: re.compile(r"(?:canonical_)?timestamp|time|seconds|t"),
    ACCEL: re.compile(r"(?:accl|acc|accel|accelerometer|a)[ _.-]?([xyz])"),
    GYRO: re.compile(r"(?:gyro|gyr|gyroscope|g)[ _.-]?([xyz])"),
}
# `accl_x [g]`, `gyro_x (deg/s)`, `timestamp_ms`
HEADER_UNIT = re.compile(
    r"(?P<name>.*?)\s*(?:[\[(]\s*(?P<bracketed>[^\])]*?)\s*[\])]|_(?P<suffix>s|ms|us|ns))?"
)
MAX_CELL = 100  # characters of a column's name; bounds what the pattern can cost on a hostile header
PREFERRED_CLOCK = "canonical_timestamp"  # Ego4D: on the video's clock; its component_timestamp is not
WANTED = (
    "a header with timestamp, accl_x, accl_y, accl_z, gyro_x, gyro_y and gyro_z, and a number for each below"
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """Numbers as written: samples (t, 6), a clock (t,) and units where the file has them."""

    samples: np.ndarray
    clock: np.ndarray | None = None
    accel_unit: str | None = None
    gyro_unit: str | None = None
    time_unit: str | None = None


def parse_csv(data: bytes, *, name: str) -> Table:
    """Parse the seven columns of a text table; commas, semicolons or tabs part them, others are left alone.

    Between semicolons a comma is a decimal point.

    Raises:
        MediaError: no text, a column missing or there twice, units that differ between axes or are not
            known, or something that is no number; names the column and the row.
    """
    if b"\0" in data:
        raise MediaError(name, seen="binary data", wanted=f"text, {WANTED}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")  # an old spreadsheet's "m/s²"
    header, _, body = text.replace("\r\n", "\n").replace("\r", "\n").lstrip("\n").partition("\n")
    delimiter = _delimiter(header)
    columns, units = _columns(header.split(delimiter), name)
    if not body.strip():
        raise MediaError(name, seen="a header without rows", wanted=WANTED)
    wanted = [key for key in (CLOCK, *CHANNELS) if key in columns]
    try:
        numbers = np.loadtxt(
            io.StringIO(body.replace(",", ".") if delimiter == ";" else body),
            delimiter=delimiter,
            usecols=[columns[key] for key in wanted],
            comments=None,
            quotechar='"',
            ndmin=2,
        )
    except ValueError as error:
        raise MediaError(name, seen=str(error), wanted=WANTED) from error
    has_clock = CLOCK in columns
    return Table(
        samples=numbers[:, 1:] if has_clock else numbers,
        clock=numbers[:, 0] if has_clock else None,
        accel_unit=units[ACCEL],
        gyro_unit=units[GYRO],
        time_unit=units[CLOCK],
    )


def is_imu_header(line: str) -> bool:
    """Whether the first line of a text names a column for each of the six channels."""
    try:
        _columns(line.split(_delimiter(line)), "header")
    except MediaError:
        return False
    return True


def unit_of(spelling: str, units: dict[str, float]) -> str | None:
    """The key in `units` that a spelling means, or None."""
    plain = spelling.strip().lower()
    plain = UNIT_SPELLINGS.get(plain, plain)
    return plain if plain in units else None


def _delimiter(header: str) -> str:
    return max(";\t,", key=header.count)


def _columns(header: list[str], name: str) -> tuple[dict[str, int], dict[str, str | None]]:
    """Where each column is, and the unit of each sensor."""
    columns: dict[str, int] = {}
    units: dict[str, set[str]] = {CLOCK: set(), ACCEL: set(), GYRO: set()}
    plain_cells = [cell[:MAX_CELL].strip().strip('"').strip().lower() for cell in header]
    cells = [HEADER_UNIT.fullmatch(cell) for cell in plain_cells]
    names = [cell["name"] if cell else "" for cell in cells]
    for index, (cell, plain) in enumerate(zip(cells, names, strict=True)):
        kind, match = _kind(plain)
        if cell is None or kind is None or match is None:
            continue
        if kind == CLOCK and plain != PREFERRED_CLOCK and PREFERRED_CLOCK in names:
            continue
        key = CLOCK if kind == CLOCK else f"{kind}_{match[1]}"
        if key in columns:
            raise MediaError(name, seen=f"two columns for {key}", wanted="one of each")
        columns[key] = index
        unit = cell["bracketed"] or cell["suffix"]
        if unit:
            units[kind].add(_known_unit(unit, kind, name))
    missing = [channel for channel in CHANNELS if channel not in columns]
    if missing:
        seen = f"no column for {', '.join(missing)} in a header of {len(header)} ({', '.join(header)[:120]})"
        raise MediaError(name, seen=seen, wanted=WANTED)
    for kind, given in units.items():
        if len(given) > 1:
            raise MediaError(
                name, seen=f"{kind} in {' and '.join(sorted(given))}", wanted="one unit a sensor"
            )
    return columns, {kind: next(iter(given), None) for kind, given in units.items()}


def _kind(plain: str) -> tuple[str | None, re.Match[str] | None]:
    for kind, pattern in COLUMN_PATTERNS.items():
        if match := pattern.fullmatch(plain):
            return kind, match
    return None, None


def _known_unit(spelling: str, kind: str, name: str) -> str:
    known = {CLOCK: TIME_UNITS, ACCEL: ACCEL_UNITS, GYRO: GYRO_UNITS}[kind]
    unit = unit_of(spelling, known)
    if unit is None:
        raise MediaError(name, seen=f"{kind} in {spelling!r}", wanted=f"one of {', '.join(known)}")
    return unit
