"""Pairs of a rendered world."""

import pytest
import torch

from imagebind.datasets.pairs import collate
from imagebind.modality import MediaKind, ModalityType
from imagebind.toyworld.rendered import render_world
from imagebind.training.tiny.pairs import WorldPairs
from imagebind.transforms.text import Tokenizer

SHAPES = {
    ModalityType.TEXT: (77,),
    ModalityType.AUDIO: (1, 1, 128, 204),
    ModalityType.DEPTH: (1, 224, 224),
    ModalityType.THERMAL: (1, 224, 224),
    ModalityType.IMU: (6, 2000),
}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    return render_world(tmp_path_factory.mktemp("world"), 6, seed=0)


@pytest.mark.parametrize("modality", SHAPES)
def test_a_pair_has_the_input_shapes_of_the_trunks(rendered, modality):
    pairs = WorldPairs(rendered, MediaKind.VIDEO, modality)
    batch = collate([pairs.sample(index, turn=0) for index in range(2)])
    assert batch.inputs["vision"].shape == (2, 1, 3, 2, 224, 224)
    assert batch.inputs[modality.value].shape == (2, *SHAPES[modality])


def test_a_sample_depends_only_on_seed_turn_and_index(rendered):
    pairs = WorldPairs(rendered, MediaKind.IMAGE, ModalityType.TEXT)
    first, again = (
        pairs.sample(3, turn=1),
        WorldPairs(rendered, MediaKind.IMAGE, ModalityType.TEXT).sample(3, turn=1),
    )
    assert torch.equal(first.vision, again.vision) and torch.equal(first.other, again.other)
    captions = {tuple(pairs.sample(3, turn=turn).other.tolist()) for turn in range(12)}
    assert len(captions) > 6


def test_images_and_depth_are_flipped_together(rendered):
    pairs = WorldPairs(rendered, MediaKind.IMAGE, ModalityType.DEPTH)
    flips = set()
    for turn in range(12):
        sample = pairs.sample(0, turn=turn)
        flipped = torch.equal(sample.vision, rendered.tensor(MediaKind.IMAGE, 0, flip=True))
        assert torch.equal(sample.other, rendered.tensor(MediaKind.DEPTH, 0, flip=flipped))
        flips.add(flipped)
    assert flips == {True, False}


def test_pairs_with_directional_motion_are_never_flipped(rendered):
    pairs = WorldPairs(rendered, MediaKind.VIDEO, ModalityType.IMU)
    stored = rendered.tensor(MediaKind.VIDEO, 0)
    assert all(torch.equal(pairs.sample(0, turn=turn).vision, stored) for turn in range(12))


def test_first_captions_name_shape_and_little_else(rendered):
    pairs = WorldPairs(rendered, MediaKind.IMAGE, ModalityType.TEXT, shape_first=40)
    end = Tokenizer()("")[0].max()
    lengths = [
        [int((pairs.sample(0, turn=turn).other == end).nonzero()[0]) for turn in turns]
        for turns in (range(40), range(40, 80))
    ]
    assert sum(lengths[0]) < 0.8 * sum(lengths[1])


def test_precomputed_embeddings_replace_images(rendered):
    embeddings = torch.randn(6, 8)
    pairs = WorldPairs(rendered, MediaKind.IMAGE, ModalityType.DEPTH, embeddings=embeddings)
    for turn in range(4):
        sample = pairs.sample(2, turn=turn)
        assert torch.equal(sample.vision, embeddings[2])
        # Depth is not flipped, like the embedded image.
        assert torch.equal(sample.other, rendered.tensor(MediaKind.DEPTH, 2))


def test_shuffled_pairs_combine_different_scenes(rendered):
    pairs = WorldPairs(rendered, MediaKind.VIDEO, ModalityType.IMU, shuffled=True)
    stored = [rendered.tensor(MediaKind.IMU, index) for index in range(6)]
    partners = [
        next(i for i, tensor in enumerate(stored) if torch.equal(tensor, pairs.sample(index, turn=0).other))
        for index in range(6)
    ]
    assert sorted(partners) == list(range(6)) and partners != list(range(6))
    assert torch.equal(pairs.sample(0, turn=0).other, pairs.sample(0, turn=5).other)  # in every turn


def test_audio_is_masked_and_its_loudness_varies(rendered):
    pairs = WorldPairs(rendered, MediaKind.VIDEO, ModalityType.AUDIO)
    plain = rendered.tensor(MediaKind.AUDIO, 1)
    changes = torch.stack(
        [pairs.sample(1, turn=turn).other - plain for turn in range(12)]
    )  # (12, 1, 1, m, t)
    shifts = changes.flatten(1).median(dim=1).values
    assert len(shifts.unique()) == 12 and shifts.abs().max() < 0.5
    masked = (changes - shifts.view(-1, 1, 1, 1, 1)).abs().amax(dim=(1, 2, 4)) > 1e-4  # (12, mel)
    assert masked.any() and masked.sum(dim=1).max() <= 12
    assert torch.equal(pairs.sample(1, turn=3).other, pairs.sample(1, turn=3).other)
