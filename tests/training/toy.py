"""A model, data and a recipe so small that a step takes milliseconds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from imagebind.config import ImageBindConfig, OneChannelConfig, TextConfig, VisionConfig
from imagebind.datasets.pairs import BrokenPair, PairSample
from imagebind.modality import ModalityType
from imagebind.training.loop import Progress
from imagebind.training.optimizer import AdamW
from imagebind.training.recipe import PairRecipe, Recipe, Steps

SIDE = 28
VOCABULARY = 64
WIDTH = 32
CLASSES = 8


def toy_config(**options) -> ImageBindConfig:
    """Return sizes of vision, text and depth with two blocks each; deterministic without `options`."""
    depth = OneChannelConfig(
        embed_dim=WIDTH, num_blocks=2, num_heads=2, image_size=SIDE, patch_size=14, drop_path_rate=0.0
    )
    return ImageBindConfig(
        embed_dim=16,
        vision=VisionConfig(embed_dim=WIDTH, num_blocks=2, num_heads=2, image_size=SIDE, patch_size=14),
        text=TextConfig(embed_dim=WIDTH, num_blocks=2, num_heads=2, context_length=6, vocab_size=VOCABULARY),
        depth=replace(depth, **options),
    )


class ToyPairs:
    """A map-style data set of images of 8 patterns with noise, each with a text or a map of its pattern.

    Every modality but text is a map.
    """

    def __init__(self, modality: ModalityType | str, size: int = 64) -> None:
        self.modality = modality
        self.size = size

    def __len__(self) -> int:
        return self.size

    def sample(self, index: int, *, turn: int) -> PairSample | BrokenPair:
        label = index % CLASSES
        pattern = torch.randn(3, SIDE, SIDE, generator=torch.Generator().manual_seed(label))
        generator = torch.Generator().manual_seed(1000 * turn + index)
        vision = pattern + 0.1 * torch.randn(3, SIDE, SIDE, generator=generator)
        if self.modality == ModalityType.TEXT:
            other = torch.tensor([1, 2 + label, 30 + index % 7, VOCABULARY - 1, 0, 0])
        else:
            other = pattern[:1] + 0.1 * torch.randn(1, SIDE, SIDE, generator=generator)
        return PairSample(vision, other, self.modality)


def text_pairs() -> ToyPairs:
    return ToyPairs(ModalityType.TEXT)


def depth_pairs() -> ToyPairs:
    return ToyPairs(ModalityType.DEPTH)


TEXT = PairRecipe(modality="text", data=text_pairs, temperature=0.1)
DEPTH = PairRecipe(modality="depth", data=depth_pairs, temperature=0.2)


def toy_recipe(output: Path, **options) -> Recipe:
    """Return a recipe of 12 steps with 8 pairs of text or depth; `options` replace fields of `Recipe`."""
    defaults = {
        "model": toy_config(),
        "pairs": (TEXT, DEPTH),
        "optimizer": AdamW(lr=3e-3, weight_decay=0.1),
        "length": Steps(total=12, warmup=2),
        "batch_size": 8,
        "output": output,
        "trackers": (),
    }
    return Recipe(**(defaults | options))


class Stop(BaseException):
    """Stops a run as abruptly as a kill: no handler of `Exception` catches it."""


def stop_after(last_step: int) -> Progress:
    """Return a `progress` that stops a run after a step."""

    def stop(step: int, total: int, loss: float) -> None:
        if step == last_step:
            raise Stop

    return stop


def losses_of(records: list[dict]) -> np.ndarray:
    """Return the loss of each step, in the order of the log."""
    return np.array([record["loss"] for record in records if "loss" in record])
