"""Metrics of the small decoder: names, chance levels, and minimum values."""

import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from imagebind.applications.tiny_decoder import TinyDecoder
from imagebind.checkpoints.factory import imagebind_tiny
from imagebind.config import tiny_config
from imagebind.embedder import Embedder
from imagebind.evaluation import evaluate, generation
from imagebind.evaluation.generation import (
    GenerationScenes,
    embed_again,
    image_embeddings,
    recall_of_sources,
)
from imagebind.evaluation.judge import Judge
from imagebind.models.imagebind_model import ImageBindModel
from imagebind.space import SpaceMismatchError
from imagebind.toyworld.rendered import Rendered, render_world

TARGETS = {
    "audio_shape": 70,
    "thermal_shape": 70,
    "depth_shape": 70,
    "text_shape": 80,
    "text_colour": 80,
    "image_r1": 50,
}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory) -> Rendered:
    return render_world(tmp_path_factory.mktemp("world"), 6, seed=1, held_out=True)


@pytest.fixture(scope="module")
def embedder():
    return Embedder(imagebind_tiny(pretrained=True))


def test_figures_have_chance_levels_and_controls(rendered, embedder, tmp_path, monkeypatch):
    monkeypatch.setattr(generation, "trained_judge", lambda folder: Judge().eval())
    result = GenerationScenes(rendered, tmp_path).measure(embedder)
    figures = result["figures"]
    assert result["samples"] == 6
    for name in (
        "image_shape",
        "text_colour",
        "audio_shuffled_shape",
        "depth_r1",
        "imu_shape",
        "judge_shape",
    ):
        assert 0 <= figures[name].value <= 100 and 0 < figures[name].chance < 50
    assert "audio_colour" in figures  # a control: audio has no colour
    assert figures["image_r1"].value > 60  # of 6 sources


def test_the_decoder_is_not_evaluated_with_embeddings_of_another_model(rendered, tmp_path):
    other = Embedder(ImageBindModel(tiny_config()))
    with pytest.raises(SpaceMismatchError):
        GenerationScenes(rendered, tmp_path).measure(other)


def test_an_unknown_value_of_across_is_refused(rendered, tmp_path):
    with pytest.raises(ValueError, match="across: expected one of memory, nearest, none, shift, got 'far'"):
        GenerationScenes(rendered, tmp_path, "far")


def test_each_value_of_across_gives_unit_vectors():
    decoder = TinyDecoder.load()
    vectors, images = F.normalize(torch.randn(2, 4, 128), dim=-1)
    for across in ("memory", "nearest", "none", "shift"):
        mapped = image_embeddings(decoder, vectors, images, across)
        assert torch.allclose(mapped.norm(dim=1), torch.ones(4), atol=1e-3)
    nearest = image_embeddings(decoder, decoder.memory[5:6] + 0.01, images, "nearest")
    assert torch.equal(nearest[0], decoder.memory[5])


def test_recall_is_the_mean_over_groups_of_sources():
    vectors = F.normalize(torch.randn(128, 128), dim=-1)
    assert recall_of_sources(vectors, vectors) == 1
    shuffled = torch.cat([vectors[:64], vectors[64:].flip(0)])
    assert recall_of_sources(shuffled, vectors) == 0.5


def test_scenes_after_the_last_group_are_not_counted_and_few_scenes_are_one_group():
    vectors = F.normalize(torch.randn(96, 128), dim=-1)
    assert recall_of_sources(torch.cat([vectors[:64], vectors[64:].flip(0)]), vectors) == 1
    assert recall_of_sources(vectors[:8].roll(1, dims=0), vectors[:8]) == 0


def test_an_image_embedded_again_is_near_its_embedding(rendered, embedder):
    arrays = torch.from_numpy(np.array(rendered.arrays[generation.MediaKind.IMAGE]))
    again = embed_again(embedder, generation.shrink(arrays).float() / 255)
    vectors = generation.embed_scenes(embedder.model, rendered, generation.MediaKind.IMAGE)
    assert (again * vectors).sum(dim=1).min() > 0.7


@pytest.mark.huge
def test_generated_images_show_the_attributes_of_their_queries(embedder, judge_file, tmp_path):
    (tmp_path / "toyworld").mkdir()
    shutil.copy(judge_file, tmp_path / "toyworld")
    result = evaluate("toyworld-generation", embedder, cache=tmp_path, options={"scenes": 256})
    for name, target in TARGETS.items():
        assert result.figures[name].value >= target, name
        control = result.figures.get(name.replace("_shape", "_shuffled_shape"))
        if name.endswith("shape"):
            assert control is not None and control.value < 2.5 * control.chance, name
