"""Parse the names that loggers give their columns, by tables of known names.

A name is split into words at punctuation and capitals: `motionUserAccelerationX(G)` is `motion user
acceleration`, axis x, unit G; `field.linear_acceleration.x` is `field linear acceleration`, axis x. The
longest phrase from the tables below that ends the words determines the sensor.
"""

from dataclasses import dataclass
from functools import lru_cache

from imagebind.media.imu_units import ACCEL_UNITS, GYRO_UNITS, TIME_UNITS, unit_of

ACCEL, USER, GRAVITY, GYRO = "accel", "user acceleration", "gravity", "gyro"  # USER excludes gravity
OTHER = "other"  # another quantity whose name ends in a sensor's word
AXES = "xyz"

# In order of preference: of two accelerometers in a table, the one listed first here is used.
SENSOR_PHRASES = {
    **dict.fromkeys(("total acceleration", "accelerometer with gravity"), ACCEL),  # Sensor Logger
    **dict.fromkeys(("g force", "gf"), ACCEL),  # Physics Toolbox: gFx in g, beside ax without gravity
    "accelerometer acceleration": ACCEL,  # SensorLog (iOS), in G
    **dict.fromkeys(("accelerometer", "accel", "accl", "acc"), ACCEL),  # AndroSensor, GoPro, Ego4D, Xsens
    **dict.fromkeys(("accel ln", "accel wr"), ACCEL),  # Shimmer: low noise, wide range
    **dict.fromkeys(("acceleration", "raw acceleration"), ACCEL),  # phyphox "Acceleration x (m/s^2)"
    "a rs s": ACCEL,  # EuRoC and TUM VI: a_RS_S_x [m s^-2]
    **dict.fromkeys(("a", "ac"), ACCEL),  # ax, a_x; TUM VI
    **dict.fromkeys(("beschleunigung", "aceleración", "aceleracion", "accélération"), ACCEL),  # phyphox
    **dict.fromkeys(("accelerazione", "aceleração", "加速度"), ACCEL),  # phyphox
    # Linear acceleration includes gravity in ROS but not in apps: `plan_from_header` decides which it is.
    **dict.fromkeys(("linear acceleration", "linear accelerometer", "linear accel", "linear acc"), USER),
    **dict.fromkeys(("lineare beschleunigung", "lin acc", "linacc", "linear"), USER),  # phyphox, AndroSensor
    **dict.fromkeys(("user acceleration", "user accel", "user acc"), USER),  # CoreMotion, MotionSense
    **dict.fromkeys(("gravity", "grav", "gravitation"), GRAVITY),  # CoreMotion, MotionSense, AndroSensor
    **dict.fromkeys(("gyroscope", "gyro", "gyr"), GYRO),  # phyphox, Ego4D, Xsens, Shimmer, GoPro, AndroSensor
    **dict.fromkeys(("gyro rotation", "gyro rotation rate"), GYRO),  # SensorLog (iOS)
    **dict.fromkeys(("angular velocity", "ang vel", "angular vel", "angular rate", "ang rate"), GYRO),  # ROS
    **dict.fromkeys(("rotation rate", "rot rate", "rotational velocity", "rotation"), GYRO),  # CoreMotion
    "w rs s": GYRO,  # EuRoC and TUM VI: w_RS_S_x [rad s^-1]
    **dict.fromkeys(("w", "omega", "gy"), GYRO),  # Physics Toolbox wx; TUM VI
    "g": GYRO,  # gx beside ax
    **dict.fromkeys(("gyroskop", "giroscopio", "giroscópio", "drehrate", "winkelgeschwindigkeit"), GYRO),
    **dict.fromkeys(("free acc", "free acceleration"), OTHER),  # Xsens: rotated into world axes
    **dict.fromkeys(("angular acceleration", "uncalibrated accelerometer", "uncal accel"), OTHER),
    **dict.fromkeys(("uncalibrated gyroscope", "uncal gyro", "world acceleration", "mag g"), OTHER),
}
# Short phrases that count only if no words stand before them.
_STANDALONE_PHRASES = frozenset({"a", "ac", "g", "gy", "w", "gf", "linear", "rotation", "omega"})
# Stems with the axis attached: ax, gFx, accx, gyrox, xacc (MAVLink).
_AXIS_STEMS = {
    **{"a": "a", "ac": "ac", "acc": "acc", "accel": "accel", "accl": "accl", "acceleration": "acceleration"},
    **{"g": "g", "gy": "gy", "gyr": "gyr", "gyro": "gyro", "gyroscope": "gyroscope", "w": "w", "gf": "gf"},
    **{"accelerometer": "accelerometer", "rotrate": "rot rate", "linacc": "linacc", "omega": "omega"},
    **{"useracceleration": "user acceleration", "rotationrate": "rotation rate", "gravity": "gravity"},
}
PHRASE_UNITS = {"gf": "g", "g force": "g"}  # the name implies the unit
# Words around a phrase that are ignored.
_IGNORED_WORDS = frozenset(
    {"axis", "cal", "calibrated", "data", "raw", "value", "values", "sensor", "reading"}
)

# Clocks in order of preference, with the unit where loggers use one without stating it.
CLOCK_PHRASES: dict[str, str | None] = {
    "canonical timestamp": None,  # Ego4D: on the video's clock, unlike its component_timestamp
    **dict.fromkeys(("header stamp", "stamp"), None),  # ROS: nanoseconds, or seconds with decimals
    **dict.fromkeys(("epoch", "epoc", "unix", "unix time", "unix timestamp", "epoch time"), None),  # MetaWear
    **dict.fromkeys(("timestamp unix", "timestamp sync unix"), "ms"),  # Shimmer
    "sample time fine": "xsens",  # Xsens: 100 µs (MTi, MTw), 1 µs (DOT)
    "seconds elapsed": "s",  # Sensor Logger, beside its `time` in nanoseconds
    **dict.fromkeys(
        (
            "time since start",
            "elapsed",
            "elapsed time",
            "time elapsed",
            "relative time",
            "elapsed realtime",
            "event timestamp",
        ),
        None,
    ),
    **dict.fromkeys(("accelerometer timestamp since reboot", "motion timestamp since reboot"), "s"),
    "gyro timestamp since reboot": "s",  # SensorLog (iOS)
    **dict.fromkeys(("timestamp", "time stamp", "timestamps", "ts", "time", "t"), None),
    **dict.fromkeys(("seconds", "secs", "sec"), "s"),
    **dict.fromkeys(("milliseconds", "millis", "msec", "ms"), "ms"),
    "cts": "ms",  # GoPro
    **dict.fromkeys(("nanoseconds", "nanos", "ns", "elapsed nanos"), "ns"),
    **dict.fromkeys(("microseconds", "micros", "us"), "us"),
    **dict.fromkeys(("zeit", "tiempo", "temps", "tempo", "时间"), None),  # phyphox
    **dict.fromkeys(("logging time", "timestamp formatted unix", "date time", "datetime"), None),
    **dict.fromkeys(("yyyy mo dd hh mi ss sss", "date yyyy mo dd hh mi ss sss", "utc time", "utc"), None),
    **dict.fromkeys(
        (
            "local time",
            "system time",
            "utc timestamp",
            "timestamp utc",
            "date",
            "accelerometer timestamp",
            "acc timestamp",
        ),
        None,
    ),
}
_CLOCK_ORDER = {phrase: position for position, phrase in enumerate(CLOCK_PHRASES)}
_SENSOR_ORDER = {phrase: position for position, phrase in enumerate(SENSOR_PHRASES)}
_CLOCK_PREFIXES = frozenset({"field", "imu", "shimmer", "sensor", "data", "device", "msg"})
WHOLE_SECONDS = frozenset({"header stamp secs", "header stamp sec", "stamp secs", "stamp sec"})  # ROS
NANOSECONDS = frozenset({"header stamp nsecs", "header stamp nanosec", "stamp nsecs", "stamp nanosec"})
# Columns that name the sensor of a row.
TAG_PHRASES = frozenset({"sensor", "sensor name", "sensor type", "type", "name"})
ANDROID_SENSORS = {"1": ACCEL, "4": GYRO, "9": GRAVITY, "10": USER}  # Sensor.TYPE_ACCELEROMETER and so on

MAX_NAME_CHARACTERS = 100  # of a column's name that are examined
_OPENING = {")": "(", "]": "[", "}": "{"}


@dataclass(frozen=True, kw_only=True)
class ColumnName:
    """A column's name: its words without axis and unit, the phrase that ends them, and the sensor."""

    words: tuple[str, ...]
    axis: str | None = None
    unit: str | None = None  # as spelled
    phrase: str | None = None
    sensor: str | None = None

    @property
    def text(self) -> str:
        """The words, joined by spaces."""
        return " ".join(self.words)

    @property
    def order(self) -> tuple[int, int]:
        """Sort key, lowest first: the phrase's position in the table, then the number of words before it."""
        assert self.phrase is not None
        return _SENSOR_ORDER[self.phrase], len(self.words) - len(self.phrase.split())


@lru_cache(maxsize=4096)
def read_name(cell: str) -> ColumnName:
    """Split a column's name into words, axis and unit, and look up its phrase."""
    text = cell[:MAX_NAME_CHARACTERS].strip().strip("\"'").strip()
    axis = unit = None
    for _ in range(3):  # `Accelerometer (x) [m/s2]`
        cut = _bracketed(text)
        if cut is None:
            break
        text, inner = cut
        if inner.lower() in (*AXES,) and axis is None:
            axis = inner.lower()
        elif unit is None:
            unit = inner
    words = _words(text)
    after: list[str] = []
    positions = [position for position, word in enumerate(words) if word in (*AXES,)]
    if axis is None and len(positions) == 1:
        axis, after, words = words[positions[0]], words[positions[0] + 1 :], words[: positions[0]]
    elif axis is None and not positions:
        axis, words = _attached_axis(words)
    after = [word for word in after if word not in _IGNORED_WORDS]
    if not words:  # `x acceleration`
        words, after = after, []
    if after and unit is None:  # `acc_x_mg`
        spelled = " ".join(after)
        if any(unit_of(spelled, units) for units in (ACCEL_UNITS, GYRO_UNITS)):
            unit, after = spelled, []
    if after:
        return ColumnName(words=(*words, axis or "", *after), unit=unit)
    if axis is None:
        return ColumnName(words=tuple(words), unit=unit)
    while words and words[-1] in _IGNORED_WORDS:
        words = words[:-1]
    phrase = phrase_of(words)
    return ColumnName(
        words=tuple(words),
        axis=axis,
        unit=unit,
        phrase=phrase,
        sensor=None if phrase is None else SENSOR_PHRASES[phrase],
    )


def phrase_of(words: list[str]) -> str | None:
    """Return the longest sensor phrase that ends the words; None if there is none."""
    for start in range(len(words)):
        phrase = " ".join(words[start:])
        if phrase in SENSOR_PHRASES and (start == 0 or phrase not in _STANDALONE_PHRASES):
            return phrase
    return None


def sensor_of_tag(tag: str) -> str | None:
    """Return the sensor that a row's tag column names; None if it is unknown."""
    text = tag[:MAX_NAME_CHARACTERS].strip().strip('"')
    if text in ANDROID_SENSORS:
        return ANDROID_SENSORS[text]
    words = [word for word in _words(text) if word not in _IGNORED_WORDS]
    for end in range(len(words), 0, -1):  # "LSM6DSO Acceleration Sensor Wakeup"
        phrase = phrase_of(words[:end])
        if phrase is not None:
            return SENSOR_PHRASES[phrase]
    return None


def clock_of(name: ColumnName) -> tuple[int, str, str | None] | None:
    """Return a clock column's order of preference, phrase and unit as spelled; None for other columns."""
    if name.axis is not None:
        return None
    words = [word for word in name.words if word not in _IGNORED_WORDS]
    # A word of four characters with a digit is the number of a Shimmer device, as in Shimmer_8665_Timestamp.
    while words and (words[0] in _CLOCK_PREFIXES or (len(words[0]) == 4 and any(map(str.isdigit, words[0])))):
        words = words[1:]
    unit = name.unit
    if " ".join(words) not in CLOCK_PHRASES and len(words) > 1 and unit_of(words[-1], TIME_UNITS):
        unit, words = unit or words[-1], words[:-1]  # timestamp_ms
        words = words[:-1] if words[-1] == "in" else words  # "time since start in ms"
    phrase = " ".join(words)
    return (_CLOCK_ORDER[phrase], phrase, unit) if phrase in CLOCK_PHRASES else None


def _bracketed(text: str) -> tuple[str, str] | None:
    """Return the text before and inside the brackets at the end; None if there are none."""
    if not text or text[-1] not in _OPENING:
        return None
    closing, opening, depth = text[-1], _OPENING[text[-1]], 0
    for position in range(len(text) - 1, -1, -1):
        depth += (text[position] == closing) - (text[position] == opening)
        if depth == 0:
            return text[:position].strip(), text[position + 1 : -1].strip()
    return None


def _words(text: str) -> list[str]:
    """Split a name: `motionUserAccelerationX` -> motion, user, acceleration, x. Digits stay with letters."""
    cut = []
    for position, letter in enumerate(text):
        if not letter.isalnum():
            cut.append(" ")
            continue
        before, after = text[position - 1 : position], text[position + 1 : position + 2]
        if letter.isupper() and (before.islower() or (before.isupper() and after.islower())):
            cut.append(" ")
        cut.append(letter)
    return "".join(cut).lower().split()


def _attached_axis(words: list[str]) -> tuple[str | None, list[str]]:
    """Split off an axis attached to a word: `ax`, `gFx`, `xacc`, `left_gyroz`."""
    for count in (2, 1):  # gFx is two words
        if len(words) < count:
            continue
        word, before = "".join(words[-count:]), words[:-count]
        for axis, stem in ((word[-1], word[:-1]), (word[0], word[1:])):
            if axis in (*AXES,) and stem in _AXIS_STEMS:
                return axis, [*before, *_AXIS_STEMS[stem].split()]
    return None, words
