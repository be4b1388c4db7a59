"""Patch embeddings and similarity maps."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from imagebind.applications.dense import ATTENTIONS, patch_embeddings, similarity_maps, whole_image
from imagebind.errors import MediaError
from imagebind.models.heads import ClassToken


def test_plain_patches_are_the_tokens_of_the_trunk_through_the_head(small_model):
    images = torch.rand(2, 3, 224, 224)
    with torch.no_grad():
        tokens = small_model.forward_features("vision", images)
        head = [each for each in small_model.modality_heads["vision"] if not isinstance(each, ClassToken)]
        expected = F.normalize(nn.Sequential(*head)(tokens)[:, 1:], dim=-1)
        patches = patch_embeddings(small_model, images, attention="plain")
    torch.testing.assert_close(patches.flatten(1, 2), expected)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_patches_of_images_and_clips_have_unit_length_and_do_not_depend_on_batch_mates(
    small_model, attention
):
    generator = torch.Generator().manual_seed(0)
    for shape in ((2, 3, 224, 224), (2, 3, 2, 224, 224), (2, 3, 112, 112)):
        images = torch.rand(shape, generator=generator)
        with torch.no_grad():
            patches = patch_embeddings(small_model, images, attention=attention)
            alone = patch_embeddings(small_model, images[1:], attention=attention)
        side = shape[-1] // small_model.config.vision.patch_size
        assert patches.shape == (2, side, side, small_model.config.embed_dim)
        torch.testing.assert_close(patches.norm(dim=-1), torch.ones(2, side, side))
        torch.testing.assert_close(patches[1:], alone, atol=1e-5, rtol=1e-5)


def test_an_unknown_attention_is_an_error(small_model):
    with pytest.raises(ValueError, match=r"attention: expected one of value, .*, got 'maskclip'"):
        patch_embeddings(small_model, torch.rand(1, 3, 224, 224), attention="maskclip")


def test_an_image_is_read_whole_and_standardised_as_the_embedder_does(embedder, image_file):
    pixels = whole_image(embedder, image_file)
    width, height = Image.open(image_file).size
    assert pixels.shape == (3, height, width)
    square = Image.open(image_file).convert("RGB").crop((0, 0, 224, 224))
    torch.testing.assert_close(whole_image(embedder, square), embedder.transform("image")(square))


def test_a_map_has_the_size_of_its_image_whatever_its_shape(embedder):
    rng = np.random.default_rng(0)
    queries = rng.standard_normal((3, embedder.embed_dim))
    for height, width in ((224, 224), (150, 400), (501, 97)):
        image = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        maps = similarity_maps(embedder, image, queries)
        assert maps.shape == (3, height, width)
        assert maps.abs().max() <= 1 and maps.isfinite().all()


def test_a_map_of_one_window_is_the_similarity_of_its_patches(embedder):
    pixels = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    queries = F.normalize(torch.randn(2, embedder.embed_dim, generator=torch.Generator().manual_seed(0)))
    maps = similarity_maps(embedder, Image.fromarray(pixels), queries, windows=[1.0])
    tensor = embedder.transform("image")(Image.fromarray(pixels))
    with torch.no_grad():
        patches = patch_embeddings(embedder.model, tensor[None])[0]
    grid = torch.einsum("hwe,ne->nhw", patches, queries)
    expected = F.interpolate(grid[None], size=(224, 224), mode="bilinear")[0]
    torch.testing.assert_close(maps, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"queries": np.empty((0, 32))}, r"queries: expected vectors \(n, 32\), got \(0, 32\)"),
        ({"queries": np.ones((2, 5))}, r"queries: expected vectors \(n, 32\), got \(2, 5\)"),
        ({"windows": ()}, "windows: expected shares"),
        ({"windows": (2.0,)}, "windows: expected shares"),
        ({"overlap": 1.0}, "overlap: expected a share"),
    ],
)
def test_bad_options_of_maps_are_errors(embedder, options, message):
    given = {"queries": np.ones((1, 32)), **options}
    with pytest.raises(ValueError, match=message):
        similarity_maps(embedder, Image.new("RGB", (64, 64)), given.pop("queries"), **given)


def test_an_item_that_is_no_image_is_an_error(embedder, audio_file):
    with pytest.raises(MediaError, match="expected an image"):
        similarity_maps(embedder, Path(audio_file), np.ones((1, 32)))
