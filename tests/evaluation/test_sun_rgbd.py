"""Tests of SUN RGB-D's scenes in their published layout."""

import numpy as np
import pytest

from imagebind.datasets.layouts.sun_rgbd import sun_rgbd_scenes
from imagebind.errors import MediaError
from imagebind.evaluation import evaluate
from imagebind.transforms.depth import DepthTransform
from tests.evaluation.layouts_sensors import (
    SUN_NAMES,
    SUN_SENSORS,
    write_allsplit,
    write_sun,
    write_sun_world,
)

SCENES = ["kitchen", "lecture_theatre", "office_kitchen", "rest_space"]  # the third is not evaluated


@pytest.fixture
def small(tmp_path):
    frames = [
        (folder.format(number), SCENES[number], focal, np.full((12, 16), 2.0))
        for number, (folder, _, focal) in enumerate(SUN_SENSORS)
    ]
    write_sun(tmp_path, frames)
    return tmp_path


def test_views_have_the_class_of_their_scene_and_the_disparity_of_their_sensor(small):
    found = sun_rgbd_scenes(small)
    assert [found.classes[item.labels[0]].label for item in found.items] == [
        "kitchen",
        "lecture theatre",
        "rest space",
    ]
    assert len(found.classes) == 19 and found.missing == []
    assert [item.item["sensor"] for item in found.items] == ["kinect_v1", "kinect_v2", "xtion"]
    for metres, refined in ((2.0, True), (1.0, False)):
        for item, sensor in zip(sun_rgbd_scenes(small, refined=refined).items, (0, 1, 3), strict=True):
            _, baseline, focal = SUN_SENSORS[sensor]
            disparity = DepthTransform(preset="raw")(item.item)
            assert disparity.mean().item() == pytest.approx(baseline * focal / metres, rel=1e-4)


def test_the_split_decides_which_views_are_read(small):
    first, second = (folder.format(number) for number, (folder, *_) in enumerate(SUN_SENSORS[:2]))
    write_allsplit(small, [first], [second, "kv2/align_kv2/gone"])
    assert [item.name for item in sun_rgbd_scenes(small, split="train").items] == [f"SUN RGB-D {first}"]
    test = sun_rgbd_scenes(small)
    assert [item.name for item in test.items] == [f"SUN RGB-D {second}"]
    assert test.missing == ["kv2/align_kv2/gone (a folder)"]


def test_missing_files_are_listed(small):
    first, second = (folder.format(number) for number, (folder, *_) in enumerate(SUN_SENSORS[:2]))
    (small / "SUNRGBD" / first / "scene.txt").unlink()
    (small / "SUNRGBD" / second / "intrinsics.txt").unlink()
    found = sun_rgbd_scenes(small)
    assert len(found.items) == 1
    assert [name.split("/")[-1] for name in found.missing] == ["scene.txt", "intrinsics.txt"]


def test_a_wrong_split_and_missing_files_are_named(small, tmp_path):
    with pytest.raises(ValueError, match="split: expected one of train, test"):
        sun_rgbd_scenes(small, split="val")
    (tmp_path / "SUNRGBDtoolbox/traintestSUNRGBD/allsplit.mat").unlink()
    with pytest.raises(MediaError, match=r"allsplit\.mat: no such file; it should be .*alltest"):
        sun_rgbd_scenes(small)
    with pytest.raises(MediaError, match="SUNRGBD: no such folder"):
        sun_rgbd_scenes(tmp_path / "SUNRGBD")


def test_folders_of_scenes_are_read_too(small, tmp_path):
    source = next((small / "SUNRGBD").rglob("depth_bfx/*.png"))
    target = tmp_path / "crops" / "test" / "living_room"
    target.mkdir(parents=True)
    (target / "1.png").write_bytes(source.read_bytes())
    found = sun_rgbd_scenes(tmp_path / "crops")
    assert [found.classes[item.labels[0]].label for item in found.items] == ["living room"]
    disparity = DepthTransform(preset="raw", sensor="xtion", focal=500)(found.items[0].item)
    assert disparity.mean().item() == pytest.approx(0.095 * 500 / 2, rel=1e-4)


def test_the_small_model_recognises_shapes_by_the_depth_of_all_sensors(world_embedder, tmp_path):
    root = write_sun_world(tmp_path)
    options = {"templates": "short", "names": SUN_NAMES}
    result = evaluate("sun_rgbd", world_embedder, root, options=options, cache=tmp_path / "cache")
    assert result.samples == 16 and result.figures["top1"].value >= 60
    names = dict(zip(SUN_NAMES, [*list(SUN_NAMES.values())[1:], "disc"], strict=True))
    shuffled = evaluate(
        "sun_rgbd", world_embedder, root, options={**options, "names": names}, cache=tmp_path / "cache"
    )
    assert shuffled.figures["top1"].value < 40
