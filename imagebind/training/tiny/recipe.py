"""How `imagebind_tiny` comes to be: `imagebind train tiny`, two recipes in a row on the six-sense world.

First the towers, vision and text, learn from captioned stills and clips. Then both are frozen, and audio,
depth, thermal and IMU are aligned to vision, each from pairs with vision alone. That any of them is found by
words, or by one another, is nowhere trained: it emerges, and `figures` measures it. Two variations say
what the figures are worth: with shuffled pairs there is nothing to learn, and with pairs of text instead of
vision nothing has to emerge.
"""

import json
import os
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal

from torch import Tensor

from imagebind.checkpoints.factory import load_model, save_model
from imagebind.config import tiny_config
from imagebind.datasets.pairs import generator
from imagebind.modality import MediaKind, ModalityType
from imagebind.models.model import ImageBindModel
from imagebind.toyworld.captions import caption
from imagebind.toyworld.rendered import Rendered, open_world, render_world
from imagebind.training.journal import LOG_NAME, read_log
from imagebind.training.optimizer import AdamW
from imagebind.training.recipe import PairRecipe, Recipe, Steps, Weights
from imagebind.training.recipes import TEMPERATURE
from imagebind.training.state import MODEL_NAME
from imagebind.training.tiny.figures import WorldFigures, embed_sense, embed_texts
from imagebind.training.tiny.pairs import WorldPairs
from imagebind.training.tiny.waves import start_as_waves
from imagebind.training.tuning import Trunks

Folder = str | os.PathLike[str]
Pairing = Literal["vision", "shuffled", "text"]
PAIRINGS: tuple[Pairing, ...] = ("vision", "shuffled", "text")

SCENES = 14_000
HELD_OUT_SCENES = 1_024
TRAIN_SEED, HELD_OUT_SEED = 0, 1  # of the worlds; a run's own seed is for weights, order and captions
TOWER_STEPS, SENSE_STEPS = 9_000, 4_000
TOWER_BATCH, SENSE_BATCH = 64, 128
TOWER_LR, SENSE_LR = 7e-4, 1e-3
WEIGHT_DECAY = 0.1

LOGGED_EVERY = 50  # steps of a log that is packed
TRAIN_NAME, HELD_OUT_NAME = "train", "held-out"  # folders of the worlds
TOWERS_NAME, SENSES_NAME = "towers", "senses"
TOWERS = (ModalityType.VISION, ModalityType.TEXT)
# What each sense is paired with: a still, or a clip where it shows motion.
SENSES = {
    ModalityType.AUDIO: MediaKind.VIDEO,
    ModalityType.DEPTH: MediaKind.IMAGE,
    ModalityType.THERMAL: MediaKind.IMAGE,
    ModalityType.IMU: MediaKind.VIDEO,
}
CLIP_SHARE = 2.0  # of captioned clips to captioned stills: two frames in one are harder to see
SHAPE_FIRST_TURNS = {MediaKind.IMAGE: 4, MediaKind.VIDEO: 8}  # of 14 and 27
SENSE_WEIGHTS = {
    ModalityType.AUDIO: 2.0,
    ModalityType.DEPTH: 1.0,
    ModalityType.THERMAL: 1.0,
    ModalityType.IMU: 0.7,
}


def towers(world: Folder, *, output: Folder, seed: int = 0, steps: int = TOWER_STEPS) -> Recipe:
    """Vision and text, from nothing, on captioned stills and clips of a rendered world.

    Args:
        world: the folder that `worlds` renders into.
    """
    return Recipe(
        model=partial(start_as_waves_of, TOWERS),
        pairs=tuple(
            PairRecipe(
                name=f"{vision}_text",
                modality=ModalityType.TEXT.value,
                data=partial(_captioned, world, vision, seed),
                temperature=TEMPERATURE,
                weight=CLIP_SHARE if vision is MediaKind.VIDEO else 1.0,
            )
            for vision in SHAPE_FIRST_TURNS
        ),
        optimizer=AdamW(lr=TOWER_LR, weight_decay=WEIGHT_DECAY),
        length=Steps(total=steps, warmup=steps // 30),
        batch_size=TOWER_BATCH,
        precision="bfloat16",
        seed=seed,
        evaluations={"world": partial(_figures, world)},
        output=Path(output) / TOWERS_NAME,
    )


def senses(
    world: Folder, *, output: Folder, seed: int = 0, steps: int = SENSE_STEPS, pairing: Pairing = "vision"
) -> Recipe:
    """The four other senses, against the frozen towers that `towers` left in the same output.

    Args:
        pairing: "vision" is how the model is made; "shuffled" and "text" are what it is held against.
    """
    trained = Path(output) / TOWERS_NAME / MODEL_NAME
    return Recipe(
        model=partial(start_as_waves_of, None),
        weights=(Weights(source=trained, modalities=tuple(each.value for each in TOWERS)),),
        learns=Trunks(modalities=tuple(sense.value for sense in SENSES)),
        pairs=tuple(
            PairRecipe(
                modality=sense.value,
                data=partial(_aligned, world, trained, vision, sense, pairing, seed),
                temperature=TEMPERATURE,
                weight=SENSE_WEIGHTS[sense],
            )
            for sense, vision in SENSES.items()
        ),
        optimizer=AdamW(lr=SENSE_LR, weight_decay=WEIGHT_DECAY),
        length=Steps(total=steps, warmup=steps // 30),
        batch_size=SENSE_BATCH,
        precision="bfloat16",
        seed=seed,
        evaluations={"world": partial(_figures, world)},
        output=Path(output) / (SENSES_NAME if pairing == "vision" else f"{SENSES_NAME}-{pairing}"),
    )


def stages(
    world: Folder, *, output: Folder, seed: int = 0, pairing: Pairing = "vision"
) -> tuple[Recipe, Recipe]:
    """Both recipes, to be run one after the other; variations of the second share the first."""
    return towers(world, output=output, seed=seed), senses(world, output=output, seed=seed, pairing=pairing)


def start_as_waves_of(modalities: tuple[ModalityType, ...] | None) -> ImageBindModel:
    """A new tiny model, or some trunks of it, whose stems start as waves."""
    return start_as_waves(ImageBindModel(tiny_config(), modalities=modalities))


def worlds(
    folder: Folder, *, scenes: int = SCENES, held_out: int = HELD_OUT_SCENES
) -> tuple[Rendered, Rendered]:
    """The world to train on and the combinations never trained on, rendered unless they are there."""
    workers = os.cpu_count() or 1
    return (
        render_world(Path(folder) / TRAIN_NAME, scenes, seed=TRAIN_SEED, workers=workers),
        render_world(
            Path(folder) / HELD_OUT_NAME, held_out, seed=HELD_OUT_SEED, held_out=True, workers=workers
        ),
    )


def pack(output: Folder, folder: Folder) -> Path:
    """Write what `stages` left as the package has it: in half precision, with every 50th step of the log.

    Raises:
        CheckpointError: nothing is there, or it cannot be written.
    """
    output, folder = Path(output), Path(folder)
    save_model(load_model(output / SENSES_NAME / MODEL_NAME).half(), folder)
    kept = [
        {"stage": stage} | record
        for stage in (TOWERS_NAME, SENSES_NAME)
        for record in read_log(output / stage)
        if "evaluation" in record or record["step"] % LOGGED_EVERY == 0
    ]
    (folder / LOG_NAME).write_text("".join(f"{json.dumps(record)}\n" for record in kept), encoding="utf-8")
    return folder


def _captioned(world: Folder, vision: MediaKind, seed: int) -> WorldPairs:
    return WorldPairs(
        open_world(Path(world) / TRAIN_NAME),
        vision,
        ModalityType.TEXT,
        shape_first=SHAPE_FIRST_TURNS[vision],
        seed=seed,
    )


def _aligned(
    world: Folder, towers: Path, vision: MediaKind, sense: ModalityType, pairing: Pairing, seed: int
) -> WorldPairs:
    rendered = open_world(Path(world) / TRAIN_NAME)
    frozen = _spoken(rendered, towers, vision) if pairing == "text" else _seen(rendered, towers, vision)
    return WorldPairs(rendered, vision, sense, embeddings=frozen, shuffled=pairing == "shuffled", seed=seed)


@lru_cache(maxsize=len(SENSES))
def _seen(rendered: Rendered, towers: Path, vision: MediaKind) -> Tensor:
    """What the frozen vision makes of every scene: (n, e)."""
    return embed_sense(load_model(towers, modalities=(ModalityType.VISION,)), rendered, vision)


@lru_cache(maxsize=len(SENSES))
def _spoken(rendered: Rendered, towers: Path, vision: MediaKind) -> Tensor:
    """What the frozen text tower makes of one caption of every scene: (n, e)."""
    model = load_model(towers, modalities=(ModalityType.TEXT,))
    texts = [
        caption(rendered.scene(i), generator(TRAIN_SEED, 0, i), still=vision is MediaKind.IMAGE)
        for i in range(len(rendered))
    ]
    return embed_texts(model, texts)


def _figures(world: Folder, model: ImageBindModel) -> dict[str, float]:
    return WorldFigures(open_world(Path(world) / HELD_OUT_NAME))(model)
