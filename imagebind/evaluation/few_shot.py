"""Few-shot classification: a linear classifier on the embeddings of k examples of each class."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from imagebind import __version__
from imagebind.datasets.labelled import LabelledSet
from imagebind.embedder import BATCH_SIZE, Embedder
from imagebind.evaluation.benchmark import PAPER_PROTOCOL, Benchmark, FewShot
from imagebind.evaluation.benchmarks import benchmark_named
from imagebind.evaluation.bootstrap import mean_interval
from imagebind.evaluation.cache import EmbeddingCache
from imagebind.evaluation.embedding import Progress
from imagebind.evaluation.options import embedder_with
from imagebind.evaluation.probe import LinearProbe, fit_linear_probe
from imagebind.evaluation.result import GIVEN_BY_USER, Choice, Result
from imagebind.evaluation.run import BenchmarkEmbedder, left_out, on_record, read_data, reader_values
from imagebind.evaluation.scoring import folds_of, mean_over_folds, percent
from imagebind.space import Space

SHOTS = (1, 2, 4, 8)
SEEDS = (0, 1, 2)  # one draw of examples each; figures are means over them
TRAIN_BATCH_ITEMS = 32
Optimizer = Literal["adamw", "lbfgs"]


def few_shot(
    benchmark: str | Benchmark,
    embedder: Embedder,
    data: str | os.PathLike[str],
    *,
    shots: Sequence[int] = SHOTS,
    optimizer: Optimizer = "adamw",
    seeds: Sequence[int] = SEEDS,
    protocol: str = PAPER_PROTOCOL,
    options: Mapping[str, Any] | None = None,
    allow_missing: int = 0,
    cache: str | os.PathLike[str] | None = None,
    batch_size: int = BATCH_SIZE,
    progress: Progress | None = None,
) -> Result:
    """Return the top-1 accuracy of linear classifiers that are trained on few items of each class.

    With folds, the examples come from the other folds, and the accuracy is the mean over the folds. Otherwise
    they come from the split "train", and the accuracy is that of the split "test".

    Args:
        benchmark: one with `few_shot`, such as "esc50" or "sun_rgbd".
        shots: numbers of examples of each class; a class with fewer gives all that it has.
        optimizer: "adamw" as in the paper, or "lbfgs", logistic regression to its optimum.
        seeds: random seeds, one draw of examples each; the accuracy is the mean over them.

    The other arguments are those of `evaluate`.

    Raises:
        EvaluationError: more items are missing or damaged than allowed, none is left, or the cache cannot be
            read or written.
        MediaError: the data is not laid out as expected.
        MissingExtraError: a package that reads the data is not installed.
        ValueError: a benchmark without few-shot training, or wrong arguments.
    """
    benchmark = benchmark_named(benchmark) if isinstance(benchmark, str) else benchmark
    if benchmark.few_shot is None:
        raise ValueError(f"benchmark: expected one with few-shot training, got {benchmark.name!r}")
    if not shots or min(shots) < 1:
        raise ValueError(f"shots: expected numbers of at least 1, got {[*shots]}")
    if optimizer not in ("adamw", "lbfgs"):
        raise ValueError(f"optimizer: expected adamw or lbfgs, got {optimizer!r}")
    if not len(seeds):
        raise ValueError("seeds: expected at least one, got none")
    started = monotonic()
    choices = benchmark.protocol(protocol, options)
    values = {name: choice.value for name, choice in choices.items()}
    embedder = embedder_with(embedder, values)
    parts = _read_splits(benchmark, data, values)
    missing = [name for part in parts for name in left_out(part)]
    with (
        TemporaryDirectory() as temporary,
        EmbeddingCache(Path(temporary if cache is None else cache), is_shared=cache is not None) as stored,
    ):
        embed = BenchmarkEmbedder(benchmark, embedder, stored, batch_size, progress, allow_missing, missing)
        splits = [_EmbeddedSplit.of(part, embed) for part in parts]
    figures = {}
    notes = [note for part in parts for note in part.notes]
    rounds = list(_rounds(splits))
    folds = torch.cat([test.folds for _, test in rounds])
    for k in shots:
        notes += _few_examples(rounds, k)
        per_seed = [
            torch.cat(
                [_correct(train, test, k, benchmark.few_shot, optimizer, seed) for train, test in rounds]
            )
            for seed in seeds
        ]
        is_correct = torch.stack(per_seed).mean(dim=0)  # (n,), the share of seeds
        value = mean_over_folds(is_correct, folds)
        # Only items are resampled, because the draws of one item are not independent.
        low, high = mean_interval(is_correct)
        figures[f"{k}-shot"] = percent(value, low, high, chance=1 / len(parts[-1].classes))
    return Result(
        benchmark=f"{benchmark.name}-few-shot",
        title=f"{benchmark.title}, few-shot",
        model=str(Space.of(embedder)),
        metric=f"{max(shots)}-shot",
        figures=figures,
        samples=len(splits[-1].labels),
        protocol_name=protocol,
        protocol=on_record(_choices(choices, benchmark.few_shot, optimizer, seeds)),
        missing=missing,
        notes=notes,
        seconds=monotonic() - started,
        version=__version__,
    )


class _EmbeddedSplit:
    """Vectors (n, e) with their class numbers (n,) and folds (n,), -1 without folds."""

    def __init__(self, vectors: Tensor, labels: Tensor, folds: Tensor) -> None:
        self.vectors, self.labels, self.folds = vectors, labels, folds

    @classmethod
    def of(cls, part: LabelledSet, embed: BenchmarkEmbedder) -> "_EmbeddedSplit":
        vectors, is_embedded = embed(part.items)
        labels = torch.tensor([item.labels[0] for item in part.items])
        return cls(vectors[is_embedded], labels[is_embedded], folds_of(part.items)[is_embedded])

    def part(self, kept: Tensor) -> "_EmbeddedSplit":
        return _EmbeddedSplit(self.vectors[kept], self.labels[kept], self.folds[kept])


def _read_splits(
    benchmark: Benchmark, data: str | os.PathLike[str], values: Mapping[str, Any]
) -> list[LabelledSet]:
    """Return the training and the test split, or one set with folds.

    Raises:
        MediaError, ValueError: as `read_data`, or the data is no classification or one fold.
    """
    read = reader_values(benchmark, values)
    splits = (
        [{"split": split} for split in ("train", "test")] if "split" in benchmark.reader_options() else [{}]
    )
    parts = [read_data(benchmark, data, {**read, **split}) for split in splits]
    if not all(isinstance(part, LabelledSet) for part in parts):
        raise ValueError(f"benchmark: expected a classification, got {benchmark.name!r}")
    if len(parts) == 1 and len({item.fold for item in parts[0].items}) == 1:  # type: ignore[union-attr]
        raise ValueError(f"{benchmark.name}: expected items of two or more folds, got one")
    return parts  # type: ignore[return-value]


def _rounds(splits: Sequence[_EmbeddedSplit]) -> Iterator[tuple[_EmbeddedSplit, _EmbeddedSplit]]:
    """Yield (training, test): the two splits, or for each fold the other folds and that fold."""
    if len(splits) == 2:
        yield splits[0], splits[1]
        return
    (whole,) = splits
    for fold in whole.folds.unique():
        yield whole.part(whole.folds != fold), whole.part(whole.folds == fold)


def _few_examples(rounds: Sequence[tuple[_EmbeddedSplit, _EmbeddedSplit]], k: int) -> list[str]:
    """Return a note if some classes have fewer than k training items."""
    fewest = min(int(train.labels.bincount()[train.labels.unique()].min()) for train, _ in rounds)
    if fewest >= k:
        return []
    return [f"{k}-shot: some classes have fewer training items, the smallest has {fewest}"]


def _correct(
    train: _EmbeddedSplit, test: _EmbeddedSplit, k: int, training: FewShot, optimizer: Optimizer, seed: int
) -> Tensor:
    """Return 1 for each test item that a classifier of k items per class recognises, otherwise 0: (n,)."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randperm(len(train.labels), generator=generator)
    kept = torch.cat([drawn[train.labels[drawn] == label][:k] for label in train.labels.unique()])
    examples = train.part(kept)
    if optimizer == "lbfgs":
        probe = fit_linear_probe(examples.vectors, examples.labels)
    else:
        probe = _train(examples.vectors, examples.labels, training, generator)
    with torch.no_grad():
        return (probe(test.vectors).argmax(dim=1) == test.labels).double()


def _train(vectors: Tensor, labels: Tensor, training: FewShot, generator: torch.Generator) -> LinearProbe:
    """Train a linear classifier from zero weights by AdamW, in shuffled batches."""
    probe = LinearProbe(vectors.shape[1], int(labels.max()) + 1)
    torch.nn.init.zeros_(probe.classes.weight)
    torch.nn.init.zeros_(probe.classes.bias)
    adamw = torch.optim.AdamW(probe.parameters(), lr=training.lr, weight_decay=training.weight_decay)
    with torch.enable_grad():
        for _ in range(training.epochs):
            for batch in torch.randperm(len(labels), generator=generator).split(TRAIN_BATCH_ITEMS):
                adamw.zero_grad()
                F.cross_entropy(probe(vectors[batch]), labels[batch]).backward()
                adamw.step()
    return probe


def _choices(
    choices: Mapping[str, Choice], training: FewShot, optimizer: Optimizer, seeds: Sequence[int]
) -> dict[str, Choice]:
    """Return the options to record: those of the benchmark without prompts, and those of the training."""
    kept = {name: choice for name, choice in choices.items() if name not in ("templates", "names")}
    trained = (
        {"optimizer": Choice(value="lbfgs", reason=GIVEN_BY_USER)}
        if optimizer == "lbfgs"
        else {
            "optimizer": Choice(value="adamw", reason="the paper"),
            "lr": Choice(value=training.lr, reason="the paper"),
            "weight_decay": Choice(value=training.weight_decay, reason="the paper"),
            "epochs": Choice(value=training.epochs, reason="the paper"),
            "batch_items": Choice(value=TRAIN_BATCH_ITEMS, reason="unpublished; ours"),
        }
    )
    return {
        **kept,
        **trained,
        "seeds": Choice(
            value=[*seeds], reason=f"unpublished; ours: the mean over {len(seeds)} draws of examples"
        ),
        "vectors": Choice(value="unit length", reason="unpublished; ours"),
    }
