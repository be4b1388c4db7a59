"""Depth: a frame of distances to the tensor the depth trunk takes, one channel of disparity.

No loader was ever published. What the released weights saw is put together from what its authors and users
said in public; each constant below names which. The one trap is scale:

- True metres. `disparity = baseline · focal / metres`, in pixels: for Kinect v1 at 2 m,
  0.075 · 518.86 / 2 = 19.5.
- Rotated. SUN RGB-D stores its millimetres rotated left by 3 bits, which below 8.192 m is 8 × millimetres.
  The authors divided that number by 1000 as it stood, so their "metres" are 8 times too many and their
  disparity 8 times too small (2.43 in the same place). Omnivore's clamp at 75, mean 0.0418 and std 0.0295
  are on that scale.

We compute in true metres. A standardised disparity is the same on both scales if clamp, mean and std are
taken along: d / 75 is 8 times larger here, so the mean is 8 · 0.0418, the std 8 · 0.0295, the clamp 8 · 75.
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from imagebind.errors import MediaError
from imagebind.modality import ModalityType
from imagebind.transforms.arrays import as_numpy, decode, drop_channel, load_values
from imagebind.transforms.image import Crop, resize_and_crop
from imagebind.transforms.image_file import is_deep_gray
from imagebind.transforms.source import DEFAULT_LIMITS, Limits, Source, is_source, name_of, open_source

NEAR_METRES = 0.01  # author
FAR_METRES = 8.0  # community; the authors' clip at 50 on the rotated scale is 6.25 m
NYU_FOCAL = 518.857901  # pixels; NYU Depth v2's Kinect v1 (community)
BASELINES = {  # metres between a sensor's two eyes (author)
    "kinect_v1": 0.075,
    "kinect_v2": 0.075,
    "realsense": 0.095,
    "xtion": 0.095,
}
DEFAULT_SENSOR = "kinect_v1"  # NYU's, so that it agrees with the default focal (ours)
ENCODINGS = ("millimetres", "sunrgbd", "metres")
# Floats of which nearly all lie so far are millimetres of a room; of a field, something is nearer (ours).
TOO_FAR_METRES = 100.0
NEARLY_ALL = 0.99
ROTATION = 8  # 2 ** 3: how many times larger a rotated SUN RGB-D value is than its millimetres
INTRINSICS_BYTES = 4096  # a 3 x 3 matrix in text takes about a hundred

WANTED = "one channel of 16-bit or float depth: PNG, TIFF, .npy, .npz, or an array (h, w)"
DepthItem = Source | np.ndarray | Tensor | Image.Image

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Disparity d of true metres to the trunk's numbers: (min(d, clamp) / divisor - mean) / std."""

    clamp: float
    divisor: float
    mean: float
    std: float


PRESETS = {
    # Omnivore's transform, by overlapping authors: the likeliest to be what the weights were trained on.
    # Taken from the rotated scale to true metres: 600, 75, 0.3344, 0.236.
    "omnivore": Preset(clamp=ROTATION * 75, divisor=75, mean=ROTATION * 0.0418, std=ROTATION * 0.0295),
    # A community recipe in true metres. That its clamp is 75 on that scale is our reading.
    "codebind": Preset(clamp=75, divisor=75, mean=0.318441, std=0.11506188),
    # The authors' formula and nothing after it: pixels of disparity.
    "raw": Preset(clamp=math.inf, divisor=1, mean=0, std=1),
}


def load_depth(source: Source, *, encoding: str | None = None, limits: Limits = DEFAULT_LIMITS) -> np.ndarray:
    """Read a depth frame: (h, w) float32 metres, holes as they are stored.

    Args:
        encoding: what a number means: "millimetres", "sunrgbd" (millimetres rotated left by 3 of 16 bits) or
            "metres". By default whole numbers are millimetres and floats metres.

    Raises:
        MediaError: no depth frame (8-bit and colour pictures are not), damaged, or beyond `limits`.
    """
    name = name_of(source)
    values = load_values(source, key="depth", limits=limits)
    return to_metres(_pixels(values, name=name, limits=limits), encoding=encoding, name=name)


def load_focal(source: Source) -> float:
    """Read the focal length in pixels, the first number of a SUN RGB-D `intrinsics.txt`. Source: author.

    Raises:
        MediaError: no text, or no positive number at its start.
    """
    with open_source(source) as file:
        start = file.read(INTRINSICS_BYTES).split()
    try:
        return _positive(float(start[0]))
    except (IndexError, ValueError) as error:
        raise MediaError(
            name_of(source),
            seen="no positive number at its start",
            wanted="an intrinsics.txt, focal length first",
        ) from error


def to_metres(values: np.ndarray, *, encoding: str | None = None, name: str = "depth") -> np.ndarray:
    """Stored numbers to float32 metres, (h, w) -> (h, w); `encoding` as in `load_depth`.

    Raises:
        MediaError: another shape, 8 bits a pixel, numbers that the encoding cannot hold, or floats that look
            like millimetres.
    """
    values = drop_channel(values, name=name, wanted=WANTED)
    whole = values.dtype.kind in "iu"
    if whole and values.dtype.itemsize == 1:
        raise MediaError(name, seen="8 bits a pixel, perhaps a colour map or a preview", wanted=WANTED)
    if encoding == "sunrgbd":
        if not whole or values.min() < 0 or values.max() > 0xFFFF:
            raise MediaError(
                name, seen=f"{values.dtype} values", wanted="whole numbers of 16 bits for 'sunrgbd'"
            )
        rotated = values.astype(np.uint16)
        return ((rotated >> 3) | (rotated << 13)).astype(np.float32) / 1000
    with np.errstate(over="ignore"):  # beyond float32 is infinite, hence a hole
        metres = values.astype(np.float32)
    if encoding == "millimetres" or (encoding is None and whole):
        return metres / 1000
    if encoding is None:
        _check_not_millimetres(metres, name)
    return metres


def _check_not_millimetres(metres: np.ndarray, name: str) -> None:
    valid = metres[np.isfinite(metres) & (metres > 0)]
    if np.count_nonzero(valid > TOO_FAR_METRES) > NEARLY_ALL * valid.size:
        raise MediaError(
            name,
            seen=f"floats of median {np.median(valid):.4g}, as if in millimetres",
            wanted="metres: pass encoding='millimetres', or encoding='metres' if it is so far",
        )


def fill_holes(depth: np.ndarray | Tensor, *, name: str | None = None) -> tuple[Tensor, float]:
    """Fill holes from their neighbours: (h, w) metres -> (h, w) float32 without holes, and the share filled.

    A hole is 0, negative, NaN or infinite. The frame is halved, each cell the mean of the valid ones in
    it, until none is empty; a hole then takes the smallest cell around it. Source: ours.

    Raises:
        MediaError: not one valid pixel.
    """
    frame = torch.as_tensor(
        np.array(as_numpy(depth), dtype=np.float64)
    )  # a copy; sums of float32 cannot overflow
    valid = frame.isfinite() & (frame > 0)
    if not valid.any():
        raise MediaError(
            name or name_of(depth),
            seen="no valid pixel, all are 0, negative, NaN or infinite",
            wanted="a depth frame",
        )
    share = 1 - valid.double().mean().item()
    return _fill(frame.where(valid, 0), valid).float(), share


def disparity_of(metres: Tensor, *, focal: float, baseline: float) -> Tensor:
    """Disparity in pixels of true metres clamped to [0.01, 8]: baseline · focal / depth. Source: author."""
    return baseline * focal / metres.clamp(NEAR_METRES, FAR_METRES)


@dataclass(frozen=True, kw_only=True)
class DepthTransform:
    """A depth frame to (1, size, size): standardised disparity.

    Without a sensor, focal or baseline: Kinect v1 (0.075 m) with NYU's focal, 518.857901. A sensor gives its
    baseline only; its focal differs from unit to unit and with resolution, so pass it where it is known.
    Source: author and community, constant by constant.

    Args:
        preset: "omnivore", "codebind" or "raw".
        sensor: "kinect_v1", "kinect_v2", "realsense" or "xtion"; instead of a baseline.
        focal: pixels at the frame's own resolution, or a SUN RGB-D `intrinsics.txt`.
        baseline: metres.
        encoding: as in `load_depth`.
        crop: how a frame of disparity (1, h, w) becomes a square of `size`; training passes its own.
    """

    modality: ClassVar[ModalityType] = ModalityType.DEPTH

    preset: str = "omnivore"
    sensor: str | None = None
    focal: float | Source | None = None
    baseline: float | None = None
    encoding: str | None = None
    size: int = 224
    limits: Limits = DEFAULT_LIMITS
    crop: Crop = field(default=resize_and_crop, repr=False)

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise ValueError(f"preset wants one of {', '.join(PRESETS)}, got {self.preset!r}")
        if self.encoding not in (None, *ENCODINGS):
            raise ValueError(f"encoding wants one of {', '.join(ENCODINGS)}, got {self.encoding!r}")
        if self.size < 1:
            raise ValueError(f"size wants at least 1, got {self.size}")
        _baseline(self.sensor, self.baseline)
        object.__setattr__(self, "focal", _focal(self.focal))  # a file is read once, here

    def __call__(self, depth: DepthItem | Mapping[str, object]) -> Tensor:
        """A frame to (1, size, size) float32; or {"depth": frame, "focal": ..., "baseline" or "sensor": ...}.

        Raises:
            MediaError: as `load_depth`, or a frame with no valid pixel.
        """
        return self.with_filled_share(depth)[0]

    def with_filled_share(self, depth: DepthItem | Mapping[str, object]) -> tuple[Tensor, float]:
        """The same, and the share of the frame's pixels that were holes and filled, in [0, 1)."""
        frame, focal, baseline = self._parts(depth)
        name = name_of(frame)
        if is_source(frame):
            metres = load_depth(frame, encoding=self.encoding, limits=self.limits)  # type: ignore[arg-type]
        else:
            values = _pixels(frame, name=name, limits=self.limits)
            metres = to_metres(values, encoding=self.encoding, name=name)
        filled, share = fill_holes(metres, name=name)  # (h, w)
        if share > 0:
            logger.debug("%s: filled %.1f%% of the frame's pixels", name, 100 * share)
        preset = PRESETS[self.preset]
        disparity = disparity_of(filled, focal=focal, baseline=baseline).clamp(max=preset.clamp)
        square = self.crop(disparity[None], self.size)  # (h, w) -> (1, size, size)
        return (square / preset.divisor - preset.mean) / preset.std, share

    def _parts(self, item: object) -> tuple[object, float, float]:
        """An item's frame, focal and baseline; what the item says goes before what the transform says."""
        if not isinstance(item, Mapping):
            return item, _focal(self.focal), _baseline(self.sensor, self.baseline)
        unknown = set(item) - {"depth", "focal", "baseline", "sensor"}
        if unknown or "depth" not in item:
            raise MediaError(
                "depth mapping",
                seen=f"keys {', '.join(map(repr, item))}",
                wanted="'depth' and, if known, 'focal', and 'baseline' or 'sensor'",
            )
        frame, focal, sensor, baseline = (item.get(key) for key in ("depth", "focal", "sensor", "baseline"))
        if sensor is None and baseline is None:
            sensor, baseline = self.sensor, self.baseline
        try:
            return frame, _focal(self.focal if focal is None else focal), _baseline(sensor, baseline)
        except MediaError:
            raise
        except ValueError as error:
            raise MediaError(name_of(frame), seen=str(error), wanted="a camera that can be") from error


def _pixels(item: object, *, name: str, limits: Limits) -> np.ndarray:
    """The numbers of a picture of more than 8 bits, an array or a tensor."""
    if isinstance(item, Image.Image):
        if not is_deep_gray(item):
            raise MediaError(name, seen=f"a picture of 8 bits a channel (mode {item.mode})", wanted=WANTED)
        return np.asarray(decode(item, name=name, limits=limits))
    if isinstance(item, (np.ndarray, Tensor)):
        return as_numpy(item)
    raise MediaError(name, seen=f"a {type(item).__name__}", wanted=WANTED)


def _fill(cells: Tensor, valid: Tensor) -> Tensor:
    """Holes of (h, w) cells, 0 where not valid, from a frame of half the size, itself filled."""
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
    return load_focal(focal) if is_source(focal) else _positive(focal)  # type: ignore[arg-type]


def _baseline(sensor: object, baseline: object) -> float:
    if sensor is not None and baseline is not None:
        raise ValueError(f"wants a sensor or a baseline, got both {sensor!r} and {baseline!r}")
    if baseline is not None:
        return _positive(baseline)
    name = DEFAULT_SENSOR if sensor is None else sensor
    if not isinstance(name, str) or name not in BASELINES:
        raise ValueError(f"sensor wants one of {', '.join(BASELINES)}, got {sensor!r}")
    return BASELINES[name]


def _positive(value: object) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
    except TypeError:
        number = math.nan
    if not (0 < number < math.inf):
        raise ValueError(f"wants a positive number, got {value!r}")
    return number
