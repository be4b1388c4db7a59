"""Benchmarks detection relative to the vision trunk's own rate over as many views."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np
import torch
from PIL import Image

from imagebind.applications.dense import similarity_maps
from imagebind.applications.detection import DetectionQuery, detect
from imagebind.benchmark.images import random_image
from imagebind.benchmark.report import Row
from imagebind.benchmark.sizes import Size
from imagebind.benchmark.timing import by_turns, ratios
from imagebind.config import VisionConfig
from imagebind.embedder import BATCH_SIZE, Embedder
from imagebind.modality import ModalityType
from imagebind.models.model import ImageBindModel

SECTION = "detect"
TARGET_SHARE_OF_TRUNK = 0.85  # of the speed of the trunk alone
MAX_REPEATS = 3
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
    """Yield the rates of similarity maps and of the crops of one image, as shares of the trunk's."""
    model = ImageBindModel(size.config, modalities=[ModalityType.VISION]).eval()
    embedder = Embedder(model)
    counter = ViewCounter()
    model.modality_preprocessors[ModalityType.VISION.value].register_forward_pre_hook(counter)
    rng = np.random.default_rng(0)
    query = DetectionQuery(
        name="query",
        vector=_unit(rng, embedder.embed_dim),
        backgrounds=_unit(rng, embedder.embed_dim)[None],
        temperature=TEMPERATURE,
    )
    images = [Image.fromarray(random_image(rng, *size.image_size)) for _ in range(size.images)]

    def maps() -> None:
        for image in images:
            similarity_maps(embedder, image, query.vector[None], windows=(1.0,))

    views = sum(counter.of(maps))
    yield _share(
        size, embedder, maps, views, name=f"similarity maps of {len(images)} images, {views} windows"
    )
    image = images[0]
    no_maps = torch.zeros(1, image.height, image.width)
    crops = counter.of(lambda: detect(embedder, image, [query], maps=no_maps))
    yield Row(
        section=SECTION,
        name=f"detect in one image, {sum(crops)} crops: forward passes",
        value=len(crops),
        unit="",
        target=1,
        at_most=True,
    )
    yield _share(
        size,
        embedder,
        lambda: detect(embedder, image, [query], maps=no_maps),
        sum(crops),
        name=f"detect in one image, {sum(crops)} crops",
        target=None,
        batch=sum(crops),
    )


def _unit(rng: np.random.Generator, width: int) -> np.ndarray:
    vector = rng.standard_normal(width, dtype=np.float32)
    return vector / np.linalg.norm(vector)


def _share(
    size: Size,
    embedder: Embedder,
    action: Callable[[], object],
    views: int,
    *,
    name: str,
    target: float | None = TARGET_SHARE_OF_TRUNK,
    batch: int = BATCH_SIZE,
) -> Row:
    sizes = size.config.trunk(ModalityType.VISION)
    assert isinstance(sizes, VisionConfig)
    inputs = torch.randn(min(views, batch), 3, sizes.image_size, sizes.image_size)
    full, rest = divmod(views, len(inputs))

    def trunk() -> None:
        for rows in [inputs] * full + ([inputs[:rest]] if rest else []):
            embedder.forward(ModalityType.VISION, rows).cpu()

    alone, whole = by_turns([trunk, action], repeats=min(size.repeats, MAX_REPEATS))
    return Row(
        section=SECTION,
        name=f"{name}: speed against the vision trunk alone",
        value=median(ratios(alone, whole)),
        unit="",
        target=target,
        detail=f"{median(whole):.2f} s, trunk {median(alone):.2f} s",
    )
