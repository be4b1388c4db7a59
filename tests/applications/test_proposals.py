"""Proposals: boxes of colours, maps and grids, and of torchvision's detectors."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.ops import box_iou

from imagebind.applications.proposals import (
    CLASS_BIASES,
    MAX_PROPOSALS,
    boxes_in,
    colour_boxes,
    default_boxes,
    grid_boxes,
    map_boxes,
    torchvision_detector,
)
from imagebind.errors import CheckpointError
from imagebind.toyworld.group import GroupWorld, boxes_of, group_masks, render_group_image


def test_the_grid_covers_the_image_with_boxes_inside_it():
    boxes = grid_boxes((640, 480), shares=(0.5, 1.0))
    assert boxes[:, :2].min() == 0 and boxes[:, 2].max() == 640 and boxes[:, 3].max() == 480
    covered = np.zeros((480, 640), dtype=bool)
    for left, top, right, bottom in boxes[:20].int().tolist():
        covered[top:bottom, left:right] = True
    assert covered.all()


def test_a_bright_patch_of_a_map_becomes_its_box():
    maps = torch.zeros(2, 96, 128)
    maps[0, 24:48, 32:80] = 1
    maps[1, 60:90, 90:120] = 1
    boxes = map_boxes(maps)
    for true in ([32.0, 24, 80, 48], [90.0, 60, 120, 90]):
        assert box_iou(torch.tensor([true]), boxes).max() > 0.8
    assert len(map_boxes(torch.zeros(1, 96, 128))) == 0


def test_patches_that_do_not_touch_are_two_boxes():
    maps = torch.zeros(1, 64, 64)
    maps[0, 5:20, 5:20] = maps[0, 40:60, 40:60] = 1
    boxes = map_boxes(maps, levels=(0.5,))
    assert sorted(boxes.tolist()) == [[5, 5, 20, 20], [40, 40, 60, 60]]


def test_most_objects_of_the_toy_world_have_a_proposal():
    best = []
    for number in range(3):
        group = GroupWorld(seed=1).group(number)
        image = Image.fromarray(render_group_image(group))
        boxes = default_boxes(image, torch.zeros(1, 64, 64))
        assert len(boxes) <= MAX_PROPOSALS
        best += box_iou(torch.from_numpy(boxes_of(group_masks(group))), boxes).amax(dim=1).tolist()
    assert np.mean(np.array(best) >= 0.5) >= 0.75


def test_an_image_of_one_colour_gets_the_grid():
    image = Image.new("RGB", (400, 80), "grey")  # its only region is too elongated
    assert colour_boxes(image).tolist() == [[0, 0, 400, 80]] * 6
    assert torch.equal(default_boxes(image, torch.zeros(1, 8, 40)), grid_boxes((400, 80)))


def test_a_function_and_a_file_propose_boxes(tmp_path):
    image = Image.new("RGB", (64, 48))
    assert boxes_in(image, lambda given: [[0, 0, *given.size]], name="a.png").tolist() == [[0, 0, 64, 48]]
    (tmp_path / "boxes.csv").write_text("left,top,right,bottom\n1,2,30,40\n")
    assert boxes_in(image, tmp_path / "boxes.csv", name="a.png").tolist() == [[1, 2, 30, 40]]


@pytest.mark.huge
def test_a_detector_of_torchvision_proposes_boxes_inside_the_image(tmp_path):
    from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn

    torch.manual_seed(0)
    model = fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None, num_classes=3)
    torch.save(model.state_dict(), tmp_path / "detector.pth")
    name = "fasterrcnn_mobilenet_v3_large_320_fpn"
    propose = torchvision_detector(tmp_path / "detector.pth", name=name, min_score=0.0)
    boxes = propose(Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)))
    assert boxes.shape[1] == 4 and len(boxes) and boxes.min() >= 0 and boxes[:, 2].max() < 120.01  # rounded


def test_a_wrong_detector_or_file_is_refused(tmp_path):
    (tmp_path / "noise.pth").write_bytes(b"no weights")
    torch.save(torch.nn.Linear(1, 1), tmp_path / "module.pth")
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pth")
    torch.save({CLASS_BIASES: torch.zeros(3)}, tmp_path / "part.pth")
    torch.save({CLASS_BIASES: torch.zeros(3, 2)}, tmp_path / "shape.pth")
    for name, message in (
        ("noise", "expected safetensors, or a file of torch.save"),
        ("module", "not only weights"),
        ("other", "expected a state dict of fasterrcnn.*without roi_heads"),
        ("part", "expected a state dict of fasterrcnn.*tensors are missing"),
        ("shape", "expected a state dict of fasterrcnn.*other shapes"),
        ("missing", "no such file"),
    ):
        with pytest.raises(CheckpointError, match=rf"{name}\.pth: .*{message}") as error:
            torchvision_detector(tmp_path / f"{name}.pth", name="fasterrcnn_mobilenet_v3_large_320_fpn")
        assert "\n" not in str(error.value) and "weights_only" not in str(error.value)
    for name in ("yolo", "ssd300_vgg16"):
        with pytest.raises(ValueError, match=rf"detector: expected one of .*maskrcnn_.*, got '{name}'"):
            torchvision_detector(tmp_path / "noise.pth", name=name)
