"""Compares every stage with the released architecture, on deterministic weights that both can compute."""

import json

import numpy as np
import pytest
import torch

from imagebind.models.imagebind_model import ImageBindModel
from imagebind.transforms.text import Tokenizer
from tests.reference import (
    DATA,
    filled_model,
    reference_input,
    reference_texts,
    small_config,
    stages,
)

TOLERANCE = 2e-4  # absolute, on unit length
CASES = [  # prefix in the reference file, modality, input
    ("small", "vision", "vision"),
    ("small", "audio", "audio"),
    ("small", "depth", "depth"),
    ("small", "thermal", "thermal"),
    ("small", "imu", "imu"),
    ("small_video", "vision", "video"),
    ("small_336", "vision", "vision336"),
]


@pytest.fixture(scope="module")
def model():
    return filled_model(small_config())


@pytest.fixture(scope="module")
def expected():
    return np.load(DATA / "small.npz")


def assert_stages_agree(got: dict[str, torch.Tensor], expected, prefix: str) -> None:
    compared = [name for name in expected.files if name.startswith(prefix + "/")]
    assert compared
    for name in compared:
        stage = name.rsplit("/", 1)[1]
        reference = torch.from_numpy(expected[name])
        length = reference.norm(dim=-1, keepdim=True) if stage == "embedding" else 1.0
        torch.testing.assert_close(got[stage] / length, reference / length, atol=TOLERANCE, rtol=0, msg=name)


@pytest.mark.parametrize(("prefix", "modality", "name"), CASES)
def test_every_stage_of_the_small_model_gives_the_reference_results(model, expected, prefix, modality, name):
    assert_stages_agree(stages(model, modality, reference_input(name)), expected, f"{prefix}/{modality}")


def test_every_stage_of_text_gives_the_reference_results(model, expected):
    got = stages(model, "text", Tokenizer()(reference_texts()))
    assert_stages_agree(got, expected, "small/text")


def test_the_huge_model_has_the_released_names_shapes_and_dtypes():
    released = json.loads((DATA / "imagebind_huge_state_dict.json").read_text())
    model = ImageBindModel(device="meta")
    ours = {name: (list(t.shape), str(t.dtype)) for name, t in model.state_dict().items()}
    assert ours == {name: (entry["shape"], f"torch.{entry['dtype']}") for name, entry in released.items()}
    assert len(ours) == 1311
    parameters = {name for name, _ in model.named_parameters()}
    assert parameters == {name for name, entry in released.items() if entry["kind"] == "parameter"}


def test_the_small_model_has_the_reference_names_and_shapes(model):
    expected = json.loads((DATA / "small_state_dict.json").read_text())
    assert {name: list(tensor.shape) for name, tensor in model.state_dict().items()} == expected


def test_the_fixed_scales_and_the_mask_are_constructed_as_released():
    model = ImageBindModel(small_config())
    scales = {
        m: p[1].log_logit_scale.exp().item() for m, p in model.modality_postprocessors.items() if len(p) > 1
    }
    assert scales == pytest.approx({"text": 1 / 0.07, "audio": 20, "depth": 5, "thermal": 10, "imu": 5})
    mask = model.modality_preprocessors["text"].mask
    assert mask[3, 3] == 0 and mask[3, 2] == 0 and mask[3, 4] == float("-inf")
