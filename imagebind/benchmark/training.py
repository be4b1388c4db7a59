"""Benchmarks training with audio: speed relative to `nn.Linear`, memory by batch size, waiting for data."""

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch

from imagebind.benchmark.forward import Trial, flops, try_trunk
from imagebind.benchmark.report import GIGABYTE, Row
from imagebind.benchmark.sizes import Size
from imagebind.benchmark.timing import in_fresh_process, seconds
from imagebind.config import ImageBindConfig
from imagebind.datasets.pairs import Pair, PairDataset
from imagebind.modality import ModalityType
from imagebind.models.model import ImageBindModel
from imagebind.toyworld import read_manifest, write_world
from imagebind.training.data.augment import AlignedAudio
from imagebind.training.data.loading import PairLoader
from imagebind.training.data.mixture import PairMixture, Pairs, PairSource
from imagebind.training.frozen_vision import embed_vision
from imagebind.training.optimizer import AdamW
from imagebind.training.recipe import PairRecipe, Recipe, Steps
from imagebind.training.run import Run, start_run
from imagebind.training.tuning import Trunks

SECTION = "training"
TARGET_BUSY_SHARE = 0.9  # of the time, not spent waiting for data
TARGET_MEMORY_RATIO = 1.1
# Linux's allocator unpredictably keeps freed memory, up to half a gigabyte; this makes it return memory.
MALLOC_ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": str(128 * 1024)}
BATCH_GROWTH = 8  # times the batch, for the same memory
# Matrix products of a step for each one of the forward pass: training adds two in the backward pass.
TRAINED_PRODUCTS, FROZEN_PRODUCTS = 3, 1
LEARNING_RATE = 1e-4
TEMPERATURE = 0.05


class Timed(NamedTuple):
    """Seconds of each step, and of waiting for its batch."""

    working: list[float]
    waiting: list[float]

    @property
    def busy(self) -> float:
        return sum(self.working) / (sum(self.working) + sum(self.waiting))


def measure(size: Size, folder: Path) -> Iterator[Row]:
    """Train audio with frozen vision that is computed in every step, and with precomputed embeddings."""
    manifest = write_world(folder / "world", 2 * size.batch, seed=0)
    transform = AlignedAudio()
    pairs = [_pair(entry["index"], **entry["files"]) for entry in read_manifest(manifest)]
    audio = try_trunk(size, ModalityType.AUDIO, torch.float32)
    vision = try_trunk(size, ModalityType.VISION, torch.float32)
    products = {vision: FROZEN_PRODUCTS, audio: TRAINED_PRODUCTS}
    yield from _rows(size, folder, PairDataset(pairs, transform), products)
    shallow = ImageBindModel(two_trunks(size, vision_blocks=1))  # its depth does not affect the steps
    embedded = embed_vision(pairs, transform, shallow)
    yield from _rows(size, folder, PairDataset(embedded, transform), {audio: TRAINED_PRODUCTS})
    yield _memory(size)


def _pair(number: int, *, video: Path, audio: Path, **others: Path) -> Pair:
    return Pair(vision=video, other={"audio": audio}, modality=ModalityType.AUDIO, name=f"scene {number}")


def two_trunks(size: Size, *, vision_blocks: int | None = None) -> ImageBindConfig:
    """Return a configuration with vision and audio, and optionally fewer blocks of vision."""
    vision, audio = size.config.vision, size.config.audio
    assert vision is not None and audio is not None
    blocks = vision.num_blocks if vision_blocks is None else vision_blocks
    return ImageBindConfig(
        embed_dim=size.config.embed_dim, vision=replace(vision, num_blocks=blocks), audio=audio
    )


def _rows(size: Size, folder: Path, dataset: Pairs, trials: dict[Trial, int]) -> Iterator[Row]:
    cached = len(trials) == 1
    recipe = Recipe(
        model=two_trunks(size, vision_blocks=1 if cached else None),
        learns=Trunks(modalities=(ModalityType.AUDIO.value,)),
        pairs=(PairRecipe(modality=ModalityType.AUDIO.value, data=lambda: dataset, temperature=TEMPERATURE),),
        optimizer=AdamW(lr=LEARNING_RATE),
        length=Steps(total=size.repeats),
        batch_size=size.batch,
        output=folder,  # nothing is written, since only steps are run
    )
    before = _linear_seconds(trials)
    timed = _steps(start_run(recipe, None), dataset, size)
    linear = (before + _linear_seconds(trials)) / 2
    read = "WAV files" if cached else "video and WAV files"
    name = f"audio and frozen vision{' embedded beforehand' if cached else ''}, float32, batch {size.batch}"
    step = median(timed.working)
    yield Row(
        section=SECTION,
        name=f"{name}: speed without the wait for data",
        value=size.batch / step,
        unit="pairs/s",
        detail=f"{step:.2f} s a step",
    )
    yield Row(
        section=SECTION,
        name=f"{name}: share of nn.Linear's rate",
        value=linear / step,
        unit="",
        detail=f"the same operations at that rate take {linear:.2f} s",
    )
    yield Row(
        section=SECTION,
        name=f"{name}: share of the time not spent waiting for data from {read}",
        value=timed.busy,
        unit="",
        target=TARGET_BUSY_SHARE,
        detail=f"waited {median(timed.waiting) * 1000:.1f} ms a step, 1 process reading",
    )


def _steps(run: Run, dataset: Pairs, size: Size) -> Timed:
    """Run and time steps, after two warm-up steps."""
    source = PairSource(name=ModalityType.AUDIO.value, dataset=dataset)
    # Only one batch is read ahead, so batches read during the warm-up speed up at most one later step.
    loader = PairLoader(
        PairMixture([source], batch_size=size.batch, seed=0), num_workers=1, prefetch_factor=1
    )
    working, waiting = [], []
    requested = time.perf_counter()
    for _, batch in islice(loader.batches(), size.repeats + 2):
        waiting.append(time.perf_counter() - requested)
        update = partial(run.update, source.name, ModalityType.AUDIO.value, batch.inputs, LEARNING_RATE)
        working.append(seconds(update))
        requested = time.perf_counter()
    return Timed(working[2:], waiting[2:])


def _linear_seconds(trials: dict[Trial, int]) -> float:
    """Return the seconds of a step's matrix products at the rate of `nn.Linear` at each trunk's shapes."""
    total = 0.0
    with torch.inference_mode():
        for trial, times in trials.items():
            trial.run_linears()
            part = len(trial.trunk.blocks) / trial.blocks
            learned_key = trial.modality is not ModalityType.VISION
            weight_flops, attention_flops = flops(trial.tokens.shape, trial.blocks, learned_key=learned_key)
            passes = [seconds(trial.run_linears) for _ in range(3)]
            total += times * median(passes) / part * (weight_flops + attention_flops) / weight_flops
    return total


def _memory(size: Size) -> Row:
    smaller = 2 * size.batch  # two chunks: gradients exist before the backward pass of the last one
    small, large = (
        in_fresh_process("gradient_cache", size.name, str(batch), environment=MALLOC_ENVIRONMENT)["peak"]
        for batch in (smaller, BATCH_GROWTH * smaller)
    )
    batches = f"{BATCH_GROWTH * smaller} over that of {smaller}"
    return Row(
        section=SECTION,
        name=f"gradient caching, audio, float32: peak memory of a batch of {batches}",
        value=large / small,
        unit="x",
        target=TARGET_MEMORY_RATIO,
        at_most=True,
        detail=f"{small / GIGABYTE:.2f} GB, then {large / GIGABYTE:.2f}, {size.batch} pairs a chunk",
    )
