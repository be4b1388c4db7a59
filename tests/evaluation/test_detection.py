"""The evaluation of detection on the toy world."""

from collections import defaultdict

import pytest
import torch

from imagebind.checkpoints.factory import imagebind_tiny
from imagebind.embedder import Embedder
from imagebind.evaluation.detection import _add_hits, _Detected
from imagebind.evaluation.run import evaluate

BOX = torch.tensor([0.0, 0.0, 10.0, 10.0])
BOXES = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 9.0], [50.0, 50.0, 60.0, 60.0]])


def test_average_precision_counts_one_box_of_each_object_and_missed_objects():
    detected = _Detected()
    detected.add([0.9, 0.8, 0.1], BOXES, BOX)  # the second overlaps the same object: a false positive
    assert detected.average_precision() == 1.0
    detected.add([0.95], BOXES[2:], BOX)  # wrong, with the highest score
    assert detected.average_precision() == pytest.approx(0.5 * 1 / 2)  # found second, and one of two objects


def test_average_precision_without_detections_is_0():
    detected = _Detected()
    detected.add([], torch.empty(0, 4), BOX)
    assert detected.average_precision() == 0.0


def test_the_small_model_tells_objects_in_one_image_apart_by_text_and_audio():
    embedder = Embedder(imagebind_tiny(pretrained=True), num_workers=1)
    result = evaluate("toyworld-detection", embedder, options={"groups": 1})
    figures = {name: figure.value for name, figure in result.figures.items()}
    assert result.samples == 3
    assert {name.rpartition("_")[0] for name in figures if name.endswith("_AP50")} == {
        *("text", "image", "audio", "depth", "thermal")
    }
    assert figures["text_which"] > 60 and figures["audio_which"] > 60  # chance is 33
    assert figures["text_pointing"] > figures["centre_pointing"]
    assert result.figures["text_which"].chance == pytest.approx(100 / 3)


def test_a_map_points_at_the_object_that_has_its_maximum_and_prefers_the_highest_mean():
    boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0], [4.0, 4.0, 8.0, 8.0]])
    maps = torch.zeros(2, 8, 8)
    maps[0, 1, 1] = 1.0  # its own box has the maximum and the highest mean
    maps[1, 0, 7] = 1.0  # the maximum is outside, the highest mean in its own box
    maps[1, 5, 5] = 0.5
    hits, chances = defaultdict(list), defaultdict(list)
    _add_hits(maps, boxes, "text", hits, chances)
    assert hits == {"text_pointing": [1.0, 0.0], "text_which": [1.0, 1.0]}
    assert chances == {"text_pointing": [0.25, 0.25], "text_which": [0.5, 0.5]}
