"""What changes a picture's colours and shape in training: RandAugment, colour jitter, random erasing.

Written out on Pillow because the usual ones draw from generators that the whole process shares: here a
picture's augmentation follows from the generator it is given and from nothing else.
"""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from imagebind.transforms.image import IMAGE_MEAN

# RandAugment "9/0.5" (paper): timm's `rand-m9-mstd0.5-inc1` writes it so, and its ranges are the ones below.
MAGNITUDE = 9.0
MAGNITUDE_STD = 0.5
TOP_MAGNITUDE = 10.0
OPERATIONS = 2  # a picture gets; each of them
OPERATION_SHARE = 0.5  # is left out half of the time
MAX_DEGREES = 30.0
MAX_SHEAR = 0.3
MAX_SHIFT = 0.45  # of the side
MAX_ENHANCE = 0.9  # a factor of 0.1 to 1.9
MAX_ADDED = 110
FEWEST_BITS, POSTERIZED_BITS = 0, 4  # a channel keeps 4 bits at magnitude 0
GREY = tuple(round(255 * mean) for mean in IMAGE_MEAN)  # what comes in from outside the picture

JITTER = 0.4  # paper; of brightness, contrast and saturation: factors of 0.6 to 1.4

# Random erasing with torchvision's and timm's ranges; the paper gives the probability.
ERASING = 0.25
ERASED_AREA = (0.02, 1 / 3)
ERASED_RATIO = (0.3, 1 / 0.3)
ERASING_TRIES = 10

Operation = Callable[[Image.Image, float, float], Image.Image]  # picture, strength in [0, 1], sign


def rand_augment(
    picture: Image.Image,
    rng: np.random.Generator,
    *,
    magnitude: float = MAGNITUDE,
    std: float = MAGNITUDE_STD,
) -> Image.Image:
    """Apply two operations drawn from `OPERATION_TABLE`, each half of the time, its strength drawn around
    `magnitude` of 10. Some of them move what is in the picture: what it is paired with is not moved along.
    """
    for name in rng.choice(sorted(OPERATION_TABLE), size=OPERATIONS):
        keep, strength, sign = rng.random(), rng.normal(magnitude, std), rng.choice([-1.0, 1.0])
        if keep >= OPERATION_SHARE:
            strength = float(np.clip(strength, 0, TOP_MAGNITUDE)) / TOP_MAGNITUDE
            picture = OPERATION_TABLE[name](picture, strength, float(sign))
    return picture


def colour_jitter(picture: Image.Image, rng: np.random.Generator, *, amount: float = JITTER) -> Image.Image:
    """Change brightness, contrast and saturation by up to `amount` each, in random order."""
    for place in rng.permutation(3):
        enhance = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)[place]
        picture = enhance(picture).enhance(rng.uniform(max(1 - amount, 0), 1 + amount))
    return picture


def random_erasing(picture: Tensor, rng: np.random.Generator, *, probability: float = ERASING) -> Tensor:
    """With some probability set a box of a standardised picture (c, h, w) to 0, which is the mean colour."""
    if rng.random() >= probability:
        return picture
    height, width = picture.shape[-2:]
    for _ in range(ERASING_TRIES):
        area = rng.uniform(*ERASED_AREA) * height * width
        ratio = math.exp(rng.uniform(*np.log(ERASED_RATIO)))
        high, wide = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
        if 0 < high < height and 0 < wide < width:
            top, left = int(rng.integers(height - high + 1)), int(rng.integers(width - wide + 1))
            erased = picture.clone()
            erased[..., top : top + high, left : left + wide] = 0
            return erased
    return picture


def _rotate(picture: Image.Image, strength: float, sign: float) -> Image.Image:
    return picture.rotate(sign * strength * MAX_DEGREES, Image.Resampling.BILINEAR, fillcolor=GREY)


def _move(picture: Image.Image, strength: float, sign: float, *, place: int, most: float) -> Image.Image:
    """Shear or shift: one of the six numbers of an affine map, a shift in fractions of the side."""
    numbers = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    side = {2: picture.width, 5: picture.height}.get(place, 1)
    numbers[place] = sign * strength * most * side
    return picture.transform(
        picture.size, Image.Transform.AFFINE, numbers, Image.Resampling.BILINEAR, fillcolor=GREY
    )


def _enhance(picture: Image.Image, strength: float, sign: float, *, by: type) -> Image.Image:
    return by(picture).enhance(1 + sign * strength * MAX_ENHANCE)


def _posterize(picture: Image.Image, strength: float, sign: float) -> Image.Image:
    bits = POSTERIZED_BITS - int(strength * POSTERIZED_BITS)
    return ImageOps.posterize(picture, bits) if bits > FEWEST_BITS else Image.new("RGB", picture.size)


def _solarize(picture: Image.Image, strength: float, sign: float) -> Image.Image:
    return ImageOps.solarize(picture, 256 - int(strength * 256))


def _solarize_add(picture: Image.Image, strength: float, sign: float) -> Image.Image:
    """Brighten what is darker than the middle."""
    added = int(strength * MAX_ADDED)
    return picture.point([min(255, level + added) if level < 128 else level for level in range(256)] * 3)


def _always(picture: Image.Image, strength: float, sign: float, *, change: Callable) -> Image.Image:
    return change(picture)


OPERATION_TABLE: dict[str, Operation] = {
    "auto_contrast": partial(_always, change=ImageOps.autocontrast),
    "equalize": partial(_always, change=ImageOps.equalize),
    "invert": partial(_always, change=ImageOps.invert),
    "rotate": _rotate,
    "posterize": _posterize,
    "solarize": _solarize,
    "solarize_add": _solarize_add,
    "colour": partial(_enhance, by=ImageEnhance.Color),
    "contrast": partial(_enhance, by=ImageEnhance.Contrast),
    "brightness": partial(_enhance, by=ImageEnhance.Brightness),
    "sharpness": partial(_enhance, by=ImageEnhance.Sharpness),
    "shear_x": partial(_move, place=1, most=MAX_SHEAR),
    "shear_y": partial(_move, place=3, most=MAX_SHEAR),
    "shift_x": partial(_move, place=2, most=MAX_SHIFT),
    "shift_y": partial(_move, place=5, most=MAX_SHIFT),
}
