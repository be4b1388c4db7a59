"""The sizes of a model: narrowed, written and read."""

import pytest

from imagebind.config import ImageBindConfig, tiny_config
from imagebind.modality import ModalityType


def test_a_config_of_some_trunks_speaks_of_them_alone():
    whole = tiny_config()
    part = whole.only([ModalityType.TEXT, ModalityType.DEPTH])
    assert part.modalities == ("text", "depth") and part.embed_dim == whole.embed_dim
    assert part.depth == whole.depth and part.vision is None
    assert whole.only(whole.modalities) == whole
    assert ImageBindConfig.from_dict(part.to_dict()) == part


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ({"text": None}, "no embed_dim"),
        ({"visoin": None}, r"visoin.*expected some of embed_dim, vision"),
        ({"embed_dim": 4, "vision": {"num_blocks": 2}}, "num_heads"),
        ([4], r"by name.*got \[4\]"),
    ],
)
def test_sizes_that_are_none_are_refused_with_what_is_wanted(sizes, said):
    with pytest.raises(TypeError, match=said):
        ImageBindConfig.from_dict(sizes)
