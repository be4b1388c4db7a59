"""Stable unCLIP of tiny components with random weights: the embedding reaches the UNet; options; files."""

import json
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from imagebind.applications.generation import generate
from imagebind.applications.unclip import StableUnclip, image_embedding_norm
from imagebind.applications.unclip_files import SETTINGS_NAMES, WITH_WEIGHTS, load_unclip, missing_files
from imagebind.embedder import combine
from imagebind.errors import CheckpointError, MissingExtraError
from imagebind.space import SpaceMismatchError

WIDTH = 128


@pytest.fixture(scope="module")
def unclip(unclip_folder) -> StableUnclip:
    return replace(load_unclip(unclip_folder, device="cpu"), num_inference_steps=3)


@pytest.fixture
def unet_labels(unclip, monkeypatch) -> list[torch.Tensor]:
    """The `class_labels` of each call of the UNet, which are its embeddings with their noise level."""
    labels: list[torch.Tensor] = []
    unet = unclip.pipeline.unet
    forward = unet.forward

    def watched(*args, class_labels, **options):
        labels.append(class_labels)
        return forward(*args, class_labels=class_labels, **options)

    monkeypatch.setattr(unet, "forward", watched)
    return labels


def vectors(count: int) -> torch.Tensor:
    # Another seed than the images have, since their noise would be the same numbers.
    return torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(123))


def difference(first: Image.Image, second: Image.Image) -> float:
    return float(np.abs(np.asarray(first, dtype=float) - np.asarray(second, dtype=float)).mean())


def test_an_embedding_reaches_the_unet_with_the_length_of_the_image_encoders_embeddings(
    unclip, unet_labels, tiny
):
    generate(tiny, "a red star", decoder=unclip)
    assert len(unet_labels) >= unclip.num_inference_steps
    unguided, guided = unet_labels[0]  # (e + e,) each: the embedding, then the noise level
    assert not unguided.any()
    expected = torch.from_numpy(tiny.encode("a red star")) * unclip.embedding_norm
    # Noise level 0 of diffusers' schedule is not quite without noise.
    assert torch.nn.functional.cosine_similarity(guided[:WIDTH], expected, dim=0) > 0.99
    assert guided[:WIDTH].norm() == pytest.approx(unclip.embedding_norm, rel=0.05)


def test_a_weighted_sum_of_several_items_reaches_the_unet(unclip, unet_labels, tiny):
    query = [("a red star", 0.7), ("a blue cone", 0.3), ("a green cube", -0.2)]
    generate(tiny, query, decoder=unclip)
    expected = combine([(tiny.encode(text), weight) for text, weight in query])
    guided = unet_labels[0][1, :WIDTH]
    assert torch.nn.functional.cosine_similarity(guided, torch.from_numpy(expected), dim=0) > 0.99


def test_a_seed_repeats_an_image_and_other_seeds_and_embeddings_change_it(unclip):
    embeddings = vectors(2)
    first, second = unclip(embeddings, seeds=[1, 2])
    again, other_seed = unclip(embeddings[:1].expand(2, -1), seeds=[1, 2])
    (other_embedding,) = unclip(embeddings[1:], seeds=[1])
    assert first.size == (64, 64)
    assert difference(first, again) < 0.1
    assert min(difference(first, other) for other in (second, other_seed, other_embedding)) > 1


def test_an_image_does_not_depend_on_the_size_of_the_batches(unclip):
    embeddings, seeds = vectors(3), [5, 6, 7]
    at_once = unclip(embeddings, seeds=seeds)
    by_two = replace(unclip, batch_size=2)(embeddings, seeds=seeds)
    assert max(map(difference, at_once, by_two)) < 0.1


def test_noise_of_a_higher_level_moves_the_embedding_away(unclip, unet_labels):
    cosines = []
    for level in (0, 200, 800):
        unet_labels.clear()
        replace(unclip, noise_level=level)(vectors(1), seeds=[0])
        guided = unet_labels[0][1:, :WIDTH]
        cosines.append(torch.nn.functional.cosine_similarity(guided, vectors(1)).item())
    assert cosines == sorted(cosines, reverse=True) and cosines[0] - cosines[2] > 0.1


def test_a_lower_strength_gives_an_image_nearer_to_the_initial_one(unclip):
    values = np.linspace(0, 255, 64 * 64 * 3).reshape(64, 64, 3)
    initial = Image.fromarray(values.astype(np.uint8))
    pipeline = unclip.pipeline
    with torch.no_grad():  # the random autoencoder's reconstruction, without noise
        latents = pipeline.vae.encode(pipeline.image_processor.preprocess(initial)).latent_dist.mode()
        decoded = pipeline.image_processor.postprocess(pipeline.vae.decode(latents).sample)[0]
    started = replace(unclip, num_inference_steps=20, init_image=initial)
    distances = []
    for strength in (0.05, 0.3, 1.0):
        (image,) = replace(started, strength=strength)(vectors(1), seeds=[0])
        distances.append(difference(image, decoded))
    assert distances == sorted(distances) and distances[0] < 0.6 * distances[2]


@pytest.mark.parametrize("name", ["DDIMScheduler", "EulerDiscreteScheduler", "DPMSolverMultistepScheduler"])
def test_an_initial_image_works_with_other_schedulers(unclip, monkeypatch, name):
    import diffusers

    pipeline = unclip.pipeline
    scheduler = getattr(diffusers, name).from_config(pipeline.scheduler.config)
    monkeypatch.setattr(pipeline, "scheduler", scheduler)
    initial = Image.new("RGB", (100, 64), "red")
    (image,) = replace(unclip, init_image=initial, strength=0.7)(vectors(1), seeds=[0])
    assert image.size == (64, 64) and pipeline.scheduler is scheduler


def test_a_prompt_a_size_and_half_precision_are_passed_on(unclip_folder, unclip):
    (plain,) = unclip(vectors(1), seeds=[0])
    (prompted,) = replace(unclip, prompt="a dog", negative_prompt="a cat")(vectors(1), seeds=[0])
    assert difference(plain, prompted) > 0.1
    half = load_unclip(unclip_folder, device="cpu", dtype=torch.bfloat16, embedding_norm=3.0)
    assert half.pipeline.unet.dtype is torch.bfloat16 and half.embedding_norm == 3.0
    (image,) = replace(half, num_inference_steps=2, height=48, width=80)(vectors(1), seeds=[0])
    assert image.size == (80, 48)


def test_the_length_is_that_of_the_image_encoders_embeddings(unclip):
    image = Image.new("RGB", (50, 40), "green")
    pipeline = unclip.pipeline
    pixels = pipeline.feature_extractor(images=image, return_tensors="pt").pixel_values
    with torch.no_grad():
        expected = pipeline.image_encoder(pixels).image_embeds.norm().item()
    assert image_embedding_norm(pipeline, [image], device=unclip.device) == pytest.approx(expected, rel=1e-4)
    assert unclip.embedding_norm > 1.5  # it is not of unit length


@pytest.mark.parametrize(
    "options",
    [
        {"noise_level": 1000},
        {"noise_level": -1},
        {"num_inference_steps": 0},
        {"strength": 0.0},
        {"strength": 1.5},
        {"width": 100},
        {"batch_size": 0},
        {"guidance_scale": -1.0},
        {"embedding_norm": 0.0},
    ],
)
def test_an_option_outside_its_range_is_refused_by_name(unclip, options):
    (name,) = options
    with pytest.raises(ValueError, match=rf"{name}: expected .*, got "):
        replace(unclip, **options)


def test_a_strength_below_one_step_is_refused(unclip):
    with pytest.raises(ValueError, match="one of 3 steps"):
        replace(unclip, init_image=Image.new("RGB", (8, 8)), strength=0.2)


def test_embeddings_of_another_length_are_refused(unclip, unclip_folder, embedder):
    with pytest.raises(ValueError, match=r"expected \(1, 128\).*got \(1, 64\)"):
        unclip(torch.zeros(1, 64), seeds=[0])
    with pytest.raises(SpaceMismatchError, match="expected vectors of 128 numbers, got 32"):
        generate(embedder, "a dog", decoder=unclip)
    with pytest.raises(SpaceMismatchError, match="expected vectors of 128 numbers, got 1024"):
        load_unclip(unclip_folder, device="cpu", embed_dim=1024)


def test_missing_files_are_named(unclip_folder, tmp_path):
    folder = tmp_path / "part"
    shutil.copytree(unclip_folder, folder)
    shutil.rmtree(folder / "unet")
    (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    assert missing_files(folder) == ["unet/*.safetensors", "unet/config.json", "vae/*.safetensors"]
    with pytest.raises(CheckpointError, match=r"part: expected these files too: unet/\*\.safetensors, unet"):
        load_unclip(folder, device="cpu")
    assert missing_files(unclip_folder) == [] and {*WITH_WEIGHTS} < {*SETTINGS_NAMES}


def test_a_damaged_file_another_pipeline_and_an_empty_folder_have_different_errors(unclip_folder, tmp_path):
    folder = tmp_path / "damaged"
    shutil.copytree(unclip_folder, folder)
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(
        CheckpointError, match=r"damaged: expected the files of .*, got some that cannot be loaded"
    ):
        load_unclip(folder, device="cpu")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline"}))
    with pytest.raises(
        CheckpointError, match=r"expected StableUnCLIP.*, got a pipeline StableDiffusionPipeline"
    ):
        load_unclip(folder, device="cpu")
    with pytest.raises(CheckpointError, match=r"got no model_index\.json"):
        load_unclip(tmp_path, device="cpu")


def test_without_the_weights_the_error_has_their_files_and_the_download_command(monkeypatch, tmp_path):
    monkeypatch.setenv("IMAGEBIND_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    for source in ("sd2-community/stable-diffusion-2-1-unclip", tmp_path / "none"):
        with pytest.raises(
            CheckpointError, match=r"no such folder.*model_index\.json.*unet.*hf download sd2-"
        ):
            load_unclip(source, device="cpu")


@pytest.mark.parametrize("package", ["diffusers", "transformers"])
def test_without_a_package_the_error_names_the_extra(monkeypatch, unclip_folder, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"{package}: pip install 'imagebind\[generate\]'"):
        load_unclip(unclip_folder, device="cpu")


def test_offload_needs_an_accelerator(unclip_folder):
    with pytest.raises(ValueError, match="offload: expected an accelerator"):
        load_unclip(unclip_folder, device="cpu", offload=True)
