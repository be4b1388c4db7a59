"""Benchmarks detection relative to the vision trunk's own rate for the same number of views.

The model is the small one: with a larger one, cutting and resizing windows costs relatively less.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np
import torch
from PIL import Image

from imagebind.applications.dense import similarity_maps
from imagebind.applications.detection import DetectionQuery, detect
from imagebind.benchmark.crawl import world_embedder
from imagebind.benchmark.images import random_image
from imagebind.benchmark.report import Row
from imagebind.benchmark.sizes import Size
from imagebind.benchmark.timing import by_turns, ratios
from imagebind.config import VisionConfig
from imagebind.embedder import BATCH_SIZE
from imagebind.modality import ModalityType

SECTION = "detect"
TARGET_SHARE_OF_TRUNK = 0.85  # of the speed of the trunk alone
MAP_REPEATS = 3  # at most: each takes about a minute on two cores
NUM_BOXES = 16  # boxes whose crops are embedded
TEMPERATURE = 0.07


@dataclass(eq=False)
class ViewCounter:
    """Counts the views of each forward pass of a vision stem, as its forward pre-hook."""

    batches: list[int] = field(default_factory=list)

    def __call__(self, module: Any, arguments: tuple[Any, ...]) -> None:
        self.batches.append(len(arguments[0]))

    def of(self, action: Callable[[], object]) -> list[int]:
        """Return the number of views of each forward pass of an action."""
        self.batches.clear()
        action()
        return list(self.batches)


def measure(size: Size) -> Iterator[Row]:
    """Yield the rate of similarity maps as a share of the trunk's, and the passes over one image's crops."""
    embedder = world_embedder()
    counter = ViewCounter()
    embedder.model.modality_preprocessors[ModalityType.VISION.value].register_forward_pre_hook(counter)
    rng = np.random.default_rng(0)
    query = DetectionQuery(
        name="query",
        vector=_unit(rng, embedder.embed_dim),
        backgrounds=_unit(rng, embedder.embed_dim)[None],
        temperature=TEMPERATURE,
    )
    images = [Image.fromarray(random_image(rng, *size.image_size)) for _ in range(size.mapped_images)]

    def maps() -> None:
        for image in images:
            similarity_maps(embedder, image, query.vector[None])

    views = sum(counter.of(maps))
    sizes = embedder.model.config.trunk(ModalityType.VISION)
    assert isinstance(sizes, VisionConfig)
    inputs = torch.randn(min(views, BATCH_SIZE), 3, sizes.image_size, sizes.image_size)

    def trunk() -> None:
        for start in range(0, views, len(inputs)):
            embedder.forward(ModalityType.VISION, inputs[: views - start]).cpu()

    alone, whole = by_turns([trunk, maps], repeats=min(size.repeats, MAP_REPEATS))
    yield Row(
        section=SECTION,
        name=f"similarity maps of {len(images)} images, {views} windows: speed against the trunk alone",
        value=median(ratios(alone, whole)),
        unit="",
        target=TARGET_SHARE_OF_TRUNK,
        detail=f"{median(whole):.2f} s, trunk {median(alone):.2f} s",
    )
    corners = rng.random((NUM_BOXES, 2, 2)) * np.subtract(images[0].size, 1)
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1) + 1], axis=1)
    crops = counter.of(lambda: detect(embedder, images[0], [query], proposals=boxes, image_quantile=None))
    yield Row(
        section=SECTION,
        name=f"detect in one image, {sum(crops)} crops: forward passes",
        value=len(crops),
        unit="",
        target=1,
        at_most=True,
    )


def _unit(rng: np.random.Generator, width: int) -> np.ndarray:
    vector = rng.standard_normal(width, dtype=np.float32)
    return vector / np.linalg.norm(vector)
