"""The small decoder: its images, embeddings of other modalities, and errors."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from imagebind.applications.tiny_decoder import (
    DECODER_PATH,
    DecoderNetwork,
    TinyDecoder,
    placed,
    pose_of,
    shrink,
)
from imagebind.checkpoints.factory import imagebind_tiny
from imagebind.config import tiny_config
from imagebind.embedder import Embedder
from imagebind.errors import CheckpointError
from imagebind.models.imagebind_model import ImageBindModel
from imagebind.space import Space, SpaceMismatchError
from imagebind.toyworld import World, render_image

MAX_PACKAGED_BYTES = 6_000_000
MAX_SECONDS_PER_IMAGE = 0.05


@pytest.fixture(scope="module")
def embedder():
    return Embedder(imagebind_tiny(pretrained=True, modalities=["vision", "text"]))


@pytest.fixture(scope="module")
def decoder():
    return TinyDecoder.load()


@pytest.fixture(scope="module")
def new_decoder(embedder):
    torch.manual_seed(0)
    memory = torch.nn.functional.normalize(torch.randn(5, 128), dim=-1)
    return TinyDecoder(DecoderNetwork(128).eval(), memory, Space.of(embedder, kinds=()))


def test_the_packaged_decoder_takes_less_than_6_mb(decoder):
    assert DECODER_PATH.stat().st_size < MAX_PACKAGED_BYTES


@pytest.mark.parametrize(("colour", "brightest"), [("red", 0), ("green", 1), ("blue", 2)])
def test_a_text_gives_an_object_of_the_named_colour(decoder, embedder, colour, brightest):
    vector = embedder.encode(f"a {colour} disc", convert_to_tensor=True)
    middle = decoder.decode(vector[None])[0, :, 28:36, 28:36].mean(dim=(1, 2))
    assert middle.argmax() == brightest
    assert middle.max() > 1.3 * middle.sort().values[1]


def test_a_text_gives_an_object_of_the_named_shape(decoder, embedder):
    """The middle of a ring shows the ground."""
    images = decoder.decode(embedder.encode(["a red ring", "a red disc"], convert_to_tensor=True))
    ring, disc = images[:, 0, 30:34, 30:34].mean(dim=(1, 2)) - images[:, 2, 30:34, 30:34].mean(dim=(1, 2))
    assert disc > ring + 0.2


def test_an_image_is_decoded_in_less_than_50_ms(decoder, embedder):
    vector = embedder.encode("a red disc", convert_to_tensor=True)[None]
    decoder.decode(vector)
    seconds = []
    for _ in range(5):
        started = time.process_time()
        decoder.decode(vector)
        seconds.append(time.process_time() - started)
    assert min(seconds) < MAX_SECONDS_PER_IMAGE


def test_images_have_shape_3_64_64_and_values_between_0_and_1(new_decoder):
    images = new_decoder.decode(torch.randn(3, 128))
    assert images.shape == (3, 3, 64, 64) and images.dtype == torch.float32
    assert images.min() >= 0 and images.max() <= 1
    assert new_decoder.decode(torch.randn(0, 128), seeds=[]).shape == (0, 3, 64, 64)


def test_an_image_depends_on_its_own_seed_only(new_decoder):
    vectors = torch.randn(1, 128).expand(3, -1)
    first, again, other = new_decoder.decode(vectors, seeds=[1, 1, 2])
    assert torch.equal(first, again) and not torch.equal(first, other)
    (alone,) = new_decoder(vectors[:1], seeds=[2])
    assert np.array_equal(np.array(alone), np.array(new_decoder(vectors, seeds=[0, 1, 2])[2]))


def test_vectors_become_mixtures_of_the_nearest_image_embeddings(new_decoder):
    near_to_one = new_decoder.memory[3] + 0.01 * torch.randn(128)
    (mapped,) = new_decoder.to_image_space(5 * near_to_one[None])
    assert torch.allclose(mapped, new_decoder.memory[3], atol=1e-3)
    between = new_decoder.memory[0] + new_decoder.memory[1]
    (mapped,) = new_decoder.to_image_space(between[None])
    assert torch.allclose(mapped, between / between.norm(), atol=0.2)
    assert mapped.norm() == pytest.approx(1, abs=1e-5)


def test_a_sum_of_queries_gives_one_object_with_the_attributes_of_both(decoder, embedder):
    """One text names no colour and the other no shape: together they give a blue ring."""
    ring, blue = embedder.encode(["a ring", "a blue thing"])
    vector = torch.from_numpy(embedder.combine([(ring, 1.0), (blue, 1.0)]))
    (both,), (alone,) = decoder.decode(vector[None]), decoder.decode(torch.from_numpy(ring)[None])
    blueness = [(image[2] - image[:2].mean(dim=0))[28:36].amax() for image in (both, alone)]
    assert blueness[0] > 0.2 and blueness[0] > blueness[1]


def test_a_pose_moves_and_rotates_the_object():
    image = torch.zeros(1, 1, 64, 64)
    image[..., 30:34, 40:44] = 1  # right of the middle
    moved = placed(image, torch.tensor([[0.25, 0.0, 0.0]]))  # by 8 pixels
    assert moved[0, 0, 30:34, 48:52].min() > 0.9 and moved[0, 0, 30:34, 40:44].max() < 0.1
    turned = placed(image, torch.tensor([[0.0, 0.0, torch.pi / 2]]))  # clockwise: to below the middle
    assert turned[0, 0, 40:44, 30:34].min() > 0.9


def test_the_pose_of_a_scene_is_the_position_of_the_object_in_its_image():
    scenes = [World(seed=3).scene(number) for number in range(40)]
    scene = max(scenes, key=lambda each: each.x - 10 * abs(each.angle))
    middle = replace(scene, x=0.0, y=0.0, angle=0.0, seed=1)
    shown = replace(scene, angle=0.0, seed=1)
    difference = render_image(shown).astype(float) - render_image(middle)
    assert np.abs(difference).max() > 20  # the object has moved
    right, down, _ = pose_of(scene)
    shifted = np.roll(render_image(middle), (round(down * 112), round(right * 112)), axis=(0, 1))
    inside = slice(72, 152)
    nearer = np.abs(render_image(shown).astype(float) - shifted)[inside, inside].mean()
    assert nearer < 0.5 * np.abs(difference)[inside, inside].mean()


def test_a_saved_decoder_is_loaded_again(new_decoder, tmp_path):
    new_decoder.save(tmp_path / "decoder.safetensors")
    loaded = TinyDecoder.load(tmp_path / "decoder.safetensors")
    vectors = torch.randn(2, 128)
    assert torch.allclose(loaded.decode(vectors), new_decoder.decode(vectors), atol=0.02)
    assert loaded.space == new_decoder.space


def test_damaged_and_missing_files_are_reported(new_decoder, tmp_path):
    path = tmp_path / "decoder.safetensors"
    with pytest.raises(CheckpointError, match=r"decoder.safetensors: expected the weights of a decoder"):
        TinyDecoder.load(path)
    new_decoder.save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="expected the weights"):
        TinyDecoder.load(path)


def test_embeddings_of_another_space_are_refused(decoder, embedder):
    decoder.check(embedder)
    torch.manual_seed(0)
    with pytest.raises(SpaceMismatchError, match=r"the decoder of imagebind_tiny: .*, or another decoder"):
        decoder.check(Embedder(ImageBindModel(tiny_config(), modalities=["vision"])))


def test_wrong_shapes_and_numbers_of_seeds_are_refused(new_decoder):
    with pytest.raises(ValueError, match=r"expected \(b, 128\), got \(2, 64\)"):
        new_decoder.decode(torch.randn(2, 64))
    with pytest.raises(ValueError, match="seeds: expected 2, got 1"):
        new_decoder.decode(torch.randn(2, 128), seeds=[0])


def test_shrinking_keeps_a_uniform_colour():
    image = torch.full((1, 3, 224, 224), 200, dtype=torch.uint8)
    assert torch.equal(shrink(image), torch.full((1, 3, 64, 64), 200, dtype=torch.uint8))
