"""Evaluates a model on a benchmark: reads the data, embeds it, and scores it by the protocol."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from imagebind import __version__
from imagebind.datasets.labelled import ClassNames, LabelledSet, NamedItem, RetrievalSet
from imagebind.embedder import BATCH_SIZE, Embedder
from imagebind.errors import MediaError, MissingMediaError
from imagebind.evaluation.benchmark import PAPER_PROTOCOL, Benchmark, MeasuredData, Task
from imagebind.evaluation.benchmarks import benchmark_named
from imagebind.evaluation.cache import EmbeddingCache
from imagebind.evaluation.embedding import Progress, embed_items
from imagebind.evaluation.options import embedder_with, templates_named
from imagebind.evaluation.result import (
    Choice,
    Detail,
    EvaluationError,
    Figure,
    Result,
    missing_error,
    nothing_left_error,
)
from imagebind.evaluation.scoring import accuracy_figures, multi_label_figures, per_class, recall_figures
from imagebind.evaluation.toyworld import WorldFigures, chance_of
from imagebind.modality import ModalityType
from imagebind.space import Space
from imagebind.toyworld.rendered import Rendered
from imagebind.zeroshot import ZeroShotClassifier

MAX_LISTED_LABELS = 20  # in an error
LIMIT_SEED = 0  # of the choice of items for `limit`


def evaluate(
    benchmark: str | Benchmark,
    embedder: Embedder,
    data: str | os.PathLike[str] | None = None,
    *,
    protocol: str = PAPER_PROTOCOL,
    options: Mapping[str, Any] | None = None,
    limit: int | None = None,
    allow_missing: int = 0,
    cache: str | os.PathLike[str] | None = None,
    batch_size: int = BATCH_SIZE,
    progress: Progress | None = None,
) -> Result:
    """Return the figures of a model on a benchmark.

    Args:
        benchmark: a name of `list_benchmarks()`, or your own `Benchmark`.
        data: the folder of the data as published; see `Benchmark.needs`. Not needed for the toy world, and
            if `Benchmark.needs_root` is False.
        protocol: "paper", or another protocol of the benchmark.
        options: values that replace the protocol's, such as {"templates": "short"}.
        limit: use at most this many items or queries, chosen with a fixed seed; if there are more, the result
            is partial. The toy world ignores it.
        allow_missing: number of items that may be missing or damaged; figures leave them out.
        cache: a folder for embeddings, so that a later run with the same items, weights and transforms does
            not compute them again, and several processes of `torchrun` embed a share each. By default
            nothing is kept, and each process embeds all items.
        progress: called with the numbers of items done and in total.

    Raises:
        EvaluationError: more items are missing or damaged than allowed, none is left, or the cache cannot be
            read or written.
        MediaError: the data is not laid out as expected; the message names the missing part.
        MissingExtraError: a package that reads the data is not installed.
        SpaceMismatchError, CheckpointError: the decoder of "toyworld-generation" is for another model, or
            cannot be loaded.
        ValueError: an unknown benchmark, protocol or option, or an invalid value.
    """
    benchmark = benchmark_named(benchmark) if isinstance(benchmark, str) else benchmark
    if limit is not None and limit < 1:
        raise ValueError(f"limit: expected at least 1, got {limit}")
    started = time.monotonic()
    choices = benchmark.protocol(protocol, options)
    values = {name: choice.value for name, choice in choices.items()}
    if data is None and benchmark.task is not Task.TOY_WORLD and benchmark.needs_root:
        raise ValueError(f"data: expected the folder of {benchmark.title} ({benchmark.needs}), got None")
    embedder = embedder_with(embedder, values)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary if cache is None else cache)
        found = read_data(
            benchmark, folder / "toyworld" if data is None else data, reader_values(benchmark, values)
        )
        notes: Sequence[str] = ()
        missing: list[str] = []
        is_partial = False
        if isinstance(found, Rendered):
            outcome = evaluate_toy_world(found, embedder)
        elif not isinstance(found, LabelledSet | RetrievalSet):
            outcome = dict(found.measure(embedder))
        else:
            found, is_partial = limited(found, limit)
            missing, notes = left_out(found), found.notes
            with EmbeddingCache(folder, is_shared=cache is not None) as stored:
                embed = BenchmarkEmbedder(
                    benchmark, embedder, stored, batch_size, progress, allow_missing, missing
                )
                outcome = (
                    classify(benchmark, found, embed, values)
                    if isinstance(found, LabelledSet)
                    else retrieve(found, embed)
                )
    return Result(
        benchmark=benchmark.name,
        title=benchmark.title,
        model=str(Space.of(embedder)),
        metric=_main_metric(benchmark, embedder, outcome["figures"]),
        protocol_name=protocol,
        protocol=on_record(choices),
        paper=benchmark.published(protocol),
        paper_samples=benchmark.paper_samples,
        published_classes=benchmark.num_classes,
        missing=missing,
        notes=list(notes),
        is_partial=is_partial,
        seconds=time.monotonic() - started,
        version=__version__,
        **outcome,
    )


def read_data(
    benchmark: Benchmark, root: str | os.PathLike[str], values: Mapping[str, Any]
) -> LabelledSet | RetrievalSet | Rendered | MeasuredData:
    """Return the data of a benchmark, read with some options.

    Raises:
        MediaError: a file is damaged, or missing; then the message states all needed files and their address.
        ValueError: an option has an invalid value.
    """
    try:
        return benchmark.read(root, **values)
    except MissingMediaError as error:
        if not benchmark.needs:  # the user's own files
            raise
        raise MediaError(f"{error}. {needs_of(benchmark)}") from error


def _main_metric(benchmark: Benchmark, embedder: Embedder, figures: Mapping[str, Figure]) -> str:
    """Return the benchmark's main figure, or the first one if the model lacks a modality for it."""
    if not figures:
        found_trunks = ", ".join(embedder.model.modalities)
        raise EvaluationError(
            f"{benchmark.name}: expected a model with two modalities to compare, got one with {found_trunks}"
        )
    if benchmark.metric not in figures and benchmark.task is not Task.TOY_WORLD:
        raise ValueError(f"metric: expected one of {', '.join(figures)}, got {benchmark.metric!r}")
    return benchmark.metric if benchmark.metric in figures else next(iter(figures))


def needs_of(benchmark: Benchmark) -> str:
    """Return a sentence with the files that a benchmark needs, and the page to download them."""
    address = f" (download: {benchmark.url})" if "://" in benchmark.url else ""
    return f"{benchmark.title} needs {benchmark.needs}{address}"


def left_out(found: LabelledSet | RetrievalSet) -> list[str]:
    """Return the missing and damaged files that a reader found, each with the reason."""
    return [*(f"{name}: missing" for name in found.missing), *found.damaged]


def reader_values(benchmark: Benchmark, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that a benchmark's reader takes."""
    return {name: values[name] for name in benchmark.reader_options() if name in values}


class BenchmarkEmbedder:
    """Embeds items of one evaluation, and adds the failed ones to `missing` over all calls."""

    def __init__(
        self,
        benchmark: Benchmark,
        embedder: Embedder,
        cache: EmbeddingCache,
        batch_size: int,
        progress: Progress | None,
        allow_missing: int,
        missing: list[str],
    ) -> None:
        self.benchmark, self.embedder, self.missing = benchmark, embedder, missing
        self._cache, self._batch_size, self._progress = cache, batch_size, progress
        self._allow_missing = allow_missing

    def __call__(self, items: Sequence[NamedItem]) -> tuple[Tensor, Tensor]:
        """Return the vectors of items (n, e), and a mask of the embedded items (n,).

        Raises:
            EvaluationError: more items are missing than allowed, or none could be embedded.
        """
        self._check_missing(len(items))  # fails before hours of embedding
        embedded = embed_items(
            self.embedder,
            items,
            self._cache,
            media=self.benchmark.media,
            batch_size=self._batch_size,
            progress=self._progress,
        )
        self.missing += embedded.failures.values()
        self._check_missing(len(items) - len(embedded.failures))
        vectors = torch.from_numpy(embedded.vectors)
        is_embedded = ~vectors.isnan().any(dim=1)
        return vectors, is_embedded

    def _check_missing(self, readable: int) -> None:
        """Raise an EvaluationError if more items are missing than allowed, or all."""
        if not readable:
            raise nothing_left_error(self.benchmark.name, self.missing, needs_of(self.benchmark))
        if len(self.missing) > self._allow_missing:
            raise missing_error(
                self.benchmark.name, self.missing, readable + len(self.missing), self._allow_missing
            )


def classify(
    benchmark: Benchmark, found: LabelledSet, embed: BenchmarkEmbedder, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the fields of a zero-shot classification's result."""
    if ModalityType.TEXT.value not in embed.embedder.model.modalities:
        found_trunks = ", ".join(embed.embedder.model.modalities)
        raise EvaluationError(f"model: expected one with text for class names, got one with {found_trunks}")
    classes = with_names(found.classes, options.get("names"))  # fails before hours of embedding
    templates = templates_named(options["templates"], benchmark.media)
    classifier = ZeroShotClassifier(embed.embedder, [each.names for each in classes], templates)
    vectors, is_embedded = embed(found.items)
    items = [item for item, there in zip(found.items, is_embedded.tolist(), strict=True) if there]
    scores = classifier.vector_scores(vectors[is_embedded], benchmark.media)  # (n, c)
    labels = [each.label for each in classes]
    if benchmark.task is Task.MULTI_LABEL:
        target = torch.zeros(scores.shape, dtype=torch.bool)
        for row, item in enumerate(items):
            target[row, list(item.labels)] = True
        figures: dict[str, Figure] = multi_label_figures(scores, target)
    else:
        target = torch.tensor([item.labels[0] for item in items])
        figures = accuracy_figures(scores, target, items)
    return {
        "figures": figures,
        "samples": len(items),
        "num_classes": len(classes),
        "per_class": per_class(scores, target, labels),
        "detail": Detail(scores=scores, target=target, labels=labels),
    }


def retrieve(found: RetrievalSet, embed: BenchmarkEmbedder) -> dict[str, Any]:
    """Return the fields of a retrieval's result.

    Queries whose relevant candidates are all missing are left out.
    """
    candidates, has_candidate = embed(found.candidates)
    queries, has_query = embed(found.queries)
    target = torch.zeros(len(queries), len(candidates), dtype=torch.bool)
    for row, relevant in enumerate(found.relevant):
        target[row, list(relevant)] = True
    target = target[:, has_candidate]
    kept = has_query & target.any(dim=1)
    if not kept.any():
        raise EvaluationError(
            f"{embed.benchmark.name}: expected a readable query with a readable relevant candidate, got none"
        )
    target = target[kept]
    rows, columns = (F.normalize(side, dim=1) for side in (queries[kept], candidates[has_candidate]))
    similarity = rows @ columns.T  # (q, n)
    return {
        "figures": recall_figures(similarity, target),
        "samples": len(rows),
        "detail": Detail(scores=similarity, target=target),
    }


def evaluate_toy_world(rendered: Rendered, embedder: Embedder) -> dict[str, Any]:
    """Return the fields of the toy world's result: zero-shot accuracies and recalls, in percent."""
    shares = WorldFigures(rendered)(embedder.model)
    return {
        "figures": {
            name: Figure(value=100 * share, chance=100 * chance_of(name, len(rendered)))
            for name, share in shares.items()
        },
        "samples": len(rendered),
    }


def limited(found: LabelledSet | RetrievalSet, limit: int | None) -> tuple[LabelledSet | RetrievalSet, bool]:
    """Return at most `limit` items or queries, chosen with a fixed seed, and whether any were left out.

    A retrieval keeps the candidates of its queries only, which makes it easier. Items that the reader found
    missing or damaged are not counted.
    """
    items = found.items if isinstance(found, LabelledSet) else found.queries
    if limit is None or limit >= len(items):
        return found, False
    kept = sorted(np.random.default_rng(LIMIT_SEED).permutation(len(items))[:limit].tolist())
    if isinstance(found, LabelledSet):
        return replace(found, items=[found.items[number] for number in kept], missing=(), damaged=()), True
    numbers = sorted({candidate for query in kept for candidate in found.relevant[query]})
    new_number = {candidate: number for number, candidate in enumerate(numbers)}
    return replace(
        found,
        queries=[found.queries[query] for query in kept],
        candidates=[found.candidates[candidate] for candidate in numbers],
        relevant=[tuple(new_number[candidate] for candidate in found.relevant[query]) for query in kept],
        missing=(),
        damaged=(),
    ), True


def with_names(
    classes: Sequence[ClassNames], names: Mapping[str, Sequence[str] | str] | None
) -> list[ClassNames]:
    """Return classes with other names for prompts, given by label.

    Raises:
        ValueError: a label is not that of a class.
    """
    given = dict(names or {})
    if unknown := sorted(set(given) - {each.label for each in classes}):
        labels = ", ".join(each.label for each in classes[:MAX_LISTED_LABELS])
        raise ValueError(f"names: expected labels such as {labels}, got {', '.join(unknown)}")
    return [
        replace(each, names=_tuple(given[each.label])) if each.label in given else each for each in classes
    ]


def _tuple(names: Sequence[str] | str) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def on_record(choices: Mapping[str, Choice]) -> dict[str, Choice]:
    """Return the options for the result, with values that JSON can store."""
    return {name: replace(choice, value=_plain(choice.value)) for name, choice in choices.items()}


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return value if isinstance(value, str | int | float | bool | list | tuple | dict | None) else str(value)
