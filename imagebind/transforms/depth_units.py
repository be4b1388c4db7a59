"""Units of depth files: metres per stored step, by the name of a unit or a data set.

| name | stored as | one step | source |
|---|---|---|---|
| `m` | floats | 1 m | by default, for floats; TartanAir |
| `mm` | 16-bit PNG, TIFF, PGM, integers | 1 mm | by default, for integers; Kinect, RealSense D400 |
| `kitti` | 16-bit PNG, 0 is a hole | 1/256 m | KITTI depth development kit |
| `tum` | 16-bit PNG, 0 is a hole | 1/5000 m | TUM RGB-D; also Bonn RGB-D Dynamic |
| `icl` | as `tum` | 1/5000 m | ICL-NUIM, in its TUM-compatible PNGs |
| `sun_rgbd` | 16-bit PNG, its bits rotated left by 3 | 1 mm | SUN RGB-D toolbox; also SUN3D |
| `nyu` | 16-bit PNG exports | 1 mm | NYU Depth v2; floats of its .mat files are `m` |
| `scannet` | 16-bit PNG, 0 is a hole | 1 mm | ScanNet |
| `arkit` | 16-bit PNG, 0 is a hole | 1 mm | ARKitScenes |
| `redwood` | 16-bit PNG | 1 mm | Redwood |
| `7scenes` | 16-bit PNG, 65535 is a hole | 1 mm | 7-Scenes |
| `matterport` | 16-bit PNG | 1/4000 m | Matterport3D |
| `vkitti` | 16-bit PNG, 65535 is the sky | 1 cm | Virtual KITTI 1.3 and 2 |
| `ibims` | 16-bit PNG, 0 is a hole | 50/65535 m | iBims-1 |
| `diode` | float `.npy` (h, w, 1), mask in a separate file | 1 m | DIODE; set masked-out pixels to 0 |
| `hypersim` | HDF5 floats, saved as `.npy` | 1 m | Hypersim: along the ray; to depth if `focal` is given |

A name sets only the unit. Focal length and baseline are passed separately.
"""

from dataclasses import dataclass

import numpy as np

from imagebind.errors import MediaError, warn_of
from imagebind.media.arrays import drop_channel, positive_number

# If nearly all floats are larger, they are millimetres: even outdoors, some pixels are nearer (ours).
TOO_FAR_METRES = 100.0
FAR_SHARE = 0.99
# A median depth outside this range causes a warning about the unit (ours).
DOUBTFUL_FAR_METRES, DOUBTFUL_NEAR_METRES = 80.0, 0.05
MIN_ROTATED_VALUES = 32  # this many different values, all multiples of 8, suggest rotated bits (ours)
SAMPLED_PIXELS = 100_000  # of a frame, for the warnings
EXPECTED_DEPTH = "one channel of 16-bit or float depth, as PNG, TIFF, PGM, PFM, .npy, .npz or an array (h, w)"
DepthUnit = float | str


@dataclass(frozen=True, kw_only=True)
class StoredDepth:
    """How depth is stored.

    Args:
        metres: metres per stored step.
        rotated: whether the 16 bits are rotated left by 3.
        hole: stored value of an unmeasured pixel, besides 0, NaN and infinity.
        along_ray: whether values are distances from the camera's centre instead of its plane.
    """

    metres: float
    rotated: bool = False
    hole: int | None = None
    along_ray: bool = False


METRES, MILLIMETRES = StoredDepth(metres=1), StoredDepth(metres=1 / 1000)
SUN_RGBD = StoredDepth(metres=1 / 1000, rotated=True)
DEPTH_UNITS = {
    "m": METRES,
    "mm": MILLIMETRES,
    "kitti": StoredDepth(metres=1 / 256),
    "tum": StoredDepth(metres=1 / 5000),
    "icl": StoredDepth(metres=1 / 5000),
    "sun_rgbd": SUN_RGBD,
    "nyu": MILLIMETRES,
    "scannet": MILLIMETRES,
    "arkit": MILLIMETRES,
    "redwood": MILLIMETRES,
    "7scenes": StoredDepth(metres=1 / 1000, hole=0xFFFF),
    "matterport": StoredDepth(metres=1 / 4000),
    "vkitti": StoredDepth(metres=1 / 100),
    "ibims": StoredDepth(metres=50 / 0xFFFF),
    "diode": METRES,
    "hypersim": StoredDepth(metres=1, along_ray=True),
}
_FORMER_NAMES = {"metres": "m", "millimetres": "mm", "sunrgbd": "sun_rgbd"}


def stored_depth(unit: DepthUnit) -> StoredDepth:
    """Look up a unit: a name in `DEPTH_UNITS`, or metres per stored step as a number or text ("1/5000").

    Raises:
        ValueError: the name is unknown, or the number is not positive and finite.
    """
    name = _FORMER_NAMES.get(unit, unit) if isinstance(unit, str) else unit
    if isinstance(name, str) and name in DEPTH_UNITS:
        return DEPTH_UNITS[name]
    metres = positive_number(name)
    if metres is None:
        raise ValueError(
            f"unit: expected metres per stored step (such as 1/256) or one of {', '.join(DEPTH_UNITS)}, "
            f"got {unit!r}"
        )
    return StoredDepth(metres=metres)


def to_metres(values: np.ndarray, *, unit: DepthUnit | None = None, name: str = "depth") -> np.ndarray:
    """Convert stored values of one channel to float32 metres (h, w); `unit` as in `load_depth`.

    A median above 80 m or below 5 cm causes a warning.

    Raises:
        MediaError: the shape is wrong, values have 8 bits or do not fit the unit, or floats look like
            millimetres and no unit is given.
        ValueError: the unit is unknown.
    """
    values = drop_channel(values, name=name, expected=EXPECTED_DEPTH)
    whole = values.dtype.kind in "iu"
    if whole and values.dtype.itemsize == 1:
        raise MediaError(
            name, got="8 bits per pixel, perhaps a colour map or a preview", expected=EXPECTED_DEPTH
        )
    stored = (MILLIMETRES if whole else METRES) if unit is None else stored_depth(unit)
    holes = values == stored.hole if stored.hole is not None else None
    if stored.rotated:
        values = _rotated_back(values, name)
    elif unit is None and whole:
        _warn_if_rotated(values, name)
    with np.errstate(over="ignore"):  # values beyond float32 become infinite, which is a hole
        metres = values.astype(np.float32) if stored is METRES else _scaled(values, stored.metres)
    if holes is not None:
        metres[holes] = 0
    if unit is None and not whole:
        _check_not_millimetres(metres, name)
    _warn_if_implausible(metres, name)
    return metres


def along_axis(distances: np.ndarray, focal: float) -> np.ndarray:
    """Convert distances along a pinhole camera's rays to depth along its axis: (h, w) -> (h, w).

    The axis goes through the frame's centre; `focal` is in pixels of the frame.
    """
    height, width = distances.shape
    across = (np.arange(width) - (width - 1) / 2) / focal
    down = (np.arange(height) - (height - 1) / 2) / focal
    return (distances / np.sqrt(1 + across**2 + down[:, None] ** 2)).astype(np.float32)


def _scaled(values: np.ndarray, metres: float) -> np.ndarray:
    return (values * np.float64(metres)).astype(np.float32)


def _rotated_back(values: np.ndarray, name: str) -> np.ndarray:
    if values.dtype.kind == "f" or values.min() < 0 or values.max() > 0xFFFF:
        raise MediaError(name, got=f"{values.dtype} values", expected="16-bit integers for unit='sun_rgbd'")
    rotated = values.astype(np.uint16)
    return (rotated >> 3) | (rotated << 13)


def _sample(values: np.ndarray) -> np.ndarray:
    """Return evenly spaced valid pixels of a frame, at most `SAMPLED_PIXELS`."""
    flat = values.reshape(-1)[:: -(-values.size // SAMPLED_PIXELS)]
    return flat[np.isfinite(flat) & (flat > 0)]


def _warn_if_rotated(values: np.ndarray, name: str) -> None:
    """Warn if all sampled values are multiples of 8, as rotated bits below 8.192 m are.

    Read without rotation, they are 8 times too large.
    """
    valid = _sample(values)
    if not (valid & 7).any() and len(np.unique(valid)) >= MIN_ROTATED_VALUES:
        warn_of(
            name,
            "every sampled depth value is a multiple of 8, as in SUN RGB-D's rotated PNG; if it is one, pass "
            "unit='sun_rgbd', else unit='mm'",
        )


def _warn_if_implausible(metres: np.ndarray, name: str) -> None:
    valid = _sample(metres)
    if not len(valid):  # `fill_holes` refuses a frame without valid depth
        return
    median = float(np.median(valid))
    if not DOUBTFUL_NEAR_METRES <= median <= DOUBTFUL_FAR_METRES:
        warn_of(
            name,
            f"the median depth is {median:.3g} m; if that is wrong, pass unit=, metres per stored step "
            "(unit=1/5000) or the name of a data set (unit='kitti')",
        )


def _check_not_millimetres(metres: np.ndarray, name: str) -> None:
    valid = metres[np.isfinite(metres) & (metres > 0)]
    if np.count_nonzero(valid > TOO_FAR_METRES) > FAR_SHARE * valid.size:
        raise MediaError(
            name,
            got=f"floats of median {np.median(valid):.4g}, as if in millimetres",
            expected="metres",
            hint="pass unit='mm', or unit='m' if they are metres",
        )
