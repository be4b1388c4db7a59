"""Tests of model configs: selected trunks, writing and reading."""

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
        ({"visoin": None}, r"visoin.*expected some of embed_dim, vision"),
        ({"embed_dim": 4, "vision": {"num_blocks": 2}}, "num_heads"),
        ([4], r"by name.*got \[4\]"),
    ],
)
def test_invalid_sizes_raise_errors_with_the_expected_ones(sizes, message):
    with pytest.raises(TypeError, match=message):
        ImageBindConfig.from_dict(sizes)
