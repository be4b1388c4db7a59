"""Pairs, their data set and their batches."""

import pickle

import numpy as np
import pytest
import torch

from imagebind.datasets.pairs import BrokenPair, Pair, PairDataset, PairSample, by_modality, collate
from imagebind.errors import MediaError, MissingExtraError
from imagebind.modality import ModalityType


def pair(name: str, modality: str = "depth", **options) -> Pair:
    return Pair(vision=f"{name}.jpg", other=f"{name}.png", modality=modality, name=name, **options)


def noise(pair: Pair, rng: np.random.Generator) -> PairSample:
    return PairSample(torch.tensor(rng.random(3)), torch.tensor(rng.random(2)), pair.modality)


def failing(error: Exception):
    def transform(pair: Pair, rng: np.random.Generator) -> PairSample:
        raise error

    return transform


@pytest.mark.parametrize(
    "options, message",
    [
        ({"modality": "vision"}, "another modality than vision"),
        ({"modality": "smell"}, "smell"),
        ({"span": (3.0, 3.0)}, r"a: span: expected 0 <= start < end"),
        ({"span": (-1.0, 3.0)}, r"a: span: expected 0 <= start < end"),
    ],
)
def test_an_invalid_pair_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        pair("a", **options)


def test_the_random_numbers_of_a_sample_depend_only_on_seed_turn_and_index():
    pairs = [pair("a"), pair("b")]
    dataset = PairDataset(pairs, noise, seed=7)
    first = dataset.sample(1, turn=2)
    dataset.sample(0, turn=0)
    assert torch.equal(dataset.sample(1, turn=2).vision, first.vision)
    expected = np.random.default_rng(np.random.SeedSequence([7, 2, 1])).random(3)
    np.testing.assert_array_equal(first.vision, expected)
    for other in (
        dataset.sample(0, turn=2),
        dataset.sample(1, turn=3),
        PairDataset(pairs, noise, seed=8).sample(1, turn=2),
    ):
        assert not torch.equal(other.vision, first.vision)


def test_indexing_gives_the_first_turn():
    dataset = PairDataset([pair("a")], noise)
    assert torch.equal(dataset[0].vision, dataset.sample(0, turn=0).vision)


@pytest.mark.parametrize(
    "error",
    [MediaError("a.jpg", got="cut", expected="whole"), OSError("gone"), RuntimeError("strange shape")],
)
def test_an_error_of_a_pair_is_returned_with_its_name_and_can_be_pickled(error):
    broken = PairDataset([pair("a")], failing(error))[0]
    assert isinstance(broken, BrokenPair) and broken.name == "a"
    for copy in (broken, pickle.loads(pickle.dumps(broken))):
        assert isinstance(copy.error, MediaError)
        assert str(error) in str(copy.error)


def test_a_missing_package_is_raised():
    error = MissingExtraError("x", extra="train", purpose="reading")
    with pytest.raises(MissingExtraError):
        PairDataset([pair("a")], failing(error))[0]


def test_a_data_set_has_pairs_of_one_modality():
    dataset = PairDataset([pair("a"), pair("b", "thermal")], noise)
    assert dataset.modality is ModalityType.DEPTH
    with pytest.raises(ValueError, match=r"b: expected a pair with depth.*got thermal"):
        dataset[1]


def test_pairs_are_grouped_by_modality_in_order():
    groups = by_modality([pair("a"), pair("b", "thermal"), pair("c")])
    assert {modality: [pair.name for pair in pairs] for modality, pairs in groups.items()} == {
        "depth": ["a", "c"],
        "thermal": ["b"],
    }


def test_a_batch_stacks_readable_samples_and_lists_broken_pairs():
    whole = [PairSample(torch.full((3, 2, 2), i), torch.full((1,), i), ModalityType.DEPTH) for i in range(2)]
    broken = BrokenPair("b", MediaError("b", got="x", expected="y"), ModalityType.DEPTH)
    batch = collate([whole[0], broken, whole[1]])
    assert batch.size == 2 and batch.broken == [broken] and batch.modality == "depth"
    assert batch.inputs["vision"].shape == (2, 3, 2, 2)
    assert batch.inputs["depth"].tolist() == [[0], [1]]
    empty = collate([broken])
    assert empty.inputs == {} and empty.size == 0


def test_a_batch_of_two_modalities_or_two_shapes_is_refused():
    still = PairSample(torch.zeros(3, 4, 4), torch.zeros(1), ModalityType.AUDIO)
    clip = PairSample(torch.zeros(1, 3, 2, 4, 4), torch.zeros(1), ModalityType.AUDIO)
    with pytest.raises(ValueError, match=r"one shape of vision.*\(1, 3, 2, 4, 4\).*images and videos"):
        collate([still, clip])
    with pytest.raises(ValueError, match="pairs of one modality, got audio, text"):
        collate([still, still._replace(modality=ModalityType.TEXT)])
    with pytest.raises(ValueError, match="pairs of one modality, got none"):
        collate([])
