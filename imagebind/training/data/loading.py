"""A mixture's batches, read by worker processes; broken pairs are replaced, counted and reported."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from typing import NamedTuple

from torch.utils.data import DataLoader, Dataset

from imagebind.batching import begin_worker
from imagebind.datasets.pairs import BrokenPair, PairBatch, PairSample, collate, generator
from imagebind.errors import ImageBindError, MediaError
from imagebind.training.data.mixture import PairMixture, PairSource, PlannedBatch

MAX_BROKEN_SHARE = 0.05  # of a source's pairs. Ours: public video sets lose that many to decay
MIN_READ = 200  # pairs of a source before its share counts: the first one of ten says nothing
MAX_NAMED = 1000  # broken pairs of a source whose names are kept; all are counted
STAND_INS = 8  # tries: at one broken in 20, one draw in 10^11 finds none
STAND_IN_STREAM = 2**32 - 1  # sets the choice of stand-ins apart from the augmentation of the pair itself

logger = logging.getLogger(__name__)


class BrokenTooMany(ImageBindError):
    """More pairs of a source are broken than was allowed for; the first few are named."""


class LoadedBatch(NamedTuple):
    """A batch, and the plan it was read by."""

    plan: PlannedBatch
    batch: PairBatch


class LoadedChunks(NamedTuple):
    """A batch in the chunks that it was read in, and its plan."""

    plan: PlannedBatch
    chunks: list[PairBatch]


@dataclass(kw_only=True)
class SourceTally:
    """What was read of one source."""

    read: int = 0  # the broken among them
    broken: int = 0
    errors: dict[str, MediaError] = field(default_factory=dict)  # by the pair's name, up to `MAX_NAMED`


@dataclass(kw_only=True)
class BrokenTally:
    """Counts broken pairs by source, as this rank saw them; raises when a source has too many.

    Args:
        max_broken_share: of a source's pairs read, above which it is an error.
        min_read: pairs of a source to read before that is judged.
    """

    max_broken_share: float = MAX_BROKEN_SHARE
    min_read: int = MIN_READ
    sources: dict[str, SourceTally] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.max_broken_share <= 1:
            raise ValueError(f"max_broken_share: expected 0 to 1, got {self.max_broken_share}")

    def count(self, source: str, batch: PairBatch) -> None:
        """Count a batch of a source.

        Raises:
            BrokenTooMany: with this batch its share of broken pairs is more than `max_broken_share`.
        """
        tally = self.sources.setdefault(source, SourceTally())
        tally.read += batch.size + len(batch.broken)
        tally.broken += len(batch.broken)
        for broken in batch.broken:
            if broken.name not in tally.errors and len(tally.errors) < MAX_NAMED:
                tally.errors[broken.name] = broken.error
                logger.warning("%s: skipped a broken pair, %s: %s", source, broken.name, broken.error)
        if tally.read >= self.min_read and tally.broken > self.max_broken_share * tally.read:
            first = "; ".join(f"{name}: {error}" for name, error in list(tally.errors.items())[:3])
            raise BrokenTooMany(
                f"{source}: {tally.broken:,} of {tally.read:,} pairs are broken, expected at most "
                f"{self.max_broken_share:.1%} (max_broken_share). The first: {first}"
            )

    def report(self) -> list[str]:
        """A line for each source with broken pairs."""
        return [
            f"{name}: {tally.broken:,} of {tally.read:,} pairs broken ({len(tally.errors):,} named)"
            for name, tally in self.sources.items()
            if tally.broken
        ]


class PairLoader:
    """The batches of a mixture, for training:

        loader = PairLoader(mixture, num_workers=8)
        for plan, batch in loader.batches(start_step=step):
            embeddings = model(batch.inputs)

    A broken pair's place is taken by another of its source, drawn at random, so that all ranks' batches keep
    their size, as losses across ranks want it; the broken ones are in `batch.broken` and in `tally`.

    Args:
        num_workers: processes that read; with none, this one does.
        prefetch_factor: batches each of them reads ahead; or chunks, more where these would make no batch.
        pin_memory: whether batches are put where a GPU copies from fastest.
        tally: what is allowed to be broken.
    """

    def __init__(
        self,
        mixture: PairMixture,
        *,
        num_workers: int = 0,
        prefetch_factor: int = 2,
        pin_memory: bool = False,
        tally: BrokenTally | None = None,
    ) -> None:
        self.mixture = mixture
        self.num_workers = num_workers
        self.prefetch_factor = prefetch_factor
        self.pin_memory = pin_memory
        self.tally = BrokenTally() if tally is None else tally

    def batches(self, start_step: int = 0) -> Iterator[LoadedBatch]:
        """Batches from a step on, without end, as `PairMixture.batches` plans them.

        Raises:
            BrokenTooMany: see `BrokenTally`.
        """
        for plan, (batch,) in self.chunked(start_step, chunk_size=None):
            yield LoadedBatch(plan, batch)

    def chunked(self, start_step: int = 0, *, chunk_size: int | None) -> Iterator[LoadedChunks]:
        """The same batches in chunks of that many pairs, the last one maybe smaller; None is one of all.

        Workers share a batch, so that beside the one that is given out about one more is in memory.
        """
        size = self.mixture.batch_size // self.mixture.world_size
        sizes = [min(chunk_size or size, size - start) for start in range(0, size, chunk_size or size)]
        chunks = self._chunks(start_step, sizes)
        for plan in self.mixture.batches(start_step):
            name = self.mixture.sources[plan.source].name
            yield LoadedChunks(plan, [self._counted(name, next(chunks), wanted) for wanted in sizes])

    def _chunks(self, start_step: int, sizes: list[int]) -> Iterator[PairBatch]:
        ahead = max(self.prefetch_factor, -(-len(sizes) // max(self.num_workers, 1)))
        loader: DataLoader[list] = DataLoader(
            _Draws(self.mixture.sources, self.mixture.seed),
            batch_sampler=_Chunks(self.mixture, start_step, sizes),
            collate_fn=_collate_draws,
            num_workers=self.num_workers,
            prefetch_factor=ahead if self.num_workers else None,
            persistent_workers=self.num_workers > 0,
            pin_memory=self.pin_memory,
            worker_init_fn=begin_worker,
        )
        return iter(loader)

    def _counted(self, name: str, chunk: PairBatch, wanted: int) -> PairBatch:
        self.tally.count(name, chunk)
        if chunk.size < wanted:
            raise BrokenTooMany(
                f"{name}: {STAND_INS} pairs drawn in place of a broken one are broken too. "
                f"The last: {chunk.broken[-1].name}: {chunk.broken[-1].error}"
            )
        return chunk


class _Draw(NamedTuple):
    source: int
    sample: int
    turn: int


class _Draws(Dataset):
    """All sources as one data set, whose index is a draw. Each draw gives a sample after the broken ones."""

    def __init__(self, sources: Sequence[PairSource], seed: int) -> None:
        self.sources = sources
        self.seed = seed

    def __getitem__(self, draw: _Draw) -> list[PairSample | BrokenPair]:
        dataset = self.sources[draw.source].dataset
        results = [dataset.sample(draw.sample, turn=draw.turn)]
        if isinstance(results[0], PairSample):
            return results
        chance = generator(self.seed ^ STAND_IN_STREAM, draw.turn, draw.sample)
        while len(results) <= STAND_INS and not isinstance(results[-1], PairSample):
            stand_in = int(chance.integers(len(dataset)))
            results.append(dataset.sample(stand_in, turn=draw.turn))
        return results


class _Chunks:
    """What torch calls a batch sampler."""

    def __init__(self, mixture: PairMixture, start_step: int, sizes: Sequence[int]) -> None:
        self.mixture = mixture
        self.start_step = start_step
        self.sizes = sizes  # of the chunks of a batch

    def __iter__(self) -> Iterator[list[_Draw]]:
        for plan in self.mixture.batches(self.start_step):
            draws = map(partial(_Draw, plan.source), plan.indices, plan.turns)
            for size in self.sizes:
                yield list(islice(draws, size))


def _collate_draws(results: list[list[PairSample | BrokenPair]]) -> PairBatch:
    return collate(list(chain.from_iterable(results)))
