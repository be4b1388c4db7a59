"""Combine views of many items into batches of equal shape, and return embeddings in item order."""

import gc
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from imagebind.errors import MediaError
from imagebind.intake.requests import Views
from imagebind.modality import MediaKind, ModalityType
from imagebind.transforms.text import trim

TEXT_BUCKET = 8  # texts whose token counts round up to the same multiple share a batch
LOOKAHEAD_BATCHES = 4  # batches of later items after which an item is computed in an incomplete batch
LOOKAHEAD_BYTES = 2**30  # limit of tensors that wait for a full batch; a video has 18 MB


@dataclass(frozen=True, kw_only=True)
class Embedding:
    """The result of one item: its vector, or the error that explains why there is none.

    `vector` (e,) is float32, of unit length unless `normalize_embeddings=False`. `clips` (s, e), each of unit
    length, is set if clips were requested and the item has time; `spans` has the start and end of each clip
    in seconds, and is empty without time. `warnings` lists problems while reading the item, such as a damaged
    part. `inspected` is the result of the caller's `inspect` function.
    """

    index: int
    name: str
    kind: MediaKind | None = None
    vector: np.ndarray | None = None
    error: Exception | None = None
    spans: tuple[tuple[float, float], ...] = ()
    clips: np.ndarray | None = None
    warnings: tuple[str, ...] = ()
    inspected: Any = None

    @property
    def modality(self) -> ModalityType | None:
        """The modality of the item, or None if its media type is unknown."""
        return None if self.kind is None else self.kind.modality


@dataclass(kw_only=True)
class PendingItem:
    """An item in progress, with its views and the embeddings that are computed so far."""

    index: int
    name: str
    views: Views
    rows: list[Tensor] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        return sum(len(rows) for rows in self.rows) == len(self.views.views)


class Batcher:
    """Batches one stream: collects views in buckets of equal shape, and yields results in item order."""

    def __init__(
        self,
        forward: Callable[[ModalityType, Tensor], Tensor],
        *,
        batch_size: int,
        normalize: bool,
        clips: bool,
    ) -> None:
        self.forward = forward
        self.batch_size = batch_size
        self.normalize = normalize
        self.with_clips = clips
        self.buckets: dict[tuple, deque[tuple[PendingItem, Tensor]]] = {}
        self.in_flight: deque[tuple[list[tuple[PendingItem, int]], Callable[[], Tensor]]] = deque()
        self.done: dict[int, Embedding] = {}
        self.next_index = 0
        self.open_items: dict[int, tuple] = {}  # index -> bucket, oldest first
        self.open_bytes = 0

    def take(self, index: int, name: str, kind: MediaKind, future: "Future[Views]") -> None:
        """Wait for an item's tensor and add it to its bucket; compute full and overdue batches."""
        try:
            views = future.result()
            if not len(views.views):
                raise MediaError(name, got="an empty tensor", expected="at least one view")
        except Exception as error:
            self.fail(index, name, kind, error)
            return
        item = PendingItem(index=index, name=name, views=views)
        bucket = _bucket_of(views)
        self.buckets.setdefault(bucket, deque()).append((item, views.views))
        self.open_items[index] = bucket
        self.open_bytes += views.views.nbytes
        while self._views_waiting(bucket) >= self.batch_size:
            self._compute(bucket)
        self._compute_overdue(index)

    def fail(self, index: int, name: str, kind: MediaKind | None, error: Exception) -> None:
        """Record that an item has no vector."""
        self._record_error(index, name, kind, error)
        self._compute_overdue(index)

    @property
    def lookahead(self) -> int:
        """The number of later items after which an item is computed in an incomplete batch."""
        return LOOKAHEAD_BATCHES * self.batch_size

    def flush(self) -> None:
        """Compute all remaining views."""
        while self.open_items:
            self._compute_oldest()

    def finished(self) -> Iterator[Embedding]:
        """Yield the results that are next in item order."""
        while self.next_index in self.done:
            yield self.done.pop(self.next_index)
            self.next_index += 1

    def _compute_overdue(self, index: int) -> None:
        """Compute items that have waited for too many later items, or need too much memory."""
        while self.open_items and (
            index - next(iter(self.open_items)) >= self.lookahead or self.open_bytes > LOOKAHEAD_BYTES
        ):
            self._compute_oldest()

    def _compute_oldest(self) -> None:
        bucket = next(iter(self.open_items.values()))
        if self._views_waiting(bucket):
            self._compute(bucket)
        else:
            self._collect_batch()

    def _views_waiting(self, bucket: tuple) -> int:
        return sum(len(rows) for _, rows in self.buckets.get(bucket, ()))

    def _compute(self, bucket: tuple) -> None:
        """Start one batch of a bucket, then collect the batch before it, so that copies overlap computing."""
        queue = self.buckets[bucket]
        members: list[tuple[PendingItem, int]] = []
        parts: list[Tensor] = []
        room = self.batch_size
        while queue and room:
            item, rows = queue.popleft()
            if len(rows) > room:
                queue.appendleft((item, rows[room:]))
                rows = rows[:room]
            members.append((item, len(rows)))
            parts.append(rows)
            room -= len(rows)
        batch = torch.cat(parts)  # (v, ...)
        modality = members[0][0].views.kind.modality
        if modality is ModalityType.TEXT:
            batch = trim(batch)
        try:
            self.in_flight.append((members, _copy_to_cpu(self.forward(modality, batch))))
        except ValueError as error:  # the model rejects the shape, which all items of the batch have
            for item, _ in members:
                self._reject(item, error)
        while len(self.in_flight) > 1:
            self._collect_batch()

    def _collect_batch(self) -> None:
        members, vectors = self.in_flight.popleft()
        for (item, _), rows in zip(members, vectors().split([count for _, count in members]), strict=True):
            item.rows.append(rows)
            if item.is_complete:
                self._finish(item)

    def _reject(self, item: PendingItem, error: ValueError) -> None:
        """Record the error of an item that the model rejects, and drop its remaining views."""
        bucket = self.open_items.pop(item.index, None)
        if bucket is None:
            return
        self.open_bytes -= item.views.views.nbytes
        self.buckets[bucket] = deque(entry for entry in self.buckets[bucket] if entry[0] is not item)
        rejection = MediaError(
            item.name,
            got=f"views of shape {tuple(item.views.views.shape[1:])} ({error})",
            expected=f"a shape that this model's {item.views.kind.modality} trunk accepts",
        )
        rejection.__cause__ = error
        self._record_error(item.index, item.name, item.views.kind, rejection)

    def _record_error(self, index: int, name: str, kind: MediaKind | None, error: Exception) -> None:
        _forget_locals(error)
        self.done[index] = Embedding(index=index, name=name, kind=kind, error=error)

    def _finish(self, item: PendingItem) -> None:
        del self.open_items[item.index]
        self.open_bytes -= item.views.views.nbytes
        views = torch.cat(item.rows)  # (s, e)
        vector = views.mean(dim=0)
        vector = F.normalize(vector, dim=0) if self.normalize else vector
        if not vector.isfinite().all():
            error = MediaError(
                item.name, got="one with NaN or infinite numbers", expected="a finite embedding"
            )
            self._record_error(item.index, item.name, item.views.kind, error)
            return
        spans = item.views.spans
        clips = None
        if spans and self.with_clips:  # the crops of a clip are adjacent: (s·crops, e) -> (s, e)
            clips = F.normalize(views.unflatten(0, (len(spans), -1)).mean(dim=1), dim=-1)
        self.done[item.index] = Embedding(
            index=item.index,
            name=item.name,
            kind=item.views.kind,
            vector=vector.numpy(),
            spans=spans,
            clips=None if clips is None else clips.numpy(),
            warnings=item.views.warnings,
            inspected=item.views.inspected,
        )


def _bucket_of(views: Views) -> tuple:
    """Return the key of items that may share a batch: modality, shape, dtype, and similar length of texts."""
    length = 0
    if views.kind is MediaKind.TEXT:
        tokens = int(views.views.argmax(dim=1).max()) + 1
        length = -(-tokens // TEXT_BUCKET)
    return views.kind.modality, length, views.views.dtype, *views.views.shape[1:]


def _copy_to_cpu(vectors: Tensor) -> Callable[[], Tensor]:
    """Start a copy to the CPU; return a function that waits for this copy, but not for later computations."""
    if vectors.device.type != "cuda":
        return vectors.cpu
    on_cpu = torch.empty(vectors.shape, dtype=vectors.dtype, pin_memory=True)
    on_cpu.copy_(vectors, non_blocking=True)
    copied = torch.cuda.current_stream(vectors.device).record_event()

    def wait() -> Tensor:
        copied.synchronize()
        return on_cpu

    return wait


def _forget_locals(error: BaseException) -> None:
    """Free the local variables of a traceback, such as decoded media; its printed lines are unchanged."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        traceback.clear_frames(link.__traceback__)
        chain.append(link)
        link = link.__cause__ or link.__context__


def begin_worker(worker: int = 0) -> None:
    """Initialise a worker process: use one thread, and never free objects of the parent process.

    A worker may be a fork, and freeing FFmpeg's scaler in a process without its threads waits forever.
    """
    gc.freeze()
    torch.set_num_threads(1)
