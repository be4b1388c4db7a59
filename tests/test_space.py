"""Tests of the fingerprint of a space: equal for equal models only; errors name both spaces."""

import pytest
import torch
from torch import nn

from imagebind.checkpoints.factory import imagebind_tiny
from imagebind.embedder import Embedder
from imagebind.modality import MediaKind, ModalityType
from imagebind.search import Index, Space, SpaceMismatchError
from imagebind.transforms.depth import DepthTransform
from imagebind.transforms.image import ImageTransform
from imagebind.transforms.text import Tokenizer
from imagebind.transforms.video import VideoTransform


@pytest.fixture(scope="module")
def tiny():
    return Embedder(imagebind_tiny(pretrained=True))


@pytest.fixture(scope="module")
def space(tiny):
    return Space.of(tiny)


def test_the_same_model_built_again_has_the_same_space(space):
    assert Space.of(Embedder(imagebind_tiny(pretrained=True))) == space
    assert space.model == "imagebind_tiny" and space.embed_dim == 128
    assert Space.from_json(space.to_json()) == space


def test_some_trunks_in_half_precision_have_the_same_space(space):
    part = imagebind_tiny(pretrained=True, modalities=[ModalityType.TEXT], dtype=torch.bfloat16)
    found = Space.of(Embedder(part))
    assert found.model == "imagebind_tiny" and {*found.weights} == {"text"}
    space.check(found, owner="index")


def test_another_head_keeps_the_space_and_a_subclass_with_another_modality_can_make_an_index(space, tmp_path):
    model = imagebind_tiny(pretrained=True)
    model.classes = nn.Linear(128, 3)
    assert Space.of(Embedder(model)) == space
    for parts in (model.modality_preprocessors, model.modality_trunks, model.modality_heads):
        parts["radar"] = nn.Linear(2, 2)
    model.modality_postprocessors["radar"] = nn.Identity()
    found = Space.of(Embedder(model))
    assert found.model == "custom" and {*found.weights} == {*space.weights, "radar"}
    index = Index.open(tmp_path / "db", Embedder(model), create=True)
    assert index.add(["a star"])


def test_one_changed_layer_makes_another_space_and_the_error_names_both(space):
    model = imagebind_tiny(pretrained=True)
    with torch.no_grad():
        model.modality_heads["audio"][-1].weight.mul_(1.1)
    with pytest.raises(
        SpaceMismatchError, match=r"media\.lance: .*imagebind_tiny.*weights of audio: .* against"
    ):
        space.check(Space.of(Embedder(model)), owner="media.lance")


def test_reading_options_do_not_change_the_space_but_normalisation_does(tiny, space):
    def of(**transforms):
        return Space.of(Embedder(tiny.model, transforms=transforms))

    space.check(of(video=VideoTransform(clips=1, crops=1), depth=DepthTransform(focal=300.0)), owner="index")
    for others in (
        {"image": ImageTransform(mean=(0.5, 0.5, 0.5))},
        {"depth": DepthTransform(preset="raw")},
        {"text": Tokenizer(legacy_truncation=True)},
    ):
        with pytest.raises(SpaceMismatchError, match=f"transform of {next(iter(others))}"):
            space.check(of(**others), owner="index")


def test_a_media_type_that_is_added_after_a_search_is_listed_in_the_index(tiny, tmp_path):
    index = Index.open(tmp_path / "db", tiny, create=True)
    index.search("a star")
    assert not index.space.transforms
    index.add(["a star"])
    assert {*index.space.transforms} == {"text"}


def test_opening_an_index_with_another_model_raises_an_error(tiny, tmp_path):
    Index.open(tmp_path / "db", tiny, create=True).add(["a star"])
    other = Embedder(imagebind_tiny())
    with pytest.raises(SpaceMismatchError, match=r"db: expected vectors of space imagebind_tiny \w+, got "):
        Index.open(tmp_path / "db", other)


def test_a_new_media_type_is_added_to_the_space_of_an_index_and_then_checked(tiny, tmp_path):
    index = Index.open(tmp_path / "db", tiny, create=True)
    assert dict(index.space.transforms) == {}
    index.add(["a star"])
    assert {*index.space.transforms} == {MediaKind.TEXT.value}
    legacy = Embedder(tiny.model, transforms={"text": Tokenizer(legacy_truncation=True)})
    again = Index.open(tmp_path / "db", legacy)
    with pytest.raises(SpaceMismatchError, match="transform of text"):
        again.add(["a disc"])
    with pytest.raises(SpaceMismatchError, match="transform of text"):
        again.search("a disc")
    assert len(index) == 1
