"""Calls that code written for the original project makes on the model and its modules."""

import copy
import io

import pytest
import torch
from torch import nn

from imagebind.config import ImageBindConfig
from imagebind.modality import ModalityType
from imagebind.models.imagebind_model import ImageBindModel
from tests.reference import filled_model, reference_input, small_config

SMALL_SIZES = {
    "out_embed_dim": 16,
    "vision_embed_dim": 32,
    "vision_num_blocks": 1,
    "vision_num_heads": 2,
    "audio_num_blocks": 1,
    "text_num_blocks": 1,
    "depth_num_blocks": 1,
    "thermal_num_blocks": 1,
    "imu_num_blocks": 2,
}


@pytest.fixture(scope="module")
def model():
    return filled_model(small_config())


def example(modality: str) -> torch.Tensor:
    return (
        torch.tensor([[1, 7, 40000, 0], [1, 40000, 0, 0]])
        if modality == "text"
        else reference_input(modality)
    )


@pytest.mark.parametrize("modality", ["vision", "text", "audio", "depth", "thermal", "imu"])
def test_calling_the_four_modules_in_turn_gives_the_result_of_forward(model, modality):
    inputs = example(modality)
    folded = inputs.flatten(0, 1) if modality == "audio" else inputs
    stem = model.modality_preprocessors[modality]
    with torch.inference_mode():
        by_position, named = stem(folded), stem(**{modality: folded})
        tokens = model.modality_trunks[modality](**named["trunk"])
        embeddings = model.modality_heads[modality](tokens, **named["head"])
        embeddings = model.modality_postprocessors[modality](embeddings)
        expected = model({modality: inputs})[modality]
    is_text = modality == "text"
    assert list(by_position["trunk"]) == ["tokens", "attn_mask"] if is_text else ["tokens"]
    assert list(by_position["head"]) == (["seq_len"] if is_text else [])
    if modality == "audio":
        embeddings = embeddings.unflatten(0, (2, 3)).mean(dim=1)
    torch.testing.assert_close(embeddings, expected, atol=1e-4, rtol=1e-4)


def test_a_tensor_named_after_another_modality_raises_an_error(model):
    with pytest.raises(TypeError, match=r"as depth=, got \['thermal'\]"):
        model.modality_preprocessors["depth"](thermal=reference_input("thermal"))


def test_forward_accepts_a_stem_that_returns_keyword_arguments():
    class RadarStem(nn.Module):
        def forward(self, radar):
            return {"trunk": {"tokens": radar}, "head": {"weight": radar.new_tensor(2.0)}}

    class RadarTrunk(nn.Module):
        def forward(self, tokens):
            return tokens + 1

    class RadarHead(nn.Module):
        def forward(self, tokens, weight):
            return weight * tokens.mean(dim=1)

    model = ImageBindModel(small_config(), modalities=["imu"])
    model.modality_preprocessors["radar"] = RadarStem()
    model.modality_trunks["radar"] = RadarTrunk()
    model.modality_heads["radar"] = RadarHead()
    model.modality_postprocessors["radar"] = nn.Identity()
    assert model({"radar": torch.zeros(3, 5, 7)})["radar"].tolist() == [[2.0] * 7] * 3


def test_a_logit_scale_keeps_its_constructor_arguments(model):
    scale, fixed = model.modality_postprocessors["text"][1], model.modality_postprocessors["audio"][1]
    assert (scale.max_logit_scale, scale.learnable) == (100, True)
    assert scale.logit_scale_init == pytest.approx(1 / 0.07)
    assert (fixed.logit_scale_init, fixed.learnable) == (20, False)


def test_a_model_can_be_built_from_sizes_by_the_originals_names():
    class CustomModel(ImageBindModel):
        def __init__(self, **sizes):
            super().__init__(**sizes)

    model = CustomModel(**SMALL_SIZES)
    assert (model.config.embed_dim, model.config.vision.embed_dim) == (16, 32)
    assert len(model.modality_trunks["imu"].blocks) == 2
    defaults = ImageBindModel(video_frames=2, device="meta").config
    assert (defaults.embed_dim, defaults.vision.embed_dim, defaults.text.num_blocks) == (768, 1024, 12)
    with pytest.raises(TypeError, match="vision_emed_dim"):
        ImageBindModel(vision_emed_dim=32)
    with pytest.raises(TypeError, match="got both: vision_embed_dim"):
        ImageBindModel(small_config(), vision_embed_dim=32)
    with pytest.raises(ValueError, match=r"expected \(4, p, p\), got \(2, 14, 14\)"):
        ImageBindModel(video_frames=4)


def test_a_wrapped_attention_is_called_with_tokens_and_mask(model):
    class Wrapped(nn.Module):
        def __init__(self, attn):
            super().__init__()
            self.attn, self.masks = attn, []

        def forward(self, x, attn_mask):
            self.masks.append(attn_mask)
            return self.attn(x, attn_mask)

    wrapped = copy.deepcopy(model)
    for modality in ("text", "depth"):
        block = wrapped.modality_trunks[modality].blocks[0]
        attn = block.attn
        assert attn.head_dim == attn.embed_dim // attn.num_heads
        block.attn = Wrapped(attn)
        inputs = {modality: example(modality)}
        with torch.inference_mode():
            torch.testing.assert_close(wrapped(inputs)[modality], model(inputs)[modality])
        assert (block.attn.masks[0] is None) == (modality == "depth")


def test_a_mask_hides_tokens_with_a_learned_key_present(model):
    trunk = model.modality_trunks["depth"]
    tokens = model.modality_preprocessors["depth"](reference_input("depth"))["trunk"]["tokens"]
    kept = torch.arange(tokens.shape[1]) < 50
    with torch.inference_mode():
        alone = trunk(tokens[:, :50])
        for mask in (kept, torch.zeros(len(kept)).masked_fill(~kept, float("-inf"))):
            torch.testing.assert_close(trunk(tokens, mask.expand(len(kept), -1))[:, :50], alone)


@pytest.mark.parametrize("options", [{}, {"checkpoint_every_n": 2}, {"checkpoint_blk_ids": [1]}])
def test_a_trunk_recomputes_the_requested_blocks(options):
    trunk = ImageBindModel(small_config(), modalities=["text"]).modality_trunks["text"].train()
    tokens = torch.randn(2, 5, trunk.blocks[0].attn.embed_dim, requires_grad=True)
    calls = [0] * len(trunk.blocks)
    for index, block in enumerate(trunk.blocks):
        block.norm_1.register_forward_hook(lambda *_, index=index: calls.__setitem__(index, calls[index] + 1))
    trunk(tokens, None, True, **options).sum().backward()
    every_nth = range(0, len(calls), options.get("checkpoint_every_n", 1))
    recomputed = options.get("checkpoint_blk_ids", every_nth)
    assert calls == [2 if index in recomputed else 1 for index in range(len(calls))]


def test_shapes_of_the_original_are_accepted(model):
    audio, images = reference_input("audio"), reference_input("vision")
    with torch.inference_mode():
        assert torch.equal(model({"audio": audio[:, 0]})["audio"], model({"audio": audio[:, :1]})["audio"])
        expected = model({"vision": images})["vision"]
        padded = torch.nn.functional.pad(images, (0, 13, 0, 5), value=9.0)
        torch.testing.assert_close(model({"vision": padded})["vision"], expected)
        one_frame = images[:, None, :, None]  # (b, 1, 3, 1, h, w)
        torch.testing.assert_close(model({"vision": one_frame})["vision"], expected)
        eight = one_frame.expand(-1, -1, -1, 8, -1, -1)
        assert model({"vision": eight})["vision"].shape == (2, 32)
        for name in ("depth", "thermal"):
            clips = reference_input(name)[:, None].expand(-1, 3, -1, -1, -1)
            torch.testing.assert_close(
                model({name: clips})[name], model({name: clips[:, 0]})[name], atol=1e-5, rtol=1e-4
            )


def test_keys_of_the_output_are_plain_strings(model):
    with torch.inference_mode():
        outputs = model({ModalityType.DEPTH: reference_input("depth")})
    assert [type(key) for key in outputs] == [str]
    file = io.BytesIO()
    torch.save(outputs, file)
    file.seek(0)
    assert list(torch.load(file, weights_only=True)) == ["depth"]


def test_under_autocast_the_output_is_float32(model):
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        outputs = model({name: example(name) for name in ("text", "depth", "vision")})
    assert {rows.dtype for rows in outputs.values()} == {torch.float32}


def test_a_model_built_within_init_empty_weights_is_empty():
    accelerate = pytest.importorskip("accelerate")
    with accelerate.init_empty_weights():
        model = ImageBindModel(small_config())
    tensors = [*model.parameters(), *model.buffers()]
    assert {tensor.device.type for tensor in tensors} == {"meta"}


@pytest.mark.parametrize(
    "options", [{"config": small_config(), "modalities": ["depth"]}, SMALL_SIZES], ids=["config", "sizes"]
)
def test_a_model_with_the_hubs_mixin_saves_and_loads(tmp_path, options):
    hub = pytest.importorskip("huggingface_hub")

    class OnHub(ImageBindModel, hub.PyTorchModelHubMixin):
        pass

    model = OnHub(**options)
    model.save_pretrained(tmp_path)
    loaded = OnHub.from_pretrained(tmp_path)
    assert loaded.config == model.config
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in loaded.state_dict().items())


def test_a_config_keeps_its_sizes_and_takes_other_attributes():
    config = ImageBindModel(small_config(), modalities=["depth"]).config
    config.use_cache = False  # as transformers' Trainer sets
    with pytest.raises(AttributeError, match="embed_dim"):
        config.embed_dim = 3
    assert ImageBindConfig.from_dict(config.to_dict()) == config and hash(config)


def test_peft_without_target_modules_raises_its_own_error():
    peft = pytest.importorskip("peft")
    model = ImageBindModel(small_config(), modalities=["depth"])
    with pytest.raises(ValueError, match="target_modules"):
        peft.get_peft_model(model, peft.LoraConfig())


def test_a_model_compiles_in_one_graph():
    model = filled_model(small_config(), modalities=["text", "depth"])
    model.modality_trunks["radar"] = nn.Linear(4, 4)  # not called, since the inputs have no radar
    inputs = {name: example(name) for name in ("text", "depth")}
    with torch.inference_mode():
        expected = model(inputs)
        model.compile(fullgraph=True, backend="eager")
        got = model(inputs)
    for name, rows in expected.items():
        torch.testing.assert_close(got[name], rows, atol=1e-4, rtol=1e-4)
