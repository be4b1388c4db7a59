"""Loads a mixture's batches with worker processes; broken pairs are replaced, counted and reported."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from typing import NamedTuple

from torch.utils.data import DataLoader, Dataset

from imagebind.batching import begin_worker
from imagebind.checks import check_unit_interval
from imagebind.datasets.pairs import BrokenPair, PairBatch, PairSample, collate, generator
from imagebind.errors import ImageBindError, MediaError
from imagebind.training.data.mixture import PairMixture, PairSource, PlannedBatch

MAX_BROKEN_SHARE = 0.05  # of a source's pairs. Source: ours; public video sets lose that many over time
MIN_READ_FOR_SHARE = 200  # pairs of a source to read before its broken share is checked
MAX_NAMED_BROKEN = 1000  # broken pairs of a source whose names are kept; all are counted
REPLACEMENT_TRIES = 8  # if one pair in 20 is broken, one in 20^9 is broken with all its replacements
REPLACEMENT_STREAM = 2**32 - 1  # separates the choice of replacements from the augmentation of the pair

logger = logging.getLogger(__name__)


class TooManyBrokenPairsError(ImageBindError):
    """More pairs of a source are broken than allowed, or all replacements of a pair; names some."""


class LoadedBatch(NamedTuple):
    """A batch and its plan."""

    plan: PlannedBatch
    batch: PairBatch


class LoadedChunks(NamedTuple):
    """A batch in chunks, and its plan."""

    plan: PlannedBatch
    chunks: list[PairBatch]


@dataclass(kw_only=True)
class SourceTally:
    """How many pairs of a source were read, and how many of them were broken."""

    read: int = 0  # including broken ones
    broken: int = 0
    errors: dict[str, MediaError] = field(default_factory=dict)  # by pair name, up to `MAX_NAMED_BROKEN`


@dataclass(kw_only=True)
class BrokenTally:
    """Counts the broken pairs of each source on this rank; raises if a source has too many.

    Args:
        max_broken_share: the largest allowed share of broken pairs among those read.
        min_read: pairs of a source to read before its share is checked.
    """

    max_broken_share: float = MAX_BROKEN_SHARE
    min_read: int = MIN_READ_FOR_SHARE
    sources: dict[str, SourceTally] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_unit_interval(max_broken_share=self.max_broken_share)

    def count(self, source: str, batch: PairBatch) -> None:
        """Count a batch of a source.

        Raises:
            TooManyBrokenPairsError: the source's share of broken pairs is above `max_broken_share`.
        """
        tally = self.sources.setdefault(source, SourceTally())
        tally.read += batch.size + len(batch.broken)
        tally.broken += len(batch.broken)
        for broken in batch.broken:
            if broken.name not in tally.errors and len(tally.errors) < MAX_NAMED_BROKEN:
                tally.errors[broken.name] = broken.error
                logger.warning("%s: broken pair replaced, %s: %s", source, broken.name, broken.error)
        if tally.read >= self.min_read and tally.broken > self.max_broken_share * tally.read:
            first = "; ".join(f"{name}: {error}" for name, error in list(tally.errors.items())[:3])
            raise TooManyBrokenPairsError(
                f"{source}: expected at most {self.max_broken_share:.1%} broken pairs (max_broken_share), "
                f"got {tally.broken:,} of {tally.read:,}. The first: {first}"
            )

    def report(self) -> list[str]:
        """Return a line for each source with broken pairs."""
        return [
            f"{name}: {tally.broken:,} of {tally.read:,} pairs broken ({len(tally.errors):,} in the log)"
            for name, tally in self.sources.items()
            if tally.broken
        ]


class PairLoader:
    """Loads the batches of a mixture, for training:

        loader = PairLoader(mixture, num_workers=8)
        for plan, batch in loader.batches(start_step=step):
            embeddings = model(batch.inputs)

    A broken pair is replaced by a random one of the same source, so that the batches of all ranks keep their
    size, which losses across ranks require. Broken pairs are listed in `batch.broken` and in `tally`.

    Args:
        num_workers: reader processes; 0 reads in this process.
        prefetch_factor: batches (or chunks) that each worker reads ahead; more if that many chunks from all
            workers are less than a batch.
        pin_memory: whether batches are in pinned memory, from which a GPU copies fastest.
        tally: counts broken pairs and sets how many are allowed.
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
        """Yield batches from a step on, without end, as planned by `PairMixture.batches`.

        Raises:
            TooManyBrokenPairsError: see `BrokenTally`; also raised if all replacements of a pair are broken.
        """
        for plan, (batch,) in self.chunked(start_step, chunk_size=None):
            yield LoadedBatch(plan, batch)

    def chunked(self, start_step: int = 0, *, chunk_size: int | None) -> Iterator[LoadedChunks]:
        """Yield batches in chunks of `chunk_size` pairs, the last maybe smaller; None is a single chunk.

        The workers share each batch, and together read at least one batch ahead (see `prefetch_factor`).

        Raises:
            TooManyBrokenPairsError: as `batches`.
        """
        size = self.mixture.batch_size // self.mixture.world_size
        sizes = [min(chunk_size or size, size - start) for start in range(0, size, chunk_size or size)]
        chunks = self._chunks(start_step, sizes)
        for plan in self.mixture.batches(start_step):
            name = self.mixture.sources[plan.source].name
            yield LoadedChunks(plan, [self._count(name, next(chunks), size) for size in sizes])

    def _chunks(self, start_step: int, sizes: list[int]) -> Iterator[PairBatch]:
        ahead = max(self.prefetch_factor, -(-len(sizes) // max(self.num_workers, 1)))
        loader: DataLoader[list] = DataLoader(
            _SourceSamples(self.mixture.sources, self.mixture.seed),
            batch_sampler=_ChunkSampler(self.mixture, start_step, sizes),
            collate_fn=_collate,
            num_workers=self.num_workers,
            prefetch_factor=ahead if self.num_workers else None,
            persistent_workers=self.num_workers > 0,
            pin_memory=self.pin_memory,
            worker_init_fn=begin_worker,
        )
        return iter(loader)

    def _count(self, name: str, chunk: PairBatch, expected_size: int) -> PairBatch:
        self.tally.count(name, chunk)
        if chunk.size < expected_size:
            raise TooManyBrokenPairsError(
                f"{name}: expected a readable pair in {REPLACEMENT_TRIES} replacements of a broken pair, "
                f"got none. The last: {chunk.broken[-1].name}: {chunk.broken[-1].error}"
            )
        return chunk


class _SampleIndex(NamedTuple):
    source: int
    sample: int
    turn: int


class _SourceSamples(Dataset):
    """All sources as one data set. An item is the broken pairs and the sample that replaces them, if any."""

    def __init__(self, sources: Sequence[PairSource], seed: int) -> None:
        self.sources = sources
        self.seed = seed

    def __getitem__(self, index: _SampleIndex) -> list[PairSample | BrokenPair]:
        dataset = self.sources[index.source].dataset
        results = [dataset.sample(index.sample, turn=index.turn)]
        if isinstance(results[0], PairSample):
            return results
        rng = generator(self.seed ^ REPLACEMENT_STREAM, index.turn, index.sample)
        while len(results) <= REPLACEMENT_TRIES and not isinstance(results[-1], PairSample):
            replacement = int(rng.integers(len(dataset)))
            results.append(dataset.sample(replacement, turn=index.turn))
        return results


class _ChunkSampler:
    """A batch sampler for `DataLoader` that yields the sample indices of each chunk."""

    def __init__(self, mixture: PairMixture, start_step: int, sizes: Sequence[int]) -> None:
        self.mixture = mixture
        self.start_step = start_step
        self.sizes = sizes  # of the chunks of a batch

    def __iter__(self) -> Iterator[list[_SampleIndex]]:
        for plan in self.mixture.batches(self.start_step):
            indices = map(partial(_SampleIndex, plan.source), plan.indices, plan.turns)
            for size in self.sizes:
                yield list(islice(indices, size))


def _collate(results: list[list[PairSample | BrokenPair]]) -> PairBatch:
    return collate(list(chain.from_iterable(results)))
