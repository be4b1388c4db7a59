"""The pairs of each batch: order, weights, repetition, ranks and resumption."""

import time
from collections import Counter
from itertools import islice

import numpy as np
import pytest

from imagebind.training.data.mixture import SOURCES_BLOCK, PairMixture, PairSource
from tests.training.made import Numbers


def source(size: int, name: str = "a", **options) -> PairSource:
    return PairSource(name=name, dataset=Numbers(size), **options)


def take(mixture: PairMixture, count: int, start: int = 0) -> list:
    return list(islice(mixture.batches(start), count))


def stream(mixture: PairMixture, batches: int) -> list[tuple[int, int]]:
    return [draw for plan in take(mixture, batches) for draw in zip(plan.indices, plan.turns, strict=True)]


THREE = [source(50, "a", weight=1), source(7, "b", weight=2, repeat=3.5), source(30, "c", weight=5)]


def test_an_epoch_has_every_sample_once():
    drawn = stream(PairMixture([source(20)], 5, seed=0), 8)
    for epoch in (0, 1):
        assert sorted(index for index, _ in drawn[epoch * 20 : epoch * 20 + 20]) == list(range(20))
        assert {turn for _, turn in drawn[epoch * 20 : epoch * 20 + 20]} == {epoch}
    assert drawn[:20] != [(index, 0) for index in range(20)], "not shuffled"
    assert [index for index, _ in drawn[:20]] != [index for index, _ in drawn[20:]], "equal orders"


def test_with_repeat_1_25_every_sample_occurs_once_and_a_quarter_twice():
    mixture = PairMixture([source(40, repeat=1.25)], 10, seed=0)
    assert mixture.steps_per_epoch == 5
    drawn = stream(mixture, 10)
    twice = []
    for epoch in (drawn[:50], drawn[50:]):
        counts = Counter(index for index, _ in epoch)
        assert sorted(counts.values()) == [1] * 30 + [2] * 10
        twice.append({index for index, count in counts.items() if count == 2})
    assert twice[0] != twice[1], "the same quarter in each epoch"
    assert len(set(drawn)) == 100, "two samples have the same augmentation"


def test_with_repeat_50_a_sample_has_fifty_augmentations():
    drawn = stream(PairMixture([source(4, repeat=50)], 8, seed=0), 25)
    assert Counter(index for index, _ in drawn) == dict.fromkeys(range(4), 50)
    assert len(set(drawn)) == 200


def test_with_a_repeat_below_1_each_epoch_has_another_share_of_the_samples():
    drawn = [index for index, _ in stream(PairMixture([source(100, repeat=0.1)], 10, seed=0), 2)]
    assert len(set(drawn[:10])) == 10 and set(drawn[:10]) != set(drawn[10:])


def test_each_batch_has_one_source_drawn_by_weight():
    plans = take(PairMixture(THREE, 4, seed=0), 4000)
    shares = np.bincount([plan.source for plan in plans]) / len(plans)
    np.testing.assert_allclose(shares, [1 / 8, 2 / 8, 5 / 8], atol=0.03)  # four standard deviations
    assert max(index for plan in plans if plan.source == 1 for index in plan.indices) == 6


def test_epochs_are_counted_by_source():
    plans = [plan for plan in take(PairMixture(THREE, 4, seed=0), 200) if plan.source == 1]
    per_epoch = round(7 * 3.5)  # 24 draws, 6 batches
    assert [plan.epoch for plan in plans] == [4 * nth // per_epoch for nth in range(len(plans))]


@pytest.mark.parametrize("start", [1, 37, SOURCES_BLOCK - 1, SOURCES_BLOCK, 2 * SOURCES_BLOCK + 5])
def test_any_step_can_be_the_first(start):
    mixture = PairMixture(THREE, 4, seed=3)
    assert take(PairMixture(THREE, 4, seed=3), 20, start) == take(mixture, start + 20)[start:]


@pytest.mark.parametrize("world_size", [2, 4])
def test_ranks_share_the_batch_of_one_process(world_size):
    whole = take(PairMixture(THREE, 8, seed=1), 50)
    ranks = [
        take(PairMixture(THREE, 8, seed=1, rank=rank, world_size=world_size), 50)
        for rank in range(world_size)
    ]
    for step, plan in enumerate(whole):
        slices = [rank[step] for rank in ranks]
        assert {part.source for part in slices} == {plan.source}
        assert {part.epoch for part in slices} == {plan.epoch}
        assert [index for part in slices for index in part.indices] == plan.indices
        assert [turn for part in slices for turn in part.turns] == plan.turns


def test_another_seed_gives_another_order_and_other_sources():
    one, two = (take(PairMixture(THREE, 4, seed=seed), 50) for seed in (0, 1))
    assert [plan.source for plan in one] != [plan.source for plan in two]
    assert one[0].indices != two[0].indices


def test_resuming_after_a_million_steps_takes_less_than_a_second():
    mixture = PairMixture(THREE, 512, seed=0)
    start = time.perf_counter()
    take(mixture, 1, 1_000_000)
    assert time.perf_counter() - start < 1


def test_an_epoch_of_a_mixture_is_that_of_its_longest_source():
    sources = [source(100, "a", weight=3), source(10, "b", weight=1, repeat=4)]
    assert PairMixture(sources, 10, seed=0).steps_per_epoch == 16  # 4 batches of b, a quarter of all


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: PairMixture([], 4, seed=0), "at least one source"),
        (lambda: PairMixture([source(4)], 0, seed=0), "batch_size: expected a whole number"),
        (
            lambda: PairMixture([source(4)], 6, seed=0, world_size=4),
            "number of ranks, 4, got 6",
        ),
        (
            lambda: PairMixture([source(4)], 4, seed=0, rank=2, world_size=2),
            r"rank: expected a number in \[0, world_size = 2\), got 2",
        ),
        (lambda: PairMixture([source(4), source(5)], 4, seed=0), "a different name for each"),
        (lambda: source(0), "a: number of pairs: expected a whole number of at least 1, got 0"),
        (lambda: source(4, weight=0), "a: weight: expected a positive, finite number, got 0"),
        (lambda: source(4, repeat=float("nan")), "a: repeat: expected a positive, finite number, got nan"),
        (
            lambda: next(PairMixture([source(4)], 4, seed=0).batches(-1)),
            "start_step: expected a whole number",
        ),
    ],
)
def test_invalid_mixtures_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
