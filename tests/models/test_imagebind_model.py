"""The model: input and output shapes, trimming, subsets, subclassing, training and evaluation."""

import pytest
import torch
from torch import nn

from imagebind.config import ImageBindConfig, OneChannelConfig
from imagebind.modality import ModalityType
from imagebind.models.imagebind_model import ImageBindModel
from imagebind.transforms.text import Tokenizer
from tests.reference import filled_model, reference_input, small_config

MODALITIES = ("vision", "text", "audio", "depth", "thermal", "imu")


@pytest.fixture(scope="module")
def model():
    return filled_model(small_config())


def all_inputs() -> dict[str, torch.Tensor]:
    inputs = {name: reference_input(name) for name in MODALITIES if name != "text"}
    return inputs | {"text": Tokenizer()(["a dog", "a small red car by the sea"])}


def test_forward_returns_one_embedding_a_row_for_each_modality(model):
    with torch.inference_mode():
        embeddings = model(all_inputs())
    assert {name: tuple(rows.shape) for name, rows in embeddings.items()} == dict.fromkeys(
        MODALITIES, (2, 32)
    )


def test_modality_types_work_as_keys(model):
    with torch.inference_mode():
        embeddings = model({ModalityType.DEPTH: reference_input("depth")})
    assert embeddings["depth"].shape == (2, 32)


def test_a_padded_text_has_the_same_embedding_as_a_trimmed_one(model):
    ids = Tokenizer()(["a dog", "a small red car by the sea"])
    with torch.inference_mode():
        trimmed = model({"text": ids[:, :12]})["text"]
        prepared = model.modality_preprocessors["text"](ids)  # all 77, untrimmed
        tokens = model.modality_trunks["text"](**prepared["trunk"])
        embeddings = model.modality_heads["text"](tokens, **prepared["head"])
        padded = model.modality_postprocessors["text"](embeddings)
    torch.testing.assert_close(trimmed, padded, atol=1e-5 * 1 / 0.07, rtol=0)


@pytest.mark.parametrize("name", ["vision", "audio", "depth", "thermal", "imu"])
def test_an_embedding_does_not_depend_on_the_other_rows_of_the_batch(model, name):
    inputs = reference_input(name)
    with torch.inference_mode():
        together, alone = model({name: inputs})[name], model({name: inputs[1:]})[name]
    torch.testing.assert_close(together[1:], alone, atol=1e-5, rtol=1e-5)


def test_clips_are_scaled_and_then_averaged_without_normalising_the_mean(model):
    clips = reference_input("audio")[:1]
    with torch.inference_mode():
        together = model({"audio": clips})["audio"]
        apart = torch.cat([model({"audio": clips[:, i : i + 1]})["audio"] for i in range(3)])
    torch.testing.assert_close(apart.norm(dim=1), torch.full((3,), 20.0))
    torch.testing.assert_close(together[0], apart.mean(dim=0))
    assert together.norm() < 19.99


def test_image_clips_have_the_embedding_of_video_clips_that_repeat_the_image(model):
    images = reference_input("vision").unsqueeze(0)  # (1, 2, 3, 224, 224)
    with torch.inference_mode():
        as_images = model({"vision": images})["vision"]
        as_video = model({"vision": images.unsqueeze(3).expand(-1, -1, -1, 2, -1, -1)})["vision"]
    torch.testing.assert_close(as_images, as_video)


@pytest.mark.parametrize(
    ("modality", "shape", "message"),
    [
        ("vision", (2, 3, 2, 224, 224), r"\(b, s, 3, 2, h, w\).*\(b, s, 3, h, w\).*unsqueeze"),
        ("vision", (2, 3, 8, 224, 224), r"\(b, s, 3, 2, h, w\).*\(b, s, 3, h, w\)"),
        ("vision", (2, 1, 224, 224), r"\(b, 3, h, w\)"),
        ("vision", (2, 3, 13, 224), "h and w at least 14"),
        ("vision", (1, 1, 3, 4, 224, 224), r"t = 1 or 2 times 1, 4, 9"),
        ("vision", (2, 3, 224, 238), "square"),
        ("audio", (2, 80), r"\(b, s, 1, 128, 204\), got \(2, 80\)"),
        ("audio", (2, 3, 1, 128, 200), r"\(b, 1, 128, 204\)"),
        ("depth", (2, 3, 224, 224), r"depth: expected \(b, 1, 224, 224\).*, got \(2, 3, 224, 224\)"),
        ("thermal", (1, 224, 224), r"thermal: expected"),
        ("imu", (2, 2000, 6), r"imu: expected \(b, 6, 2000\), got \(2, 2000, 6\)"),
        ("text", (2, 80), r"token ids \(b, up to 77\)"),
    ],
)
def test_a_wrong_shape_raises_an_error_with_the_expected_shapes(model, modality, shape, message):
    inputs = torch.arange(160).view(shape) if modality == "text" else torch.zeros(shape)
    with pytest.raises(ValueError, match=message):
        model({modality: inputs})


def test_only_the_selected_modalities_are_built():
    model = ImageBindModel(small_config(), modalities=("vision", "text"))
    assert model.modalities == ("vision", "text")
    assert not any(".audio." in name for name in model.state_dict())
    with pytest.raises(KeyError, match=r"expected one of vision, text, got audio.*modalities="):
        model({"audio": reference_input("audio")})


def test_an_unknown_modality_raises_an_error_with_the_existing_ones():
    with pytest.raises(ValueError, match=r"vision, text, audio.*'smell'"):
        ImageBindModel(small_config(), modalities=("vision", "smell"))
    only_depth = ImageBindConfig(embed_dim=8, depth=OneChannelConfig(embed_dim=8, num_blocks=1, num_heads=1))
    with pytest.raises(ValueError, match=r"some of depth, got \['audio'\]"):
        ImageBindModel(only_depth, modalities=["audio"])


def test_the_sizes_of_a_config_are_used_and_unknown_ones_are_refused():
    config = ImageBindConfig(
        embed_dim=12,
        depth=OneChannelConfig(embed_dim=8, num_blocks=3, num_heads=2, image_size=64, patch_size=8),
    )
    model = ImageBindModel(config)
    assert model({"depth": torch.zeros(2, 1, 64, 64)})["depth"].shape == (2, 12)
    assert model.modality_preprocessors["depth"].pos_embedding_helper.pos_embed.shape == (1, 65, 8)
    assert len(model.modality_trunks["depth"].blocks) == 3
    assert ImageBindConfig.from_dict(config.to_dict()) == config
    with pytest.raises(TypeError, match="patchsize"):
        ImageBindConfig.from_dict({"embed_dim": 4, "depth": {"embed_dim": 8, "patchsize": 8}})


def test_drop_path_rises_linearly_from_the_first_block_to_the_last():
    model = ImageBindModel(small_config())
    rates = [getattr(block.drop_path, "drop_prob", 0.0) for block in model.modality_trunks["imu"].blocks]
    assert rates == pytest.approx([0.0, 0.7])


def test_evaluation_is_deterministic_and_training_is_not(model):
    inputs = {"imu": reference_input("imu")}
    with torch.no_grad():
        assert torch.equal(model(inputs)["imu"], model(inputs)["imu"])
        model.train()
        assert not torch.equal(model(inputs)["imu"], model(inputs)["imu"])
        model.eval()


def test_gradients_reach_every_parameter():
    model = ImageBindModel(small_config()).eval()
    embeddings = model(all_inputs())
    sum((rows * torch.randn_like(rows)).sum() for rows in embeddings.values()).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_a_new_model_is_initialised_as_the_paper_says():
    model = ImageBindModel(small_config())
    assert all(tensor.isfinite().all() for name, tensor in model.named_parameters())
    text = model.modality_preprocessors["text"]
    assert text.token_embedding.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert text.pos_embed.std().item() == pytest.approx(0.01, rel=0.1)
    positions = model.modality_preprocessors["vision"].pos_embedding_helper.pos_embed
    assert positions.std().item() == pytest.approx(64**-0.5, rel=0.1)
    block = model.modality_trunks["vision"].blocks[0]
    assert not block.mlp.fc1.bias.any() and not block.attn.in_proj_bias.any()
    bound = (6 / (64 + 256)) ** 0.5  # Xavier-uniform
    assert block.mlp.fc1.weight.abs().max().item() == pytest.approx(bound, rel=0.02)


def test_a_subclass_with_a_new_head_and_a_frozen_trunk_trains_the_head_only():
    class Classifier(ImageBindModel):
        def __init__(self, classes: int) -> None:
            super().__init__(small_config(), modalities=["vision"])
            self.modality_trunks.requires_grad_(False)
            self.modality_heads["vision"] = nn.Sequential(
                self.modality_heads["vision"], nn.Linear(32, classes)
            )
            self.modality_postprocessors["vision"] = nn.Identity()

    model = Classifier(5)
    logits = model({"vision": reference_input("vision")})["vision"]
    assert logits.shape == (2, 5)
    logits.sum().backward()
    assert model.modality_heads["vision"][1].weight.grad is not None
    assert all(p.grad is None for p in model.modality_trunks.parameters())


def test_a_new_modality_is_added_by_its_four_modules():
    class WithRadar(ImageBindModel):
        def __init__(self) -> None:
            super().__init__(small_config(), modalities=["vision"])
            self.modality_preprocessors["radar"] = nn.Linear(7, 16)
            self.modality_trunks["radar"] = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
            self.modality_heads["radar"] = nn.Sequential(nn.Flatten(), nn.Linear(5 * 16, 32))
            self.modality_postprocessors["radar"] = nn.Identity()

    embeddings = WithRadar()({"vision": reference_input("vision"), "radar": torch.randn(3, 5, 7)})
    assert embeddings["radar"].shape == (3, 32) and embeddings["vision"].shape == (2, 32)


def test_bfloat16_stays_close_to_float32():
    exact = filled_model(small_config())
    inputs = all_inputs()
    with torch.inference_mode():
        expected = exact(inputs)
        got = exact.to(torch.bfloat16)({k: v if k == "text" else v.bfloat16() for k, v in inputs.items()})
    for name, rows in expected.items():
        cosine = torch.nn.functional.cosine_similarity(got[name].float(), rows)
        assert cosine.min() > 0.999, name


def test_a_model_can_be_built_in_a_dtype():
    assert (
        ImageBindModel(small_config(), dtype=torch.bfloat16)(
            {"depth": torch.zeros(1, 1, 224, 224).bfloat16()}
        )["depth"].dtype
        == torch.bfloat16
    )


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_model_on_cuda_gives_nearly_the_results_of_the_cpu(model):
    inputs = all_inputs()
    with torch.inference_mode():
        expected = model(inputs)
        got = filled_model(small_config()).cuda()({name: tensor.cuda() for name, tensor in inputs.items()})
    for name, rows in expected.items():
        torch.testing.assert_close(got[name].cpu(), rows, atol=2e-3, rtol=1e-3, msg=name)
