"""Tests of data sets of YouTube clips: VGGSound, AVE, Kinetics-400."""

import shutil

import pytest

from imagebind.datasets.labelled import WeightedItems
from imagebind.datasets.layouts.ave import ave
from imagebind.datasets.layouts.kinetics400 import kinetics400, kinetics400_with_sound
from imagebind.datasets.layouts.vggsound import vggsound
from imagebind.errors import MediaError
from imagebind.evaluation import evaluate
from imagebind.evaluation.report import write_report
from tests.evaluation.layouts_clips import (
    CLASSES,
    shape_names,
    write_ave,
    write_kinetics,
    write_vggsound,
    ytid,
)

SHORT = {"templates": "short", "clips": 1}
ONE_VIEW = {"templates": "short", "video_clips": 1, "crops": 1, "audio_clips": 1}


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    writers = {"vggsound": write_vggsound, "ave": write_ave, "kinetics400": write_kinetics}
    return {name: write(folder / name) for name, write in writers.items()} | {"cache": folder / "cache"}


@pytest.fixture
def copied(roots, tmp_path):
    """Return a function that copies a data set, which a test may damage."""
    return lambda name: shutil.copytree(roots[name], tmp_path / name)


def labels(found) -> list[str]:
    return [found.classes[item.labels[0]].label for item in found.items]


def test_vggsound_reads_commas_in_classes_and_the_split(roots):
    found = vggsound(roots["vggsound"])
    assert len(found.items) == 24 and not found.missing
    assert [each.label for each in found.classes] == sorted(classes[0] for classes in CLASSES.values())
    assert "pigeon, dove cooing" in labels(found)
    train = vggsound(roots["vggsound"], split="train")
    assert (
        not train.items
        and [name.split("/")[-1] for name in train.missing] == ["train-00000_000009_000019.*"] * 8
    )


def test_ave_reads_lines_and_ids_and_the_audio_of_videos(roots):
    found = ave(roots["ave"])
    assert len(found.items) == 16 and len(found.classes) == 8
    assert found.items[0].item == {"audio": roots["ave"] / "AVE" / f"{ytid(0)}.mp4"}
    assert labels(ave(roots["ave"], split="val")) == labels(found)[-2:]


def test_kinetics_reads_clips_in_one_folder_and_in_folders_of_classes(roots, copied):
    found = kinetics400(roots["kinetics400"])
    assert len(found.items) == 20 and "video" in found.items[0].item
    flat = copied("kinetics400")
    (flat / "annotations" / "val.csv").rename(flat / "validate.csv")
    for path in sorted(flat.glob("val/*/*.mp4")):
        path.rename(flat / "val" / path.name)
    assert labels(kinetics400(flat)) == labels(found)
    next(flat.glob("val/*.mp4")).unlink()
    assert len(kinetics400(flat).missing) == 1


def test_folders_of_classes_are_read_without_a_table(copied):
    root = copied("kinetics400")
    listed = kinetics400(root)
    shutil.rmtree(root / "annotations")
    found = kinetics400(root)
    assert sorted(labels(found)) == sorted(labels(listed))
    (root / "val").rename(root / "test")
    assert sorted(labels(vggsound(root))) == sorted(labels(ave(root))) == sorted(labels(listed))
    assert "audio" in ave(root).items[0].item


def test_a_wrong_split_and_missing_or_invalid_files_are_named(copied, tmp_path):
    for read in (vggsound, ave, kinetics400):
        with pytest.raises(ValueError, match="split: expected one of"):
            read(tmp_path, split="evaluation")
    with pytest.raises(MediaError, match=r"annotations/val\.csv: no such file.*validate\.csv"):
        kinetics400(tmp_path)
    with pytest.raises(MediaError, match=r"vggsound\.csv: no such file"):
        vggsound(tmp_path)
    with pytest.raises(MediaError, match=r"Annotations\.txt: no such file"):
        ave(tmp_path)
    root = copied("ave")
    (root / "testSet.txt").write_text("\nBark&unknown&good&0&10\n")
    with pytest.raises(
        MediaError, match=r"testSet\.txt, line 2: expected a video of Annotations\.txt, got 'unknown'"
    ):
        ave(root)
    (root / "Annotations.txt").write_text("\nBark&a&good\n")
    with pytest.raises(
        MediaError, match=r"Annotations\.txt, line 2: expected Category&VideoID&.*, got 'Bark&a&good'"
    ):
        ave(root)
    (tmp_path / "vggsound.csv").write_text("a,1,x,test\n\nb,2,y,none\n")
    with pytest.raises(
        MediaError, match=r"vggsound\.csv, line 3: expected id, start, class, .*, got 'b,2,y,none'"
    ):
        vggsound(tmp_path)


@pytest.mark.parametrize("name, column, top1", [("vggsound", 0, 75), ("ave", 1, 75), ("kinetics400", 2, 85)])
def test_the_small_model_recognises_shapes(world_embedder, roots, name, column, top1):
    def measured(shift: int) -> float:
        options = {**SHORT, "names": shape_names(column, shift=shift)}
        if name == "kinetics400":
            options["crops"] = 1
        result = evaluate(name, world_embedder, roots[name], options=options, cache=roots["cache"])
        return result.figures["top1"].value

    assert measured(0) >= top1 and measured(3) < 40


def test_audio_is_added_to_videos_that_have_it(world_embedder, roots, tmp_path):
    root = roots["kinetics400"]
    found = kinetics400_with_sound(root, audio_weight=0.25, video_clips=1, crops=1, audio_clips=2)
    path = kinetics400(root).items[0].item["video"]
    assert found.items[0].item == WeightedItems(
        parts=(({"video": path, "clips": 1, "crops": 1}, 0.75), ({"audio": path, "clips": 2}, 0.25))
    )
    assert found.items[-1].item["clips"] == 1 and list(found.notes) == [
        "1 of 20 clips have no audio track: their video alone is used"
    ]
    with pytest.raises(ValueError, match="audio_weight: expected a number between 0 and 1, got 1"):
        kinetics400_with_sound(root, audio_weight=1)
    options = {**ONE_VIEW, "names": shape_names(2)}
    result = evaluate("kinetics400_sound", world_embedder, root, options=options, cache=roots["cache"])
    assert result.figures["top1"].value >= 85 and list(result.notes) == list(found.notes)
    assert found.notes[0] in write_report([result], tmp_path / "report").read_text()
