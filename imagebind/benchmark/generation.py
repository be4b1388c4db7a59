"""Benchmarks generating images with the small model: from an embedding, and from an audio file and a text."""

from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import torch

from imagebind.applications.generation import decoder_of, generate
from imagebind.benchmark.report import Row
from imagebind.benchmark.sizes import Size
from imagebind.benchmark.timing import by_turns
from imagebind.checkpoints.factory import TINY
from imagebind.device import CPU
from imagebind.embedder import Embedder
from imagebind.toyworld import World, world_transforms, write_scene

SECTION = "generate"
TARGET_MILLISECONDS = 50.0  # per image
BATCH = 16


def measure(size: Size, folder: Path) -> Iterator[Row]:
    """Yield the milliseconds per image: from an embedding alone, from a batch, and from items."""
    embedder = Embedder(
        TINY, transforms={kind.value: each for kind, each in world_transforms().items()}, device=CPU
    )
    decoder = decoder_of(embedder)
    audio = write_scene(World(seed=0).scene(0), folder)["audio"]
    vector = embedder.encode(audio)
    batch = torch.from_numpy(vector).expand(BATCH, -1)
    query: list[tuple[Any, float]] = [(audio, 0.5), ("a red star", 0.5)]
    actions: dict[str, Callable[[], object]] = {
        "an image of an embedding": lambda: decoder(batch[:1], seeds=[0]),
        f"an image of an embedding, {BATCH} at once": lambda: decoder(batch, seeds=range(BATCH)),
        "an image of an audio file and a text": lambda: generate(embedder, query, decoder=decoder),
    }
    measured = by_turns(list(actions.values()), repeats=max(size.repeats, 3))
    for name, times, count in zip(actions, measured, (1, BATCH, 1), strict=True):
        yield Row(
            section=SECTION,
            name=f"{name}, imagebind_tiny",
            value=1000 * median(times) / count,
            unit="ms",
            target=TARGET_MILLISECONDS,
            at_most=True,
            detail=f"{1000 * min(times) / count:.1f} to {1000 * max(times) / count:.1f} ms",
        )
