"""The full-size model: the reference results, and a minimum similarity in bfloat16."""

import numpy as np
import psutil
import pytest
import torch
import torch.nn.functional as F

from imagebind.config import huge_config
from imagebind.transforms.text import Tokenizer
from tests.models.test_parity import assert_stages_agree
from tests.reference import DATA, filled_model, reference_input, reference_texts, stages

MIN_FREE_BYTES = 8e9

pytestmark = [
    pytest.mark.huge,
    pytest.mark.skipif(
        psutil.virtual_memory().available < MIN_FREE_BYTES, reason="needs 8 GB of free memory"
    ),
]


@pytest.mark.parametrize("modality", ["vision", "text", "audio", "depth", "thermal", "imu"])
def test_the_huge_model_gives_the_reference_results_and_bfloat16_stays_close(modality):
    model = filled_model(huge_config(), modalities=[modality])
    expected = np.load(DATA / "huge.npz")
    inputs = Tokenizer()(reference_texts()) if modality == "text" else reference_input(modality)
    exact = stages(model, modality, inputs)
    assert_stages_agree(exact, expected, f"huge/{modality}")
    if modality == "vision":
        assert_stages_agree(stages(model, "vision", reference_input("video")), expected, "huge_video/vision")
    model = model.to(torch.bfloat16)
    # One row, because many CPUs emulate bfloat16, which is slow.
    first = inputs[:1] if modality == "text" else inputs[:1].bfloat16()
    with torch.inference_mode():
        close = model({modality: first})[modality].float()
    assert F.cosine_similarity(close, exact["embedding"][:1]).min() >= 0.999
