"""Which pairs are in which batch: one kind a batch, kinds by weight, repeat factors, exact resumption.

Everything follows from the seed and the number of the step. Nothing is remembered between steps, so any
step can be the first, and any number of ranks share the same batches.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np

from imagebind.datasets.pairs import BrokenPair, PairSample
from imagebind.modality import ModalityType

KINDS_BLOCK = 4096  # steps whose kinds are drawn at once: to resume at a step, all blocks before are redrawn
ORDER, KINDS = range(2)  # what chance is for, so that neither repeats the other's
REMEMBERED_TURNS = 2  # permutations a source keeps: a batch may lie across the end of one


class Pairs(Protocol):
    """The data set interface that a mixture needs; `PairDataset` has it."""

    modality: ModalityType

    def __len__(self) -> int: ...

    def sample(self, index: int, *, turn: int) -> PairSample | BrokenPair: ...


@dataclass(frozen=True, kw_only=True, eq=False)
class PairSource:
    """A data set in a mixture.

    Args:
        weight: its share of the batches, relative to the other sources'.
        repeat: how often each sample comes in an epoch: 50 is fifty times; 1.25 is every sample once and a
            random quarter of them twice; 0.1 is a random tenth.
    """

    name: str
    dataset: Pairs
    weight: float = 1.0
    repeat: float = 1.0

    def __post_init__(self) -> None:
        for option in ("weight", "repeat"):
            value = getattr(self, option)
            if not 0 < value < math.inf:
                raise ValueError(f"{self.name}: {option}: expected a positive number, got {value}")

    @property
    def draws_per_epoch(self) -> int:
        """Samples in an epoch, repeats counted."""
        return max(round(len(self.dataset) * self.repeat), 1)


class PlannedBatch(NamedTuple):
    """What to read for a step: of which source, which samples, and each one's turn for its augmentation.

    `epoch` is the source's, of the batch's first sample; a batch may begin in one and end in the next.
    """

    source: int
    indices: list[int]
    epoch: int
    turns: list[int]
    step: int


class PairMixture:
    """Batches of one kind of pair each, from several sources, the same for any number of ranks.

    A source's epochs follow each other without gaps. Each time it is gone through (a turn) has a fresh
    permutation, of which the last of an epoch may be used in part. So a sample comes twice into a batch only
    where a batch lies across two turns, or is larger than its source.

    Args:
        batch_size: pairs in a batch of all ranks together.
        rank, world_size: which slice of each batch is this process's.
    """

    def __init__(
        self, sources: Sequence[PairSource], batch_size: int, seed: int, rank: int = 0, world_size: int = 1
    ) -> None:
        if not sources:
            raise ValueError("mixture: expected at least one source, got none")
        if batch_size < 1 or not 0 <= rank < world_size:
            raise ValueError(
                "expected a batch_size from 1 and a rank from 0 and below world_size, got "
                f"{batch_size}, {rank} and {world_size}"
            )
        if batch_size % world_size:
            raise ValueError(
                f"batch_size: expected a multiple of the {world_size} ranks, which share it, got {batch_size}"
            )
        names = [source.name for source in sources]
        if len(set(names)) < len(names):
            raise ValueError(f"expected a different name for each source, got {names}")
        self.sources = tuple(sources)
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        weights = np.array([source.weight for source in sources], dtype=np.float64)
        self.shares = weights / weights.sum()
        self._permutation = lru_cache(REMEMBERED_TURNS * len(sources))(self._permute)

    @property
    def steps_per_epoch(self) -> int:
        """Steps until each source will have had its epoch at least once, as an average over kinds drawn."""
        return max(
            math.ceil(source.draws_per_epoch / (self.batch_size * share))
            for source, share in zip(self.sources, self.shares, strict=True)
        )

    def batches(self, start_step: int = 0) -> Iterator[PlannedBatch]:
        """This rank's slice of each batch from a step on, without end; slices joined by rank are the batch.

        To start at step n costs n / 4096 short draws, some 15 ms for a million.
        """
        if start_step < 0:
            raise ValueError(f"start_step: expected 0 or more, got {start_step}")
        taken = np.zeros(len(self.sources), dtype=np.int64)  # batches of each source so far
        block, within = divmod(start_step, KINDS_BLOCK)
        for earlier in range(block):
            taken += np.bincount(self._kinds(earlier), minlength=len(taken))
        taken += np.bincount(self._kinds(block)[:within], minlength=len(taken))
        step = start_step
        while True:
            block, within = divmod(step, KINDS_BLOCK)
            for kind in self._kinds(block)[within:].tolist():
                yield self._plan(step, kind, int(taken[kind]))
                taken[kind] += 1
                step += 1

    def _plan(self, step: int, kind: int, nth: int) -> PlannedBatch:
        """The nth batch of a source."""
        source = self.sources[kind]
        local = self.batch_size // self.world_size
        first = nth * self.batch_size
        mine = range(first + self.rank * local, first + (self.rank + 1) * local)
        drawn = [self._draw(kind, position) for position in mine]
        return PlannedBatch(
            source=kind,
            indices=[index for index, _ in drawn],
            epoch=first // source.draws_per_epoch,
            turns=[turn for _, turn in drawn],
            step=step,
        )

    def _draw(self, kind: int, position: int) -> tuple[int, int]:
        """The sample at a position of a source's endless stream, and its turn."""
        source = self.sources[kind]
        size, draws = len(source.dataset), source.draws_per_epoch
        epoch, offset = divmod(position, draws)
        turn, place = divmod(offset, size)
        turn += epoch * math.ceil(draws / size)  # turns are numbered on through all epochs
        return int(self._permutation(kind, turn)[place]), turn

    def _permute(self, kind: int, turn: int) -> np.ndarray:
        return self._rng(ORDER, kind, turn).permutation(len(self.sources[kind].dataset))

    def _kinds(self, block: int) -> np.ndarray:
        """Which source each step of a block draws from: (4096,)."""
        if len(self.sources) == 1:
            return np.zeros(KINDS_BLOCK, dtype=np.int64)
        return self._rng(KINDS, block).choice(len(self.sources), size=KINDS_BLOCK, p=self.shares)

    def _rng(self, *purpose: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=purpose))
