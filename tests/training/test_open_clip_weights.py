"""Towers from open_clip compute what open_clip computes."""

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from imagebind.checkpoints.factory import load_model, save_model
from imagebind.config import ImageBindConfig, TextConfig, VisionConfig
from imagebind.errors import CheckpointError
from imagebind.models.imagebind_model import ImageBindModel
from imagebind.training.open_clip_weights import convert_open_clip, load_open_clip
from tests.training.toy import toy_config

open_clip = pytest.importorskip("open_clip.model")

TOLERANCE = 1e-4
END = 511  # the largest id of the vocabulary ends a text


def small_clip(**options) -> torch.nn.Module:
    """Return a model of ViT-H/14's architecture at a few thousandths of its size, with random weights."""
    torch.manual_seed(0)
    clip = open_clip.CLIP(
        embed_dim=24,
        vision_cfg=open_clip.CLIPVisionCfg(layers=3, width=64, head_width=16, patch_size=14, image_size=56),
        text_cfg=open_clip.CLIPTextCfg(context_length=12, vocab_size=END + 1, width=48, heads=4, layers=2),
        **options,
    )
    with torch.no_grad():
        for name, parameter in clip.named_parameters():
            if name != "logit_scale":
                parameter.add_(0.05 * torch.randn_like(parameter))
    return clip.eval()


def config_of(clip: Any) -> ImageBindConfig:
    """Return the configuration of a model with the sizes of an open_clip model's two towers."""
    entries = clip.state_dict()
    visual, text_blocks = clip.visual, clip.transformer.resblocks
    width, _, patch_size, _ = entries["visual.conv1.weight"].shape
    context_length, text_width = entries["positional_embedding"].shape
    return ImageBindConfig(
        embed_dim=entries["visual.proj"].shape[1],
        vision=VisionConfig(
            embed_dim=width,
            num_blocks=len(visual.transformer.resblocks),
            num_heads=visual.transformer.resblocks[0].attn.num_heads,
            image_size=visual.image_size[0],
            patch_size=patch_size,
            frames=2,
            norm_eps=visual.ln_post.eps,
        ),
        text=TextConfig(
            embed_dim=text_width,
            num_blocks=len(text_blocks),
            num_heads=text_blocks[0].attn.num_heads,
            context_length=context_length,
            vocab_size=entries["token_embedding.weight"].shape[0],
            norm_eps=text_blocks[0].ln_1.eps,
        ),
    )


def images() -> torch.Tensor:
    return torch.randn(4, 3, 56, 56, generator=torch.Generator().manual_seed(1))


def texts() -> torch.Tensor:
    ids = torch.randint(1, END, (4, 12), generator=torch.Generator().manual_seed(2))
    for row, length in enumerate((12, 5, 2, 9)):
        ids[row, length - 1] = END
        ids[row, length:] = 0
    return ids


@torch.inference_mode()
def assert_same_embeddings(model: ImageBindModel, clip: torch.nn.Module) -> None:
    ours = model({"vision": images(), "text": texts()})
    theirs = {"vision": clip.encode_image(images()), "text": clip.encode_text(texts())}
    for modality, embeddings in theirs.items():
        difference = F.normalize(ours[modality], dim=-1) - F.normalize(embeddings, dim=-1)
        assert difference.abs().max() < TOLERANCE, modality


def test_embeddings_are_those_of_open_clip_also_after_saving(tmp_path):
    clip = small_clip()
    model = ImageBindModel(config_of(clip)).eval()
    load_open_clip(model, clip)
    assert_same_embeddings(model, clip)
    save_model(model, tmp_path)
    assert_same_embeddings(load_model(tmp_path), clip)


def test_the_patch_kernel_is_divided_equally_between_two_frames():
    clip = small_clip()
    model = ImageBindModel(config_of(clip)).eval()
    load_open_clip(model, clip)
    stem = model.modality_preprocessors["vision"].rgbt_stem
    first, second = images()[:2], images()[2:]
    together = stem(torch.stack([first, second], dim=2))
    assert torch.allclose(together, (stem(first) + stem(second)) / 2, atol=1e-5)


def test_a_model_without_text_loads_only_vision():
    clip = small_clip()
    config = replace(config_of(clip), text=None)
    model = ImageBindModel(config).eval()
    load_open_clip(model, clip)
    with torch.inference_mode():
        theirs = F.normalize(clip.encode_image(images()), dim=-1)
        assert (model({"vision": images()})["vision"] - theirs).abs().max() < TOLERANCE


def test_towers_of_another_architecture_are_refused():
    with pytest.raises(CheckpointError, match=r"expected exact GELU.*got QuickGELU"):
        load_open_clip(ImageBindModel(toy_config()), small_clip(quick_gelu=True))
    with pytest.raises(CheckpointError, match=r"ViT image tower"):
        load_open_clip(ImageBindModel(toy_config()), torch.nn.Linear(2, 2))
    entries = small_clip().state_dict()
    with pytest.raises(CheckpointError, match=r"only entries of ViT-H-14, also got visual\.extra"):
        convert_open_clip(entries | {"visual.extra": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r"got one without 'visual\.proj'"):
        convert_open_clip({name: entry for name, entry in entries.items() if name != "visual.proj"})


def test_towers_of_other_sizes_are_refused_with_both():
    with pytest.raises(CheckpointError, match=r"modality_\S+: expected \(.*, got \("):
        load_open_clip(ImageBindModel(toy_config()), small_clip())
    config = config_of(small_clip())
    shallower = replace(config, vision=replace(config.vision, num_blocks=2))
    with pytest.raises(CheckpointError, match=r"vision\.blocks\.2\.\S+: expected no such entry, got \("):
        load_open_clip(ImageBindModel(shallower), small_clip())
    deeper = replace(config, vision=replace(config.vision, num_blocks=4))
    with pytest.raises(CheckpointError, match=r"expected modality_trunks\.vision\.blocks\.3\..*fewer blocks"):
        load_open_clip(ImageBindModel(deeper), small_clip())
