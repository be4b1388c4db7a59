"""The two recipes that train `imagebind_tiny` on the toy world, one after the other: `imagebind train tiny`.

First the vision and text towers are trained on captioned images and videos. Then both are frozen, and audio,
depth, thermal and IMU are aligned to vision, each with pairs of vision only. Retrieval between them and text,
or between each other, is not trained: it emerges, and `evaluation.toyworld` measures it. Two controls show
how much emerges: with shuffled pairs nothing can be learned, and with pairs of text instead of vision,
retrieval by text is trained directly.
"""

import os
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal

from torch import Tensor

from imagebind.checkpoints.factory import load_model
from imagebind.config import tiny_config
from imagebind.datasets.pairs import generator
from imagebind.evaluation.toyworld import (
    HELD_OUT_SCENES,
    WorldFigures,
    embed_scenes,
    embed_texts,
    held_out_world,
)
from imagebind.modality import MediaKind, ModalityType
from imagebind.models.model import ImageBindModel
from imagebind.toyworld.captions import caption
from imagebind.toyworld.rendered import Rendered, open_world, render_world
from imagebind.training.optimizer import AdamW
from imagebind.training.recipe import PairRecipe, Recipe, Steps, Weights
from imagebind.training.recipes import TEMPERATURE
from imagebind.training.state import MODEL_NAME
from imagebind.training.tiny.pairs import WorldPairs
from imagebind.training.tiny.waves import initialise_as_waves
from imagebind.training.tuning import Trunks

Folder = str | os.PathLike[str]
Pairing = Literal["vision", "shuffled", "text"]
PAIRINGS: tuple[Pairing, ...] = ("vision", "shuffled", "text")

SCENES = 14_000
TRAIN_SEED = 0  # of the world; a run's own seed sets weights, order, captions and augmentation
TOWER_STEPS, ALIGN_STEPS = 9_000, 4_000
TOWER_BATCH_SIZE, ALIGN_BATCH_SIZE = 64, 128
TOWER_LR, ALIGN_LR = 7e-4, 1e-3
WEIGHT_DECAY = 0.1

TRAIN_NAME, HELD_OUT_NAME = "train", "held-out"  # folders of the worlds
TOWERS_NAME, ALIGNED_NAME = "towers", "senses"
TOWERS = (ModalityType.VISION, ModalityType.TEXT)
# The vision that each modality is paired with: video if the modality shows motion, otherwise image.
PAIRED_VISION = {
    ModalityType.AUDIO: MediaKind.VIDEO,
    ModalityType.DEPTH: MediaKind.IMAGE,
    ModalityType.THERMAL: MediaKind.IMAGE,
    ModalityType.IMU: MediaKind.VIDEO,
}
VIDEO_WEIGHT = 2.0  # of captioned videos relative to images, since videos are harder to recognise
SHAPE_FIRST_TURNS = {MediaKind.IMAGE: 4, MediaKind.VIDEO: 8}  # of about 14 and 27 in a run
ALIGN_WEIGHTS = {
    ModalityType.AUDIO: 2.0,
    ModalityType.DEPTH: 1.0,
    ModalityType.THERMAL: 1.0,
    ModalityType.IMU: 0.7,
}


def towers(world: Folder, *, output: Folder, seed: int = 0, steps: int = TOWER_STEPS) -> Recipe:
    """Return the recipe that trains vision and text from scratch on captioned images and videos.

    Args:
        world: the folder that `worlds` renders into.
    """
    return Recipe(
        model=partial(new_tiny_model, TOWERS),
        pairs=tuple(
            PairRecipe(
                name=f"{vision}_text",
                modality=ModalityType.TEXT.value,
                data=partial(_captioned, world, vision, seed),
                temperature=TEMPERATURE,
                weight=VIDEO_WEIGHT if vision is MediaKind.VIDEO else 1.0,
            )
            for vision in SHAPE_FIRST_TURNS
        ),
        optimizer=AdamW(lr=TOWER_LR, weight_decay=WEIGHT_DECAY),
        length=Steps(total=steps, warmup=steps // 30),
        batch_size=TOWER_BATCH_SIZE,
        precision="bfloat16",
        seed=seed,
        evaluations={"world": partial(_figures, world)},
        output=Path(output) / TOWERS_NAME,
    )


def alignment(
    world: Folder, *, output: Folder, seed: int = 0, steps: int = ALIGN_STEPS, pairing: Pairing = "vision"
) -> Recipe:
    """Return the recipe that aligns the four other modalities to the frozen towers of `towers`.

    Args:
        output: the output folder of `towers`.
        pairing: "vision" trains the model; "shuffled" and "text" are controls.
    """
    trained = Path(output) / TOWERS_NAME / MODEL_NAME
    return Recipe(
        model=partial(new_tiny_model, None),
        weights=(Weights(source=trained, modalities=tuple(each.value for each in TOWERS)),),
        learns=Trunks(modalities=tuple(modality.value for modality in PAIRED_VISION)),
        pairs=tuple(
            PairRecipe(
                modality=modality.value,
                data=partial(_aligned, world, trained, vision, modality, pairing, seed),
                temperature=TEMPERATURE,
                weight=ALIGN_WEIGHTS[modality],
            )
            for modality, vision in PAIRED_VISION.items()
        ),
        optimizer=AdamW(lr=ALIGN_LR, weight_decay=WEIGHT_DECAY),
        length=Steps(total=steps, warmup=steps // 30),
        batch_size=ALIGN_BATCH_SIZE,
        precision="bfloat16",
        seed=seed,
        evaluations={"world": partial(_figures, world)},
        output=Path(output) / (ALIGNED_NAME if pairing == "vision" else f"{ALIGNED_NAME}-{pairing}"),
    )


def stages(
    world: Folder, *, output: Folder, seed: int = 0, pairing: Pairing = "vision"
) -> tuple[Recipe, Recipe]:
    """Return both recipes, to be run one after the other; the controls share the first recipe's run."""
    aligned = alignment(world, output=output, seed=seed, pairing=pairing)
    return towers(world, output=output, seed=seed), aligned


def new_tiny_model(modalities: tuple[ModalityType, ...] | None) -> ImageBindModel:
    """Return a new tiny model, or some of its trunks, whose stems are initialised as waves."""
    return initialise_as_waves(ImageBindModel(tiny_config(), modalities=modalities))


def worlds(
    folder: Folder, *, scenes: int = SCENES, held_out: int = HELD_OUT_SCENES
) -> tuple[Rendered, Rendered]:
    """Return the training world and the held-out world; render them unless the files exist."""
    workers = os.cpu_count() or 1
    return (
        render_world(Path(folder) / TRAIN_NAME, scenes, seed=TRAIN_SEED, workers=workers),
        held_out_world(Path(folder) / HELD_OUT_NAME, scenes=held_out),
    )


def _captioned(world: Folder, vision: MediaKind, seed: int) -> WorldPairs:
    return WorldPairs(
        open_world(Path(world) / TRAIN_NAME),
        vision,
        ModalityType.TEXT,
        shape_first=SHAPE_FIRST_TURNS[vision],
        seed=seed,
    )


def _aligned(
    world: Folder, towers: Path, vision: MediaKind, modality: ModalityType, pairing: Pairing, seed: int
) -> WorldPairs:
    rendered = open_world(Path(world) / TRAIN_NAME)
    frozen = (
        _embedded_captions(rendered, towers, vision)
        if pairing == "text"
        else _embedded_vision(rendered, towers, vision)
    )
    return WorldPairs(
        rendered, vision, modality, embeddings=frozen, shuffled=pairing == "shuffled", seed=seed
    )


@lru_cache(maxsize=len(PAIRED_VISION))
def _embedded_vision(rendered: Rendered, towers: Path, vision: MediaKind) -> Tensor:
    """Embed the vision of every scene with the frozen tower: (n, e)."""
    return embed_scenes(load_model(towers, modalities=(ModalityType.VISION,)), rendered, vision)


@lru_cache(maxsize=len(PAIRED_VISION))
def _embedded_captions(rendered: Rendered, towers: Path, vision: MediaKind) -> Tensor:
    """Embed one caption of every scene with the frozen text tower: (n, e)."""
    model = load_model(towers, modalities=(ModalityType.TEXT,))
    texts = [
        caption(rendered.scene(i), generator(TRAIN_SEED, 0, i), still=vision is MediaKind.IMAGE)
        for i in range(len(rendered))
    ]
    return embed_texts(model, texts)


def _figures(world: Folder, model: ImageBindModel) -> dict[str, float]:
    return WorldFigures(open_world(Path(world) / HELD_OUT_NAME))(model)
