"""Views of many items into batches of one shape, and their vectors back in the items' order."""

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

TEXT_BUCKET = 8  # tokens: texts whose lengths round up to the same multiple share a batch
LOOKAHEAD_BATCHES = 4  # how far the stream runs ahead of an item whose batch does not fill, in batches
LOOKAHEAD_BYTES = 2**30  # of prepared tensors that wait for their batch to fill; a video has 18 MB


@dataclass(frozen=True, kw_only=True)
class Embedding:
    """What became of one item: its vector, or the error that says why there is none.

    `vector` (e,) is float32, of unit length unless asked for as `forward` gives it. `clips` (s, e), each of
    unit length, are there where they were asked for and the item has time; `spans` are the start and end
    of each clip in seconds, empty where there is no time. `warnings` say what was doubtful or lost in reading
    the item, such as a damaged part. `inspected` is what was asked to be kept of its views.
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
        """The trunk it went through; None where nobody could tell what it was."""
        return None if self.kind is None else self.kind.modality


@dataclass(kw_only=True)
class Item:
    """One item on its way: how many of its views still lack a vector, and those that have one."""

    index: int
    name: str
    views: Views
    rows: list[Tensor] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        return sum(len(rows) for rows in self.rows) == len(self.views.views)


class Batcher:
    """One pass over a stream: buckets of views of one shape, and results that wait for their turn."""

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
        self.buckets: dict[tuple, deque[tuple[Item, Tensor]]] = {}
        self.in_flight: deque[tuple[list[tuple[Item, int]], Callable[[], Tensor]]] = deque()
        self.done: dict[int, Embedding] = {}
        self.next_index = 0
        self.open_items: dict[int, tuple] = {}  # index -> bucket, in the order of arrival
        self.open_bytes = 0

    def take(self, index: int, name: str, kind: MediaKind, future: "Future[Views]") -> None:
        """Wait for an item's tensor and put it into its bucket; compute whatever is full or overdue."""
        try:
            views = future.result()
            if not len(views.views):
                raise MediaError(name, got="no view of it, its tensor is empty", expected="one or more")
        except Exception as error:
            self.fail(index, name, kind, error)
            return
        item = Item(index=index, name=name, views=views)
        bucket = _bucket_of(views)
        self.buckets.setdefault(bucket, deque()).append((item, views.views))
        self.open_items[index] = bucket
        self.open_bytes += views.views.nbytes
        while self._waiting(bucket) >= self.batch_size:
            self._compute(bucket)
        self._catch_up(index)

    def fail(self, index: int, name: str, kind: MediaKind | None, error: Exception) -> None:
        """Record that an item has no vector."""
        self._give_up(index, name, kind, error)
        self._catch_up(index)

    @property
    def lookahead(self) -> int:
        """How many items later one may come that is still waited for."""
        return LOOKAHEAD_BATCHES * self.batch_size

    def flush(self) -> None:
        """Compute all that is left."""
        while self.open_items:
            self._compute_oldest()

    def finished(self) -> Iterator[Embedding]:
        """The results whose turn it is."""
        while self.next_index in self.done:
            yield self.done.pop(self.next_index)
            self.next_index += 1

    def _catch_up(self, index: int) -> None:
        """Compute what has waited for too many items, or is too much to keep."""
        while self.open_items and (
            index - next(iter(self.open_items)) >= self.lookahead or self.open_bytes > LOOKAHEAD_BYTES
        ):
            self._compute_oldest()

    def _compute_oldest(self) -> None:
        bucket = next(iter(self.open_items.values()))
        if self._waiting(bucket):
            self._compute(bucket)
        else:
            self._harvest()

    def _waiting(self, bucket: tuple) -> int:
        return sum(len(rows) for _, rows in self.buckets.get(bucket, ()))

    def _compute(self, bucket: tuple) -> None:
        """Start one batch of a bucket, then collect the batch before it: copies overlap computing."""
        queue = self.buckets[bucket]
        members: list[tuple[Item, int]] = []
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
            self.in_flight.append((members, _fetch(self.forward(modality, batch))))
        except ValueError as error:  # the model takes no such shape, of which the whole batch is
            for item, _ in members:
                self._refuse(item, error)
        while len(self.in_flight) > 1:
            self._harvest()

    def _harvest(self) -> None:
        members, vectors = self.in_flight.popleft()
        for (item, _), rows in zip(members, vectors().split([count for _, count in members]), strict=True):
            item.rows.append(rows)
            if item.is_complete:
                self._finish(item)

    def _refuse(self, item: Item, error: ValueError) -> None:
        """Give up an item that the model doesn't take, with those of its views that are still to come."""
        bucket = self.open_items.pop(item.index, None)
        if bucket is None:
            return
        self.open_bytes -= item.views.views.nbytes
        self.buckets[bucket] = deque(entry for entry in self.buckets[bucket] if entry[0] is not item)
        refused = MediaError(
            item.name,
            got=f"views of shape {tuple(item.views.views.shape[1:])} ({error})",
            expected=f"a shape that this model's {item.views.kind.modality} trunk takes",
        )
        refused.__cause__ = error
        self._give_up(item.index, item.name, item.views.kind, refused)

    def _give_up(self, index: int, name: str, kind: MediaKind | None, error: Exception) -> None:
        _forget_locals(error)
        self.done[index] = Embedding(index=index, name=name, kind=kind, error=error)

    def _finish(self, item: Item) -> None:
        del self.open_items[item.index]
        self.open_bytes -= item.views.views.nbytes
        views = torch.cat(item.rows)  # (s, e)
        vector = views.mean(dim=0)
        vector = F.normalize(vector, dim=0) if self.normalize else vector
        if not vector.isfinite().all():
            error = MediaError(item.name, got="an embedding that is not finite", expected="finite numbers")
            self._give_up(item.index, item.name, item.views.kind, error)
            return
        spans = item.views.spans
        clips = None
        if spans and self.with_clips:  # the crops of a clip stand together: (s·crops, e) -> (s, e)
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
    """What may share a batch: one modality, one shape and type; texts of about one length."""
    length = 0
    if views.kind is MediaKind.TEXT:
        tokens = int(views.views.argmax(dim=1).max()) + 1
        length = -(-tokens // TEXT_BUCKET)
    return views.kind.modality, length, views.views.dtype, *views.views.shape[1:]


def _fetch(vectors: Tensor) -> Callable[[], Tensor]:
    """Start bringing vectors to the CPU; a call waits for them. What is computed later is not waited for."""
    if vectors.device.type != "cuda":
        return vectors.cpu
    landing = torch.empty(vectors.shape, dtype=vectors.dtype, pin_memory=True)
    landing.copy_(vectors, non_blocking=True)
    arrival = torch.cuda.current_stream(vectors.device).record_event()

    def wait() -> Tensor:
        arrival.synchronize()
        return landing

    return wait


def _forget_locals(error: BaseException) -> None:
    """Free what the frames of a traceback hold, pictures and films; the lines that it prints stay."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        traceback.clear_frames(link.__traceback__)
        chain.append(link)
        link = link.__cause__ or link.__context__


def begin_worker(worker: int = 0) -> None:
    """Initialise a worker process: one thread, and objects of the parent process are never freed.

    A worker may be a fork. FFmpeg's scaler waits forever if it is freed in a process without its threads.
    """
    gc.freeze()
    torch.set_num_threads(1)
