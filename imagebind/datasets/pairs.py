"""Pairs of vision and another modality: a data set of pairs, and batches of one modality."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, overload

import numpy as np
import torch
from torch import Tensor

from imagebind.errors import MediaError, MissingExtraError
from imagebind.modality import ModalityType


@dataclass(frozen=True, kw_only=True)
class Pair:
    """An image or video, and the matching item of another modality.

    `vision` and `other` are items for `imagebind.intake.requests.identify`: a path, bytes, an array, or a
    mapping with options, {"depth": path, "sensor": "kinect_v2"}. A str is a path, except that `other` is text
    if `modality` is text. If the vision tower is frozen, `vision` may also be an embedding, a tensor (e,):
    see `imagebind.training.frozen_vision`.

    Args:
        name: the name of the pair in error messages.
        span: the part [start, end) of `vision` to use, in seconds; None uses all of it. If `vision` is an
            embedding, the time that both recordings share; the embedding belongs to the middle of this time.
        offset: seconds to add to a time in `vision` to get the time of the same moment in `other`; 0 if both
            recordings start together.
    """

    vision: Any
    other: Any
    modality: ModalityType
    name: str
    span: tuple[float, float] | None = None
    offset: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "modality", ModalityType(self.modality))
        if self.modality is ModalityType.VISION:
            raise ValueError(f"{self.name}: modality: expected another modality than vision, got vision")
        if self.span is not None and not 0 <= self.span[0] < self.span[1]:
            raise ValueError(f"{self.name}: span: expected 0 <= start < end in seconds, got {self.span}")


class LazyPairs(Sequence[Pair]):
    """A sequence that creates each pair on access, by calling `pair`."""

    @abstractmethod
    def pair(self, index: int) -> Pair:
        """Return the pair at an index."""

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> list[Pair]: ...
    def __getitem__(self, index: int | slice) -> Pair | list[Pair]:
        if isinstance(index, slice):
            return [self.pair(each) for each in range(*index.indices(len(self)))]
        return self.pair(index)


class PairSample(NamedTuple):
    """The tensors of a pair as input to both trunks, without the batch dimension."""

    vision: Tensor  # (3, 224, 224), or a clip (1, 3, 2, 224, 224), or an embedding (e,)
    other: Tensor  # text (77,), audio (1, 1, 128, 204), depth and thermal (1, 224, 224), imu (6, 2000)
    modality: ModalityType


class BrokenPair(NamedTuple):
    """A pair that could not be read, and its error."""

    name: str
    error: MediaError
    modality: ModalityType


class PairBatch(NamedTuple):
    """The model's inputs, {"vision": (b, ...), modality: (b, ...)}, without broken pairs.

    `broken` lists those. If all pairs are broken, `inputs` is empty. Precomputed vision embeddings are
    (b, e).
    """

    modality: ModalityType
    inputs: dict[str, Tensor]
    broken: list[BrokenPair]

    @property
    def size(self) -> int:
        """Return the number of pairs in `inputs`."""
        return len(self.inputs[ModalityType.VISION]) if self.inputs else 0


class PairTransform(Protocol):
    """Loads and augments a pair; all random numbers come from `rng`."""

    def __call__(self, pair: Pair, rng: np.random.Generator, /) -> PairSample: ...


class PairDataset:
    """A map-style data set for torch's DataLoader: pairs of one modality, read and augmented on access.

    Args:
        pairs: a list, or a sequence that creates pairs on access, such as `ShardPairs`.
        transform: loads and augments each pair.
        seed: the random seed of the augmentation.
    """

    def __init__(self, pairs: Sequence[Pair], transform: PairTransform, *, seed: int = 0) -> None:
        if not len(pairs):
            raise ValueError("data set: expected at least one pair, got none")
        self.pairs = pairs
        self.transform = transform
        self.seed = seed
        self.modality = pairs[0].modality

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> PairSample | BrokenPair:
        """Return the sample of the first turn."""
        return self.sample(index, turn=0)

    def sample(self, index: int, *, turn: int) -> PairSample | BrokenPair:
        """Read and augment a pair; the result depends only on seed, turn and index, not on the process.

        `turn` counts the earlier passes over the data set. If the pair cannot be read or augmented, its error
        is returned in a `BrokenPair`.

        Raises:
            ValueError: the pair has another modality than the first pair.
            MissingExtraError: a package is not installed, which would break every pair.
        """
        pair = self.pairs[index]
        if pair.modality is not self.modality:
            raise ValueError(
                f"{pair.name}: expected a pair with {self.modality}, as in the rest of the data set, got "
                f"{pair.modality}; group the pairs with by_modality"
            )
        try:
            return self.transform(pair, generator(self.seed, turn, index))
        except MissingExtraError:
            raise
        except MediaError as error:
            return BrokenPair(pair.name, error, pair.modality)
        except Exception as error:  # decoders raise many types, some of which cannot be pickled
            broken = MediaError(pair.name, got=f"one that fails ({error!r:.500})", expected="a readable pair")
            return BrokenPair(pair.name, broken, pair.modality)


def generator(seed: int, turn: int, index: int) -> np.random.Generator:
    """Return the random number generator of one pair at one turn."""
    return np.random.default_rng(np.random.SeedSequence([seed, turn, index]))


def by_modality(pairs: Sequence[Pair]) -> dict[ModalityType, list[Pair]]:
    """Group pairs by modality in their order, because a batch has pairs of only one modality."""
    groups: dict[ModalityType, list[Pair]] = {}
    for pair in pairs:
        groups.setdefault(pair.modality, []).append(pair)
    return groups


def collate(samples: Sequence[PairSample | BrokenPair]) -> PairBatch:
    """Stack the readable samples, b of (...) -> (b, ...), and list the broken pairs.

    Raises:
        ValueError: there are no samples, or they have several modalities or shapes.
    """
    modalities = {sample.modality for sample in samples}
    if len(modalities) != 1:
        got = ", ".join(sorted(modalities)) or "none"
        raise ValueError(f"batch: expected pairs of one modality, got {got}")
    modality = modalities.pop()
    readable = [sample for sample in samples if isinstance(sample, PairSample)]
    broken = [sample for sample in samples if isinstance(sample, BrokenPair)]
    inputs = {}
    if readable:
        inputs = {
            ModalityType.VISION.value: _stack([sample.vision for sample in readable], ModalityType.VISION),
            str(modality): _stack([sample.other for sample in readable], modality),
        }
    return PairBatch(modality, inputs, broken)


def _stack(tensors: list[Tensor], modality: ModalityType) -> Tensor:
    shapes = sorted({tuple(tensor.shape) for tensor in tensors})
    if len(shapes) > 1:
        some_embedded = any(len(shape) == 1 for shape in shapes) and modality is ModalityType.VISION
        raise ValueError(
            f"batch: expected one shape of {modality}, got {shapes}; "
            + (
                "precompute the embeddings of all items, or of none"
                if some_embedded
                else "put items of different shapes, such as images and videos, into separate data sets"
            )
        )
    return torch.stack(tensors)
