"""Precomputed vision embeddings: the same loss as embedding in every step, and no image is opened again."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from imagebind.config import AudioConfig, ImageBindConfig, OneChannelConfig, TextConfig, VisionConfig
from imagebind.datasets.pairs import Pair, PairDataset, collate
from imagebind.models.imagebind_model import ImageBindModel
from imagebind.training import frozen_vision
from imagebind.training.data.augment import AlignedAudio, AlignedImages, CaptionedVision
from imagebind.training.data.loading import PairLoader
from imagebind.training.data.mixture import PairMixture, PairSource
from imagebind.training.encoder import PairEncoder
from imagebind.training.frozen_vision import embed_vision
from imagebind.training.journal import read_log
from imagebind.training.loop import train
from imagebind.training.recipe import PairRecipe, Steps
from imagebind.training.tuning import Everything, Trunks
from imagebind.transforms.depth import DepthTransform
from imagebind.transforms.image import ImageTransform
from imagebind.transforms.thermal import ThermalTransform
from imagebind.transforms.video import VideoTransform
from tests.training.made import ramp, write_audio, write_image, write_video
from tests.training.toy import WIDTH, losses_of, toy_recipe

SIDE = 28
TOLERANCE = 1e-5
IMAGE, VIDEO = ImageTransform(size=SIDE), VideoTransform(size=SIDE)
IMAGES = AlignedImages(
    image=IMAGE, depth=DepthTransform(size=SIDE, preset="raw"), thermal=ThermalTransform(size=SIDE)
)
AUDIO = AlignedAudio(image=IMAGE, video=VIDEO)
SIZES = {"embed_dim": WIDTH, "num_blocks": 2, "num_heads": 2}


@pytest.fixture(scope="module")
def model() -> ImageBindModel:
    torch.manual_seed(0)
    image = OneChannelConfig(**SIZES, image_size=SIDE, patch_size=14)
    return ImageBindModel(
        ImageBindConfig(
            embed_dim=16,
            vision=VisionConfig(**SIZES, image_size=SIDE, patch_size=14),
            text=TextConfig(**SIZES),
            audio=AudioConfig(**SIZES, drop_path_rate=0.2),
            thermal=image,
        )
    )


@pytest.fixture
def thermal(tmp_path) -> list[Pair]:
    """Return four pairs of an image and a thermal image, both of ramps."""
    rises = np.linspace(0, 255, 40)[None].repeat(30, axis=0)
    pairs = []
    for number in range(4):
        image = write_image(tmp_path / f"{number}.png", np.roll(ramp(60, 80), 20 * number, axis=1))
        other = write_image(tmp_path / f"{number}_thermal.png", np.roll(rises, 10 * number).astype(np.uint8))
        pairs.append(Pair(vision=image, other=other, modality="thermal", name=f"pair {number}"))
    return pairs


@pytest.fixture(scope="module")
def audio_pairs(tmp_path_factory) -> list[Pair]:
    """Return pairs of audio with the same video, a shifted or longer one, a span of it, and a still image."""
    folder = tmp_path_factory.mktemp("videos")
    video = write_video(folder / "video.mp4", seconds=4, audio=True)
    audio, still = write_audio(folder / "audio.wav", seconds=3), write_image(folder / "s.png", ramp(48, 64))
    named = {
        "own": {"vision": video, "other": video},
        "shifted": {"vision": video, "other": audio, "offset": -0.7},
        "spanned": {"vision": video, "other": audio, "span": (0.5, 3.7)},
        "still": {"vision": still, "other": audio},
    }
    return [Pair(name=name, modality="audio", **options) for name, options in named.items()]


def frozen(model: ImageBindModel, modality: str, **options) -> dict:
    """Return the options of a recipe that trains one modality only."""
    return {"model": lambda: model, "learns": Trunks(modalities=(modality,)), "batch_size": 4} | options


def test_a_run_has_the_same_losses_as_one_that_embeds_the_images(model, thermal, tmp_path):
    losses = {}
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    data = {
        "images": lambda: PairDataset(thermal, IMAGES.plain()),
        "embedded": lambda: PairDataset(embed_vision(thermal, IMAGES, model), IMAGES),
    }
    for name, made in data.items():
        model.load_state_dict(state)
        pairs = (PairRecipe(modality="thermal", data=made, temperature=0.1),)
        options = frozen(model, "thermal", pairs=pairs, length=Steps(total=3))
        train(toy_recipe(tmp_path / name, **options))
        losses[name] = losses_of(read_log(tmp_path / name))
    model.load_state_dict(state)
    model.requires_grad_(True)
    assert len(losses["images"]) == 3 and len(set(losses["images"])) == 3
    np.testing.assert_allclose(losses["embedded"], losses["images"], atol=TOLERANCE)


def test_a_clip_and_its_audio_have_the_same_window_as_without_embeddings(model, audio_pairs):
    plain = replace(AUDIO.plain(), mask=AUDIO.mask)  # the mask affects only the audio, so it stays
    embedded = PairDataset(embed_vision(audio_pairs, AUDIO, model), AUDIO, seed=3)
    unembedded = PairDataset(audio_pairs, plain, seed=3)
    model.cpu().eval()  # an earlier run may have moved it to a GPU
    for index, pair in enumerate(audio_pairs):
        mine, expected_sample = embedded[index], unembedded[index]
        assert mine.vision.shape == (16,) and mine.vision.norm().item() == pytest.approx(1)
        torch.testing.assert_close(mine.other, expected_sample.other, atol=0, rtol=0, msg=pair.name)
        with torch.no_grad():
            expected = model.embed("vision", expected_sample.vision[None])[0]
        torch.testing.assert_close(mine.vision, expected, atol=TOLERANCE, rtol=0)


def test_no_image_is_opened_again(model, thermal):
    dataset = PairDataset(embed_vision(thermal, IMAGES, model), IMAGES)
    for pair in thermal:
        pair.vision.unlink()
    batch = collate([dataset[index] for index in range(4)])
    assert batch.broken == [] and batch.inputs["vision"].shape == (4, 16)
    assert batch.inputs["thermal"].shape == (4, 1, SIDE, SIDE)


def test_embeddings_are_in_the_order_of_their_pairs_for_any_batch_size(model, thermal, audio_pairs):
    alone = [embed_vision([pair], IMAGES, model)[0].vision for pair in thermal]
    for options in ({"batch_size": 3}, {"batch_size": 2, "num_workers": 2}):
        together = embed_vision(thermal, IMAGES, model, **options)
        for one, pair in zip(alone, together, strict=True):
            torch.testing.assert_close(pair.vision, one, atol=TOLERANCE, rtol=0)
    still_between_videos = [audio_pairs[index] for index in (0, 3, 1)]
    mixed = embed_vision(still_between_videos, AUDIO, model, batch_size=2)
    for one, pair in zip(still_between_videos, mixed, strict=True):
        torch.testing.assert_close(pair.vision, embed_vision([one], AUDIO, model)[0].vision)


def test_captions_need_no_span_and_other_fields_of_pairs_are_kept(model, audio_pairs):
    pairs = [replace(pair, other="a ramp", modality="text") for pair in audio_pairs]
    captioned = CaptionedVision(image=IMAGE, video=VIDEO)
    embedded = embed_vision(pairs, captioned, model)
    for before, after in zip(pairs, embedded, strict=True):
        assert replace(after, vision=before.vision) == before
    assert PairDataset(embedded, captioned)[0].other.shape == (77,)
    again = embed_vision(embedded, captioned, model)
    assert all(torch.equal(one.vision, two.vision) for one, two in zip(again, embedded, strict=True))


def test_an_unreadable_pair_is_logged_and_counted_when_it_is_drawn(model, thermal, caplog):
    thermal[1].vision.write_bytes(b"no image")
    with caplog.at_level(logging.WARNING):
        embedded = embed_vision(thermal, IMAGES, model)
    assert embedded[1] is thermal[1] and "pair 1" in caplog.text
    mixture = PairMixture([PairSource(name="thermal", dataset=PairDataset(embedded, IMAGES))], 4, seed=0)
    loader = PairLoader(mixture)
    _, batch = next(loader.batches())
    assert batch.inputs["vision"].shape == (4, 16)
    assert [broken.name for broken in batch.broken] == ["pair 1"]
    assert loader.tally.sources["thermal"].broken == 1


def test_a_batch_of_images_and_embeddings_is_refused(model, thermal):
    embedded = PairDataset([*embed_vision(thermal[:2], IMAGES, model), thermal[2]], IMAGES)
    with pytest.raises(ValueError, match=r"one shape of vision.*\(16,\).*of all items"):
        collate([embedded[index] for index in range(3)])


def test_the_training_modes_and_the_rng_state_are_unchanged(model, thermal):
    model.train()
    model.modality_trunks["vision"].eval()
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    embed_vision(thermal, IMAGES, model)
    assert torch.equal(torch.rand(1), expected)
    assert model.training and not model.modality_trunks["vision"].training
    assert not embed_vision(thermal, IMAGES, model)[0].vision.requires_grad


def test_trainable_vision_refuses_embeddings(model, thermal, tmp_path):
    def made() -> PairDataset:
        return PairDataset(embed_vision(thermal, IMAGES, model), IMAGES)

    pairs = (PairRecipe(modality="thermal", data=made, temperature=0.1),)
    options = frozen(model, "thermal", pairs=pairs, length=Steps(total=1), learns=Everything())
    with pytest.raises(ValueError, match=r"vision is trainable.*embeddings \(4, 16\)\. Freeze vision"):
        train(toy_recipe(tmp_path, **options))


def test_embeddings_pass_through_the_encoder_in_the_precision_of_autocast(model):
    model.cpu().requires_grad_(False)  # an earlier run may have moved it to a GPU
    encoder, vision = PairEncoder(model), torch.randn(2, 16, requires_grad=True)
    inputs = {"vision": vision, "thermal": torch.randn(2, 1, SIDE, SIDE)}
    same, _ = encoder(inputs, "thermal")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded, other = encoder(inputs, "thermal")
        of_images, _ = encoder(inputs | {"vision": torch.randn(2, 3, SIDE, SIDE)}, "thermal")
    model.requires_grad_(True)
    assert torch.equal(same, vision) and not same.requires_grad and not rounded.requires_grad
    assert rounded.dtype == of_images.dtype == other.dtype
    torch.testing.assert_close(rounded.float(), vision.detach(), atol=0.02, rtol=0.01)


@pytest.fixture
def batch_sizes(monkeypatch) -> list[int]:
    """Return a list to which each forward pass appends its batch size."""
    sizes, forward = [], frozen_vision._forward
    monkeypatch.setattr(frozen_vision, "_forward", lambda model, v: sizes.append(len(v)) or forward(model, v))
    return sizes


def test_a_cache_is_used_again_for_the_same_pairs_and_weights(model, audio_pairs, tmp_path, batch_sizes):
    path = tmp_path / "kept" / "vision.safetensors"
    first = embed_vision(audio_pairs, AUDIO, model, cache=path)
    assert path.is_file() and sum(batch_sizes) == 4 and list(path.parent.iterdir()) == [path]
    second = embed_vision(audio_pairs, AUDIO, model, cache=path)
    assert sum(batch_sizes) == 4
    for one, two in zip(first, second, strict=True):
        assert torch.equal(one.vision, two.vision) and one.span == two.span


def with_other_heads(model: ImageBindModel) -> ImageBindModel:
    """Return a model with the same weights and another number of heads."""
    vision = replace(model.config.vision, num_heads=2 * model.config.vision.num_heads)
    other = ImageBindModel(replace(model.config, vision=vision))
    other.load_state_dict(model.state_dict())
    return other


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda pairs, t, m: ([replace(pairs[0], name="another"), *pairs[1:]], t, m), "other pairs"),
        (lambda pairs, t, m: ([replace(pairs[0], span=(0, 1)), *pairs[1:]], t, m), "other pairs"),
        (lambda pairs, t, m: (pairs[::-1], t, m), "other pairs"),
        (
            lambda pairs, t, m: (pairs, replace(t, image=ImageTransform(size=SIDE, mean=(0, 0, 0))), m),
            "other pairs or another transform",
        ),
        (lambda pairs, t, m: (pairs, t, ImageBindModel(m.config)), "another vision tower"),
        (lambda pairs, t, m: (pairs, t, with_other_heads(m)), "another vision tower"),
    ],
)
def test_a_cache_of_other_inputs_is_replaced(model, thermal, tmp_path, batch_sizes, caplog, change, message):
    path = tmp_path / "vision.safetensors"
    embed_vision(thermal, IMAGES, model, cache=path)
    pairs, transform, other = change(thermal, IMAGES, model)
    with caplog.at_level(logging.WARNING):
        made = embed_vision(pairs, transform, other, cache=path)
    assert sum(batch_sizes) == 8 and message in caplog.text
    fresh = embed_vision(pairs, transform, other)
    assert all(torch.equal(one.vision, two.vision) for one, two in zip(made, fresh, strict=True))


def test_a_cache_with_an_unknown_suffix_is_refused_before_anything_is_embedded(model, thermal, batch_sizes):
    with pytest.raises(ValueError, match=r"cache: expected a \.safetensors, \.pth or \.pt file, got v\.npz"):
        embed_vision(thermal, IMAGES, model, cache="v.npz")
    assert batch_sizes == []


def test_augmentation_and_trainable_trunks_leave_a_cache_valid(model, thermal, tmp_path, batch_sizes):
    path = tmp_path / "vision.safetensors"
    embed_vision(thermal, IMAGES, model, cache=path)
    trained = ImageBindModel(model.config)
    trained.load_state_dict(model.state_dict())
    torch.nn.init.zeros_(trained.modality_heads["thermal"][-1].weight)
    embed_vision(thermal, replace(IMAGES, flip=0.1, magnitude=None), trained, cache=path)
    assert sum(batch_sizes) == 4


def test_a_damaged_cache_is_replaced(model, thermal, tmp_path, batch_sizes, caplog):
    path = tmp_path / "vision.safetensors"
    embed_vision(thermal, IMAGES, model, cache=path)
    path.write_bytes(path.read_bytes()[:-100])
    with caplog.at_level(logging.WARNING):
        embed_vision(thermal, IMAGES, model, cache=path)
    assert "embedding vision again" in caplog.text and sum(batch_sizes) == 8


def test_only_broken_pairs_are_tried_again(model, thermal, tmp_path, batch_sizes):
    path, away = tmp_path / "vision.safetensors", tmp_path / "away.png"
    thermal[2].vision.rename(away)
    assert embed_vision(thermal, IMAGES, model, cache=path)[2] is thermal[2]
    away.rename(thermal[2].vision)
    whole = embed_vision(thermal, IMAGES, model, cache=path)
    assert batch_sizes == [3, 1] and whole[2].vision.shape == (16,)
    again = embed_vision(thermal, IMAGES, model, cache=path)
    assert batch_sizes == [3, 1] and torch.equal(again[2].vision, whole[2].vision)


def test_a_model_without_vision_is_refused(model, thermal):
    with pytest.raises(ValueError, match="expected a vision trunk, got thermal"):
        embed_vision(thermal, IMAGES, ImageBindModel(model.config, modalities=["thermal"]))
