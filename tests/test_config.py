"""Tests of model configs: selected trunks, writing and reading."""

import math

import pytest

from imagebind.config import ImageBindConfig, tiny_config
from imagebind.modality import ModalityType


def test_a_config_of_some_trunks_has_no_others():
    whole = tiny_config()
    part = whole.only([ModalityType.TEXT, ModalityType.DEPTH])
    assert part.modalities == ("text", "depth") and part.embed_dim == whole.embed_dim
    assert part.depth == whole.depth and part.vision is None
    assert whole.only(whole.modalities) == whole
    assert ImageBindConfig.from_dict(part.to_dict()) == part


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"text": None}, "embed_dim: expected"),
        ({"visoin": None}, r"expected some of embed_dim, vision.*visoin"),
        ({"embed_dim": 4, "vision": {"num_blocks": 2}}, "num_heads"),
        ([4], r"by name.*, got \[4\]"),
    ],
)
def test_invalid_sizes_raise_errors_with_the_expected_ones(sizes, message):
    with pytest.raises(TypeError, match=message):
        ImageBindConfig.from_dict(sizes)


@pytest.mark.parametrize(
    ("size", "value", "message"),
    [
        ("num_blocks", 257, "text.num_blocks: expected 1 to 256, got 257"),
        ("vocab_size", 2**21, "text.vocab_size: expected 1 to 1,048,576, got 2,097,152"),
        (
            "context_length",
            2**100,
            "text.context_length: expected 1 to 1,048,576, got an integer of 101 bits",
        ),
        ("norm_eps", 1.1, "text.norm_eps: expected at least 0 and less than 1.0, got 1.1"),
        ("norm_eps", math.nan, "text.norm_eps: expected at least 0 and less than 1.0, got nan"),
        ("num_heads", 3, "text.embed_dim: expected a multiple of num_heads = 3, got 64"),
        ("seconds", 0.0, "imu.seconds: expected above 0 and less than 1,048,576, got 0.0"),
        ("seconds", math.inf, "imu.seconds: expected above 0 and less than 1,048,576, got inf"),
    ],
)
def test_sizes_out_of_bounds_raise_errors_with_the_bounds(size, value, message):
    sizes = tiny_config().to_dict()
    sizes[message.partition(".")[0]][size] = value
    with pytest.raises(ValueError) as caught:
        ImageBindConfig.from_dict(sizes)
    assert str(caught.value) == message
