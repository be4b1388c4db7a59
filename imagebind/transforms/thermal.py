"""Thermal: an infrared picture to the tensor the thermal trunk takes, one channel of brightness.

No loader was ever published. That it is [0, 1] without mean or std was found by users: 62.4 on LLVIP so, 55.2
with CLIP's statistics, the paper 63.4 (community).
"""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from imagebind.errors import MediaError
from imagebind.modality import ModalityType
from imagebind.transforms.arrays import as_numpy, decode, drop_channel, load_values
from imagebind.transforms.image import Crop, resize_and_crop
from imagebind.transforms.image_file import is_deep_gray
from imagebind.transforms.source import DEFAULT_LIMITS, Limits, Source, is_source, name_of

LOW_PERCENTILE, HIGH_PERCENTILE = 1, 99  # a dead or a burning pixel shall not set the scale (ours)
WANTED = "8-bit grey or RGB, or one channel of 16-bit or float radiometry"
ThermalItem = Source | Image.Image | np.ndarray | Tensor


def load_thermal(source: Source, *, limits: Limits = DEFAULT_LIMITS) -> np.ndarray:
    """Read an infrared picture: (h, w), uint8 brightness, or counts or temperatures as they are stored.

    Colour becomes grey as Pillow's `convert("L")` does (community); 16-bit and float PNG, TIFF, `.npy` and
    `.npz` stay as they are.

    Raises:
        MediaError: no picture of one frame, damaged, or beyond `limits`.
    """
    return _pixels(load_values(source, key="thermal", limits=limits), name=name_of(source), limits=limits)


def radiometric_to_unit(
    values: np.ndarray, *, low: float | None = None, high: float | None = None
) -> np.ndarray:
    """Counts or temperatures to [0, 1], linearly from low to high and cut there: (h, w) -> (h, w) float32.

    Without low and high: the picture's own 1st and 99th percentile, or, where those are one (a small hot spot
    on an even ground), its extremes. An even picture is 0 throughout. Source: ours.
    """
    values = values.astype(np.float64)
    if low is None or high is None:
        low, high = np.percentile(values, (LOW_PERCENTILE, HIGH_PERCENTILE))
        if not low < high:
            low, high = values.min(), values.max()
    if not low < high:
        return np.zeros(values.shape, dtype=np.float32)
    return ((values.clip(low, high) - low) / (high - low)).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class ThermalTransform:
    """An infrared picture to (1, size, size) in [0, 1]. Source: community; for 16 bits and floats, ours.

    Args:
        low, high: what becomes 0 and 1 in a 16-bit or float picture, in its own unit; both or neither. Eight
            bits are always divided by 255. For floats that are in [0, 1] already, pass 0 and 1.
        crop: how a picture, PIL or (1, h, w), becomes a square of `size`; training passes its own.
    """

    modality: ClassVar[ModalityType] = ModalityType.THERMAL

    low: float | None = None
    high: float | None = None
    size: int = 224
    limits: Limits = DEFAULT_LIMITS
    crop: Crop = field(default=resize_and_crop, repr=False)

    def __post_init__(self) -> None:
        if (self.low is None) != (self.high is None):
            raise ValueError(f"wants both low and high or neither, got low={self.low}, high={self.high}")
        if self.low is not None and self.high is not None and not -np.inf < self.low < self.high < np.inf:
            raise ValueError(f"wants finite low < high, got low={self.low}, high={self.high}")
        if self.size < 1:
            raise ValueError(f"size wants at least 1, got {self.size}")

    def __call__(self, thermal: ThermalItem) -> Tensor:
        """A file, picture, array (h, w), (1, h, w) or uint8 (h, w, 3), or tensor, to (1, size, size) float32.

        A uint8 tensor of colour is (3, h, w).

        Raises:
            MediaError: as `load_thermal`, or NaN or infinite values.
        """
        name = name_of(thermal)
        if is_source(thermal):
            pixels = load_thermal(thermal, limits=self.limits)  # type: ignore[arg-type]
        else:
            pixels = _pixels(thermal, name=name, limits=self.limits)
        if pixels.dtype == np.uint8:  # resized in 8 bits, as images are
            square = F.to_image(self.crop(Image.fromarray(pixels), self.size))  # (h, w) -> (1, size, size)
            return F.to_dtype(square, torch.float32, scale=True).as_subclass(Tensor)
        if not np.isfinite(pixels).all():
            broken = np.count_nonzero(~np.isfinite(pixels))
            raise MediaError(
                name, seen=f"{broken:,} of {pixels.size:,} pixels NaN or infinite", wanted="finite pixels"
            )
        unit = radiometric_to_unit(pixels, low=self.low, high=self.high)  # (h, w)
        return self.crop(torch.from_numpy(unit)[None], self.size).clamp(0, 1)  # bicubic overshoots


def _pixels(item: object, *, name: str, limits: Limits) -> np.ndarray:
    """What is stored in one channel, and colour as 8-bit grey: (h, w)."""
    if isinstance(item, Image.Image):
        picture = decode(item, name=name, limits=limits)
        return np.asarray(picture if is_deep_gray(picture) else picture.convert("L"))
    if not isinstance(item, (np.ndarray, Tensor)):
        raise MediaError(name, seen=f"a {type(item).__name__}", wanted=WANTED)
    values = as_numpy(item)
    if values.dtype == np.uint8 and values.ndim == 3 and values.size:
        if isinstance(item, Tensor) and values.shape[0] == 3:
            values = values.transpose(1, 2, 0)  # (3, h, w) -> (h, w, 3)
        if values.shape[2] == 3:
            return np.asarray(Image.fromarray(np.ascontiguousarray(values)).convert("L"))
    plane = drop_channel(values, name=name, wanted=WANTED)
    if plane.dtype.kind == "f":  # float64 beyond float32 becomes infinite, and is refused as such
        with np.errstate(over="ignore"):
            return plane.astype(np.float32)
    return plane
