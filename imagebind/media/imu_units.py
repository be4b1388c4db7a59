"""Units of accelerometers, gyroscopes and clocks, and how loggers spell them."""

import re

STANDARD_GRAVITY = 9.80665  # m/s², "1 g" by definition
DEGREE = 3.141592653589793 / 180

ACCEL_UNITS = {"m/s2": 1.0, "g": STANDARD_GRAVITY, "mg": STANDARD_GRAVITY / 1000}  # to m/s²
GYRO_UNITS = {
    "rad/s": 1.0,
    "deg/s": DEGREE,
    "mrad/s": 1e-3,
    "mdeg/s": DEGREE / 1000,
}  # to rad/s
TIME_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}  # to seconds

# Spellings as `_plain` returns them -> the unit. `m/(s^2)` is Shimmer's, `ms-2` EuRoC's `m s^-2`.
UNIT_SPELLINGS = {
    **dict.fromkeys(("m/s2", "m/s/s", "ms-2", "m/sec2", "m/sec/sec", "mps2", "ms2", "mss", "m/ss"), "m/s2"),
    **dict.fromkeys(("meter/second2", "meters/second2", "metres/second2", "meter/sec2", "m/second2"), "m/s2"),
    **dict.fromkeys(
        ("g", "gs", "g's", "gravity", "gravities", "gforce", "g-force", "gravitationalunits"), "g"
    ),
    **dict.fromkeys(("mg", "millig", "milli-g", "mgs"), "mg"),
    **dict.fromkeys(
        ("rad/s", "rads-1", "rad/sec", "radians/s", "radian/s", "radians/sec", "rads/s"), "rad/s"
    ),
    **dict.fromkeys(("rad/second", "radians/second", "radian/second", "rads", "radps"), "rad/s"),
    **dict.fromkeys(("deg/s", "degs-1", "deg/sec", "°/s", "°/sec", "°s-1", "degrees/s", "degree/s"), "deg/s"),
    **dict.fromkeys(
        ("degrees/sec", "degrees/second", "deg/second", "degs/s", "dps", "degs", "degps"), "deg/s"
    ),
    **dict.fromkeys(("mrad/s", "mrads-1", "mrad/sec"), "mrad/s"),
    **dict.fromkeys(("mdeg/s", "mdps", "mdegs-1", "mdeg/sec", "m°/s"), "mdeg/s"),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("ms", "msec", "msecs", "millis", "millisec", "millisecond", "milliseconds"), "ms"),
    **dict.fromkeys(("us", "usec", "usecs", "micros", "microsec", "microsecond", "microseconds"), "us"),
    **dict.fromkeys(("ns", "nsec", "nsecs", "nanos", "nanosecond", "nanoseconds", "nanosec"), "ns"),
}
MAX_UNIT_CHARACTERS = 40
# Characters that look alike: micro sign and Greek mu, or the ordinal sign, often typed for the degree sign.
_LOOK_ALIKES = str.maketrans(
    {"²": "2", "µ": "u", "μ": "u", "º": "°", "˚": "°", "⁻": "-", "¹": "1", "−": "-", "·": ""}
)
_IGNORED_CHARACTERS = re.compile(r"[\s^*_(){}\[\]$]")


def unit_of(spelling: str, units: dict[str, float]) -> str | None:
    """Return the key in `units` for a spelling, or None."""
    unit = UNIT_SPELLINGS.get(_plain(spelling))
    return unit if unit in units else None


def _plain(spelling: str) -> str:
    """Normalise a spelling: `m/s^2`, `m / s²` and `[m/(s**2)]` become `m/s2`, `rad s^-1` becomes `rads-1`."""
    text = spelling[:MAX_UNIT_CHARACTERS].lower().translate(_LOOK_ALIKES)
    return _IGNORED_CHARACTERS.sub("", re.sub(r"\bper\b", "/", text.replace("squared", "2")))
