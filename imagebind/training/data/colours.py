"""Image augmentation: RandAugment, colour jitter and random erasing.

Implemented here on Pillow because the usual implementations use the process's global random number
generators. Here an image's augmentation depends only on the generator passed in.
"""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from imagebind.transforms.image import IMAGE_MEAN

# RandAugment "9/0.5" (paper), which is timm's notation `rand-m9-mstd0.5-inc1`; the ranges are timm's.
MAGNITUDE = 9.0
MAGNITUDE_STD = 0.5
TOP_MAGNITUDE = 10.0
OPERATIONS_PER_IMAGE = 2
SKIP_PROBABILITY = 0.5  # of each operation
MAX_DEGREES = 30.0
MAX_SHEAR = 0.3
MAX_SHIFT = 0.45  # fraction of the side
MAX_ENHANCE = 0.9  # factors from 0.1 to 1.9
MAX_SOLARIZE_ADD = 110
MIN_POSTERIZE_BITS, MAX_POSTERIZE_BITS = 0, 4  # a channel keeps 4 bits at magnitude 0
FILL_COLOUR = tuple(round(255 * mean) for mean in IMAGE_MEAN)  # for pixels outside the image

JITTER = 0.4  # Source: paper. For brightness, contrast and saturation: factors from 0.6 to 1.4

# Random erasing with the ranges of torchvision and timm; the paper gives the probability.
ERASING = 0.25
ERASED_AREA = (0.02, 1 / 3)
ERASED_RATIO = (0.3, 1 / 0.3)
ERASING_TRIES = 10

Operation = Callable[[Image.Image, float, float], Image.Image]  # image, strength in [0, 1], sign


def rand_augment(
    image: Image.Image,
    rng: np.random.Generator,
    *,
    magnitude: float = MAGNITUDE,
    std: float = MAGNITUDE_STD,
) -> Image.Image:
    """Apply two random operations of `OPERATION_TABLE`, each with probability 0.5.

    The strength is normally distributed around `magnitude` of 10. Geometric operations are not applied to the
    other side of the pair.
    """
    for name in rng.choice(sorted(OPERATION_TABLE), size=OPERATIONS_PER_IMAGE):
        skip_draw, strength, sign = rng.random(), rng.normal(magnitude, std), rng.choice([-1.0, 1.0])
        if skip_draw >= SKIP_PROBABILITY:
            strength = float(np.clip(strength, 0, TOP_MAGNITUDE)) / TOP_MAGNITUDE
            image = OPERATION_TABLE[name](image, strength, float(sign))
    return image


def colour_jitter(image: Image.Image, rng: np.random.Generator, *, amount: float = JITTER) -> Image.Image:
    """Change brightness, contrast and saturation by up to `amount` each, in random order."""
    for index in rng.permutation(3):
        enhance = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)[index]
        image = enhance(image).enhance(rng.uniform(max(1 - amount, 0), 1 + amount))
    return image


def random_erasing(image: Tensor, rng: np.random.Generator, *, probability: float = ERASING) -> Tensor:
    """Set a random box of a standardised image (c, h, w) to 0, the mean colour, with some probability."""
    if rng.random() >= probability:
        return image
    height, width = image.shape[-2:]
    for _ in range(ERASING_TRIES):
        area = rng.uniform(*ERASED_AREA) * height * width
        ratio = math.exp(rng.uniform(*np.log(ERASED_RATIO)))
        high, wide = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
        if 0 < high < height and 0 < wide < width:
            top, left = int(rng.integers(height - high + 1)), int(rng.integers(width - wide + 1))
            erased = image.clone()
            erased[..., top : top + high, left : left + wide] = 0
            return erased
    return image


def _rotate(image: Image.Image, strength: float, sign: float) -> Image.Image:
    return image.rotate(sign * strength * MAX_DEGREES, Image.Resampling.BILINEAR, fillcolor=FILL_COLOUR)


def _shear_or_shift(
    image: Image.Image, strength: float, sign: float, *, index: int, most: float
) -> Image.Image:
    """Set one of the six coefficients of an affine map; a shift is a fraction of the side."""
    coefficients = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    side = {2: image.width, 5: image.height}.get(index, 1)
    coefficients[index] = sign * strength * most * side
    return image.transform(
        image.size, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR, fillcolor=FILL_COLOUR
    )


def _enhance(image: Image.Image, strength: float, sign: float, *, by: type) -> Image.Image:
    return by(image).enhance(1 + sign * strength * MAX_ENHANCE)


def _posterize(image: Image.Image, strength: float, sign: float) -> Image.Image:
    bits = MAX_POSTERIZE_BITS - int(strength * MAX_POSTERIZE_BITS)
    return ImageOps.posterize(image, bits) if bits > MIN_POSTERIZE_BITS else Image.new("RGB", image.size)


def _solarize(image: Image.Image, strength: float, sign: float) -> Image.Image:
    return ImageOps.solarize(image, 256 - int(strength * 256))


def _solarize_add(image: Image.Image, strength: float, sign: float) -> Image.Image:
    """Brighten levels below 128."""
    added = int(strength * MAX_SOLARIZE_ADD)
    return image.point([min(255, level + added) if level < 128 else level for level in range(256)] * 3)


def _ignore_strength(image: Image.Image, strength: float, sign: float, *, change: Callable) -> Image.Image:
    return change(image)


OPERATION_TABLE: dict[str, Operation] = {
    "auto_contrast": partial(_ignore_strength, change=ImageOps.autocontrast),
    "equalize": partial(_ignore_strength, change=ImageOps.equalize),
    "invert": partial(_ignore_strength, change=ImageOps.invert),
    "rotate": _rotate,
    "posterize": _posterize,
    "solarize": _solarize,
    "solarize_add": _solarize_add,
    "colour": partial(_enhance, by=ImageEnhance.Color),
    "contrast": partial(_enhance, by=ImageEnhance.Contrast),
    "brightness": partial(_enhance, by=ImageEnhance.Brightness),
    "sharpness": partial(_enhance, by=ImageEnhance.Sharpness),
    "shear_x": partial(_shear_or_shift, index=1, most=MAX_SHEAR),
    "shear_y": partial(_shear_or_shift, index=3, most=MAX_SHEAR),
    "shift_x": partial(_shear_or_shift, index=2, most=MAX_SHIFT),
    "shift_y": partial(_shear_or_shift, index=5, most=MAX_SHIFT),
}
