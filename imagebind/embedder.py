"""Embed items of any modality in input order; threads decode while the model computes batches."""

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from copy import copy
from dataclasses import replace
from typing import Any, Literal, overload

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from imagebind.batching import Batcher, Embedding
from imagebind.checkpoints.factory import pretrained_model
from imagebind.checks import check_whole
from imagebind.device import best_device
from imagebind.errors import MediaError
from imagebind.intake.items import items_of
from imagebind.intake.requests import Request, Transform, Views, default_transform, identify, prepare
from imagebind.media.decoders import is_decoder
from imagebind.metrics import as_numbers, cosines
from imagebind.modality import BoundModality, MediaKind, ModalityType
from imagebind.models.evaluation import evaluation_mode
from imagebind.models.model import ImageBindModel
from imagebind.packs import read_pack

logger = logging.getLogger(__name__)

BATCH_SIZE = 32  # views per forward pass
MAX_VIEWS_AHEAD = 1024  # limit on views decoded ahead, beyond one item per thread; 600 MB of images
Inspect = Callable[[Views], Any]
OnError = Literal["raise", "skip"]
MIN_SUM_NORM = 1e-6  # relative to the sum of |weights|; a smaller norm is rounding error
LOCK_COUNT = 1024  # locks of open files, decoders and images; few items share one


def combine(parts: Iterable[tuple[np.ndarray | Tensor, float]]) -> np.ndarray:
    """Return the normalised weighted sum of vectors: [(vector (e,), weight), …] -> (e,) float32.

    Each vector is normalised and multiplied by its weight; a negative weight subtracts it. Source: the
    paper's embedding arithmetic, which adds two embeddings with weight 0.5 each.

    Raises:
        ValueError: no (vector, weight) pairs, vectors of different widths or not of shape (e,), a vector that
            is zero or not finite, a weight that is not finite, or a sum of zero.
    """
    parts = list(parts) if isinstance(parts, Iterable) else parts  # errors of a generator pass through
    try:
        listed = [
            (as_numbers(vector, "vector").detach().cpu().double().numpy(), float(weight))
            for vector, weight in parts
        ]
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"combine: expected [(vector (e,), weight), …], got {parts!r:.200}") from error
    if not listed:
        raise ValueError("combine: expected at least one (vector, weight), got none")
    width = listed[0][0].shape[-1:]
    for number, (vector, weight) in enumerate(listed):
        if vector.ndim != 1 or vector.shape != width:
            raise ValueError(f"vector {number}: expected ({width[0] if width else 'e'},), got {vector.shape}")
        if not np.isfinite(weight):
            raise ValueError(f"weight of vector {number}: expected a finite number, got {weight}")
        if not 0 < (norm := np.linalg.norm(vector)) < np.inf:
            raise ValueError(f"vector {number}: expected finite numbers that are not all 0, got norm {norm}")
    total = np.sum([weight * vector / np.linalg.norm(vector) for vector, weight in listed], axis=0)
    if not (norm := np.linalg.norm(total)) > MIN_SUM_NORM * sum(abs(weight) for _, weight in listed):
        raise ValueError("combine: expected a nonzero sum, got vectors that cancel out; use other weights")
    return np.asarray(total / norm, dtype=np.float32)


class Embedder:
    """A model with the transforms of its inputs. Threads may share it.

    Do not use it while another thread trains the same model: encoding puts the model in evaluation mode.
    """

    def __init__(
        self,
        model: ImageBindModel | str | os.PathLike[str],
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        modalities: Iterable[ModalityType | str] | None = None,
        transforms: Mapping[MediaKind | str, Any] | None = None,
        autocast: torch.dtype | None = None,
        num_workers: int | None = None,
        packs: Iterable[str | os.PathLike[str]] | str | os.PathLike[str] = (),
    ) -> None:
        """Use a model as it is, or convert it to `device` and `dtype`; or load one by name, path or URI.

        "imagebind_huge" is the released model, "imagebind_tiny" the small one in this package; other sources
        are those of `checkpoints.factory.pretrained_model`. A loaded model has only `modalities`, by default
        all, and is on the best device by default. `dtype` is the precision of the weights.

        `transforms` replaces those of some media types ("image", "video", "text", …). `autocast` computes in
        lower precision without changing the weights. `num_workers` threads decode; by default one per core,
        at most 8.

        `packs` are folders of modalities that were bound to the model's space, see `packs.save_pack`: after
        `packs=["event_camera"]`, `modality="event"` and {"event": array} embed its items. A pack whose
        transform is not in `imagebind.transforms` needs its class or the transform itself in `transforms`,
        by the name of its modality.

        Raises:
            CheckpointError: weights or a pack that cannot be found or read, or do not fit.
            SpaceMismatchError: a pack belongs to another space, or cannot be compared with the model.
            TypeError: `model` is neither a model nor a name, path or URI.
            ValueError: `modalities` with a model that is already built, an unknown media type, a modality
                that the model does not have, a `dtype` that is not floating point, or less than one worker.
        """
        if isinstance(model, str | os.PathLike):
            device = best_device() if device is None else device
            model = pretrained_model(model, modalities=modalities, dtype=dtype, device=device)
        elif not isinstance(model, torch.nn.Module):
            raise TypeError(f"model: expected a model or its name, path or URI, got {model!r:.80}")
        elif modalities is not None:
            raise ValueError(f"modalities: expected None for a built model, got {modalities!r:.80}")
        elif device is not None or dtype is not None:
            model = model.to(device=device, dtype=dtype)
        self._transforms: dict[MediaKind | BoundModality, Transform] = {}
        self.bound: tuple[BoundModality, ...] = ()
        given = dict(transforms or {})
        for pack in map(read_pack, [packs] if isinstance(packs, str | os.PathLike) else packs):
            model = pack.add_to(model)
            self.bound += (pack.modality,)
            self._transforms[pack.modality] = pack.make_transform(given.pop(pack.modality, None))
        self.model: ImageBindModel = model
        self._transforms |= {MediaKind(kind): transform for kind, transform in given.items()}
        self.autocast = autocast
        self.num_workers = num_workers or min(os.cpu_count() or 1, 8)
        if self.num_workers < 1:
            raise ValueError(f"num_workers: expected at least 1, got {num_workers}")
        self._add_locks()

    def _add_locks(self) -> None:
        self._item_locks = tuple(threading.Lock() for _ in range(LOCK_COUNT))

    def __getstate__(self) -> dict[str, Any]:
        """Return the state to pickle or copy: all but the locks, which belong to one process."""
        return {name: value for name, value in vars(self).items() if name != "_item_locks"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._add_locks()

    def with_transforms(self, transforms: Mapping[MediaKind, Any]) -> "Embedder":
        """Return an embedder of the same model with other transforms for some media types."""
        other = copy(self)
        other._transforms = dict([*self._transforms.items(), *transforms.items()])
        return other

    @property
    def device(self) -> torch.device:
        """The device of the model."""
        return next(self.model.parameters()).device

    @property
    def embed_dim(self) -> int:
        """The size of an embedding: its number of values."""
        return self.model.config.embed_dim

    def transform(self, kind: MediaKind) -> Transform:
        """Return the transform of a media type."""
        if kind not in self._transforms:
            transform = default_transform(kind)
            if kind is MediaKind.IMU and (sizes := self.model.config.imu) is not None:
                transform = replace(transform, window_seconds=sizes.seconds)  # type: ignore[type-var]
            self._transforms.setdefault(kind, transform)
        return self._transforms[kind]

    @overload
    def encode(
        self,
        items: Any,
        *,
        modality: ModalityType | str | None = ...,
        batch_size: int = ...,
        show_progress_bar: bool = ...,
        convert_to_tensor: Literal[False] = ...,
        normalize_embeddings: bool = ...,
        on_error: OnError = ...,
        return_report: Literal[False] = ...,
    ) -> np.ndarray: ...

    @overload
    def encode(
        self,
        items: Any,
        *,
        modality: ModalityType | str | None = ...,
        batch_size: int = ...,
        show_progress_bar: bool = ...,
        convert_to_tensor: Literal[True],
        normalize_embeddings: bool = ...,
        on_error: OnError = ...,
        return_report: Literal[False] = ...,
    ) -> Tensor: ...

    @overload
    def encode(
        self,
        items: Any,
        *,
        modality: ModalityType | str | None = ...,
        batch_size: int = ...,
        show_progress_bar: bool = ...,
        convert_to_tensor: bool = ...,
        normalize_embeddings: bool = ...,
        on_error: OnError = ...,
        return_report: bool = ...,
    ) -> Any: ...

    def encode(
        self,
        items: Any,
        *,
        modality: ModalityType | str | None = None,
        batch_size: int = BATCH_SIZE,
        show_progress_bar: bool = False,
        convert_to_tensor: bool = False,
        normalize_embeddings: bool = True,
        on_error: OnError = "raise",
        return_report: bool = False,
    ) -> Any:
        """Embed one item or a sequence of mixed items: float32 (e,) or (n, e), in input order.

        A str is text, unless `modality` names another type: then it is a path. A file's content decides the
        media type of a `Path`. Other items are PIL images, bytes, open files, and mappings with a modality
        and options: {"audio": "clip.mp4"}, {"depth": array, "focal": 518.9}, {"imu": array, "rate": 200}.
        Numeric arrays need a mapping or `modality`; arrays and Series of texts, paths or other objects are
        several items. Rows of Hugging Face's `datasets`, torchcodec's decoders and (rate, samples) are
        described at `identify`. The vector of a recording is the normalised mean over its clips.

        `normalize_embeddings=False` returns the mean over views of the model's outputs, which include the
        logit scale, except for vision. With `on_error="skip"` a failed item is logged and has a row of NaN.
        `return_report` returns (vectors, a list of one `Embedding` per item) instead. `batch_size` counts
        views: an image has 1, a video 15, audio 3.

        Raises:
            MediaError: an item cannot be embedded and `on_error="raise"`; or the items are a table, or a 2-d
                array of texts or objects. `MissingExtraError` if an item needs a missing package.
            ValueError: `modality`, `on_error` or `batch_size` is invalid.
        """
        if on_error not in ("raise", "skip"):
            raise ValueError(f"on_error: expected 'raise' or 'skip', got {on_error!r}")
        found, single = items_of(items)
        listed = list(found)
        stream = self.encode_stream(
            listed, modality=modality, batch_size=batch_size, normalize_embeddings=normalize_embeddings
        )
        vectors = np.full((len(listed), self.embed_dim), np.nan, dtype=np.float32)
        report = []
        results: Iterable[Embedding] = stream
        if show_progress_bar:
            from tqdm.auto import tqdm

            results = tqdm(stream, desc="Embedding", total=len(listed))
        with closing(stream):  # an error's traceback would keep the stream open
            for result in results:
                if result.error is not None:
                    if on_error == "raise":
                        raise result.error
                    logger.warning("skipped item %d: %s", result.index, result.error)
                else:
                    vectors[result.index] = result.vector
                report.append(result)
        rows: Any = torch.from_numpy(vectors) if convert_to_tensor else vectors
        rows = rows[0] if single else rows
        return (rows, report) if return_report else rows

    def encode_stream(
        self,
        items: Iterable[Any],
        *,
        modality: ModalityType | str | None = None,
        batch_size: int = BATCH_SIZE,
        normalize_embeddings: bool = True,
        clips: bool = False,
        inspect: Inspect | None = None,
    ) -> Generator[Embedding, None, None]:
        """Embed items of a stream of any length, in order and in bounded memory.

        A failed item yields an `Embedding` with an `error`. With `clips`, recordings have a vector for each
        clip, with its time span. `inspect` is called with an item's `Views` in the thread that decoded it;
        its result, for example a thumbnail, becomes the `Embedding`'s `inspected`.

        Raises:
            MediaError: the items are a table, or a 2-d array of texts or objects.
            ValueError: `modality` or `batch_size` is invalid.
        """
        check_whole(1, batch_size=batch_size)
        batcher = Batcher(self.forward, batch_size=batch_size, normalize=normalize_embeddings, clips=clips)
        waiting: deque[tuple[int, str, MediaKind, Future[Views]]] = deque()
        views_ahead = 0
        views_needed = min(batch_size, MAX_VIEWS_AHEAD)
        with _decode_pool(self.num_workers) as pool, evaluation_mode(self.model):
            for index, item in enumerate(items_of(items)[0]):
                try:
                    request = self._identify(item, modality)
                except MediaError as error:
                    batcher.fail(index, error.item, None, error)
                else:
                    transform = self.transform(request.kind)
                    future = pool.submit(self._prepare, request, transform, inspect)
                    waiting.append((index, request.name, request.kind, future))
                    views_ahead += _views_expected(transform)
                    del request
                del item  # free it, as it may be large and the consumer slow
                while waiting and (
                    (len(waiting) > self.num_workers and views_ahead > views_needed)
                    or index - waiting[0][0] >= batcher.lookahead  # failed items add no views
                ):
                    views_ahead -= _views_expected(self.transform(waiting[0][2]))
                    batcher.take(*waiting.popleft())
                yield from batcher.finished()
            while waiting:
                batcher.take(*waiting.popleft())
                yield from batcher.finished()
            batcher.flush()
            yield from batcher.finished()

    combine = staticmethod(combine)  # also as a method, since it takes the vectors of `encode`

    def similarity(self, first: Any, second: Any) -> Tensor:
        """Return cosine similarities of all pairs of vectors: (n, e), (m, e) -> (n, m); (e,) is (1, e).

        Raises:
            TypeError: an argument is not vectors, for example items that are not embedded yet.
            ValueError: vectors of different widths.
        """
        rows, columns = (F.normalize(_as_rows(vectors), dim=-1) for vectors in (first, second))
        return cosines(rows, columns.to(rows.device))

    def forward(self, modality: ModalityType, views: Tensor) -> Tensor:
        """Run the model on views, on CUDA without waiting: (v, ...) -> (v, e) float32 on its device."""
        parameter = next(self.model.parameters())
        on_cuda = parameter.device.type == "cuda"
        if on_cuda:  # a copy from memory that is not pinned waits for running computations
            views = views.contiguous().pin_memory()
        # Only CUDA keeps the source of a running copy alive; other devices might free it too early.
        views = views.to(parameter.device, non_blocking=on_cuda)
        if views.is_floating_point():
            views = views.to(parameter.dtype)
        if modality is ModalityType.AUDIO or (modality is ModalityType.VISION and views.ndim == 5):
            views = views.unsqueeze(1)  # each view becomes one clip: (v, ...) -> (v, 1, ...)
        autocast: AbstractContextManager[Any] = nullcontext()
        if self.autocast is not None:
            autocast = torch.autocast(parameter.device.type, dtype=self.autocast)
        with torch.inference_mode(), autocast, evaluation_mode(self.model):
            return self.model({modality.value: views})[modality.value].float()

    def _identify(self, item: Any, modality: ModalityType | str | None) -> Request:
        with self._lock_of(item):
            request = identify(item, modality=modality, bound=self.bound)
        if request.kind.modality not in self.model.modalities:
            raise MediaError(
                request.name,
                got=f"{request.kind}, which this model was built without",
                expected=f"one of {', '.join(self.model.modalities)}",
                hint="add it to modalities= when the model is built",
            )
        return request

    def _prepare(self, request: Request, transform: Transform, inspect: Inspect | None) -> Views:
        with self._lock_of(request.payload):
            views = prepare(request, transform)
        return views if inspect is None else replace(views, inspected=inspect(views))

    def _lock_of(self, item: Any) -> AbstractContextManager[Any]:
        """Return a lock for an open file, decoder or image, since it may occur twice; else no lock."""
        if isinstance(item, Image.Image) or hasattr(item, "read") or is_decoder(item):
            return self._item_locks[id(item) // 16 % LOCK_COUNT]  # addresses are multiples of 16
        return nullcontext()


def _views_expected(transform: Transform) -> int:
    return getattr(transform, "clips", 1) * getattr(transform, "crops", 1)


@contextmanager
def _decode_pool(num_workers: int) -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(num_workers, thread_name_prefix="imagebind-decode")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)  # if the consumer stops early, wait only for running items


def _as_rows(vectors: Any) -> Tensor:
    try:
        return torch.atleast_2d(as_numbers(vectors, "vectors").float())
    except ValueError as error:
        raise TypeError(f"similarity: expected vectors (n, e) from encode, got {vectors!r:.80}") from error
