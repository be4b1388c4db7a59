"""Generating images: functions as decoders, weights, seeds, silent audio and other bad input."""

import random
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from imagebind.applications.generation import (
    contact_sheet,
    generate,
    to_image,
)
from imagebind.applications.tiny_decoder import DecoderNetwork, TinyDecoder
from imagebind.checkpoints.factory import imagebind_tiny
from imagebind.embedder import Embedder, combine
from imagebind.errors import ImageBindError, MediaError
from imagebind.space import Space, SpaceMismatchError


@pytest.fixture
def small_decoder(tiny, monkeypatch) -> TinyDecoder:
    """Return the decoder of the small model, with random weights and memory."""
    generator = torch.Generator().manual_seed(0)
    memory = torch.nn.functional.normalize(torch.randn(8, tiny.embed_dim, generator=generator), dim=-1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = DecoderNetwork(tiny.embed_dim).eval().requires_grad_(False)
    decoder = TinyDecoder(network, memory, Space.of(tiny, kinds=()))
    monkeypatch.setattr(TinyDecoder, "load", lambda: decoder)
    return decoder


def as_pixels(embedding: torch.Tensor) -> np.ndarray:
    """Return an image that has the embedding as its pixels."""
    return np.tile((embedding.numpy() + 1) / 2, (3, 2, 1)).astype(np.float32)  # (3, 2, e)


def test_a_function_gets_the_embedding_of_an_item(tiny, world):
    given = []
    path = world / "000000" / "audio.wav"
    (image,) = generate(tiny, path, decoder=lambda embedding: given.append(embedding) or as_pixels(embedding))
    np.testing.assert_allclose(given[0].numpy(), tiny.encode(path), atol=1e-6)
    assert image.size == (128, 2) and image.mode == "RGB"


def test_items_of_several_modalities_and_vectors_are_added_with_their_weights(tiny, world):
    given = []
    vector = tiny.encode("a blue cone")
    query = [(world / "000000" / "audio.wav", 0.5), ({"text": "a red star"}, 0.3), (vector, -0.2)]
    generate(tiny, query, decoder=lambda embedding: given.append(embedding) or as_pixels(embedding))
    parts = [(tiny.encode(query[0][0]), 0.5), (tiny.encode("a red star"), 0.3), (vector, -0.2)]
    np.testing.assert_allclose(given[0].numpy(), combine(parts), atol=1e-6)


def test_a_function_that_draws_random_numbers_is_repeated_by_the_seed_alone(tiny):
    def noisy(embedding: torch.Tensor) -> torch.Tensor:
        return torch.rand(3, 8, 8)

    state = torch.random.get_rng_state()
    images = generate(tiny, "a star", decoder=noisy, count=3, seed=4)
    (again,) = generate(tiny, "a cone", decoder=noisy, seed=5)
    assert torch.equal(torch.random.get_rng_state(), state)
    pixels = [image.tobytes() for image in images]
    assert len(set(pixels)) == 3 and pixels[1] == again.tobytes()


def test_an_image_is_made_of_arrays_and_tensors_of_the_usual_forms():
    rng = random.Random(0)
    values = np.array([[[rng.random() for _ in range(3)] for _ in range(5)] for _ in range(4)])  # (4, 5, 3)
    expected = np.round(values * 255).astype(np.uint8)
    forms = [values, values.transpose(2, 0, 1), torch.from_numpy(values), expected, Image.fromarray(expected)]
    for form in forms:
        np.testing.assert_array_equal(np.asarray(to_image(form)), expected)
    assert to_image(values[..., 0]).mode == "L"
    others = [np.full((2, 2, 3), np.nan), np.zeros((2, 2, 3), int), np.zeros((2, 2, 3), np.uint16)]
    for wrong in (*others, values[None], "x", np.zeros(3)):
        with pytest.raises(ValueError, match="decoder: expected"):
            to_image(wrong)


def test_a_contact_sheet_has_rows_of_images():
    images = [Image.new("RGB", (4, 3), (number, 0, 0)) for number in range(1, 6)]
    sheet = contact_sheet(images)
    assert sheet.size == (12, 6)
    pixels = [sheet.getpixel((4 * x, 3 * y)) for y in range(2) for x in range(3)]
    assert pixels == [*((number, 0, 0) for number in range(1, 6)), (255, 255, 255)]
    with pytest.raises(ValueError, match="expected at least one, got none"):
        contact_sheet([])


def test_silent_audio_is_refused_by_its_name(tiny, tmp_path):
    soundfile.write(tmp_path / "silent.wav", np.zeros(32_000), 16_000)
    with pytest.raises(MediaError, match=r"silent\.wav: expected audio that can be heard, got silence"):
        generate(tiny, [("a star", 1.0), (tmp_path / "silent.wav", 1.0)], decoder=as_pixels)


@pytest.mark.parametrize(
    ("query", "options", "message"),
    [
        ([], {}, "query: expected at least one item, got none"),
        (["a", "b"], {}, r"query: expected an item, a vector or pairs \(item, weight\)"),
        ([("a", 1.0), ("a", -1.0)], {}, "cancel out"),
        ("a", {"count": 0}, "count: expected at least 1, got 0"),
        ("a", {"seed": -1}, "seed: expected an integer from 0 to"),
        ("a", {"seed": 1.5}, r"seed: expected an integer from 0 to \d+, got 1\.5"),
        (np.zeros(3, dtype=np.float32), {}, r"expected a vector \(128,\), got \(3,\)"),
        (np.zeros(128, dtype=np.float32), {}, "not all 0"),
    ],
)
def test_a_query_or_option_that_cannot_be_used_is_refused(tiny, query, options, message):
    with pytest.raises(ValueError, match=message):
        generate(tiny, query, decoder=as_pixels, **options)


def test_the_error_for_a_missing_file_names_it(tiny):
    with pytest.raises(MediaError, match=r"nowhere\.wav"):
        generate(tiny, Path("nowhere.wav"), decoder=as_pixels)


def test_a_model_without_a_decoder_is_an_error(embedder):
    with pytest.raises(ImageBindError, match=r"32-d vectors \(custom\), which has no decoder"):
        generate(embedder, "a dog")


def test_the_small_model_has_a_decoder_whose_seeds_give_different_images(tiny, small_decoder, world):
    query = [(world / "000000" / "audio.wav", 0.5), ("a red star", 0.5)]
    images = generate(tiny, query, count=2, seed=3)
    assert [image.size for image in images] == [(64, 64)] * 2 and images[0] != images[1]
    assert images[1] == generate(tiny, query, seed=4)[0]


def test_the_decoder_of_the_small_model_refuses_other_weights_of_its_sizes(small_decoder):
    model = imagebind_tiny(pretrained=True)
    with torch.no_grad():
        model.modality_heads["audio"][-1].weight.mul_(1.1)
    with pytest.raises(SpaceMismatchError, match="decoder of imagebind_tiny: expected vectors of space"):
        generate(Embedder(model), "a star")


def test_a_contact_sheet_scales_16_bit_images():
    images = [Image.fromarray(np.full((3, 4), value, np.uint16)) for value in (0, 128 * 257, 65535)]
    sheet = contact_sheet(images)
    assert [sheet.getpixel(corner) for corner in ((0, 0), (4, 0), (0, 3))] == [
        (0,) * 3,
        (128,) * 3,
        (255,) * 3,
    ]
