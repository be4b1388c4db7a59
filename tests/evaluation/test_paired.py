"""Tests of retrieval between two modalities of the same scene."""

import numpy as np
import pytest

from imagebind.datasets.layouts.paired import (
    ave_pairs,
    llvip_pairs,
    paired_folders,
    sun_rgbd_pairs,
    vggsound_pairs,
)
from imagebind.errors import MediaError
from imagebind.evaluation import evaluate
from tests.evaluation.layouts import write_csv
from tests.evaluation.layouts_captions import write_paired
from tests.evaluation.layouts_clips import write_ave, write_clip
from tests.evaluation.layouts_images import write_jpeg
from tests.evaluation.layouts_sensors import write_sun_world


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_paired(tmp_path_factory.mktemp("paired"))


def test_files_with_equal_names_are_pairs_and_others_are_missing(root):
    found = paired_folders(root, query="audio", candidate="depth")
    assert found.queries[1].item == {"audio": root / "audio" / "1.wav"}
    assert found.candidates[1].item == {"depth": root / "depth" / "1.png"} and found.relevant[1] == (1,)
    (root / "depth" / "alone.png").touch()
    assert list(paired_folders(root).missing) == [str(root / "audio" / "alone.*")]
    (root / "depth" / "alone.png").unlink()
    drawn = [each.name for each in paired_folders(root, pairs=3).queries]
    assert len(drawn) == 3 and drawn == [each.name for each in paired_folders(root, pairs=3).candidates]


def test_an_error_names_the_wrong_folder_or_option(root, tmp_path):
    with pytest.raises(MediaError, match="thermal: no such folder"):
        paired_folders(root, query="thermal")
    with pytest.raises(ValueError, match="pairs: expected at least 1, got 0"):
        paired_folders(root, pairs=0)
    for name in ("depth", "audio"):
        (tmp_path / name).mkdir()
    with pytest.raises(MediaError, match="expected files of equal names in depth/ and audio/, got no pair"):
        paired_folders(tmp_path)


def test_videos_without_audio_are_left_out_and_counted(tmp_path):
    for number in range(3):
        write_clip(tmp_path / f"id_{number:06}.mp4", 0, with_audio=number != 1)
    write_csv(tmp_path / "vggsound.csv", [["id", number, "hail", "test"] for number in range(4)])
    found = vggsound_pairs(tmp_path)
    assert [each.name for each in found.queries] == ["id_000000.mp4", "id_000002.mp4"]
    assert found.candidates[1].item == {"video": tmp_path / "id_000002.mp4"} and len(found.missing) == 1
    assert list(found.notes) == ["1 of 3 videos have no audio track: they are left out"]


def test_pairs_of_llvip_and_sun_rgbd_come_from_the_test_split(root, tmp_path):
    found = llvip_pairs(root)
    assert found.queries[0].item == {"thermal": root / "infrared" / "test" / "190001.jpg"}
    assert found.candidates[0].item == {"image": root / "visible" / "test" / "190001.jpg"}
    write_sun_world(tmp_path, 4)
    for depth in list(tmp_path.rglob("depth_bfx")):
        write_jpeg(depth.parent / "image" / "0001.jpg", np.zeros((8, 8, 3), dtype=np.uint8))
    found = sun_rgbd_pairs(tmp_path)
    assert {"depth", "sensor", "focal", "unit"} <= found.queries[0].item.keys()
    assert "image" in found.candidates[0].item and not found.missing


OPTIONS = {"paired": {}, "llvip_pairs": {}, "ave_pairs": {"clips": 1, "crops": 1}}


@pytest.mark.parametrize("name", OPTIONS)
def test_the_small_model_retrieves_the_paired_item(world_embedder, root, tmp_path, name):
    folder = write_ave(tmp_path, 10) if name == "ave_pairs" else root
    if name == "ave_pairs":
        assert len(ave_pairs(folder).queries) == 10
    result = evaluate(name, world_embedder, folder, options=OPTIONS[name])
    figure = result.figures["R@5"]
    assert result.samples >= 10 and figure.value >= 70 and figure.low > figure.chance
