"""Convert arrays of a sensor that is not one of the six modalities; packs use it. Source: ours."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from imagebind.errors import MediaError
from imagebind.io.source import DEFAULT_LIMITS, Limits, Source, is_source, name_of
from imagebind.media.arrays import as_numpy, drop_channel, load_values

ARRAY_KEY = "array"  # the name of the array to read from an .npz of several


@dataclass(frozen=True, kw_only=True)
class ArrayTransform:
    """Convert an array to float32 of `shape`, as (x - mean) / std.

    Args:
        shape: (1, h, w) for images of one channel, which are resized to h × w (bilinear with antialias, not
            cropped); (c, t) for c channels of t samples, which must have this shape.
        mean, std: statistics of the stored numbers.
        limits: bounds of a file.
    """

    shape: tuple[int, ...]
    mean: float = 0.0
    std: float = 1.0
    limits: Limits = DEFAULT_LIMITS

    def __post_init__(self) -> None:
        sizes = tuple(self.shape)
        is_valid = all(type(size) is int and size > 0 for size in sizes)
        if not is_valid or not (len(sizes) == 2 or (len(sizes) == 3 and sizes[0] == 1)):
            raise ValueError(f"shape: expected (1, h, w) or (c, t), got {self.shape}")
        if not (math.isfinite(self.mean) and 0 < self.std < math.inf):
            raise ValueError(f"expected a finite mean and a positive std, got {self.mean} and {self.std}")
        object.__setattr__(self, "shape", sizes)

    def __call__(self, item: Source | Image.Image | np.ndarray | Tensor) -> Tensor:
        """Convert one item: an array, a tensor, a PIL image, or a file: `.npy`, `.npz` or a grayscale image.

        Raises:
            MediaError: another shape, numbers that are not finite, or a file that cannot be read.
        """
        name = name_of(item)
        values: object = item
        if is_source(item):
            values = load_values(item, key=ARRAY_KEY, limits=self.limits)  # type: ignore[arg-type]
        expected = f"an array of shape {self.shape}" + (
            " or another height and width" if len(self.shape) == 3 else ""
        )
        if isinstance(values, Image.Image):
            values = np.asarray(values)
        if not isinstance(values, np.ndarray | Tensor):
            raise MediaError(name, got=type(values).__name__, expected=expected)
        array = as_numpy(values)
        if len(self.shape) == 3:
            array = drop_channel(array, name=name, expected=expected)[None]  # -> (1, h, w)
        elif array.shape != self.shape or array.dtype.kind not in "iuf":
            raise MediaError(name, got=f"{array.dtype} of shape {array.shape}", expected=expected)
        tensor = torch.from_numpy(array.astype(np.float32))
        if not tensor.isfinite().all():
            raise MediaError(name, got="NaN or infinite ones", expected="finite numbers")
        if tuple(tensor.shape) != self.shape:
            tensor = F.interpolate(
                tensor[None], size=self.shape[1:], mode="bilinear", antialias=True, align_corners=False
            )[0]
        return (tensor - self.mean) / self.std
