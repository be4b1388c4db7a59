"""A classifier of the shape and the colour in images of the toy world, to evaluate generated ones.

It is trained on rendered scenes, never on embeddings or on generated images, when it is first needed.
"""

import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from imagebind.applications.tiny_decoder import IMAGE_PIXELS, shrink
from imagebind.checkpoints.tensors import read_cached, write_cached
from imagebind.evaluation.result import EvaluationError
from imagebind.toyworld.rendered import RENDERER_VERSION, image_renderer
from imagebind.toyworld.scene import ATTRIBUTES, World

JUDGE_NAME = "judge.safetensors"
JUDGE_VERSION = 1  # files of other versions are ignored
JUDGED_ATTRIBUTES = ("shape", "colour")
JUDGE_SCENES, JUDGE_SEED = 4_000, 2  # scenes of neither the training nor the held-out world
JUDGE_EPOCHS, JUDGE_BATCH_SIZE, JUDGE_LR, JUDGE_WEIGHT_DECAY = 8, 50, 3e-3, 0.05
JUDGE_DROPOUT = 0.3
JUDGE_WIDTH = 24  # channels of the first layer
JUDGE_MAX_SHIFT = 4  # pixels, of the random shifts in training


class Judge(nn.Module):
    """A small convolutional network with a head for each attribute of `JUDGED_ATTRIBUTES`."""

    def __init__(self) -> None:
        super().__init__()
        sizes = (3, JUDGE_WIDTH, 2 * JUDGE_WIDTH, 3 * JUDGE_WIDTH, 4 * JUDGE_WIDTH)
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(JUDGE_DROPOUT))
        cells = (IMAGE_PIXELS // 2 ** (len(sizes) - 1)) ** 2
        self.heads = nn.ModuleDict(
            {name: nn.Linear(sizes[-1] * cells, len(ATTRIBUTES[name])) for name in JUDGED_ATTRIBUTES}
        )

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return logits by attribute: (n, 3, 64, 64) from 0 to 1 -> (n, classes)."""
        features = self.body(2 * images - 1)
        return {name: head(features) for name, head in self.heads.items()}

    @torch.no_grad()
    def accuracies(self, images: Tensor, labels: dict[str, Tensor]) -> dict[str, float]:
        """Return the share of images with the right class, by attribute: (n, 3, 64, 64), (n,) each."""
        return {
            name: logits.argmax(dim=1).eq(labels[name]).float().mean().item()
            for name, logits in self(images).items()
        }


def trained_judge(folder: Path, *, scenes: int = JUDGE_SCENES, epochs: int = JUDGE_EPOCHS) -> Judge:
    """Return the judge in a folder; train it on rendered scenes unless it is there.

    Raises:
        EvaluationError: the judge cannot be written.
    """
    path = folder / JUDGE_NAME
    made_by = f"version {JUDGE_VERSION} renderer {RENDERER_VERSION} scenes {scenes} epochs {epochs}"
    judge = Judge()
    if (weights := read_cached(path, made_by)) is not None:
        judge.load_state_dict(weights)
        return judge.eval()
    judge = train_judge(*judge_data(scenes), epochs=epochs)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_cached(path, judge.state_dict(), made_by)
    except OSError as error:
        raise EvaluationError(f"{path}: expected a file that can be written, got {error}") from error
    return judge


def judge_data(scenes: int) -> tuple[Tensor, dict[str, Tensor]]:
    """Return rendered images (n, 3, 64, 64) uint8 and their classes by attribute (n,)."""
    world = World(seed=JUDGE_SEED)
    with image_renderer(world, workers=os.cpu_count() or 1) as render:
        images = torch.cat([shrink(each) for each in render(range(scenes))])
    return images, labels_of(world, scenes)


def labels_of(world: World, scenes: int) -> dict[str, Tensor]:
    """Return the class numbers of the first scenes, by attribute of `JUDGED_ATTRIBUTES`: (n,)."""
    attributes = [world.scene(number).attributes for number in range(scenes)]
    return {
        name: torch.tensor([ATTRIBUTES[name].index(each[name]) for each in attributes])
        for name in JUDGED_ATTRIBUTES
    }


def train_judge(images: Tensor, labels: dict[str, Tensor], *, epochs: int, seed: int = 0) -> Judge:
    """Return a judge trained on images (n, 3, 64, 64) uint8, shifted at random.

    Raises:
        ValueError: fewer images than a batch.
    """
    if len(images) < JUDGE_BATCH_SIZE:
        raise ValueError(f"images: expected at least {JUDGE_BATCH_SIZE}, got {len(images)}")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        judge = Judge()
        rng = np.random.default_rng(seed)
        optimizer = torch.optim.AdamW(judge.parameters(), lr=JUDGE_LR, weight_decay=JUDGE_WEIGHT_DECAY)
        steps = epochs * (len(images) // JUDGE_BATCH_SIZE)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, JUDGE_LR, total_steps=steps)
        for _ in range(epochs):
            order = torch.from_numpy(rng.permutation(len(images)))
            for chosen in order.split(JUDGE_BATCH_SIZE)[: len(images) // JUDGE_BATCH_SIZE]:
                down, right = rng.integers(-JUDGE_MAX_SHIFT, JUDGE_MAX_SHIFT, 2, endpoint=True).tolist()
                batch = torch.roll(images[chosen].float() / 255, (down, right), dims=(2, 3))
                logits = judge(batch)
                loss = sum(F.cross_entropy(logits[name], labels[name][chosen]) for name in JUDGED_ATTRIBUTES)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[union-attr]
                optimizer.step()
                schedule.step()
    return judge.eval()
