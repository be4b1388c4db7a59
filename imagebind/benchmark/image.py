"""Benchmarks the loader of image files against Pillow and torchvision, one file after the other."""

from collections.abc import Iterator
from pathlib import Path
from statistics import median

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from imagebind import data
from imagebind.benchmark.images import write_images
from imagebind.benchmark.report import Row
from imagebind.benchmark.sizes import Size
from imagebind.benchmark.timing import by_turns, ratios
from imagebind.transforms.image import IMAGE_MEAN, IMAGE_SIZE, IMAGE_STD

SECTION = "image"
TARGET_SPEEDUP = 1.8  # on two cores


def measure(size: Size, folder: Path) -> Iterator[Row]:
    """Alternate `load_and_transform_vision_data` and the plain steps, over JPEG files."""
    paths = write_images(folder / "images", size.images, size.image_size)
    ours, plain = by_turns(
        [lambda: data.load_and_transform_vision_data(paths, "cpu"), lambda: _plainly(paths)],
        repeats=size.repeats,
    )
    yield Row(
        section=SECTION,
        name=f"load {len(paths)} JPEG files of {size.image_size[0]} x {size.image_size[1]}: speed against "
        "Pillow and torchvision, one file after the other",
        value=median(ratios(plain, ours)),
        unit="x",
        target=TARGET_SPEEDUP,
        detail=f"{median(ours):.2f} s against {median(plain):.2f} s",
    )


def _plainly(paths: list[Path]) -> Tensor:
    """Return the same tensors, computed as in published code for CLIP models: (n, 3, 224, 224)."""
    transform = v2.Compose(
        [
            v2.Resize(IMAGE_SIZE, interpolation=v2.InterpolationMode.BICUBIC, antialias=True),
            v2.CenterCrop(IMAGE_SIZE),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(mean=list(IMAGE_MEAN), std=list(IMAGE_STD)),
        ]
    )
    rows = []
    for path in paths:
        with Image.open(path) as image:
            rows.append(transform(image.convert("RGB")))
    return torch.stack(rows)
