"""Boxes of queries of several modalities, in toy-world scenes of three things."""

import numpy as np
import pytest
import torch
from PIL import Image

from imagebind.applications.detection import detect
from imagebind.checkpoints.factory import imagebind_tiny
from imagebind.embedder import Embedder
from imagebind.toyworld import world_transforms
from imagebind.toyworld.group import GroupWorld, boxes_of, group_masks, render_group_image


@pytest.fixture(scope="module")
def tiny() -> Embedder:
    model = imagebind_tiny(pretrained=True)
    return Embedder(model, transforms=world_transforms(), num_workers=1)


@pytest.fixture(scope="module")
def group():
    return GroupWorld(seed=3).group(1)  # a cyan triangle, a green square, a red crescent


@pytest.fixture(scope="module")
def image(group) -> Image.Image:
    return Image.fromarray(render_group_image(group))


@pytest.fixture(scope="module")
def true_boxes(group) -> torch.Tensor:
    return torch.from_numpy(boxes_of(group_masks(group)))


def test_each_text_finds_its_thing_among_given_boxes(tiny, image, true_boxes):
    texts = ["a cyan triangle", "a green square", "a red crescent"]
    found = detect(tiny, image, texts, proposals=true_boxes, threshold=0)
    best = {text: next(each for each in found if each.query == text) for text in texts}
    assert [list(best[text].box) for text in texts] == true_boxes.tolist()
    scores = [each.score for each in found]
    assert scores == sorted(scores, reverse=True) and scores[0] > 0.5


def test_without_given_boxes_a_text_finds_its_thing(tiny, image, true_boxes):
    found = detect(tiny, image, {"square": "a green square"})
    left, top, right, bottom = found[0].box
    edges = true_boxes[1].tolist()
    assert found[0].query == "square" and edges[0] < (left + right) / 2 < edges[2]
    assert edges[1] < (top + bottom) / 2 < edges[3]


def test_what_is_not_in_the_image_is_not_found(tiny, image):
    assert detect(tiny, image, "a yellow star") == []


def test_silence_is_not_found(tiny, image, true_boxes):
    silence = {"audio": np.zeros((1, 32_000), dtype=np.float32), "rate": 16_000}
    assert detect(tiny, image, {"silence": silence}, proposals=true_boxes) == []
