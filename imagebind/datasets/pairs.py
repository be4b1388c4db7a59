"""Pairs of vision and another sense: what one is, a data set of them, and a batch of one kind."""

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
    """A picture or video, and what another sense has of the same.

    `vision` and `other` are items as `imagebind.intake.requests.identify` takes them: a path, bytes, an
    array, or a mapping with options, {"depth": path, "sensor": "kinect_v2"}. A str is text where the other is
    text, else a path. `vision` may also be its embedding, a tensor (e,), where its tower is frozen: see
    `imagebind.training.frozen_vision`.

    Args:
        span: the stretch [start, end) of the vision that counts, in seconds; None is all of it. Beside an
            embedding it is what both recordings share, in whose middle the embedding was made.
        offset: what to add to a time of the vision for the time of the other; 0 where both start together.
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
            raise ValueError(f"{self.name}: a pair is of vision and another modality, got vision twice")
        if self.span is not None and not 0 <= self.span[0] < self.span[1]:
            raise ValueError(f"{self.name}: span: expected 0 <= start < end in seconds, got {self.span}")


class LazyPairs(Sequence[Pair]):
    """Pairs that are made when they are asked for, by `pair`."""

    @abstractmethod
    def pair(self, index: int) -> Pair:
        """The pair of a number."""

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> list[Pair]: ...
    def __getitem__(self, index: int | slice) -> Pair | list[Pair]:
        if isinstance(index, slice):
            return [self.pair(place) for place in range(*index.indices(len(self)))]
        return self.pair(index)


class PairSample(NamedTuple):
    """A pair as both trunks take it, without the dimension of the batch."""

    vision: Tensor  # (3, 224, 224), or a clip (1, 3, 2, 224, 224), or an embedding (e,)
    other: Tensor  # text (77,), audio (1, 1, 128, 204), depth and thermal (1, 224, 224), imu (6, 2000)
    modality: ModalityType


class BrokenPair(NamedTuple):
    """A pair that could not be read, and why."""

    name: str
    error: MediaError
    modality: ModalityType


class PairBatch(NamedTuple):
    """What the model takes, {"vision": (b, ...), modality: (b, ...)}, and what was left out of it.

    Vision that was embedded before is (b, e). Where everything was broken there are no inputs.
    """

    modality: ModalityType
    inputs: dict[str, Tensor]
    broken: list[BrokenPair]

    @property
    def size(self) -> int:
        """Pairs that could be read."""
        return len(self.inputs[ModalityType.VISION]) if self.inputs else 0


class PairTransform(Protocol):
    """Load and augment a pair; all chance comes from `rng`."""

    def __call__(self, pair: Pair, rng: np.random.Generator, /) -> PairSample: ...


class PairDataset:
    """Pairs of one kind, read and augmented when asked for. A data set for torch's DataLoader, map-style.

    Args:
        pairs: a list of them, or any sequence that makes them when asked, such as `ShardPairs`.
        seed: of the augmentation.
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
        """The pair as the first epoch has it."""
        return self.sample(index, turn=0)

    def sample(self, index: int, *, turn: int) -> PairSample | BrokenPair:
        """Read and augment a pair, in the same way for the same seed, turn and index, in whatever process.

        `turn` counts how often the data set was gone through before. A failure of the pair's own is returned;
        a missing package is raised, for it would fail them all.
        """
        pair = self.pairs[index]
        if pair.modality is not self.modality:
            raise ValueError(
                f"{pair.name}: a pair with {pair.modality} in a data set of {self.modality}; "
                "one kind a data set, see by_modality"
            )
        try:
            return self.transform(pair, generator(self.seed, turn, index))
        except MissingExtraError:
            raise
        except MediaError as error:
            return BrokenPair(pair.name, error, pair.modality)
        except Exception as error:  # decoders let many kinds through, some of which no process can hand over
            broken = MediaError(pair.name, got=repr(error)[:500], expected="a pair that can be read")
            return BrokenPair(pair.name, broken, pair.modality)


def generator(seed: int, turn: int, index: int) -> np.random.Generator:
    """The chance of one pair at one turn, the same whatever was drawn before."""
    return np.random.default_rng(np.random.SeedSequence([seed, turn, index]))


def by_modality(pairs: Sequence[Pair]) -> dict[ModalityType, list[Pair]]:
    """Pairs of many kinds by their kind, each in the order they came: one batch has one kind."""
    kinds: dict[ModalityType, list[Pair]] = {}
    for pair in pairs:
        kinds.setdefault(pair.modality, []).append(pair)
    return kinds


def collate(samples: Sequence[PairSample | BrokenPair]) -> PairBatch:
    """Stack what could be read: b of (...) -> (b, ...); the broken are listed beside it.

    Raises:
        ValueError: nothing given, or more than one kind of pair, or more than one shape.
    """
    kinds = {sample.modality for sample in samples}
    if len(kinds) != 1:
        raise ValueError(f"batch: expected one kind of pair, got {sorted(kinds) or 'nothing'}")
    modality = kinds.pop()
    whole = [sample for sample in samples if isinstance(sample, PairSample)]
    broken = [sample for sample in samples if isinstance(sample, BrokenPair)]
    inputs = {}
    if whole:
        inputs = {
            ModalityType.VISION.value: _stack([sample.vision for sample in whole], ModalityType.VISION),
            str(modality): _stack([sample.other for sample in whole], modality),
        }
    return PairBatch(modality, inputs, broken)


def _stack(tensors: list[Tensor], modality: ModalityType) -> Tensor:
    shapes = sorted({tuple(tensor.shape) for tensor in tensors})
    if len(shapes) > 1:
        some_embedded = any(len(shape) == 1 for shape in shapes) and modality is ModalityType.VISION
        raise ValueError(
            f"batch: expected one shape of {modality}, got {shapes}; "
            + (
                "some items are images, others embeddings: embed them all"
                if some_embedded
                else "put images and videos into separate data sets"
            )
        )
    return torch.stack(tensors)
