"""Precomputes the embeddings of a frozen vision tower, once before training instead of in every step.

The paper freezes its image tower, by far the largest part of the model. Without augmentation an image then
has the same embedding in every epoch, and a step only has to compute the other trunk:

    transform = AlignedAudio()
    model = imagebind_huge(pretrained=True, modalities=["vision"])
    PairRecipe(
        modality="audio",
        data=lambda: PairDataset(embed_vision(pairs, transform, model), transform),
        temperature=0.05,
    )  # in a Recipe with learns=Trunks(modalities=("audio",))

The recipe calls `data` when training starts, on every rank. `model` must have the vision weights that the
recipe starts from. `imagebind.training.data.augment` lists which augmentation remains.
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
from imagebind.checkpoints.formats import (
    SAFETENSORS_SUFFIX,
    TORCH_SUFFIXES,
    modality_of,
    read_weights,
    write_weights,
)
from imagebind.datasets.pairs import BrokenPair, LazyPairs, Pair, PairDataset, PairSample, PairTransform
from imagebind.errors import CheckpointError
from imagebind.intake.requests import identify
from imagebind.io.source import is_source, name_of
from imagebind.modality import ModalityType
from imagebind.models.evaluation import evaluation_mode
from imagebind.models.model import ImageBindModel
from imagebind.training.data.augment import is_embedding
from imagebind.training.data.windows import shared_window
from imagebind.training.random_state import preserved_random_state

VISION = ModalityType.VISION.value
EMBED_BATCH_SIZE = 64  # images per forward pass: 40 MB of pixels
RECORDINGS = (ModalityType.AUDIO, ModalityType.IMU)  # modalities that share a time span with a video
NO_SPAN = (math.nan, math.nan)
# By digest in a cache: the inputs for which the cache was written if its digest differs.
OTHER_INPUTS = {"pairs_sha256": "other pairs or another transform", "vision_sha256": "another vision tower"}

logger = logging.getLogger(__name__)


class PlainTransform(PairTransform, Protocol):
    """A pair transform that can return itself without augmentation, as all in `augment` can."""

    def plain(self) -> PairTransform: ...


class EmbeddedPairs(LazyPairs):
    """Pairs whose vision is replaced by its embedding; unreadable pairs are unchanged.

    Args:
        embeddings: (n, e); a row of NaN means that the pair has no embedding.
        spans: (n, 2), the new span of each pair in seconds; NaN keeps the pair's own span.
    """

    def __init__(self, pairs: Sequence[Pair], embeddings: Tensor, spans: Tensor) -> None:
        self.pairs = pairs
        self.embeddings = embeddings
        self.spans = spans

    def __len__(self) -> int:
        return len(self.pairs)

    def pair(self, index: int) -> Pair:
        """Return a pair with its embedding as vision, or unchanged if it has none."""
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
    batch_size: int = EMBED_BATCH_SIZE,
    num_workers: int = 0,
    device: torch.device | str | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> EmbeddedPairs:
    """Return the pairs with their vision embedded after `transform.plain()`: (e,), unit length, float32.

    Only a few batches of pixels are in memory at a time. Unreadable pairs are logged and left unchanged;
    training reads them again and counts them as broken. Leaves every random number generator unchanged.

    Args:
        num_workers: reader processes; 0 reads in this process.
        device: the device to which the model is moved; by default it is not moved.
        cache: a `.safetensors`, `.pth` or `.pt` file for the embeddings. It is used if it was written for the
            same pairs (names, paths, spans, offsets), transform and vision tower; broken pairs are tried
            again. The contents of the media files are not compared.

    Raises:
        ValueError: the pairs have several modalities, the model has no vision trunk, or the suffix of `cache`
            is not supported.
        CheckpointError: the cache cannot be written.
        OSError: the folder of the cache cannot be created.
    """
    if VISION not in model.modalities:
        raise ValueError(f"model: expected a vision trunk, got {', '.join(model.modalities)}")
    if device is not None:
        model = model.to(device)
    fill_missing = partial(
        _fill_missing, pairs, transform, model, batch_size=batch_size, num_workers=num_workers
    )
    embeddings = torch.full((len(pairs), model.config.embed_dim), math.nan)
    spans = torch.full((len(pairs), 2), math.nan, dtype=torch.float64)
    if cache is None:
        fill_missing(embeddings, spans)
        return EmbeddedPairs(pairs, embeddings, spans)
    path = Path(cache)
    if path.suffix not in (SAFETENSORS_SUFFIX, *TORCH_SUFFIXES):  # before the pairs are embedded
        raise ValueError(f"cache: expected a .safetensors, .pth or .pt file, got {path}")
    path.parent.mkdir(parents=True, exist_ok=True)
    digests = {"pairs_sha256": _digest_pairs(pairs, transform), "vision_sha256": _digest_vision(model)}
    cached = _read_cache(path, digests)
    if cached is not None:
        embeddings, spans = cached
    if fill_missing(embeddings, spans):
        write_weights({"embeddings": embeddings, "spans": spans, **digests}, path)
    return EmbeddedPairs(pairs, embeddings, spans)


class _VisionInput(NamedTuple):
    """The vision tower's input for one pair, and the span (2,) that the pair will have."""

    pair_index: int
    vision: Tensor
    span: Tensor


class _VisionInputs(Dataset):
    """The vision inputs of pairs by index; a `BrokenPair` if the pair is unreadable."""

    def __init__(self, pairs: Sequence[Pair], plain: PairTransform) -> None:
        self.dataset = PairDataset(pairs, partial(_vision_and_span, plain))

    def __getitem__(self, index: int) -> _VisionInput | BrokenPair:
        sample = self.dataset.sample(index, turn=0)
        return sample if isinstance(sample, BrokenPair) else _VisionInput(index, sample.vision, sample.other)


def _vision_and_span(plain: PairTransform, pair: Pair, rng: np.random.Generator) -> PairSample:
    """Return a sample whose `other` is the span (2,) that both sides share."""
    vision = plain(pair, rng).vision
    return PairSample(vision, torch.tensor(_shared_span(pair), dtype=torch.float64), pair.modality)


def _shared_span(pair: Pair) -> tuple[float, float]:
    """Return the time span that both sides of a pair cover; NaN if it has no end, or for other modalities."""
    if pair.modality not in RECORDINGS:
        return NO_SPAN
    vision = identify(pair.vision, modality=ModalityType.VISION)
    span = shared_window(pair, vision, identify(pair.other, modality=pair.modality))
    return span if math.isfinite(span[1]) else NO_SPAN


def _fill_missing(
    pairs: Sequence[Pair],
    transform: PlainTransform,
    model: ImageBindModel,
    embeddings: Tensor,
    spans: Tensor,
    *,
    batch_size: int,
    num_workers: int,
) -> int:
    """Fill in the missing embeddings (n, e) and spans (n, 2) in place; return how many were added."""
    missing = embeddings[:, 0].isnan().nonzero()[:, 0].tolist()
    to_do = [index for index in missing if not is_embedding(pairs[index].vision)]
    if not to_do:
        return 0
    num_added = 0
    with evaluation_mode(model), preserved_random_state(), torch.no_grad():
        inputs = _read(_VisionInputs(pairs, transform.plain()), to_do, batch_size, num_workers)
        for batch in _batches_by_shape(inputs, batch_size):
            rows = [each.pair_index for each in batch]
            embeddings[rows] = _forward(model, torch.stack([each.vision for each in batch]))
            spans[rows] = torch.stack([each.span for each in batch])
            num_added += len(rows)
    return num_added


def _read(
    dataset: _VisionInputs, indices: list[int], batch_size: int, num_workers: int
) -> Iterator[_VisionInput]:
    loader: DataLoader[Any] = DataLoader(
        dataset,
        sampler=indices,
        batch_size=batch_size,
        collate_fn=list,
        num_workers=num_workers,
        worker_init_fn=begin_worker,
    )
    for batch in loader:
        for each in batch:
            if isinstance(each, BrokenPair):
                logger.warning("broken pair not embedded, %s: %s", each.name, each.error)
            else:
                yield each


def _batches_by_shape(inputs: Iterator[_VisionInput], batch_size: int) -> Iterator[list[_VisionInput]]:
    """Yield batches of equal shape: images and clips are embedded in separate batches."""
    waiting: dict[tuple[int, ...], list[_VisionInput]] = {}
    for each in inputs:
        batch = waiting.setdefault(tuple(each.vision.shape), [])
        batch.append(each)
        if len(batch) == batch_size:
            yield waiting.pop(tuple(each.vision.shape))
    yield from waiting.values()


def _forward(model: ImageBindModel, vision: Tensor) -> Tensor:
    """Embed vision as unit vectors on the CPU: (b, ...) -> (b, e)."""
    weight = next(model.modality_trunks[VISION].parameters())
    embeddings = model.embed(VISION, vision.to(weight.device, weight.dtype))
    return F.normalize(embeddings.float(), dim=-1).cpu()


def _read_cache(path: Path, digests: Mapping[str, Tensor]) -> tuple[Tensor, Tensor] | None:
    """Return the cached embeddings and spans, or None if it is missing, unreadable or has other digests."""
    if not path.exists():
        return None
    try:
        entries = read_weights(path)
    except CheckpointError as error:
        logger.warning("embedding vision again: %s", error)
        return None
    for name, digest in digests.items():
        if not torch.equal(entries.get(name, torch.empty(0)), digest):
            logger.warning("embedding vision again: %s was written for %s", path, OTHER_INPUTS[name])
            return None
    return entries["embeddings"], entries["spans"]


def _digest_pairs(pairs: Sequence[Pair], transform: PlainTransform) -> Tensor:
    """Return the SHA-256 of all fields of the pairs, and of the transform: uint8 (32,)."""
    digest = hashlib.sha256(_stable_repr(transform.plain()).encode())
    for pair in pairs:
        digest.update(_stable_repr(pair).encode())
    return _bytes(digest.digest())


def _digest_vision(model: ImageBindModel) -> Tensor:
    """Return the SHA-256 of the vision tower's configuration and weights: uint8 (32,).

    The configuration matters: with the same weights, another number of heads gives other embeddings.
    """
    digest = hashlib.sha256(_stable_repr(model.config.vision).encode())
    for name, tensor in model.state_dict().items():
        if modality_of(name) == VISION:
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return _bytes(digest.digest())


def _stable_repr(value: Any) -> str:
    """Describe an item or settings in the same way in every process; `repr` may contain memory addresses."""
    if is_dataclass(value) and not isinstance(value, type):
        value = {type(value).__name__: {each.name: getattr(value, each.name) for each in fields(value)}}
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_stable_repr(each)}" for key, each in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_stable_repr, value)) + "]"
    if isinstance(value, partial):
        return _stable_repr([value.func, value.args, value.keywords])
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
