"""Vision that does not learn, embedded once before training instead of in every step.

The paper freezes its image tower, the largest part of the model by far. What it makes of a picture is then
the same in every epoch, but for augmentation; without that, a step costs the other trunk alone:

    transform = AlignedSound()
    model = imagebind_huge(pretrained=True, modalities=["vision"])
    PairRecipe(
        modality="audio",
        data=lambda: PairDataset(embed_vision(pairs, transform, model), transform),
        temperature=0.05,
    )  # in a Recipe with learns=Trunks(modalities=("audio",))

The recipe calls `data` when training starts, on every rank. The weights of `model` have to be those that the
recipe starts vision from. What of a pair is still augmented, `imagebind.training.data.augment` says.
"""

import hashlib
import logging
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from imagebind.batching import begin_worker
from imagebind.checkpoints.formats import modality_of, read_weights, write_weights
from imagebind.datasets.pairs import BrokenPair, LazyPairs, Pair, PairDataset, PairSample, PairTransform
from imagebind.errors import CheckpointError
from imagebind.intake.requests import identify
from imagebind.io.source import is_source, name_of
from imagebind.modality import ModalityType
from imagebind.models.model import ImageBindModel
from imagebind.training.data.augment import is_embedding
from imagebind.training.data.windows import shared_stretch
from imagebind.training.random_state import undisturbed

VISION = ModalityType.VISION.value
BATCH_SIZE = 64  # pictures a forward pass: 40 MB of pixels
RECORDINGS = (ModalityType.AUDIO, ModalityType.IMU)  # what shares a stretch of time with a video
NO_SPAN = (math.nan, math.nan)

logger = logging.getLogger(__name__)


class PlainTransform(PairTransform, Protocol):
    """A transform of pairs that has an unaugmented twin, as all in `augment` do."""

    def plain(self) -> PairTransform: ...


class EmbeddedPairs(LazyPairs):
    """Pairs whose vision is its embedding; those that could not be read are as they were.

    Args:
        embeddings: (n, e); a row of NaN is none.
        spans: (n, 2), what is to be a pair's span; NaN leaves it.
    """

    def __init__(self, pairs: Sequence[Pair], embeddings: Tensor, spans: Tensor) -> None:
        self.pairs = pairs
        self.embeddings = embeddings
        self.spans = spans

    def __len__(self) -> int:
        return len(self.pairs)

    def pair(self, index: int) -> Pair:
        """See `LazyPairs`."""
        pair, vision = self.pairs[index], self.embeddings[index]
        if vision[0].isnan():
            return pair
        start, end = self.spans[index].tolist()
        return replace(pair, vision=vision, span=pair.span if math.isnan(start) else (start, end))


def embed_vision(
    pairs: Sequence[Pair],
    transform: PlainTransform,
    model: ImageBindModel,
    *,
    batch_size: int = BATCH_SIZE,
    num_workers: int = 0,
    device: torch.device | str | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> EmbeddedPairs:
    """The same pairs with their vision embedded as `transform.plain()` sees it: (e,), unit length, float32.

    Pixels are let go with each batch. Pairs that cannot be read are logged, and stay as they are: their
    error comes, and is counted, when they are drawn. No draw of chance after this is another because of it.

    Args:
        num_workers: processes that read; with none, this one does.
        device: where the model is moved to; by default it stays.
        cache: a `.safetensors` file that the embeddings are kept in, and taken from if they are of the same
            pairs (names, paths, spans), transform and vision tower; what was broken is tried again. What the
            files hold is not compared.

    Raises:
        ValueError: pairs of more than one kind, or a model without vision.
        CheckpointError: a cache that cannot be written.
    """
    if VISION not in model.modalities:
        raise ValueError(f"model: expected a vision trunk, got {', '.join(model.modalities)}")
    if device is not None:
        model = model.to(device)
    read = partial(_fill, pairs, transform, model, batch_size=batch_size, num_workers=num_workers)
    embeddings = torch.full((len(pairs), model.config.embed_dim), math.nan)
    spans = torch.full((len(pairs), 2), math.nan, dtype=torch.float64)
    if cache is None:
        read(embeddings, spans)
        return EmbeddedPairs(pairs, embeddings, spans)
    path = Path(cache)
    digests = {"pairs_sha256": _digest_pairs(pairs, transform), "vision_sha256": _digest_vision(model)}
    kept = _read_cache(path, digests)
    if kept is not None:
        embeddings, spans = kept
    if read(embeddings, spans):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_weights({"embeddings": embeddings, "spans": spans, **digests}, path)
    return EmbeddedPairs(pairs, embeddings, spans)


class _View(NamedTuple):
    """A pair's vision as the trunk takes it, and the pair's span to be."""

    place: int
    vision: Tensor
    span: Tensor


class _Views(Dataset):
    """The vision of some pairs by their numbers; of a pair that cannot be read its error."""

    def __init__(self, pairs: Sequence[Pair], plain: PairTransform) -> None:
        self.dataset = PairDataset(pairs, partial(_look, plain))

    def __getitem__(self, index: int) -> _View | BrokenPair:
        sample = self.dataset.sample(index, turn=0)
        return sample if isinstance(sample, BrokenPair) else _View(index, sample.vision, sample.other)


def _look(plain: PairTransform, pair: Pair, rng: np.random.Generator) -> PairSample:
    """A pair's vision, and in the place of the other side the span that both share."""
    vision = plain(pair, rng).vision
    return PairSample(vision, torch.tensor(_span(pair), dtype=torch.float64), pair.modality)


def _span(pair: Pair) -> tuple[float, float]:
    """What is to be kept of a recording beside its embedding: what it shared with the other one."""
    if pair.modality not in RECORDINGS:
        return NO_SPAN
    vision = identify(pair.vision, modality=ModalityType.VISION)
    span = shared_stretch(pair, vision, identify(pair.other, modality=pair.modality))
    return span if math.isfinite(span[1]) else NO_SPAN


def _fill(
    pairs: Sequence[Pair],
    transform: PlainTransform,
    model: ImageBindModel,
    embeddings: Tensor,
    spans: Tensor,
    *,
    batch_size: int,
    num_workers: int,
) -> int:
    """Write the embeddings (n, e) and spans (n, 2) that are not there yet; returns how many were made."""
    missing = embeddings[:, 0].isnan().nonzero()[:, 0].tolist()
    to_do = [index for index in missing if not is_embedding(pairs[index].vision)]
    if not to_do:
        return 0
    made = 0
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with undisturbed(), torch.no_grad():
            views = _read(_Views(pairs, transform.plain()), to_do, batch_size, num_workers)
            for batch in _by_shape(views, batch_size):
                rows = [view.place for view in batch]
                embeddings[rows] = _forward(model, torch.stack([view.vision for view in batch]))
                spans[rows] = torch.stack([view.span for view in batch])
                made += len(rows)
    finally:
        for module in training:
            module.training = True
    return made


def _read(views: _Views, indices: list[int], batch_size: int, num_workers: int) -> Iterator[_View]:
    loader: DataLoader[Any] = DataLoader(
        views,
        sampler=indices,
        batch_size=batch_size,
        collate_fn=list,
        num_workers=num_workers,
        worker_init_fn=begin_worker,
    )
    for batch in loader:
        for view in batch:
            if isinstance(view, BrokenPair):
                logger.warning("not embedded, a broken pair, %s: %s", view.name, view.error)
            else:
                yield view


def _by_shape(views: Iterator[_View], batch_size: int) -> Iterator[list[_View]]:
    """Batches of one shape: stills and clips are embedded apart."""
    waiting: dict[tuple[int, ...], list[_View]] = {}
    for view in views:
        batch = waiting.setdefault(tuple(view.vision.shape), [])
        batch.append(view)
        if len(batch) == batch_size:
            yield waiting.pop(tuple(view.vision.shape))
    yield from waiting.values()


def _forward(model: ImageBindModel, vision: Tensor) -> Tensor:
    """Vision to rows of unit length on the CPU: (b, ...) -> (b, e)."""
    weight = next(model.modality_trunks[VISION].parameters())
    embeddings = model.embed(VISION, vision.to(weight.device, weight.dtype))
    return F.normalize(embeddings.float(), dim=-1).cpu()


def _read_cache(path: Path, digests: Mapping[str, Tensor]) -> tuple[Tensor, Tensor] | None:
    """What a cache has, if it is there and is of these pairs and weights."""
    if not path.exists():
        return None
    try:
        entries = read_weights(path)
    except CheckpointError as error:
        logger.warning("embedding vision anew: %s", error)
        return None
    for name, digest in digests.items():
        if not torch.equal(entries.get(name, torch.empty(0)), digest):
            logger.warning("embedding vision anew: %s is of other %s", path, name.partition("_")[0])
            return None
    return entries["embeddings"], entries["spans"]


def _digest_pairs(pairs: Sequence[Pair], transform: PlainTransform) -> Tensor:
    """The SHA-256 of what pairs are called and lie at, and of how they are seen: uint8 (32,)."""
    digest = hashlib.sha256(_described(transform.plain()).encode())
    for pair in pairs:
        digest.update(_described(pair).encode())
    return _bytes(digest.digest())


def _digest_vision(model: ImageBindModel) -> Tensor:
    """The SHA-256 of the vision tower's sizes and weights: uint8 (32,).

    With the same weights another number of heads sees otherwise.
    """
    digest = hashlib.sha256(_described(model.config.vision).encode())
    for name, tensor in model.state_dict().items():
        if modality_of(name) == VISION:
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return _bytes(digest.digest())


def _described(value: Any) -> str:
    """Words that are the same for the same item or settings in every process, as `repr` often is not."""
    if is_dataclass(value) and not isinstance(value, type):
        value = {type(value).__name__: {each.name: getattr(value, each.name) for each in fields(value)}}
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_described(each)}" for key, each in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_described, value)) + "]"
    if isinstance(value, partial):
        return _described([value.func, value.args, value.keywords])
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        value = np.ascontiguousarray(value).tobytes()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return hashlib.sha256(value).hexdigest()
    if is_source(value):
        return repr(name_of(value))
    if callable(value):
        return getattr(value, "__qualname__", type(value).__qualname__)
    return repr(value)


def _bytes(digest: bytes) -> Tensor:
    return torch.frombuffer(bytearray(digest), dtype=torch.uint8)
