"""The recipes that come with the library: the paper's four pairs, and LoRA; `training.tiny` has its own.

Each is a function of where the pairs are to a `Recipe`; change one with `dataclasses.replace`, but for its
`seed`, which is of the augmentation too: give it to the function. The four have the numbers of the paper's
Table 9 (arXiv 2305.05665v2): a frozen image tower from open_clip's ViT-H/14, and one trunk that learns. What
the table does not say is ours, and marked.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from imagebind.config import ImageBindConfig, huge_config
from imagebind.datasets.pairs import Pair, PairDataset, PairTransform
from imagebind.modality import ModalityType
from imagebind.training.data.augment import pair_transform
from imagebind.training.optimizer import AdamW
from imagebind.training.recipe import Epochs, OpenClipWeights, PairRecipe, Recipe, Weights
from imagebind.training.tuning import Lora, Trunks

Folder = str | os.PathLike[str]
ReadPairs = Callable[[], Sequence[Pair]]

PAPER_WARMUP_EPOCHS = 2
CHUNK_SIZE = 64  # pairs a forward pass: a few GB of activations at these sizes. Ours
NUM_WORKERS = 8  # ours
TEMPERATURE = 0.07  # where CLIP's starts; for pairs that the paper has no number for
OPEN_CLIP_NORM_EPS = 1e-5


@dataclass(frozen=True, kw_only=True)
class Row:
    """A column of Table 9."""

    lr: float
    weight_decay: float
    batch_size: int
    clip_grad_norm: float
    epochs: float
    repeat: float
    drop_path_rate: float
    temperature: float


TABLE_9 = {
    ModalityType.AUDIO: Row(
        lr=1.6e-3,
        weight_decay=0.2,
        batch_size=2048,
        clip_grad_norm=1.0,
        epochs=64,
        repeat=1.25,
        drop_path_rate=0.1,
        temperature=0.05,
    ),
    ModalityType.DEPTH: Row(
        lr=1.6e-3,
        weight_decay=0.2,
        batch_size=512,
        clip_grad_norm=1.0,
        epochs=64,
        repeat=50,
        drop_path_rate=0.0,
        temperature=0.2,
    ),
    ModalityType.THERMAL: Row(
        lr=5e-4,
        weight_decay=0.05,
        batch_size=512,
        clip_grad_norm=5.0,
        epochs=64,
        repeat=25,  # the paper's text says 50
        drop_path_rate=0.0,
        temperature=0.1,
    ),
    ModalityType.IMU: Row(
        lr=5e-4,
        weight_decay=0.5,
        batch_size=512,
        clip_grad_norm=1.0,
        epochs=8,
        repeat=1,
        drop_path_rate=0.7,
        temperature=0.2,
    ),
}


def audio(pairs: ReadPairs, *, output: Folder, seed: int = 0) -> Recipe:
    """Video and sound, as on AudioSet."""
    return _paper(ModalityType.AUDIO, pairs, output, seed)


def depth(pairs: ReadPairs, *, output: Folder, seed: int = 0) -> Recipe:
    """Pictures and depth, as on SUN RGB-D."""
    return _paper(ModalityType.DEPTH, pairs, output, seed)


def thermal(pairs: ReadPairs, *, output: Folder, seed: int = 0) -> Recipe:
    """Pictures and heat, as on LLVIP."""
    return _paper(ModalityType.THERMAL, pairs, output, seed)


def imu(pairs: ReadPairs, *, output: Folder, seed: int = 0) -> Recipe:
    """Video and motion, as on Ego4D."""
    return _paper(ModalityType.IMU, pairs, output, seed)


def lora(
    modality: ModalityType | str,
    pairs: ReadPairs,
    *,
    output: Folder,
    weights: Folder | None = None,
    seed: int = 0,
) -> Recipe:
    """The released model, or other weights of its sizes, tuned to pairs of your own by LoRA.

    Vision is frozen, so that the other modalities stay aligned to it. The numbers are ours.
    """
    modality = ModalityType(modality)
    temperature = TABLE_9[modality].temperature if modality in TABLE_9 else TEMPERATURE
    return Recipe(
        model=_trunks_of(huge_config(), ModalityType.VISION, modality),
        weights=(Weights(source=weights),),
        learns=Lora(modalities=(modality.value,)),
        pairs=(
            PairRecipe(
                modality=modality.value,
                data=partial(_data, pairs, pair_transform(modality), seed),
                temperature=temperature,
            ),
        ),
        optimizer=AdamW(lr=1e-4),
        length=Epochs(total=10, warmup=0.5),
        batch_size=64,
        precision="bfloat16",
        seed=seed,
        num_workers=NUM_WORKERS,
        output=output,
    )


def _paper(modality: ModalityType, pairs: ReadPairs, output: Folder, seed: int) -> Recipe:
    row = TABLE_9[modality]
    sizes = _trunks_of(huge_config(), ModalityType.VISION, modality).to_dict()
    sizes[modality]["drop_path_rate"] = row.drop_path_rate
    sizes[ModalityType.VISION]["norm_eps"] = OPEN_CLIP_NORM_EPS
    return Recipe(
        model=ImageBindConfig.from_dict(sizes),
        weights=(OpenClipWeights(),),
        learns=Trunks(modalities=(modality.value,)),
        pairs=(
            PairRecipe(
                modality=modality.value,
                data=partial(_data, pairs, pair_transform(modality), seed),
                temperature=row.temperature,
                repeat=row.repeat,
            ),
        ),
        optimizer=AdamW(lr=row.lr, weight_decay=row.weight_decay, clip_grad_norm=row.clip_grad_norm),
        length=Epochs(total=row.epochs, warmup=PAPER_WARMUP_EPOCHS),
        batch_size=row.batch_size,
        chunk_size=CHUNK_SIZE,
        precision="bfloat16",
        seed=seed,
        num_workers=NUM_WORKERS,
        output=output,
    )


def _trunks_of(config: ImageBindConfig, *modalities: ModalityType) -> ImageBindConfig:
    """The same sizes, with these trunks alone."""
    others = {modality.value: None for modality in config.modalities if modality not in modalities}
    return replace(config, **others)  # type: ignore[arg-type]


def _data(pairs: ReadPairs, transform: PairTransform, seed: int) -> PairDataset:
    return PairDataset(pairs(), transform, seed=seed)
