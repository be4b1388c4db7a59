"""Describes a training run as typed Python data, checked on creation, before any weights or files are opened.

A recipe file is Python that defines `recipe = Recipe(...)`; `imagebind train recipe.py` runs it.
"""

import os
import runpy
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from imagebind.checks import check_not_negative, check_positive, check_unit_interval, check_whole
from imagebind.config import MAX_LOGIT_SCALE, ImageBindConfig
from imagebind.errors import ImageBindError
from imagebind.io.local_copy import home_path
from imagebind.io.uri import is_uri
from imagebind.modality import ModalityType
from imagebind.models.model import ImageBindModel
from imagebind.training.data.loading import MAX_BROKEN_SHARE
from imagebind.training.data.mixture import Pairs
from imagebind.training.optimizer import AdamW, Schedule
from imagebind.training.tuning import Everything, Learns, trainable_modalities

RECIPE_NAME = "recipe"  # the variable that a recipe file defines
MIN_LEARNED_TEMPERATURE = 1 / MAX_LOGIT_SCALE  # the loss never learns a lower one; see imagebind.losses

Evaluation = Callable[[ImageBindModel], Mapping[str, float]]
Precision = Literal["float32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
Sharding = Literal["ddp", "fsdp2"]
SHARDINGS: tuple[Sharding, ...] = ("ddp", "fsdp2")


class RecipeError(ImageBindError):
    """A file without a valid recipe, or a recipe whose parts do not fit together."""


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Initial weights of some trunks.

    `source` is a source for `checkpoints.loading.resolve`; None is the released checkpoint. `modalities` are
    the ones to load, by default all modalities of the model.
    """

    source: str | os.PathLike[str] | None
    modalities: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class OpenClipWeights:
    """Initial vision and text towers from open_clip: a model name, and a tag of its weights or a file."""

    name: str = "ViT-H-14"
    pretrained: str = "laion2b_s32b_b79k"


@dataclass(frozen=True, kw_only=True)
class PairRecipe:
    """A source of pairs of vision and another modality, and its loss.

    `data` returns the data set, a `PairDataset` or another `mixture.Pairs`; it is called when training
    starts. `weight` is the share of batches, relative to the other sources. `repeat` is how often each sample
    occurs in an epoch. `temperature` divides the similarities; if it is learned, this is its initial value.
    `name` defaults to the modality; set it if several sources have the same modality.
    """

    modality: str
    data: Callable[[], Pairs]
    temperature: float
    name: str = ""
    learn_temperature: bool = False
    weight: float = 1.0
    repeat: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or str(self.modality))
        if not self.name.isidentifier():
            raise ValueError(f"name: expected letters, digits and underscores, got {self.name!r}")
        if self.modality == ModalityType.VISION:
            raise ValueError("modality: expected another modality than vision, got vision")
        if not callable(self.data):
            raise TypeError(
                f"data: expected a function that returns the data set, got {type(self.data).__name__}"
            )
        check_positive(temperature=self.temperature, weight=self.weight, repeat=self.repeat)
        if self.learn_temperature and self.temperature < MIN_LEARNED_TEMPERATURE:
            raise ValueError(
                f"learned temperature: expected at least {MIN_LEARNED_TEMPERATURE}, got {self.temperature}"
            )


@dataclass(frozen=True, kw_only=True)
class Steps:
    """The length of a run in optimiser steps, and its warm-up."""

    total: int
    warmup: int = 0

    def __post_init__(self) -> None:
        check_whole(1, total=self.total)
        check_whole(0, warmup=self.warmup)
        _check_warmup(self.warmup, self.total)

    def schedule(self, steps_per_epoch: int) -> Schedule:
        """Return the schedule; it does not depend on the size of the data."""
        return Schedule(total_steps=self.total, warmup_steps=self.warmup)


@dataclass(frozen=True, kw_only=True)
class Epochs:
    """The length of a run in epochs, which include repeats, and its warm-up."""

    total: float
    warmup: float = 0.0

    def __post_init__(self) -> None:
        check_positive(total=self.total)
        check_not_negative(warmup=self.warmup)
        _check_warmup(self.warmup, self.total)

    def schedule(self, steps_per_epoch: int) -> Schedule:
        """Return the schedule in steps."""
        total = max(1, round(self.total * steps_per_epoch))
        return Schedule(total_steps=total, warmup_steps=min(round(self.warmup * steps_per_epoch), total - 1))


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All settings of a training run.

    Args:
        model: a configuration, or a function that returns a model (or a subclass of it).
        weights: initial weights, loaded one after the other; by default those of the new model.
        learns: the trainable parameters: `Everything`, `Trunks`, `Heads` or `Lora` of `tuning`.
        batch_size: pairs per step, over all ranks together.
        chunk_size: pairs per forward pass on a rank, for batches larger than device memory (gradient
            caching). Host memory holds the whole batch; workers read at least one more ahead.
        precision: "bfloat16" runs the model under autocast; the loss stays in float32.
        grad_checkpointing: recompute the activations of blocks in the backward pass instead of keeping them.
        sharding: with several ranks: "ddp" keeps a whole model on each rank, "fsdp2" splits it.
        evaluations: by name, functions from a model to figures, called after each epoch and at the end.
        checkpoint_every: steps between checkpoints, by default an epoch; the last `keep_checkpoints` are
            kept.
        max_broken_share: the largest allowed share of broken pairs per source; above it the run stops.
        trackers: "tensorboard", "wandb".
        output: the folder of checkpoints, logs and the final model; a run resumes from what is in it.
    """

    model: ImageBindConfig | Callable[[], ImageBindModel]
    pairs: tuple[PairRecipe, ...]
    optimizer: AdamW
    length: Steps | Epochs
    batch_size: int
    output: str | os.PathLike[str]
    weights: tuple[Weights | OpenClipWeights, ...] = ()
    learns: Learns = field(default_factory=Everything)
    chunk_size: int | None = None
    precision: Precision = "float32"
    grad_checkpointing: bool = False
    sharding: Sharding = "ddp"
    seed: int = 0
    num_workers: int = 0
    evaluations: Mapping[str, Evaluation] = field(default_factory=dict)
    checkpoint_every: int | None = None
    keep_checkpoints: int = 2
    max_broken_share: float = MAX_BROKEN_SHARE
    trackers: tuple[str, ...] = ("tensorboard",)

    def __post_init__(self) -> None:
        _check_tuples(pairs=self.pairs, weights=self.weights, trackers=self.trackers)
        names = [pair.name for pair in self.pairs]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"pairs: expected at least one, each with a different name, got {names}")
        check_whole(1, batch_size=self.batch_size, keep_checkpoints=self.keep_checkpoints)
        for name in ("chunk_size", "checkpoint_every"):
            if getattr(self, name) is not None:
                check_whole(1, **{name: getattr(self, name)})
        _check_choice("precision", self.precision, PRECISIONS)
        _check_choice("sharding", self.sharding, SHARDINGS)
        check_whole(0, num_workers=self.num_workers, seed=self.seed)
        check_unit_interval(max_broken_share=self.max_broken_share)
        if isinstance(self.model, ImageBindConfig):
            ImageBindConfig.from_dict(self.model.to_dict())  # it checks all sizes
            self.check_modalities(map(str, self.model.modalities))

    def check_modalities(self, modalities: Iterable[str]) -> None:
        """Check the pairs against the modalities of a model.

        Raises:
            ValueError: the model lacks a paired or selected modality, or a selected one has no pairs.
        """
        known = tuple(modalities)
        paired = {str(ModalityType.VISION), *(str(pair.modality) for pair in self.pairs)}
        unknown = sorted(paired - set(known))
        if unknown:
            raise ValueError(f"pairs: expected modalities of the model ({', '.join(known)}), got {unknown}")
        idle = [name for name in trainable_modalities(self.learns, known) if name not in paired]
        if idle and not isinstance(self.learns, Everything):
            raise ValueError(
                f"pairs: expected some for each trainable modality, got none for {', '.join(idle)}"
            )

    def identity(self) -> dict[str, str]:
        """Return the settings, by name, in which a resumed run must equal the interrupted one."""
        names = ("learns", "optimizer", "length", "batch_size", "precision", "seed")
        pairs = [
            (p.name, str(p.modality), p.temperature, p.learn_temperature, p.weight, p.repeat)
            for p in self.pairs
        ]
        model = {"model": repr(self.model)} if isinstance(self.model, ImageBindConfig) else {}
        computed = {
            "pairs": repr(pairs),
            "weights": repr(self.weights),
            # The same weights by absolute path: a resumed run needs to match one of the two entries.
            "located": repr(tuple(map(_with_absolute_path, self.weights))),
        }
        return {name: repr(getattr(self, name)) for name in names} | computed | model


def load_recipe(path: str | os.PathLike[str]) -> Recipe:
    """Run a recipe file, and return its `recipe`.

    Raises:
        RecipeError: the file does not exist, raises an error (names the line), or defines no `Recipe` as
            `recipe`.
    """
    path = Path(path)
    if not path.is_file():
        raise RecipeError(
            f"{path}: no such file; it should be Python that defines {RECIPE_NAME} = Recipe(...)"
        )
    try:
        names = runpy.run_path(str(path), run_name=path.stem)
    except Exception as error:
        raise RecipeError(f"{_where(path, error)}: {error or type(error).__name__}") from error
    if not isinstance(names.get(RECIPE_NAME), Recipe):
        got = type(names[RECIPE_NAME]).__name__ if RECIPE_NAME in names else "none"
        raise RecipeError(f"{path}: expected {RECIPE_NAME} = Recipe(...), got {got}")
    return names[RECIPE_NAME]


def _with_absolute_path(weights: Weights | OpenClipWeights) -> Weights | OpenClipWeights:
    """Return the weights with the absolute path of their file, if they have one."""
    if isinstance(weights, OpenClipWeights):
        is_file = Path(weights.pretrained).is_file()
        return replace(weights, pretrained=str(Path(weights.pretrained).resolve())) if is_file else weights
    name = weights.source if weights.source is None else os.fspath(weights.source)
    if name is None or is_uri(name):
        return weights
    return replace(weights, source=str(home_path(name).resolve()))


def _where(path: Path, error: Exception) -> str:
    """Return the file, and the line of its innermost frame in the traceback."""
    if isinstance(error, SyntaxError) and error.filename == str(path):  # it has no frame in the file
        return f"{path}:{error.lineno}"
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)
    ]
    return f"{path}:{lines[-1]}" if lines else str(path)


def _check_warmup(warmup: float, total: float) -> None:
    if warmup >= total:
        raise ValueError(f"warmup: expected less than total = {total}, got {warmup}")


def _check_tuples(**values: Any) -> None:
    for name, value in values.items():
        if not isinstance(value, tuple):
            raise TypeError(f"{name}: expected a tuple, got {type(value).__name__}")


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")
