"""Images that the small decoder generates from held-out scenes of the toy world, judged by a classifier."""

import os
from pathlib import Path

from imagebind.applications.tiny_decoder import DECODER_PATH
from imagebind.evaluation.benchmark import Benchmark, Task
from imagebind.evaluation.generation import Across, GenerationScenes
from imagebind.evaluation.result import Choice
from imagebind.evaluation.toyworld import HELD_OUT_SEED, held_out_world
from imagebind.modality import MediaKind


def read_scenes(
    root: str | os.PathLike[str], *, scenes: int, seed: int, across: Across = "memory", decoder: str = ""
) -> GenerationScenes:
    """Return held-out scenes, which are rendered into the folder unless it has them.

    Args:
        across: see `GenerationScenes`.
        decoder: the file of a decoder, by default that of this package.

    Raises:
        ValueError: an unknown value of `across`.
    """
    rendered = held_out_world(root, scenes=scenes, seed=seed)
    return GenerationScenes(rendered, Path(root), across, Path(decoder) if decoder else DECODER_PATH)


BENCHMARKS = (
    Benchmark(
        name="toyworld-generation",
        title="Toy world, generation",
        task=Task.TOY_WORLD,
        media=MediaKind.IMAGE,
        read=read_scenes,
        options={
            "scenes": Choice(value=512, reason="8 groups of 64 sources"),
            "seed": Choice(value=HELD_OUT_SEED, reason="scenes that no model was trained on"),
            "across": Choice(value="memory", reason="best on these scenes, see the guide"),
        },
        needs="nothing: the scenes are rendered once, about 0.4 GB",
        url="imagebind.toyworld",
        licence="Apache-2.0",
        folder="toyworld-generation",
    ),
)
