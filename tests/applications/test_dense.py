"""Patch embeddings and similarity maps."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from imagebind.applications.dense import (
    ATTENTIONS,
    patch_embeddings,
    pixel_maps,
    similarity_maps,
    whole_image,
)
from imagebind.checkpoints.factory import imagebind_tiny
from imagebind.embedder import Embedder
from imagebind.errors import MediaError
from imagebind.models.heads import ClassToken
from imagebind.toyworld.group import GroupWorld, group_masks, render_group_image


def test_plain_patches_are_the_tokens_of_the_trunk_through_the_head(small_model):
    images = torch.rand(2, 3, 224, 224)
    with torch.no_grad():
        tokens = small_model.forward_features("vision", images)
        head = [each for each in small_model.modality_heads["vision"] if not isinstance(each, ClassToken)]
        expected = F.normalize(nn.Sequential(*head)(tokens)[:, 1:], dim=-1)
        patches = patch_embeddings(small_model, images, attention="plain")
    torch.testing.assert_close(patches.flatten(1, 2), expected)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_patches_of_images_and_clips_have_unit_length_and_do_not_depend_on_the_batch(small_model, attention):
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


def test_a_model_without_vision_is_an_error():
    model = imagebind_tiny(modalities=["text", "audio"])
    with pytest.raises(ValueError, match="model: expected one with vision, got one with text, audio"):
        patch_embeddings(model, torch.zeros(1, 3, 224, 224))
    with pytest.raises(ValueError, match="model: expected one with vision, got one with text, audio"):
        similarity_maps(Embedder(model), Image.new("RGB", (64, 64)), np.ones((1, 128)))


def test_an_image_is_read_whole_and_standardised_as_the_embedder_does(embedder, image_file):
    pixels = whole_image(embedder, image_file)
    width, height = Image.open(image_file).size
    assert pixels.shape == (3, height, width)
    square = Image.open(image_file).convert("RGB").crop((0, 0, 224, 224))
    torch.testing.assert_close(whole_image(embedder, square), embedder.transform("image")(square))


@pytest.mark.parametrize("features", ["windows", "value"])
def test_a_map_has_the_size_of_its_image_for_any_shape(embedder, features):
    rng = np.random.default_rng(0)
    queries = rng.standard_normal((3, embedder.embed_dim))
    for height, width in ((224, 224), (150, 400), (501, 97)):
        image = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        maps = similarity_maps(embedder, image, queries, features=features, windows=(0.5,))
        assert maps.shape == (3, height, width)
        assert maps.abs().max() <= 1 and maps.isfinite().all()


def test_a_map_of_one_window_is_the_similarity_of_its_patches(embedder):
    pixels = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    queries = F.normalize(torch.randn(2, embedder.embed_dim, generator=torch.Generator().manual_seed(0)))
    maps = similarity_maps(embedder, Image.fromarray(pixels), queries, features="value", windows=[1.0])
    tensor = embedder.transform("image")(Image.fromarray(pixels))
    with torch.no_grad():
        patches = patch_embeddings(embedder.model, tensor[None])[0]
    grid = torch.einsum("hwe,ne->nhw", patches, queries)
    expected = F.interpolate(grid[None], size=(224, 224), mode="bilinear")[0]
    torch.testing.assert_close(maps, expected, atol=1e-5, rtol=0)


def test_a_map_of_windows_does_not_depend_on_their_batches(embedder):
    pixels = torch.randn(3, 300, 200, generator=torch.Generator().manual_seed(0))
    queries = torch.eye(embedder.embed_dim)[:2]
    together, alone = (pixel_maps(embedder, pixels, queries, batch_size=size) for size in (1000, 1))
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_a_clip_of_a_repeated_frame_has_the_map_of_the_image(embedder):
    pixels = torch.randn(3, 224, 224, generator=torch.Generator().manual_seed(0))
    clip = pixels[:, None].expand(-1, 2, -1, -1)
    queries = torch.eye(embedder.embed_dim)[:2]
    for features in ("windows", "value"):
        maps = [pixel_maps(embedder, each, queries, features=features) for each in (pixels, clip)]
        torch.testing.assert_close(*maps, atol=1e-5, rtol=0)


def test_the_map_of_a_text_is_highest_at_its_object():
    embedder = Embedder(imagebind_tiny(pretrained=True), num_workers=1)
    group = GroupWorld(seed=3).group(1)
    texts = [f"a {thing.colour.value} {thing.shape.value}" for thing in group.things]
    maps = similarity_maps(embedder, Image.fromarray(render_group_image(group)), embedder.encode(texts))
    means = [[each[mask].mean() for mask in group_masks(group)] for each in maps]
    assert np.argmax(means, axis=1).tolist() == [0, 1, 2]
    for each, mask in zip(maps, group_masks(group), strict=True):
        assert each[mask].mean() > each.mean() + each.std()


def test_pixels_of_another_shape_are_an_error(embedder):
    with pytest.raises(ValueError, match=r"pixels: expected \(3, h, w\) or \(3, 2, h, w\), got \(224, 224\)"):
        pixel_maps(embedder, torch.zeros(224, 224), np.ones((1, 32)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"queries": np.empty((0, 32))}, r"queries: expected vectors \(n, 32\), got \(0, 32\)"),
        ({"queries": np.ones((2, 5))}, r"queries: expected vectors \(n, 32\), got \(2, 5\)"),
        ({"windows": ()}, "windows: expected shares"),
        ({"windows": (2.0,)}, "windows: expected shares"),
        ({"features": "maskclip"}, "features: expected one of windows, value"),
        ({"batch_size": 0}, "batch_size: expected at least 1, got 0"),
    ],
)
def test_bad_options_of_maps_are_errors(embedder, options, message):
    given = {"queries": np.ones((1, 32)), **options}
    with pytest.raises(ValueError, match=message):
        similarity_maps(embedder, Image.new("RGB", (64, 64)), given.pop("queries"), **given)


def test_an_item_that_is_no_image_is_an_error(embedder, audio_file):
    with pytest.raises(MediaError, match="expected an image"):
        similarity_maps(embedder, Path(audio_file), np.ones((1, 32)))
