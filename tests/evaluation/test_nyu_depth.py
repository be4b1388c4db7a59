"""Tests of NYU-Depth v2 in its published layout."""

import numpy as np
import pytest
from PIL import Image

from imagebind.datasets.layouts.nyu_depth import nyu_depth
from imagebind.errors import MediaError
from imagebind.evaluation import evaluate
from tests.evaluation.layouts_sensors import NYU_NAMES, write_nyu, write_nyu_world

FRAMES = np.arange(4 * 6 * 8, dtype=np.float32).reshape(4, 6, 8) / 100 + 1
ROOMS = ["kitchen", "excercise_room", "living_room", "exercise_room"]


@pytest.fixture
def small(tmp_path):
    return write_nyu(tmp_path / "nyu", FRAMES, ROOMS, {"trainNdxs": [2], "testNdxs": [1, 3, 4]})


def test_frames_are_upright_in_metres_with_the_class_of_their_scene_type(small):
    found = nyu_depth(small)
    labels = [found.classes[item.labels[0]].label for item in found.items]
    assert labels == ["kitchen", "living room", "other"]
    assert [item.name for item in found.items][1] == "NYU-Depth v2 3"
    frame = found.items[1].item.load()
    assert (frame["depth"] == FRAMES[2]).all() and frame["unit"] == "m" and frame["sensor"] == "kinect_v1"
    assert frame["focal"] == 518.857901
    raw = nyu_depth(small, filled=False).items[1].item
    assert (raw.load()["depth"] == FRAMES[2] / 2).all()
    assert raw.sources != found.items[1].item.sources


def test_both_spellings_of_the_exercise_room_are_other(small):
    assert nyu_depth(small, split="train").items[0].labels == nyu_depth(small).items[2].labels
    other = nyu_depth(small).classes[-1]
    assert other.label == "other" and len(other.names) == 18 and "exercise room" in other.names


def test_folders_of_scene_types_are_read_too(tmp_path):
    for room in ("living room", "computer_lab"):
        (tmp_path / "test" / room).mkdir(parents=True)
        Image.fromarray((FRAMES[0] * 1000).astype(np.uint16)).save(tmp_path / "test" / room / "1.png")
    (tmp_path / "test" / "living room" / ".DS_Store").touch()
    found = nyu_depth(tmp_path)
    assert [found.classes[item.labels[0]].label for item in found.items] == ["other", "living room"]
    (tmp_path / "test" / "garage").mkdir()
    with pytest.raises(MediaError, match=r"garage: a folder with no class's name; expected bathroom"):
        nyu_depth(tmp_path)


def test_a_missing_or_damaged_part_is_named(small, tmp_path):
    with pytest.raises(MediaError, match=r"nyu_depth_v2_labeled\.mat: no such file"):
        nyu_depth(tmp_path)
    (small / "splits.mat").rename(small / "split.mat")
    with pytest.raises(MediaError, match=r"splits\.mat: no such file; expected .*testNdxs"):
        nyu_depth(small)
    (small / "splits.mat").write_bytes((small / "split.mat").read_bytes()[:150])
    with pytest.raises(MediaError, match=r"splits\.mat: .*testNdxs"):
        nyu_depth(small)
    (small / "nyu_depth_v2_labeled.mat").write_bytes(b"MATLAB 7.3 MAT-file")
    with pytest.raises(MediaError, match=r"cannot be read .*expected the labelled data set"):
        nyu_depth(small)
    with pytest.raises(ValueError, match="split: expected one of train, test"):
        nyu_depth(small, split="val")


def test_an_unknown_scene_type_or_index_is_an_error(tmp_path):
    root = write_nyu(tmp_path / "one", FRAMES, ["garage", *ROOMS[1:]], {"testNdxs": [1]})
    with pytest.raises(MediaError, match="NYU-Depth v2 1: scene type 'garage'"):
        nyu_depth(root)
    root = write_nyu(tmp_path / "two", FRAMES, ROOMS, {"testNdxs": [5]})
    with pytest.raises(MediaError, match="index 5; expected 1 to 4"):
        nyu_depth(root)


def test_the_small_model_recognises_shapes_by_their_depth_and_shuffled_ones_by_chance(
    world_embedder, tmp_path
):
    root = write_nyu_world(tmp_path)
    options = {"templates": "short", "names": NYU_NAMES}
    result = evaluate("nyu_depth", world_embedder, root, options=options, cache=tmp_path / "cache")
    assert result.samples == 15 and result.figures["top1"].value >= 60
    assert result.protocol["depth_preset"].value == "omnivore"
    scores, detail = result.detail.scores, result.detail
    other = detail.labels.index("other")
    assert (detail.target == other).any()
    shifted = {**NYU_NAMES, **dict(zip(NYU_NAMES, [*list(NYU_NAMES.values())[1:], "disc"], strict=True))}
    shuffled = evaluate(
        "nyu_depth", world_embedder, root, options={**options, "names": shifted}, cache=tmp_path / "cache"
    )
    assert shuffled.figures["top1"].value < 40
    alone = evaluate(
        "nyu_depth",
        world_embedder,
        root,
        options={**options, "names": {**NYU_NAMES, "other": "bar"}},
        cache=tmp_path / "cache",
    ).detail.scores
    assert (scores[:, other] >= alone[:, other] - 1e-6).all(), "the maximum over the names"
    assert (scores[:, other] > alone[:, other] + 1e-3).any()
