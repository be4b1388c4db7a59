"""AudioSet's clips and labels."""

import pytest

from imagebind.datasets.layouts.audioset import audioset_clips
from imagebind.errors import MediaError
from imagebind.evaluation import evaluate
from tests.evaluation.layouts_clips import MIDS, write_audioset, ytid

OPTIONS = {"clips": 1, "templates": "short"}


@pytest.fixture
def small(tmp_path):
    return write_audioset(tmp_path, 4)


def test_a_clip_has_all_its_labels_and_one_of_two_names(small):
    found = audioset_clips(small)
    assert [item.name for item in found.items[:2]] == [f"{ytid(0)}_0_10.wav", f"{ytid(1)}.wav"]
    assert [each.label for each in found.classes] == list(MIDS)
    assert all(len(item.labels) == 2 and item.labels[0] < 8 <= item.labels[1] for item in found.items)


NAMES = ("{}.flac", "Y{}.wav", "{}_000030.wav", "{}_30.000_40.000.mp4", "{}_30000.mp3")


@pytest.mark.parametrize("name", NAMES)
def test_file_names_of_downloaders_are_recognised(small, name):
    (small / "eval" / f"{ytid(1)}.wav").rename(small / "eval" / name.format(ytid(1)))
    assert audioset_clips(small).items[1].name == name.format(ytid(1))


def test_a_missing_clip_is_listed(small):
    (small / "eval" / f"{ytid(1)}.wav").unlink()
    (small / "eval" / f"{ytid(1)}.json").touch()  # a downloader's description of the video
    found = audioset_clips(small)
    assert len(found.items) == 3 and [name.split("/")[-1] for name in found.missing] == [f"{ytid(1)}.*"]


def test_folders_of_classes_are_read_too_and_a_clip_in_several_has_all_their_classes(tmp_path):
    for path in ("Dog/-_a0Zxy-zQw_30.wav", "Bark/-_a0Zxy-zQw_30.wav", "Bark/1.wav", "Dog/1.wav"):
        (tmp_path / "eval" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "eval" / path).touch()
    found = audioset_clips(tmp_path)
    assert [each.label for each in found.classes] == ["Bark", "Dog"]
    assert sorted(item.labels for item in found.items) == [(0,), (0, 1), (1,)]


def test_a_wrong_split_or_table_is_named(small):
    with pytest.raises(ValueError, match="split: expected one of eval, balanced_train"):
        audioset_clips(small, split="test")
    with pytest.raises(MediaError, match=r"balanced_train_segments\.csv"):
        audioset_clips(small, split="balanced_train")
    (small / "class_labels_indices.csv").write_text("index,mid,display_name\n0,/m/none,Speech\n")
    with pytest.raises(MediaError, match=rf"segment {ytid(0)}: expected a label of .*, got '/m/"):
        audioset_clips(small)


def test_the_small_model_recognises_shapes_and_motions_by_their_audio(world_embedder, tmp_path):
    root = write_audioset(tmp_path / "AudioSet")
    cache = tmp_path / "cache"
    result = evaluate("audioset", world_embedder, root, options=OPTIONS, cache=cache)
    figure = result.figures["mAP"]
    assert result.samples == 24 and figure.value >= 60 and figure.value > figure.low > 2 * figure.chance
    names = list(MIDS)
    shifted = dict(zip(names, [*names[1:8], names[0], *names[9:], names[8]], strict=True))
    shuffled = evaluate("audioset", world_embedder, root, options={**OPTIONS, "names": shifted}, cache=cache)
    assert shuffled.figures["mAP"].value < figure.value / 2
