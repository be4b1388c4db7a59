"""Random crops and flips that two pictures, or the frames of a clip, can share."""

import math
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from imagebind.transforms.image import resize_and_crop
from imagebind.transforms.video import spatial_crops

# As torchvision's RandomResizedCrop has them, which the paper names without numbers.
CROP_SCALE = (0.08, 1.0)  # of the picture's area
CROP_RATIO = (3 / 4, 4 / 3)  # width to height
CROP_TRIES = 10

Range = tuple[float, float]
Picture = TypeVar("Picture", Image.Image, Tensor)


class Box(NamedTuple):
    """A part of a picture, in fractions of its height and width: it means the same at any resolution."""

    top: float
    left: float
    height: float
    width: float


def random_box(
    rng: np.random.Generator, *, aspect: float, scale: Range = CROP_SCALE, ratio: Range = CROP_RATIO
) -> Box:
    """A box of a random area and shape at a random place, for a picture `aspect` times as wide as high.

    Where ten draws do not fit into the picture: the largest box within `ratio`, in the middle.
    """
    for _ in range(CROP_TRIES):
        area = rng.uniform(*scale)
        shape = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))  # of the box, in pixels
        height, width = math.sqrt(area * aspect / shape), math.sqrt(area * shape / aspect)
        if height <= 1 and width <= 1:
            return Box(rng.uniform(0, 1 - height), rng.uniform(0, 1 - width), height, width)
    height, width = min(aspect / ratio[0], 1.0), min(ratio[1] / aspect, 1.0)
    return Box((1 - height) / 2, (1 - width) / 2, height, width)


def pixels_of(box: Box, *, height: int, width: int) -> tuple[int, int, int, int]:
    """A box in a picture's pixels: top, left, height and width, of one pixel at least."""
    top, left = min(round(box.top * height), height - 1), min(round(box.left * width), width - 1)
    bottom, right = round((box.top + box.height) * height), round((box.left + box.width) * width)
    return top, left, max(min(bottom, height) - top, 1), max(min(right, width) - left, 1)


class Cut:
    """A crop and a flip, drawn for the first picture it cuts and the same for every other.

    Args:
        scale: of the crop's area; None is no chance: the square that inference cuts.
        flip: how probable a mirrored picture is.
    """

    def __init__(self, rng: np.random.Generator, *, scale: Range | None, flip: float = 0.0) -> None:
        self.rng = rng
        self.scale = scale
        self.flipped = bool(rng.random() < flip)
        self._box: Box | None = None

    def picture(self, picture: Picture, size: int) -> Picture:
        """A PIL image or (c, h, w) to a square of `size`: bicubic with antialias, as inference has pictures.

        A float tensor may come out a little beyond its former range: bicubic overshoots at edges.
        """
        if self.scale is None:
            square = resize_and_crop(picture, size)
        else:
            square = F.resized_crop(
                picture, *self._place(picture), [size, size], InterpolationMode.BICUBIC, antialias=True
            )
        return F.horizontal_flip(square) if self.flipped else square

    def frame(self, frame: Tensor, *, size: int, crops: int) -> Tensor:
        """(3, h, w) to one square (1, 3, size, size): bilinear without antialias, as inference has frames."""
        if crops != 1:
            raise ValueError(f"a random cut gives 1 crop of a frame, asked for {crops}")
        if self.scale is None:
            square = spatial_crops(frame, size=size, crops=1)
        else:
            square = F.resized_crop(
                frame, *self._place(frame), [size, size], InterpolationMode.BILINEAR, antialias=False
            )[None]
        return F.horizontal_flip(square) if self.flipped else square

    def _place(self, picture: Image.Image | Tensor) -> tuple[int, int, int, int]:
        height, width = F.get_size(picture)
        if self._box is None:
            assert self.scale is not None
            self._box = random_box(self.rng, aspect=width / height, scale=self.scale)
        return pixels_of(self._box, height=height, width=width)
