"""The training loop, on one device or on one rank of many.

    from imagebind.training.loop import train
    result = train(recipe)

A single process uses the best available device. Under `torchrun` each process is one rank, and
without dropout and drop path the loss curve equals that of one process with the same batch, up to rounding.
After an interruption at any point the same call resumes from the newest checkpoint in `recipe.output`.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from imagebind.datasets.pairs import PairBatch
from imagebind.losses import world_size
from imagebind.training.data.loading import BrokenTally, LoadedChunks, PairLoader
from imagebind.training.data.mixture import PairMixture, PairSource
from imagebind.training.journal import Journal, check_trackers, last_evaluation
from imagebind.training.optimizer import Schedule
from imagebind.training.random_state import preserved_random_state
from imagebind.training.ranks import rank
from imagebind.training.recipe import PairRecipe, Recipe, RecipeError
from imagebind.training.run import DivergedError as DivergedError
from imagebind.training.run import Run, start_run
from imagebind.training.state import newest_checkpoint

CHECKPOINTS_NAME = "checkpoints"

logger = logging.getLogger(__name__)

Progress = Callable[[int, int, float], None]  # called with the steps done, the total, and the last loss


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """The result of a run: `model` is a folder for `load_model`, `adapter` a folder for peft (LoRA only).

    `broken` has a line for each source with broken pairs on this rank.
    """

    step: int
    model: Path
    adapter: Path | None
    evaluation: Mapping[str, float]
    broken: tuple[str, ...]


def train(recipe: Recipe, *, progress: Progress | None = None) -> TrainResult:
    """Train a recipe, resuming from its newest checkpoint if there is one.

    Call it on every rank; it may be called several times. Ranks stay connected until their process ends.
    `log.jsonl` in the output gets one line per evaluation, and one per step: the loss over all ranks, the
    learning rate, the gradient norm before clipping, and pairs per second including the wait for data.

    Raises:
        RecipeError, ValueError: parts of the recipe do not fit together; raised before training starts, or at
            the first batch of vision embeddings if vision is trainable.
        MissingExtraError: an optional package that this recipe needs is not installed.
        CheckpointError: weights or a checkpoint cannot be read or written, or the checkpoint has another
            recipe or another number of pairs.
        TooManyBrokenPairsError: more pairs are broken than the recipe allows, or all replacements of a pair.
        DivergedError: the loss or the gradient is not finite; the last checkpoint is from before.
        OSError: the log cannot be written.
    """
    check_trackers(recipe.trackers)
    output = Path(recipe.output)
    checkpoint = newest_checkpoint(output / CHECKPOINTS_NAME)
    run = start_run(recipe, checkpoint)
    # Data sets may use random numbers, and torch's DataLoader draws a seed when it starts; a resumed run must
    # continue from the checkpoint's RNG state.
    with preserved_random_state():
        loader = _loader(recipe, run)
        steps_per_epoch = loader.mixture.steps_per_epoch
        schedule = recipe.length.schedule(steps_per_epoch)
        batches: Iterator[LoadedChunks] = loader.chunked(run.step, chunk_size=recipe.chunk_size)
        if run.step < schedule.total_steps:
            batches = chain([next(batches)], batches)
    checkpoint_every = recipe.checkpoint_every or steps_per_epoch
    journal = Journal(output, recipe.trackers, start_step=run.step)
    try:
        while run.step < schedule.total_steps:
            start = time.perf_counter()
            plan, chunks = next(batches)
            loss = _step(run, journal, schedule, recipe.pairs[plan.source], chunks, start)
            if progress is not None:
                progress(run.step, schedule.total_steps, loss)
            is_last = run.step == schedule.total_steps
            if recipe.evaluations and (is_last or run.step % steps_per_epoch == 0):
                journal.evaluation(run.step, _evaluate(run))
            if is_last or run.step % checkpoint_every == 0:
                run.save(output / CHECKPOINTS_NAME)
    finally:
        journal.close()
    model, adapter = run.export(output, output / CHECKPOINTS_NAME)
    return TrainResult(
        step=run.step,
        model=model,
        adapter=adapter,
        evaluation=last_evaluation(output),
        broken=tuple(loader.tally.report()),
    )


def _loader(recipe: Recipe, run: Run) -> PairLoader:
    sources = [
        PairSource(name=pair.name, dataset=pair.data(), weight=pair.weight, repeat=pair.repeat)
        for pair in recipe.pairs
    ]
    for pair, source in zip(recipe.pairs, sources, strict=True):
        if str(source.dataset.modality) != str(pair.modality):
            raise RecipeError(
                f"{pair.name}: data: expected pairs with {pair.modality}, got {source.dataset.modality}"
            )
    run.record_pair_counts({source.name: len(source.dataset) for source in sources})
    mixture = PairMixture(
        sources,
        recipe.batch_size,
        recipe.seed,
        rank=rank(),
        world_size=world_size(),
    )
    return PairLoader(
        mixture,
        num_workers=recipe.num_workers,
        pin_memory=run.device.type == "cuda",
        tally=BrokenTally(max_broken_share=recipe.max_broken_share),
    )


def _step(
    run: Run, journal: Journal, schedule: Schedule, pair: PairRecipe, chunks: list[PairBatch], start: float
) -> float:
    """Make a step, log it, and return its loss; `start` is the time at which its batch was requested."""
    lr = run.recipe.optimizer.lr * schedule.factor(run.step)
    loss, norm = run.update(pair.name, str(pair.modality), [chunk.inputs for chunk in chunks], lr)
    record = {
        "pair": pair.name,
        "loss": loss,
        "lr": lr,
        "grad_norm": norm,
        "samples_per_second": run.recipe.batch_size / (time.perf_counter() - start),
    }
    broken = sum(len(chunk.broken) for chunk in chunks)
    journal.step(run.step, record | ({"broken": broken} if broken else {}))
    return loss


def _evaluate(run: Run) -> dict[str, float]:
    """Return the figures of all evaluations, named `evaluation/figure`; every rank computes them."""
    with run.evaluating() as model:
        return {
            f"{name}/{figure}": float(value)
            for name, evaluation in run.recipe.evaluations.items()
            for figure, value in evaluation(model).items()
        }
