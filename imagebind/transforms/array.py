"""Convert arrays of a sensor that is not one of the six modalities; packs use it. Source: ours."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from imagebind.errors import MediaError
from imagebind.io.source import DEFAULT_LIMITS, Limits, Source, is_source, name_of
from imagebind.media.arrays import as_numpy, drop_channel, load_values
from imagebind.media.channel_images import load_channels
from imagebind.transforms.options import STATISTICS, are_statistics, as_python

ARRAY_KEY = "array"  # the name of the array to read from an .npz of several
PerChannel = float | tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class ArrayTransform:
    """Convert an array to float32 of `shape`, as (x - mean) / std.

    Args:
        shape: (c, h, w) for images of c channels, which are resized to h × w (bilinear with antialias, not
            cropped); (c, t) for c channels of t samples, which must have this shape.
        mean, std: statistics of the numbers in an array or file, for all channels together or one for each.
            Pillow stretches images below 8 bits to 0…255, see `load_values`.
        limits: bounds of a file.
    """

    shape: tuple[int, ...]
    mean: PerChannel = 0.0
    std: PerChannel = 1.0
    limits: Limits = DEFAULT_LIMITS

    def __post_init__(self) -> None:
        sizes = tuple(self.shape) if isinstance(self.shape, Iterable) else ()
        if len(sizes) not in (2, 3) or not all(type(size) is int and size > 0 for size in sizes):
            raise ValueError(f"shape: expected (c, h, w) or (c, t), got {self.shape!r}")
        object.__setattr__(self, "shape", sizes)
        for name, quality in STATISTICS.items():
            given = as_python(getattr(self, name))
            values = tuple(given) if isinstance(given, list | tuple) else (given,)
            if isinstance(given, list | tuple):
                if len(given) != sizes[0]:
                    raise ValueError(
                        f"{name}: expected {sizes[0]} numbers, one per channel, got {len(given)}"
                    )
                object.__setattr__(self, name, values)
            if not are_statistics(name, values):
                raise ValueError(f"{name}: expected one {quality} number, or one per channel, got {given!r}")

    def __call__(self, item: Source | Image.Image | np.ndarray | Tensor) -> Tensor:
        """Convert one item: an array, a tensor, a PIL image, or a file: `.npy`, `.npz` or an image.

        An image of several channels may be (c, h, w) or (h, w, c); if both fit, it is (c, h, w).

        Raises:
            MediaError: another shape, numbers that are not real and finite, or a file that cannot be read.
            MissingExtraError: a TIFF of several channels, and tifffile is not installed.
        """
        name = name_of(item)
        values: object = item
        if is_source(item):
            values = self._read(item)  # type: ignore[arg-type]
        if isinstance(values, Image.Image):
            values = np.asarray(values)
        if not isinstance(values, np.ndarray | Tensor):
            raise MediaError(name, got=type(values).__name__, expected=self._expected)
        array = self._with_channels_first(as_numpy(values), name)
        tensor = torch.from_numpy(array.astype(np.float32))
        if not tensor.isfinite().all():
            raise MediaError(name, got="NaN or infinite ones", expected="finite numbers")
        if tuple(tensor.shape) != self.shape:
            tensor = F.interpolate(
                tensor[None], size=self.shape[1:], mode="bilinear", antialias=True, align_corners=False
            )[0]
        mean, std = (self._per_channel(value) for value in (self.mean, self.std))
        return (tensor - mean) / std

    def _read(self, source: Source) -> Image.Image | np.ndarray:
        if len(self.shape) == 3 and self.shape[0] > 1:
            return load_channels(source, channels=self.shape[0], key=ARRAY_KEY, limits=self.limits)
        return load_values(source, key=ARRAY_KEY, limits=self.limits)

    @property
    def _expected(self) -> str:
        if len(self.shape) == 2:
            return f"an array of shape {self.shape}"
        channels, height, width = self.shape
        last = f" or {(height, width, channels)}" if channels > 1 else ""
        return f"an array of shape {self.shape}{last}, or another height and width"

    def _with_channels_first(self, array: np.ndarray, name: str) -> np.ndarray:
        """Return an image as (c, h, w) with any height and width, and samples as (c, t).

        Raises:
            MediaError: another shape, no numbers, or not real ones.
        """
        channels = self.shape[0]
        is_image = len(self.shape) == 3
        if is_image and channels == 1:
            return drop_channel(array, name=name, expected=self._expected)[None]  # -> (1, h, w)
        if array.dtype.kind in "iuf" and array.size:
            if array.shape == self.shape or (is_image and array.ndim == 3 and array.shape[0] == channels):
                return array
            if is_image and array.ndim == 3 and array.shape[2] == channels:
                return array.transpose(2, 0, 1)  # (h, w, c) -> (c, h, w)
        raise MediaError(name, got=f"{array.dtype} of shape {array.shape}", expected=self._expected)

    def _per_channel(self, value: PerChannel) -> Tensor | float:
        """Return a number, or one for each channel: (c, 1, …)."""
        if not isinstance(value, tuple):
            return value
        return torch.tensor(value, dtype=torch.float32).reshape(-1, *(1 for _ in self.shape[1:]))
