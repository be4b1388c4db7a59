"""Plans which pairs are in which batch: one source per batch, source weights, repeats, exact resumption.

Each batch depends only on the seed and the step. There is no state between steps, so a run can start at any
step, and any number of ranks share the same batches.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np

from imagebind.checks import check_positive, check_whole
from imagebind.datasets.pairs import BrokenPair, PairSample
from imagebind.modality import ModalityType

SOURCES_BLOCK = 4096  # steps whose sources are drawn at once; resuming redraws all earlier blocks
ORDER_STREAM, SOURCES_STREAM = range(2)  # spawn keys of the two random number streams
CACHED_PERMUTATIONS = 2  # per source, since a batch may contain the end of one and the start of the next


class Pairs(Protocol):
    """The data set interface that a mixture needs; `PairDataset` implements it."""

    modality: ModalityType

    def __len__(self) -> int: ...

    def sample(self, index: int, *, turn: int) -> PairSample | BrokenPair: ...


@dataclass(frozen=True, kw_only=True, eq=False)
class PairSource:
    """A data set in a mixture.

    Args:
        weight: its share of the batches, relative to the other sources.
        repeat: how often each sample occurs in an epoch: 50 is fifty times; 1.25 is every sample once and a
            random quarter of them twice; 0.1 is a random tenth.
    """

    name: str
    dataset: Pairs
    weight: float = 1.0
    repeat: float = 1.0

    def __post_init__(self) -> None:
        check_whole(1, **{f"{self.name}: number of pairs": len(self.dataset)})
        check_positive(**{f"{self.name}: {option}": getattr(self, option) for option in ("weight", "repeat")})

    @property
    def draws_per_epoch(self) -> int:
        """Return the number of samples in an epoch, including repeats."""
        return max(round(len(self.dataset) * self.repeat), 1)


class PlannedBatch(NamedTuple):
    """The samples to read for a step: their source, their indices, and the turn of each for its augmentation.

    `epoch` is the source's epoch at the batch's first sample; the batch may end in the next epoch.
    """

    source: int
    indices: list[int]
    epoch: int
    turns: list[int]
    step: int


class PairMixture:
    """Plans batches of several sources, one source per batch, the same for any number of ranks.

    A source's epochs follow each other without gaps. Each pass over it (a turn) has a new permutation; the
    last permutation of an epoch may be used in part. So a batch contains a sample twice only if it spans two
    turns, or is larger than its source.

    Args:
        batch_size: pairs in a batch, over all ranks together.
        rank, world_size: this process's slice of each batch.
    """

    def __init__(
        self, sources: Sequence[PairSource], batch_size: int, seed: int, rank: int = 0, world_size: int = 1
    ) -> None:
        if not sources:
            raise ValueError("mixture: expected at least one source, got none")
        check_whole(1, batch_size=batch_size)
        check_whole(0, seed=seed)
        if not 0 <= rank < world_size:
            raise ValueError(f"rank: expected a number in [0, world_size = {world_size}), got {rank}")
        if batch_size % world_size:
            raise ValueError(
                f"batch_size: expected a multiple of the number of ranks, {world_size}, got {batch_size}"
            )
        names = [source.name for source in sources]
        if len(set(names)) < len(names):
            raise ValueError(f"mixture: expected a different name for each source, got {names}")
        self.sources = tuple(sources)
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        weights = np.array([source.weight for source in sources], dtype=np.float64)
        self.shares = weights / weights.sum()
        self._permutation = lru_cache(CACHED_PERMUTATIONS * len(sources))(self._permute)

    @property
    def steps_per_epoch(self) -> int:
        """Return the number of steps in which each source is expected to complete an epoch."""
        return max(
            math.ceil(source.draws_per_epoch / (self.batch_size * share))
            for source, share in zip(self.sources, self.shares, strict=True)
        )

    def batches(self, start_step: int = 0) -> Iterator[PlannedBatch]:
        """Yield this rank's slice of each batch from a step on, without end.

        The slices of all ranks, in order of rank, are the batch. Starting at step n redraws the sources of
        n / 4096 blocks, which takes about 15 ms for a million steps.
        """
        check_whole(0, start_step=start_step)
        taken = np.zeros(len(self.sources), dtype=np.int64)  # batches of each source so far
        block, within = divmod(start_step, SOURCES_BLOCK)
        for earlier in range(block):
            taken += np.bincount(self._block_sources(earlier), minlength=len(taken))
        taken += np.bincount(self._block_sources(block)[:within], minlength=len(taken))
        step = start_step
        while True:
            block, within = divmod(step, SOURCES_BLOCK)
            for source in self._block_sources(block)[within:].tolist():
                yield self._plan(step, source, int(taken[source]))
                taken[source] += 1
                step += 1

    def _plan(self, step: int, source: int, nth: int) -> PlannedBatch:
        """Plan this rank's slice of the nth batch of a source."""
        rank_size = self.batch_size // self.world_size
        first = nth * self.batch_size
        positions = range(first + self.rank * rank_size, first + (self.rank + 1) * rank_size)
        samples = [self._sample_at(source, position) for position in positions]
        return PlannedBatch(
            source=source,
            indices=[index for index, _ in samples],
            epoch=first // self.sources[source].draws_per_epoch,
            turns=[turn for _, turn in samples],
            step=step,
        )

    def _sample_at(self, source: int, position: int) -> tuple[int, int]:
        """Return the sample index and the turn at a position of a source's endless stream."""
        size, draws = len(self.sources[source].dataset), self.sources[source].draws_per_epoch
        epoch, offset = divmod(position, draws)
        turn, index_in_turn = divmod(offset, size)
        turn += epoch * math.ceil(draws / size)  # turns are numbered consecutively over all epochs
        return int(self._permutation(source, turn)[index_in_turn]), turn

    def _permute(self, source: int, turn: int) -> np.ndarray:
        return self._rng(ORDER_STREAM, source, turn).permutation(len(self.sources[source].dataset))

    def _block_sources(self, block: int) -> np.ndarray:
        """Return the source of each step in a block: (4096,)."""
        if len(self.sources) == 1:
            return np.zeros(SOURCES_BLOCK, dtype=np.int64)
        return self._rng(SOURCES_STREAM, block).choice(len(self.sources), size=SOURCES_BLOCK, p=self.shares)

    def _rng(self, *spawn_key: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=spawn_key))
