"""A model with one more modality shares the modules of the others, which stay unchanged."""

import pytest
import torch

from imagebind.config import ImuConfig, MultiChannelConfig, OneChannelConfig, VisionConfig
from imagebind.models.bound import modules_of, with_modality
from tests.reference import small_config

SIZES = OneChannelConfig(embed_dim=16, num_blocks=1, num_heads=2, image_size=32, patch_size=8)


def test_only_the_new_modules_of_a_frozen_model_are_trainable_and_the_others_are_unchanged(small_model):
    state = {name: tensor.clone() for name, tensor in small_model.state_dict().items()}
    trainable = {name: parameter.requires_grad for name, parameter in small_model.named_parameters()}
    small_model.requires_grad_(False)
    try:
        model = with_modality(small_model, "radar", SIZES)
        new = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        assert new and all(".radar." in name for name in new)
        model({"radar": torch.randn(2, 1, 32, 32)})["radar"].sum().backward()
        assert all(parameter.grad is None for parameter in small_model.parameters())
    finally:
        for name, parameter in small_model.named_parameters():
            parameter.requires_grad_(trainable[name])
    assert "radar" not in small_model.modalities
    assert all(torch.equal(tensor, state[name]) for name, tensor in small_model.state_dict().items())


def test_the_embedding_has_the_width_of_the_space_and_the_length_of_the_logit_scale(small_model):
    model = with_modality(small_model, "radar", SIZES, logit_scale=7.0).eval()
    with torch.inference_mode():
        found = model({"radar": torch.randn(3, 1, 32, 32)})["radar"]
    assert found.shape == (3, small_config().embed_dim)
    assert torch.allclose(found.norm(dim=-1), torch.full((3,), 7.0), atol=1e-4)


def test_an_input_of_another_shape_names_the_modality(small_model):
    model = with_modality(small_model, "radar", SIZES)
    with pytest.raises(ValueError, match=r"radar: expected \(b, 1, 32, 32\)"):
        model({"radar": torch.randn(3, 2, 32, 32)})


def test_images_of_several_channels_are_embedded_and_each_channel_counts(small_model):
    sizes = MultiChannelConfig(
        embed_dim=16, num_blocks=1, num_heads=2, channels=5, image_size=32, patch_size=8
    )
    torch.manual_seed(0)
    model = with_modality(small_model, "spectral", sizes).eval()
    images = torch.randn(2, 5, 32, 32)
    with torch.inference_mode():
        before = model({"spectral": images})["spectral"]
        for channel in range(5):
            changed = images.clone()
            changed[:, channel, :16] += 3
            assert not torch.allclose(model({"spectral": changed})["spectral"], before, atol=1e-3)
        larger = model({"spectral": torch.randn(2, 5, 48, 48)})["spectral"]  # positions are interpolated
    assert before.shape == larger.shape == (2, small_config().embed_dim)
    with pytest.raises(ValueError, match=r"spectral: expected \(b, 5, 32, 32\).*got \(2, 4, 32, 32\)"):
        model({"spectral": images[:, :4]})


def test_several_modalities_can_be_added_and_have_the_dtype_of_the_model(small_model):
    series = ImuConfig(embed_dim=16, num_blocks=1, num_heads=2, channels=3, steps=40)
    model = with_modality(with_modality(small_model, "radar", SIZES), "eeg", series)
    assert model.modalities == (*small_model.modalities, "radar", "eeg")
    dtype = next(small_model.parameters()).dtype
    for name in ("radar", "eeg"):
        for module in modules_of(model, name):
            assert all(parameter.dtype is dtype for parameter in module.parameters())


@pytest.mark.parametrize("name", ["audio", "image", "Event", "a.b", "keys", "", "event camera"])
def test_a_name_that_cannot_be_used_is_an_error(small_model, name):
    with pytest.raises(ValueError, match="modality: expected a new name"):
        with_modality(small_model, name, SIZES)


@pytest.mark.parametrize("scale", [0, -1, float("nan"), float("inf")])
def test_a_logit_scale_that_is_not_positive_and_finite_is_an_error(small_model, scale):
    with pytest.raises(ValueError, match="logit_scale: expected a positive, finite number"):
        with_modality(small_model, "radar", SIZES, logit_scale=scale)


def test_a_size_out_of_bounds_is_an_error_with_its_name(small_model):
    sizes = ImuConfig(embed_dim=16, num_blocks=1, num_heads=2, head_dropout=float("nan"))
    with pytest.raises(ValueError, match=r"eeg\.head_dropout: expected at least 0 .*, got nan"):
        with_modality(small_model, "eeg", sizes)


def test_a_config_of_another_class_is_an_error(small_model):
    with pytest.raises(TypeError, match=r"radar: expected OneChannelConfig, .*, got VisionConfig"):
        with_modality(small_model, "radar", VisionConfig(embed_dim=16, num_blocks=1, num_heads=2))
