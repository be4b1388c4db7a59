"""Random crops and flips that two images, or the frames of a clip, can share."""

import math
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from imagebind.transforms.image import resize_and_crop
from imagebind.transforms.video import spatial_crops

# The ranges of torchvision's RandomResizedCrop, which the paper names without numbers.
CROP_SCALE = (0.08, 1.0)  # of the image's area
CROP_RATIO = (3 / 4, 4 / 3)  # width to height
CROP_TRIES = 10

Range = tuple[float, float]
ImageT = TypeVar("ImageT", Image.Image, Tensor)


class CropBox(NamedTuple):
    """A part of an image in fractions of its height and width, so it applies at any resolution."""

    top: float
    left: float
    height: float
    width: float


def check_scale(scale: Range | None) -> None:
    """Check the range of a crop's share of the area; None is allowed.

    Raises:
        ValueError: it is not two numbers in [0, 1] in order, of which the second is above 0.
    """
    if scale is None:
        return
    if np.shape(scale) != (2,) or not 0 <= scale[0] <= scale[1] <= 1 or scale[1] == 0:
        raise ValueError(f"scale: expected two numbers in [0, 1], the lower one first, or None, got {scale}")


def random_crop_box(
    rng: np.random.Generator, *, aspect: float, scale: Range = CROP_SCALE, ratio: Range = CROP_RATIO
) -> CropBox:
    """Return a box of random area, aspect ratio and position, for an image `aspect` times as wide as high.

    If ten random boxes do not fit into the image, return the largest centred box within `ratio`.
    """
    # torchvision's RandomResizedCrop has the same distribution, but its boxes are in pixels of one image.
    for _ in range(CROP_TRIES):
        area = rng.uniform(*scale)
        box_aspect = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))  # in pixels
        height, width = math.sqrt(area * aspect / box_aspect), math.sqrt(area * box_aspect / aspect)
        if height <= 1 and width <= 1:
            return CropBox(rng.uniform(0, 1 - height), rng.uniform(0, 1 - width), height, width)
    height, width = min(aspect / ratio[0], 1.0), min(ratio[1] / aspect, 1.0)
    return CropBox((1 - height) / 2, (1 - width) / 2, height, width)


def pixels_of(box: CropBox, *, height: int, width: int) -> tuple[int, int, int, int]:
    """Return a box in pixels: top, left, height and width, at least one pixel in size."""
    top, left = min(round(box.top * height), height - 1), min(round(box.left * width), width - 1)
    bottom, right = round((box.top + box.height) * height), round((box.left + box.width) * width)
    return top, left, max(min(bottom, height) - top, 1), max(min(right, width) - left, 1)


class SharedCrop:
    """A random crop and flip, chosen for the first image and repeated for every other one.

    Args:
        scale: the range of the crop's share of the area; None is the centre square of inference.
        flip: the probability of a horizontal flip.
    """

    def __init__(self, rng: np.random.Generator, *, scale: Range | None, flip: float = 0.0) -> None:
        self.rng = rng
        self.scale = scale
        self.flipped = bool(rng.random() < flip)
        self._box: CropBox | None = None

    def crop_image(self, image: ImageT, size: int) -> ImageT:
        """Crop a PIL image or tensor (c, h, w) to a square of `size`: bicubic, antialiased, as in inference.

        A float tensor may slightly exceed its former range, because bicubic resizing overshoots at edges.
        """
        if self.scale is None:
            square = resize_and_crop(image, size)
        else:
            square = F.resized_crop(
                image, *self._box_in_pixels(image), [size, size], InterpolationMode.BICUBIC, antialias=True
            )
        return F.horizontal_flip(square) if self.flipped else square

    def crop_frame(self, frame: Tensor, *, size: int, crops: int) -> Tensor:
        """Crop a frame (3, h, w) to (1, 3, size, size): bilinear without antialias, as in inference."""
        if crops != 1:
            raise ValueError(f"crops: expected 1 per frame for a random crop, got {crops}")
        if self.scale is None:
            square = spatial_crops(frame, size=size, crops=1)
        else:
            square = F.resized_crop(
                frame, *self._box_in_pixels(frame), [size, size], InterpolationMode.BILINEAR, antialias=False
            )[None]
        return F.horizontal_flip(square) if self.flipped else square

    def _box_in_pixels(self, image: Image.Image | Tensor) -> tuple[int, int, int, int]:
        height, width = F.get_size(image)
        if self._box is None:
            assert self.scale is not None
            self._box = random_crop_box(self.rng, aspect=width / height, scale=self.scale)
        return pixels_of(self._box, height=height, width=width)
