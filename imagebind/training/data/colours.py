"""Image augmentation: RandAugment, colour jitter and random erasing.

timm's and torchvision's operators use the process's global random number generators. They are seeded from the
generator passed in, and restored, so that an image's augmentation depends on that generator only.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from imagebind.training.random_state import NUMPY_SEED_LIMIT, preserved_random_state
from imagebind.transforms.image import IMAGE_MEAN

# RandAugment "9/0.5" (paper), which is timm's notation `rand-m9-mstd0.5-inc1`.
RAND_AUGMENT_MAGNITUDE = 9.0
RAND_AUGMENT_STD = 0.5
FILL_COLOUR = tuple(round(255 * mean) for mean in IMAGE_MEAN)  # for pixels outside the image

COLOUR_JITTER = 0.4  # Source: paper. For brightness, contrast and saturation: factors from 0.6 to 1.4

# Random erasing with timm's ranges; the paper gives the probability.
ERASING_PROBABILITY = 0.25
ERASED_AREA = (0.02, 1 / 3)
ERASED_RATIO = (0.3, 1 / 0.3)


def rand_augment(
    image: Image.Image,
    rng: np.random.Generator,
    *,
    magnitude: float = RAND_AUGMENT_MAGNITUDE,
    std: float = RAND_AUGMENT_STD,
) -> Image.Image:
    """Apply two random operations, each with probability 0.5.

    The strength is normally distributed around `magnitude`, out of 10. Geometric operations are not applied
    to the other side of the pair.
    """
    augment = _rand_augment(magnitude, std)  # before seeding, as importing timm may draw random numbers
    with _seeded_from(rng):
        return augment(image)


def colour_jitter(
    image: Image.Image, rng: np.random.Generator, *, amount: float = COLOUR_JITTER
) -> Image.Image:
    """Change brightness, contrast and saturation by up to `amount` each, in random order."""
    with _seeded_from(rng):
        return v2.ColorJitter(brightness=amount, contrast=amount, saturation=amount)(image)


def random_erasing(
    image: Tensor, rng: np.random.Generator, *, probability: float = ERASING_PROBABILITY
) -> Tensor:
    """Set a random box of a standardised image (c, h, w) to 0, the mean colour, with a given probability."""
    with _seeded_from(rng):
        return v2.RandomErasing(probability, scale=ERASED_AREA, ratio=ERASED_RATIO)(image)


@lru_cache
def _rand_augment(magnitude: float, std: float) -> Callable[[Image.Image], Image.Image]:
    from timm.data.auto_augment import rand_augment_transform  # slow: it imports timm's data sets

    settings = {"magnitude_std": std, "img_mean": FILL_COLOUR, "interpolation": Image.Resampling.BILINEAR}
    transform = rand_augment_transform("rand-inc1", settings)
    for operation in transform.ops:  # timm's notation allows whole magnitudes only
        operation.magnitude = magnitude
    return transform


@contextmanager
def _seeded_from(rng: np.random.Generator) -> Iterator[None]:
    """Seed the generators that operators on the CPU use, and restore them at the end of the block."""
    with preserved_random_state():
        seed = int(rng.integers(NUMPY_SEED_LIMIT))
        random.seed(seed)
        np.random.seed(seed)
        torch.default_generator.manual_seed(seed)  # `torch.manual_seed` would seed GPUs too
        yield
