"""Loading of batches: workers, broken pairs and their share."""

import os
import pickle
import subprocess
import sys
from itertools import islice

import pytest
import torch

from imagebind.training.data.loading import BrokenTally, PairLoader, TooManyBrokenPairsError
from imagebind.training.data.mixture import PairMixture, PairSource
from tests.training.made import Numbers


def mixture(*datasets: Numbers, **options) -> PairMixture:
    sources = [PairSource(name=f"source {i}", dataset=dataset) for i, dataset in enumerate(datasets)]
    return PairMixture(sources, 8, seed=0, **options)


def read(loader: PairLoader, count: int, start: int = 0) -> list[tuple]:
    """Return (indices, turns, modality) of each batch."""
    return [
        (batch.inputs["vision"][:, 0].tolist(), batch.inputs[batch.modality][:, 0].tolist(), batch.modality)
        for _, batch in islice(loader.batches(start), count)
    ]


@pytest.fixture(scope="module")
def two_modalities() -> PairMixture:
    return mixture(Numbers(20, broken=(3, 11)), Numbers(9, modality="audio"))


@pytest.fixture(scope="module")
def expected(two_modalities) -> list[tuple]:
    return read(PairLoader(two_modalities, tally=BrokenTally(max_broken_share=1)), 12)


def test_a_batch_has_its_planned_samples_except_for_broken_pairs(two_modalities):
    for plan, batch in islice(PairLoader(two_modalities).batches(), 12):
        got, turns = batch.inputs["vision"][:, 0].tolist(), batch.inputs[batch.modality][:, 0].tolist()
        assert batch.modality == two_modalities.sources[plan.source].dataset.modality
        assert turns == plan.turns and len(got) == 8
        replaced = [index for index, read in zip(plan.indices, got, strict=True) if index != read]
        planned_broken = [index for index in plan.indices if plan.source == 0 and index in (3, 11)]
        assert replaced == planned_broken
        assert plan.source == 1 or set(got).isdisjoint({3, 11})
        names = [broken.name for broken in batch.broken]
        assert {f"pair {index}" for index in replaced} <= set(names)


def test_workers_and_resumption_change_nothing(two_modalities, expected):
    loader = PairLoader(two_modalities, num_workers=2, tally=BrokenTally(max_broken_share=1))
    assert read(loader, 12) == expected
    assert read(PairLoader(two_modalities, tally=BrokenTally(max_broken_share=1)), 5, start=7) == expected[7:]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("chunk_size", [3, 8, 20])
def test_chunks_joined_are_the_batches(two_modalities, expected, workers, chunk_size):
    loader = PairLoader(two_modalities, num_workers=workers, tally=BrokenTally(max_broken_share=1))
    batches = islice(loader.chunked(2, chunk_size=chunk_size), 5)
    for (_, chunks), whole in zip(batches, expected[2:7], strict=True):
        assert [chunk.size for chunk in chunks] == ([3, 3, 2] if chunk_size == 3 else [8])
        assert torch.cat([chunk.inputs["vision"][:, 0] for chunk in chunks]).tolist() == whole[0]
        assert {chunk.modality for chunk in chunks} == {whole[2]}


def test_replacements_are_the_same_for_any_number_of_ranks(two_modalities, expected):
    halves = [
        read(PairLoader(mixture(*(s.dataset for s in two_modalities.sources), rank=rank, world_size=2)), 12)
        for rank in (0, 1)
    ]
    for whole, first, second in zip(expected, *halves, strict=True):
        assert first[0] + second[0] == whole[0] and first[1] + second[1] == whole[1]


def test_broken_pairs_are_counted_and_named_by_source(two_modalities, caplog):
    loader = PairLoader(two_modalities, tally=BrokenTally(max_broken_share=0.5))
    planned = [plan for plan, _ in islice(loader.batches(), 40)]
    tally = loader.tally.sources["source 0"]
    assert set(tally.errors) == {"pair 3", "pair 11"}
    drawn = [index for plan in planned if plan.source == 0 for index in plan.indices]
    assert tally.read - tally.broken == len(drawn)
    assert tally.broken >= sum(index in (3, 11) for index in drawn) > 0  # replacements can be broken too
    assert loader.tally.sources["source 1"].broken == 0
    assert loader.tally.report() == [f"source 0: {tally.broken} of {tally.read} pairs broken (2 in the log)"]
    warnings = [record for record in caplog.records if "pair 3" in record.getMessage()]
    assert len(warnings) == 1, "a pair is named once, however often it occurs"


def test_more_broken_pairs_than_allowed_are_an_error_that_names_some():
    half = mixture(Numbers(100, broken=range(0, 100, 2)))
    tally = BrokenTally(max_broken_share=0.2, min_read=50)
    read_batches = []
    with pytest.raises(
        TooManyBrokenPairsError, match=r"source 0: expected at most 20.0% broken pairs.*got \d+ of \d+.*pair"
    ):
        for _, batch in PairLoader(half, tally=tally).batches():
            read_batches.append(batch.size + len(batch.broken))
    assert sum(read_batches) < 50, "checked as soon as min_read pairs are read"
    assert tally.sources["source 0"].read >= 50


def test_broken_pairs_up_to_the_allowed_share_are_no_error():
    tenth = mixture(Numbers(100, broken=range(0, 100, 10)))
    loader = PairLoader(tenth, tally=BrokenTally(max_broken_share=0.2, min_read=50))
    assert len(list(islice(loader.batches(), 100))) == 100


def test_without_a_readable_replacement_an_error_is_raised_instead_of_a_short_batch():
    with pytest.raises(TooManyBrokenPairsError, match=r"replacements of a broken pair, got none.*pair"):
        next(PairLoader(mixture(Numbers(4, broken=range(4)))).batches())


def test_errors_can_be_pickled_and_an_invalid_share_is_refused():
    assert str(pickle.loads(pickle.dumps(TooManyBrokenPairsError("a: too many")))) == "a: too many"
    with pytest.raises(ValueError, match=r"max_broken_share: expected a number in \[0, 1\], got 5"):
        BrokenTally(max_broken_share=5)


GARBAGE_SCRIPT = """
import gc
import av, numpy as np
from imagebind.training.data.loading import PairLoader
from tests.training.data.test_loading import Numbers, islice, mixture

class Collecting(Numbers):
    def sample(self, *draw, **options):
        gc.collect()  # otherwise it happens at random times
        return super().sample(*draw, **options)

gc.disable()
frame = av.VideoFrame.from_ndarray(np.zeros((480, 640, 3), np.uint8), format="rgb24")
frame.reformat(format="yuv420p", threads=2)
garbage = [frame]
garbage.append(garbage)
del frame, garbage  # a cycle: only the collector frees it
[_] = islice(PairLoader(mixture(Collecting(20)), num_workers=1).batches(), 1)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only POSIX can fork")
def test_a_worker_never_frees_objects_of_its_parent():
    subprocess.run([sys.executable, "-c", GARBAGE_SCRIPT], check=True, timeout=60)
