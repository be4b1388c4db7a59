"""Embeds the items of a benchmark, each once: vectors in the cache are not computed again."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, is_dataclass
from time import monotonic
from typing import Any

import numpy as np
import torch

from imagebind.datasets.labelled import LazyItem, NamedItem, WeightedItems
from imagebind.embedder import Embedder, combine
from imagebind.errors import MediaError
from imagebind.evaluation.cache import EmbeddingCache
from imagebind.intake.requests import identify
from imagebind.modality import MediaKind
from imagebind.space import TRANSFORMS_VERSION, Space

STORE_BATCH, STORE_SECONDS = 256, 1.0  # new vectors are stored after this many, or this many seconds
Progress = Callable[[int, int], None]  # done, total


@dataclass(frozen=True, kw_only=True)
class EmbeddedItems:
    """Unit vectors in the order of the items; failed items have rows of NaN and a message in `failures`."""

    vectors: np.ndarray  # (n, e) float32
    failures: dict[int, str]


def embed_items(
    embedder: Embedder,
    items: Sequence[NamedItem],
    cache: EmbeddingCache,
    *,
    media: MediaKind,
    batch_size: int,
    progress: Progress | None = None,
) -> EmbeddedItems:
    """Embed items; processes of `torchrun` that share the cache embed a share each, and return all vectors.

    Args:
        media: the media type of each `LazyItem`, which is unknown until it is loaded.
        progress: called with the numbers of items done and in total; an estimate under `torchrun`.
    """
    parts = [(number, *part) for number, item in enumerate(items) for part in _parts(item)]
    settings = _EmbeddingSettings(embedder)
    failures: dict[int, str] = {}
    keys: list[bytes | None] = []
    for number, item, _ in parts:
        try:
            keys.append(cache.key(item, settings.of(_kind_of(item, media, embedder))))
        except (OSError, MediaError) as error:
            failures[number] = _named(items[number], error)
            keys.append(None)
    rank, world_size = _rank_and_world_size() if cache.is_shared else (0, 1)
    stored = cache.vectors([key for key in keys if key is not None])
    wanted = {key: position for position, key in enumerate(keys) if key is not None and key not in stored}
    mine = sorted(wanted.values())[rank::world_size]
    done = len(keys) - len(wanted)
    fresh: list[tuple[bytes, np.ndarray]] = []
    stored_at = monotonic()
    try:
        for position, vector in _computed(embedder, [(p, parts[p][1]) for p in mine], batch_size):
            number, key = parts[position][0], keys[position]
            assert key is not None
            if isinstance(vector, Exception):
                failures[number] = _named(items[number], vector)
            else:
                fresh.append((key, vector))
            if len(fresh) >= STORE_BATCH or monotonic() - stored_at > STORE_SECONDS:
                cache.store(fresh)
                fresh.clear()
                stored_at = monotonic()
            done += world_size
            if progress is not None:
                progress(min(done, len(keys)), len(keys))
    finally:  # also after Ctrl+C
        cache.store(fresh)
    if world_size > 1:
        failures = _of_all_ranks(failures, world_size)
    stored |= cache.vectors([*wanted])  # also those of other processes
    return EmbeddedItems(
        vectors=_rows(items, parts, keys, stored, embedder.embed_dim, failures),
        failures=dict(sorted(failures.items())),
    )


def _rows(
    items: Sequence[NamedItem],
    parts: Sequence[tuple[int, Any, float]],
    keys: Sequence[bytes | None],
    stored: Mapping[bytes, np.ndarray],
    embed_dim: int,
    failures: dict[int, str],
) -> np.ndarray:
    """Return the vectors of all items, weighted sums included: (n, e), with rows of NaN for failed items."""
    rows = np.full((len(items), embed_dim), np.nan, dtype=np.float32)
    terms: dict[int, list[tuple[np.ndarray, float]]] = {}
    for (number, _, weight), key in zip(parts, keys, strict=True):
        if key is None or key not in stored:
            failures.setdefault(number, f"{items[number].name}: an item with the same content failed")
            continue
        terms.setdefault(number, []).append((stored[key], weight))
    for number, vectors in terms.items():
        if number not in failures:
            rows[number] = vectors[0][0] if len(vectors) == 1 else combine(vectors)
    return rows


def _computed(
    embedder: Embedder, wanted: Sequence[tuple[int, Any]], batch_size: int
) -> Iterator[tuple[int, np.ndarray | Exception]]:
    """Yield each position with its vector or its error, in any order."""
    submitted: deque[int] = deque()
    load_failures: deque[tuple[int, Exception]] = deque()

    def loaded() -> Iterator[Any]:
        for position, item in wanted:
            try:
                value = item.load() if isinstance(item, LazyItem) else item
            except (MediaError, OSError) as error:
                load_failures.append((position, error))
                continue
            submitted.append(position)
            yield value

    with closing(embedder.encode_stream(loaded(), batch_size=batch_size)) as stream:
        for result in stream:
            while load_failures:
                yield load_failures.popleft()
            outcome = result.vector if result.error is None else result.error
            assert outcome is not None
            yield submitted.popleft(), outcome
    yield from load_failures


class _EmbeddingSettings:
    """The settings that determine an item's vector: weights, transform and precision."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._weights = Space.of(embedder, kinds=[]).weights
        dtype = next(embedder.model.parameters()).dtype
        self._precision = f"{dtype} {embedder.autocast}"
        self._of: dict[MediaKind, str] = {}

    def of(self, kind: MediaKind) -> str:
        """Return the settings of a media type as text.

        Raises:
            MediaError: the model has no tower for the media type.
        """
        if kind not in self._of:
            if kind.modality.value not in self._weights:
                raise MediaError(
                    str(kind),
                    got=f"one with {', '.join(self._weights)}",
                    expected=f"a model with {kind.modality}",
                )
            transform = self._embedder.transform(kind)
            described = repr(transform) if is_dataclass(transform) else type(transform).__qualname__
            weights = self._weights[kind.modality.value]
            self._of[kind] = f"{weights} v{TRANSFORMS_VERSION} {described} {self._precision}"
        return self._of[kind]


def _parts(item: NamedItem) -> tuple[tuple[Any, float], ...]:
    return item.item.parts if isinstance(item.item, WeightedItems) else ((item.item, 1.0),)


def _kind_of(item: Any, media: MediaKind, embedder: Embedder) -> MediaKind:
    return media if isinstance(item, LazyItem) else identify(item, bound=embedder.bound).kind


def _named(item: NamedItem, error: Exception) -> str:
    text = str(error)
    return text if item.name in text else f"{item.name}: {text}"


def _rank_and_world_size() -> tuple[int, int]:
    """Return this process's rank and the world size."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


def _of_all_ranks(failures: dict[int, str], world_size: int) -> dict[int, str]:
    """Return the failures of all processes, after all of them have stored their vectors."""
    gathered: list[Any] = [None] * world_size
    torch.distributed.all_gather_object(gathered, failures)
    return {number: text for each in gathered for number, text in each.items()}
