"""The library's recipes: the paper's four modalities, and LoRA; `training.tiny` has its own recipes.

Each function takes a function that returns the pairs, and returns a `Recipe`. Change a recipe with
`dataclasses.replace`; but pass `seed` to the function, because the augmentation uses it too. The four have
the settings of the paper's Table 9 (arXiv 2305.05665v2): a frozen image tower from open_clip's ViT-H/14, and
one trainable trunk. Settings that the table lacks are ours.
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
CHUNK_SIZE = 64  # pairs per forward pass: a few GB of activations at these sizes. Source: ours
NUM_WORKERS = 8  # Source: ours
TEMPERATURE = 0.07  # initial value of CLIP's temperature; for pairs for which the paper gives no temperature
OPEN_CLIP_NORM_EPS = 1e-5  # LayerNorm's in open_clip; 1e-6 in the released ImageBind


@dataclass(frozen=True, kw_only=True)
class PaperSettings:
    """The settings of one modality: a column of Table 9."""

    lr: float
    weight_decay: float
    batch_size: int
    clip_grad_norm: float
    epochs: float
    repeat: float
    drop_path_rate: float
    temperature: float


TABLE_9 = {
    ModalityType.AUDIO: PaperSettings(
        lr=1.6e-3,
        weight_decay=0.2,
        batch_size=2048,
        clip_grad_norm=1.0,
        epochs=64,
        repeat=1.25,
        drop_path_rate=0.1,
        temperature=0.05,
    ),
    ModalityType.DEPTH: PaperSettings(
        lr=1.6e-3,
        weight_decay=0.2,
        batch_size=512,
        clip_grad_norm=1.0,
        epochs=64,
        repeat=50,
        drop_path_rate=0.0,
        temperature=0.2,
    ),
    ModalityType.THERMAL: PaperSettings(
        lr=5e-4,
        weight_decay=0.05,
        batch_size=512,
        clip_grad_norm=5.0,
        epochs=64,
        repeat=25,  # the paper's text says 50
        drop_path_rate=0.0,
        temperature=0.1,
    ),
    ModalityType.IMU: PaperSettings(
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
    """Return the paper's recipe for video and audio (AudioSet)."""
    return _paper(ModalityType.AUDIO, pairs, output, seed)


def depth(pairs: ReadPairs, *, output: Folder, seed: int = 0) -> Recipe:
    """Return the paper's recipe for images and depth (SUN RGB-D)."""
    return _paper(ModalityType.DEPTH, pairs, output, seed)


def thermal(pairs: ReadPairs, *, output: Folder, seed: int = 0) -> Recipe:
    """Return the paper's recipe for images and thermal (LLVIP)."""
    return _paper(ModalityType.THERMAL, pairs, output, seed)


def imu(pairs: ReadPairs, *, output: Folder, seed: int = 0) -> Recipe:
    """Return the paper's recipe for video and IMU (Ego4D)."""
    return _paper(ModalityType.IMU, pairs, output, seed)


def lora(
    modality: ModalityType | str,
    pairs: ReadPairs,
    *,
    output: Folder,
    weights: Folder | None = None,
    seed: int = 0,
) -> Recipe:
    """Return a recipe that tunes the released model, or other weights of its sizes, to your pairs with LoRA.

    Vision is frozen, so that the other modalities stay aligned to it. The settings are ours.
    """
    modality = ModalityType(modality)
    temperature = TABLE_9[modality].temperature if modality in TABLE_9 else TEMPERATURE
    return Recipe(
        model=_only_trunks(huge_config(), ModalityType.VISION, modality),
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
    paper = TABLE_9[modality]
    config = _only_trunks(huge_config(), ModalityType.VISION, modality).to_dict()
    config[modality]["drop_path_rate"] = paper.drop_path_rate
    config[ModalityType.VISION]["norm_eps"] = OPEN_CLIP_NORM_EPS
    return Recipe(
        model=ImageBindConfig.from_dict(config),
        weights=(OpenClipWeights(),),
        learns=Trunks(modalities=(modality.value,)),
        pairs=(
            PairRecipe(
                modality=modality.value,
                data=partial(_data, pairs, pair_transform(modality), seed),
                temperature=paper.temperature,
                repeat=paper.repeat,
            ),
        ),
        optimizer=AdamW(lr=paper.lr, weight_decay=paper.weight_decay, clip_grad_norm=paper.clip_grad_norm),
        length=Epochs(total=paper.epochs, warmup=PAPER_WARMUP_EPOCHS),
        batch_size=paper.batch_size,
        chunk_size=CHUNK_SIZE,
        precision="bfloat16",
        seed=seed,
        num_workers=NUM_WORKERS,
        output=output,
    )


def _only_trunks(config: ImageBindConfig, *modalities: ModalityType) -> ImageBindConfig:
    """Return the configuration with only the trunks of the given modalities."""
    others = {modality.value: None for modality in config.modalities if modality not in modalities}
    return replace(config, **others)  # type: ignore[arg-type]


def _data(pairs: ReadPairs, transform: PairTransform, seed: int) -> PairDataset:
    return PairDataset(pairs(), transform, seed=seed)
