"""Convert a depth frame to the tensor that the depth trunk takes: one channel of disparity.

No loader was ever published. The input of the released weights is reconstructed from public statements of the
authors and of users; each constant below names its source. There are two scales:

- True metres. `disparity = baseline · focal / metres`, in pixels. For Kinect v1 at 2 m, it is
  0.075 · 518.86 / 2 = 19.5.
- Rotated. SUN RGB-D stores its millimetres rotated left by 3 bits, which below 8.192 m is 8 × millimetres.
  The authors divided the rotated value by 1000, so their "metres" are 8 times too large and their
  disparity is 8 times too small (2.43 for the same point). Omnivore's clamp at 75, mean 0.0418 and std 0.0295
  are on that scale.

We compute in true metres. The standardised disparity is the same on both scales if clamp, mean and std are
scaled too: d / 75 is 8 times larger here, so the mean is 8 · 0.0418, the std 8 · 0.0295, the clamp 8 · 75.
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from imagebind.checks import check_whole
from imagebind.errors import MediaError
from imagebind.io.source import DEFAULT_LIMITS, Limits, Source, is_source, name_of, open_source
from imagebind.media.arrays import as_numpy, decode_image, load_values
from imagebind.media.image_file import is_deep_gray
from imagebind.modality import ModalityType
from imagebind.transforms.depth_units import EXPECTED_DEPTH, DepthUnit, along_axis, stored_depth, to_metres
from imagebind.transforms.image import Crop, resize_and_crop
from imagebind.transforms.options import PER_ITEM

NEAR_METRES = 0.01  # author
FAR_METRES = 8.0  # community; the authors' clip at 50 on the rotated scale is 6.25 m
NYU_FOCAL = 518.857901  # pixels; NYU Depth v2's Kinect v1 (community)
BASELINES = {  # metres of stereo baseline (author)
    "kinect_v1": 0.075,
    "kinect_v2": 0.075,
    "realsense": 0.095,
    "xtion": 0.095,
}
DEFAULT_SENSOR = "kinect_v1"  # NYU's sensor, as the default focal is NYU's (ours)
ROTATION_FACTOR = 8  # 2 ** 3: ratio of a rotated SUN RGB-D value to its millimetres
MAX_INTRINSICS_BYTES = 4096  # a 3 x 3 matrix in text takes about 100

DepthItem = Source | np.ndarray | Tensor | Image.Image

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class DisparityPreset:
    """Constants that standardise the disparity d of true metres: (min(d, clamp) / divisor - mean) / std."""

    clamp: float
    divisor: float
    mean: float
    std: float


PRESETS = {
    # Omnivore's transform, by overlapping authors: most likely the one that the weights were trained with.
    # Converted from the rotated scale to true metres: 600, 75, 0.3344, 0.236.
    "omnivore": DisparityPreset(
        clamp=ROTATION_FACTOR * 75, divisor=75, mean=ROTATION_FACTOR * 0.0418, std=ROTATION_FACTOR * 0.0295
    ),
    # A community recipe in true metres. We assume that its clamp of 75 is on that scale.
    "codebind": DisparityPreset(clamp=75, divisor=75, mean=0.318441, std=0.11506188),
    # The authors' formula without normalisation: pixels of disparity.
    "raw": DisparityPreset(clamp=math.inf, divisor=1, mean=0, std=1),
}


def load_depth(
    source: Source,
    *,
    unit: DepthUnit | None = None,
    encoding: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> np.ndarray:
    """Read a depth frame as (h, w) float32 metres; a data set's own hole value (65535) becomes 0.

    Args:
        unit: metres per stored step, as a number or text (1 / 256, "1/256"), or a name: "mm", "m", or one of
            the data sets in `depth_units` ("kitti", "tum", "sun_rgbd", ...). By default integers are
            millimetres and floats metres.
        encoding: the former name of `unit`; if given, it replaces `unit`.

    Raises:
        MediaError: as `to_metres`, or the file is not a depth frame (such as an 8-bit image), damaged, or
            beyond `limits`.
        ValueError: the unit is unknown.
    """
    name = name_of(source)
    values = load_values(source, key="depth", limits=limits)
    return to_metres(_pixels(values, name=name, limits=limits), unit=encoding or unit, name=name)


def load_focal(source: Source) -> float:
    """Return the focal length in pixels, the first number of a SUN RGB-D `intrinsics.txt`. Source: author.

    Raises:
        MediaError: the file cannot be read, or does not start with a positive, finite number.
    """
    with open_source(source) as file:
        start = file.read(MAX_INTRINSICS_BYTES).split()
    try:
        return _positive(float(start[0]), "focal")
    except (IndexError, ValueError) as error:
        raise MediaError(
            name_of(source),
            got="no positive, finite number at the start",
            expected="an intrinsics.txt that starts with the focal length",
        ) from error


def fill_holes(depth: np.ndarray | Tensor, *, name: str | None = None) -> tuple[Tensor, float]:
    """Fill holes from their neighbours: (h, w) metres -> (h, w) float32 without holes, and the share filled.

    A hole is 0, negative, NaN or infinite. The frame is halved repeatedly, each cell the mean of the valid
    cells in it, until no cell is empty; a hole then takes the value of the smallest valid cell around it.
    Source: ours.

    Raises:
        MediaError: the frame has no valid pixel.
    """
    # A copy in float64, whose sums cannot overflow.
    frame = torch.as_tensor(np.array(as_numpy(depth), dtype=np.float64))
    valid = frame.isfinite() & (frame > 0)
    if not valid.any():
        raise MediaError(
            name or name_of(depth),
            got="no valid pixel (all are 0, negative, NaN or infinite)",
            expected="a depth frame",
        )
    share = 1 - valid.double().mean().item()
    return _fill(frame.where(valid, 0), valid).float(), share


def disparity_of(metres: Tensor, *, focal: float, baseline: float) -> Tensor:
    """Return disparity in pixels, baseline · focal / metres, metres clamped to [0.01, 8]. Source: author."""
    return baseline * focal / metres.clamp(NEAR_METRES, FAR_METRES)


@dataclass(frozen=True, kw_only=True)
class DepthTransform:
    """Convert a depth frame to standardised disparity, (1, size, size).

    Without sensor, baseline and focal, they are those of Kinect v1 (0.075 m) and NYU (518.857901 pixels). A
    sensor sets the baseline only; the focal varies between devices and resolutions, so pass it if known.
    Source: author and community, as noted at each constant.

    Args:
        preset: "omnivore", "codebind" or "raw".
        sensor: "kinect_v1", "kinect_v2", "realsense" or "xtion"; instead of a baseline.
        focal: focal length in pixels at the frame's resolution, or a SUN RGB-D `intrinsics.txt`.
        baseline: stereo baseline in metres.
        unit: as in `load_depth`; "hypersim" also converts distances along the rays to depth if `focal` is
            given.
        encoding: the former name of `unit`; if given, it replaces `unit`.
        crop: function that makes a square of `size` from disparity (1, h, w); training passes its own.
    """

    modality: ClassVar[ModalityType] = ModalityType.DEPTH

    preset: str = "omnivore"
    sensor: str | None = field(default=None, metadata=PER_ITEM)
    focal: float | Source | None = field(default=None, metadata=PER_ITEM)
    baseline: float | None = field(default=None, metadata=PER_ITEM)
    unit: float | str | None = field(default=None, metadata=PER_ITEM)
    encoding: str | None = field(default=None, metadata=PER_ITEM)
    size: int = 224
    limits: Limits = field(default=DEFAULT_LIMITS, metadata=PER_ITEM)
    crop: Crop = field(default=resize_and_crop, repr=False, metadata=PER_ITEM)

    def __post_init__(self) -> None:
        if self.preset not in list(PRESETS):
            raise ValueError(f"preset: expected one of {', '.join(PRESETS)}, got {self.preset!r}")
        if self.encoding is not None:
            object.__setattr__(self, "unit", self.encoding)
            object.__setattr__(self, "encoding", None)
        if self.unit is not None:
            stored_depth(self.unit)  # raises if the unit is unknown
        check_whole(1, size=self.size)
        _baseline(self.sensor, self.baseline)
        if self.focal is not None:
            object.__setattr__(self, "focal", _focal(self.focal))  # so that a file is read only once

    def __call__(self, depth: DepthItem | Mapping[str, object]) -> Tensor:
        """Convert a file, one-channel PIL image, array or tensor, or a mapping, to (1, size, size) float32.

        One channel is (h, w), (h, w, 1), (1, h, w) or (1, 1, h, w). A mapping is {"depth": frame} and may
        contain "unit", "focal", and "baseline" or "sensor", which override the transform's options.

        Raises:
            MediaError: as `load_depth`, the frame has no valid pixel, or a mapping has other keys or invalid
                options.
        """
        if isinstance(depth, Mapping):
            frame, own = self._of_mapping(depth)
            return own(frame)  # type: ignore[arg-type]
        frame, name = depth, name_of(depth)
        focal, baseline = _focal(self.focal), _baseline(self.sensor, self.baseline)
        if is_source(frame):
            metres = load_depth(frame, unit=self.unit, limits=self.limits)  # type: ignore[arg-type]
        else:
            values = _pixels(frame, name=name, limits=self.limits)
            metres = to_metres(values, unit=self.unit, name=name)
        if self.unit is not None and self.focal is not None and stored_depth(self.unit).along_ray:
            metres = along_axis(metres, focal)
        filled, share = fill_holes(metres, name=name)  # (h, w)
        if share > 0:
            logger.debug("%s: filled %.1f%% of the frame's pixels", name, 100 * share)
        preset = PRESETS[self.preset]
        disparity = disparity_of(filled, focal=focal, baseline=baseline).clamp(max=preset.clamp)
        square = self.crop(disparity[None], self.size)  # (h, w) -> (1, size, size)
        return (square / preset.divisor - preset.mean) / preset.std

    def _of_mapping(self, item: Mapping[str, object]) -> tuple[object, "DepthTransform"]:
        """Return the frame of a mapping, and this transform with the options of the mapping."""
        unknown = set(item) - {"depth", "unit", "focal", "baseline", "sensor"}
        if unknown or "depth" not in item or isinstance(item["depth"], Mapping):
            raise MediaError(
                "depth mapping",
                got=f"the keys {', '.join(map(repr, item))}",
                expected="the keys 'depth' and, if known, 'unit', 'focal', and 'baseline' or 'sensor'",
            )
        options: dict[str, Any] = {key: value for key, value in item.items() if value is not None}
        frame = options.pop("depth", None)
        if "sensor" in options or "baseline" in options:
            options = {"sensor": None, "baseline": None, **options}
        try:
            return frame, replace(self, **options)
        except MediaError:
            raise
        except ValueError as error:
            raise MediaError(
                name_of(frame), got=f"others ({error})", expected="valid camera options"
            ) from error


def _pixels(item: object, *, name: str, limits: Limits) -> np.ndarray:
    """Return the values of an image of more than 8 bits per channel, an array or a tensor."""
    if isinstance(item, Image.Image):
        if not is_deep_gray(item):
            raise MediaError(
                name, got=f"an image of 8 bits per channel (mode {item.mode})", expected=EXPECTED_DEPTH
            )
        return np.asarray(decode_image(item, name=name, limits=limits))
    if isinstance(item, np.ma.MaskedArray):
        return item.filled(0)  # a hole
    if isinstance(item, (np.ndarray, Tensor)):
        return as_numpy(item)
    raise MediaError(name, got=type(item).__name__, expected=EXPECTED_DEPTH)


def _fill(cells: Tensor, valid: Tensor) -> Tensor:
    """Fill the invalid cells of (h, w), which are 0, from the frame of half the size, filled recursively."""
    if valid.all():
        return cells
    share = F.avg_pool2d(valid.double()[None], 2, ceil_mode=True)[0]  # (h, w) -> (⌈h/2⌉, ⌈w/2⌉)
    total = F.avg_pool2d(cells[None], 2, ceil_mode=True)[0]
    seen = share > 0
    coarse = _fill((total / share).where(seen, 0), seen)
    fine = coarse.repeat_interleave(2, dim=0).repeat_interleave(2, dim=1)[: cells.shape[0], : cells.shape[1]]
    return cells.where(valid, fine)


def _focal(focal: object) -> float:
    if focal is None:
        return NYU_FOCAL
    return load_focal(focal) if is_source(focal) else _positive(focal, "focal")  # type: ignore[arg-type]


def _baseline(sensor: object, baseline: object) -> float:
    if sensor is not None and baseline is not None:
        raise ValueError(
            f"sensor, baseline: expected a sensor or a baseline, got both {sensor!r} and {baseline!r}"
        )
    if baseline is not None:
        return _positive(baseline, "baseline")
    name = DEFAULT_SENSOR if sensor is None else sensor
    if not isinstance(name, str) or name not in BASELINES:
        raise ValueError(f"sensor: expected one of {', '.join(BASELINES)}, got {sensor!r}")
    return BASELINES[name]


def _positive(value: object, option: str) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not (0 < number < math.inf):
        raise ValueError(f"{option}: expected a positive, finite number, got {value!r}")
    return number
