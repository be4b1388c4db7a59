"""Tests of NYU-Depth v2 in its published layout."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from PIL import Image

from imagebind.datasets.layouts.nyu_depth import nyu_depth
from imagebind.errors import MediaError
from imagebind.evaluation import evaluate
from tests.evaluation.layouts_sensors import NYU_NAMES, write_nyu, write_nyu_of_sun, write_nyu_world

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
    with pytest.raises(
        MediaError, match=r"garage: expected a folder with the name of a class \(bathroom.*, got 'garage'"
    ):
        nyu_depth(tmp_path)


def test_a_wrong_split_and_missing_or_damaged_files_are_named(small, tmp_path):
    with pytest.raises(MediaError, match=r"nyu_depth_v2_labeled\.mat: no such file"):
        nyu_depth(tmp_path)
    (small / "splits.mat").rename(small / "split.mat")
    with pytest.raises(MediaError, match=r"splits\.mat: no such file; it should be .*testNdxs"):
        nyu_depth(small)
    (small / "splits.mat").write_bytes((small / "split.mat").read_bytes()[:150])
    with pytest.raises(MediaError, match=r"splits\.mat: .*testNdxs"):
        nyu_depth(small)
    (small / "nyu_depth_v2_labeled.mat").write_bytes(b"MATLAB 7.3 MAT-file")
    with pytest.raises(MediaError, match=r"expected the labelled data set.* got a file that cannot be read"):
        nyu_depth(small)
    with pytest.raises(ValueError, match="split: expected one of train, test"):
        nyu_depth(small, split="val")


@pytest.mark.parametrize(
    ("indices", "got"),
    [("one", "'one'"), ([1.0, np.nan], "nan"), ([np.inf], "inf"), ([1, 2.5], "2.5"), ([1j], "1j")],
)
def test_indices_that_are_not_whole_numbers_are_named(small, indices, got):
    scipy.io.savemat(small / "splits.mat", {"testNdxs": indices})
    with pytest.raises(MediaError, match=rf"splits\.mat: expected whole numbers in testNdxs, got {got}$"):
        nyu_depth(small)


def test_an_unknown_scene_type_or_index_is_an_error(tmp_path):
    root = write_nyu(tmp_path / "one", FRAMES, ["garage", *ROOMS[1:]], {"testNdxs": [1]})
    with pytest.raises(MediaError, match=r"NYU-Depth v2 1: expected one of the scene types .*, got 'garage'"):
        nyu_depth(root)
    root = write_nyu(tmp_path / "two", FRAMES, ROOMS, {"testNdxs": [5]})
    with pytest.raises(MediaError, match="expected an index from 1 to 4, got 5"):
        nyu_depth(root)


@pytest.fixture
def sun_copy(tmp_path):
    """Frames 1 to 4 of SUN RGB-D's copy; the names of scenes are spelt as either data set does."""
    names = ["kitchen", "exercise room", "living_room\n", "excercise_room"]
    return write_nyu_of_sun(tmp_path / "sun", FRAMES, names, {"trainNdxs": [2], "testNdxs": [1, 3, 4]})


def test_the_copy_of_sun_rgbd_has_the_frames_and_classes_of_the_split(sun_copy):
    for root in (sun_copy, sun_copy / "SUNRGBD"):
        if root != sun_copy:
            (sun_copy / "splits.mat").rename(root / "splits.mat")
        found = nyu_depth(root)
        labels = [found.classes[item.labels[0]].label for item in found.items]
        assert labels == ["kitchen", "living room", "other"] and not found.missing
        assert [item.name for item in found.items][1] == "NYU-Depth v2 3"
        for filled, share in ((True, 1), (False, 0.5)):
            frame = nyu_depth(root, filled=filled).items[1].item.load()
            np.testing.assert_allclose(frame["depth"], share * FRAMES[2], atol=1.1e-3)
            assert frame["unit"] == "m" and frame["focal"] == 518.857901 and frame["sensor"] == "kinect_v1"
        assert nyu_depth(root, split="train").items[0].labels == found.items[2].labels
        assert "NYU0001 as index 1 of splits.mat" in found.notes[0]


def test_the_labelled_file_is_preferred_to_the_copy_of_sun_rgbd(small):
    write_nyu_of_sun(small, FRAMES[:1], ["office"], {"testNdxs": [1]})
    assert nyu_depth(small).classes[nyu_depth(small).items[0].labels[0]].label == "kitchen"


@pytest.mark.parametrize("rotated", [True, False])
def test_depth_of_the_copy_in_the_other_unit_is_an_error_with_the_option_that_reads_it(tmp_path, rotated):
    ramp = np.linspace(0.7, 1.4, 48 * 64, dtype=np.float32).reshape(48, 64)  # metres
    frames = np.stack([2 * ramp, ramp, 5 * ramp, 7 * ramp])  # up to 9.8 m, beyond the 8.191 m of 13 bits
    splits = {"testNdxs": [1, 2, 3, 4]}
    root, other = (
        write_nyu_of_sun(tmp_path / str(each), frames, ROOMS, splits, rotated=each)
        for each in (rotated, not rotated)
    )
    items = nyu_depth(root, rotated=rotated).items
    for item, frame in zip(items, frames, strict=True):
        np.testing.assert_allclose(item.item.load()["depth"], frame, atol=1.1e-3)
    way_out = (
        f"NYU000.*expected at most 10 m, got 10% of the depth beyond .* pass --option rotated={not rotated}"
    )
    with pytest.raises(MediaError, match=f"(?i){way_out}"):
        nyu_depth(other, rotated=rotated)
    for path in (root / "SUNRGBD").rglob("NYU0003.png"):  # only one frame
        path.write_bytes((other / path.relative_to(root)).read_bytes())
    with pytest.raises(MediaError, match=f"(?i){way_out}"):
        nyu_depth(root, rotated=rotated).items[2].item.load()
    assert nyu_depth(other, rotated=not rotated).items[0].item.sources[1] != items[0].item.sources[1]


def test_a_damaged_frame_of_the_copy_is_an_error_of_that_frame(sun_copy):
    (path,) = (sun_copy / "SUNRGBD").rglob("depth_bfx/NYU0001.png")
    path.write_bytes(path.read_bytes()[:40])
    first, second, _ = nyu_depth(sun_copy).items
    with pytest.raises(MediaError, match=r"NYU0001\.png"):
        first.item.load()
    assert second.item.load()["depth"].shape == (6, 8)


def test_an_unknown_scene_of_the_copy_is_an_error_or_counts_as_other(sun_copy):
    frames = sun_copy / "SUNRGBD" / "kv1" / "NYUdata"
    for number, scene in ((1, "rest_space"), (4, "idk"), (3, "idk")):
        (frames / f"NYU{number:04}" / "scene.txt").write_text(scene)
    with pytest.raises(MediaError) as caught:
        nyu_depth(sun_copy)
    text = str(caught.value)
    assert text.startswith(str(frames / "NYU0001" / "scene.txt")) and "scene 'rest_space'" in text
    assert "2 unknown in all, with the number of their frames: idk (2), rest_space (1)" in text
    assert "nyu_depth.json" in text and "--option unknown_scenes=other" in text
    found = nyu_depth(sun_copy, unknown_scenes="other")
    assert {found.classes[item.labels[0]].label for item in found.items} == {"other"}
    assert found.notes[1].endswith("count as other, with the number of their frames: idk (2), rest_space (1)")
    with pytest.raises(ValueError, match="unknown_scenes: expected error or other, got 'skip'"):
        nyu_depth(sun_copy, unknown_scenes="skip")


def test_missing_files_of_the_copy_are_listed(sun_copy):
    frames = sun_copy / "SUNRGBD" / "kv1" / "NYUdata"
    (frames / "NYU0001" / "scene.txt").unlink()
    next((frames / "NYU0003" / "depth_bfx").iterdir()).unlink()
    shutil.rmtree(frames / "NYU0004")
    found = nyu_depth(sun_copy)
    assert found.items == []
    assert [Path(name).relative_to(frames).as_posix() for name in found.missing] == [
        "NYU0001/scene.txt",
        "NYU0003/depth_bfx/*.png",
        "NYU0004 (a folder)",
    ]
    (sun_copy / "splits.mat").unlink()
    with pytest.raises(MediaError, match=r"splits\.mat: no such file; it should be .*testNdxs"):
        nyu_depth(sun_copy)


def test_the_copy_of_sun_rgbd_gives_the_figures_of_the_labelled_file(world_embedder, tmp_path):
    options = {"templates": "short", "names": NYU_NAMES}
    labelled, copy = (
        evaluate(
            "nyu_depth",
            world_embedder,
            write_nyu_world(tmp_path / write.__name__, write=write),
            options=options,
        )
        for write in (write_nyu, write_nyu_of_sun)
    )
    assert copy.samples == labelled.samples and copy.per_class == labelled.per_class
    assert copy.figures["top1"].value >= 60
    assert copy.notes and not labelled.notes
    assert copy.protocol["rotated"].value is False and copy.protocol["unknown_scenes"].value == "error"


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
