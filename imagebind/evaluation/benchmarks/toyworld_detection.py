"""Detection in toy-world images of several objects, by queries of each modality."""

import os

from imagebind.applications.dense import Features
from imagebind.evaluation.benchmark import Benchmark, Task
from imagebind.evaluation.detection import DetectionGroups
from imagebind.evaluation.result import Choice
from imagebind.modality import MediaKind
from imagebind.toyworld.group import GROUP_PIXELS, THINGS, GroupWorld

GROUPS, SEED = 30, 2


def read_groups(
    root: str | os.PathLike[str],
    *,
    groups: int = GROUPS,
    things: int = THINGS,
    pixels: int = GROUP_PIXELS,
    seed: int = SEED,
    features: Features = "windows",
) -> DetectionGroups:
    """Return groups of objects with held-out combinations of attributes; nothing is read or written."""
    world = GroupWorld(seed=seed, held_out=True, things=things, pixels=pixels)
    return DetectionGroups([world.group(number) for number in range(groups)], features)


BENCHMARKS = (
    Benchmark(
        name="toyworld-detection",
        title="Toy world, detection",
        task=Task.TOY_WORLD,
        media=MediaKind.IMAGE,
        read=read_groups,
        metric="text_pointing",
        options={
            "groups": Choice(value=GROUPS, reason="90 queries of each modality"),
            "things": Choice(value=THINGS, reason="different in shape, colour and motion"),
            "pixels": Choice(value=GROUP_PIXELS, reason="objects have as many pixels as alone in 224 x 224"),
            "seed": Choice(value=SEED, reason="not the images on which the method was chosen"),
            "features": Choice(value="windows", reason="the default of similarity_maps"),
        },
        needs="nothing: the images are rendered",
        url="imagebind.toyworld",
        licence="Apache-2.0",
        folder="toyworld-detection",
    ),
)
