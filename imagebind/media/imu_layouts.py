"""The layout of an IMU table as the user gives it: columns, the name of a logger, or a JSON file."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from imagebind.checks import is_number
from imagebind.media.imu_units import ACCEL_UNITS, GYRO_UNITS, TIME_UNITS, unit_of

Column = str | int
COLUMN_KEYS = ("accel", "gyro", "time")
MAX_LAYOUT_BYTES = 2**16


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Columns by name, or by number from 0: x, y, z of accelerometer and gyroscope, and the time."""

    accel: tuple[Column, Column, Column] | None = None
    gyro: tuple[Column, Column, Column] | None = None
    time: Column | None = None

    @classmethod
    def of(cls, columns: "Columns | Mapping[str, Any] | None") -> "Columns | None":
        """Convert the value of `columns=`: {"accel": ("ax", "ay", "az"), "gyro": (4, 5, 6), "time": "t"}.

        Raises:
            ValueError: the value has another form.
        """
        if columns is None or isinstance(columns, Columns):
            return columns
        expected = (
            "columns: expected {'accel': (x, y, z), 'gyro': (x, y, z), 'time': t}, names or numbers from 0"
        )
        if not isinstance(columns, Mapping) or not columns or not {*columns} <= {*COLUMN_KEYS}:
            raise ValueError(f"{expected}, got {columns!r}")
        for sensor in COLUMN_KEYS[:2]:
            axes = columns.get(sensor)
            is_list = isinstance(axes, Sequence) and not isinstance(axes, str) and len(axes) == 3
            if axes is not None and not (is_list and all(map(_is_column, axes))):
                raise ValueError(f"{expected}, got {sensor!r}: {axes!r}")
        if columns.get("accel") is None and columns.get("gyro") is None:
            raise ValueError(f"{expected}, got {columns!r}")
        if columns.get("time") is not None and not _is_column(columns["time"]):
            raise ValueError(f"{expected}, got 'time': {columns['time']!r}")
        return cls(
            **{
                sensor: tuple(columns[sensor])
                for sensor in COLUMN_KEYS[:2]
                if columns.get(sensor) is not None
            },
            time=columns.get("time"),
        )


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How a logger writes its tables. Without `columns`, columns are found by the names in the header."""

    columns: Columns | None = None
    accel_unit: str | None = None
    gyro_unit: str | None = None
    time_unit: str | None = None
    rate: float | None = None


def _pamap2(first: int) -> Layout:
    """Return the layout for one IMU of PAMAP2: temperature, accelerometer ±16 g, then ±6 g, gyroscope, …"""
    accel, gyro = (first + 1, first + 2, first + 3), (first + 7, first + 8, first + 9)
    return Layout(columns=Columns(accel=accel, gyro=gyro, time=0), accel_unit="m/s2", gyro_unit="rad/s")


_SI = Layout(accel_unit="m/s2", gyro_unit="rad/s")
_BY_HEADER = Layout()
# Known loggers by name. Those that write a header are recognised without the name.
LAYOUTS: dict[str, Layout] = {
    "ego4d": _SI,  # canonical_timestamp_ms, gyro_x…, accl_x…
    "phyphox": _BY_HEADER,  # "Time (s)", "Acceleration x (m/s^2)", "Gyroscope x (rad/s)"
    "sensor_logger": _SI,  # Accelerometer.csv, Gyroscope.csv, Gravity.csv: time, seconds_elapsed, z, y, x
    "sensorlog": Layout(accel_unit="g", gyro_unit="rad/s"),  # accelerometerAccelerationX(G)
    "physics_toolbox": _BY_HEADER,  # time, gFx (g) or ax (m/s², without gravity), wx (rad/s)
    "androsensor": _BY_HEADER,  # ACCELEROMETER X (m/s²); GYROSCOPE X (rad/s); Time since start in ms
    "euroc": _SI,  # #timestamp [ns], w_RS_S_x [rad s^-1], a_RS_S_x [m s^-2]
    "tum_vi": _SI,
    "ros": _SI,  # field.linear_acceleration.x, field.angular_velocity.x, field.header.stamp
    "xsens_dot": Layout(accel_unit="m/s2", gyro_unit="deg/s"),  # PacketCounter, SampleTimeFine in µs
    "xsens_mt": _SI,  # MTi, MTw, MT Manager: SampleTimeFine in 100 µs
    "motionsense": Layout(accel_unit="g", gyro_unit="rad/s", rate=50.0),  # userAcceleration.x, gravity.x
    "coremotion": Layout(accel_unit="g", gyro_unit="rad/s"),
    "shimmer": _BY_HEADER,  # Shimmer_8665_Accel_LN_X_CAL, and a row of units
    "gopro": _SI,  # "cts", "date", "Accelerometer (z) [m/s2]"; -ACCL.csv beside -GYRO.csv
    "metawear": Layout(accel_unit="g", gyro_unit="deg/s"),  # epoc (ms), elapsed (s), x-axis (g)
    "pamap2": _pamap2(3),  # the wrist; no header, 54 columns with spaces
    "pamap2_chest": _pamap2(20),
    "pamap2_ankle": _pamap2(37),
    # subject, activity, time in ns, x, y, z; each sensor in its own file
    "wisdm": Layout(
        columns=Columns(accel=(3, 4, 5), gyro=(3, 4, 5), time=2),
        accel_unit="m/s2",
        gyro_unit="rad/s",
        time_unit="ns",
    ),
    # RawData/acc_exp01_user01.txt and gyro_exp01_user01.txt: x y z
    "uci_har": Layout(
        columns=Columns(accel=(0, 1, 2), gyro=(0, 1, 2)), accel_unit="g", gyro_unit="rad/s", rate=50.0
    ),
}


def layout_of(layout: "str | os.PathLike[str] | Layout | None") -> Layout:
    """Return the layout of a logger by name, or from a JSON file.

    The file may contain {"columns": {…}, "accel_unit": "g", "rate": 100}; {"layout": "phyphox", …} adds to
    the layout of a logger.

    Raises:
        ValueError: the name is unknown, or the file is missing or invalid.
    """
    if layout is None:
        return Layout()
    if isinstance(layout, Layout):
        return layout
    name = os.fspath(layout)
    if name in LAYOUTS:
        return LAYOUTS[name]
    if not name.lower().endswith(".json"):
        raise ValueError(f"layout: expected one of {', '.join(LAYOUTS)}, or a .json file, got {name!r}")
    try:
        return _from_json(name, Path(name).stat().st_mtime_ns)
    except OSError as error:
        raise ValueError(f"layout: {name} cannot be read ({error.strerror})") from error


@lru_cache(maxsize=32)
def _from_json(path: str, modified_ns: int) -> Layout:
    # `modified_ns`, the modification time, is part of the cache key, so that an edited file is read again.
    with Path(path).open("rb") as file:
        text = file.read(MAX_LAYOUT_BYTES)
    try:
        entries = json.loads(text)
        if not isinstance(entries, dict):
            raise ValueError("expected an object")
        if "columns" not in entries and {*entries} & {*COLUMN_KEYS}:  # columns at the top level
            entries["columns"] = {key: entries.pop(key) for key in COLUMN_KEYS if key in entries}
        base = entries.pop("layout", None)
        if base is not None and not (isinstance(base, str) and base in LAYOUTS):
            raise ValueError(f"layout: expected one of {', '.join(LAYOUTS)}, got {base!r}")
        known = {choice.name for choice in fields(Layout)}
        if not {*entries} <= known:
            raise ValueError(
                f"expected some of {', '.join(sorted(known))}, got {', '.join(map(repr, entries))}"
            )
        if "columns" in entries:
            entries["columns"] = Columns.of(entries["columns"])
        _check(entries)
        return replace(LAYOUTS[base] if base else Layout(), **entries)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"layout: {path}: {error}") from error


def _check(entries: Mapping[str, Any]) -> None:
    for option, units in (("accel_unit", ACCEL_UNITS), ("gyro_unit", GYRO_UNITS), ("time_unit", TIME_UNITS)):
        spelling = entries.get(option)
        if spelling is not None and (not isinstance(spelling, str) or unit_of(spelling, units) is None):
            raise ValueError(f"{option}: expected one of {', '.join(units)}, got {spelling!r}")
    rate = entries.get("rate")
    if rate is not None and not (is_number(rate) and rate > 0):
        raise ValueError(f"rate: expected a positive number in Hz, got {rate!r}")


def _is_column(column: object) -> bool:
    if isinstance(column, bool) or not isinstance(column, (str, int)):
        return False
    return column >= 0 if isinstance(column, int) else bool(column.strip())
