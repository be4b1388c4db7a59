"""Tests of recordings that are whole videos, where a list names a segment of them."""

import numpy as np
import pytest
import soundfile
import torch

from imagebind.datasets.labelled import LazyItem
from imagebind.datasets.layouts import segments
from imagebind.datasets.layouts.audiocaps import audiocaps
from imagebind.datasets.layouts.audioset import audioset_clips
from imagebind.datasets.layouts.kinetics400 import kinetics400
from imagebind.datasets.layouts.vggsound import vggsound
from imagebind.evaluation import evaluate
from imagebind.toyworld import render_audio
from tests.evaluation.layouts import scenes, write_csv
from tests.evaluation.layouts_clips import CLASSES, MIDS, shape_names, write_clip, ytid

START, SECONDS, AFTER = 20, 10, 15
COUNT = 6


def write_recordings(folder, name: str, *, whole: bool) -> None:
    """Write ten seconds of each scene's audio, alone or between noise."""
    folder.mkdir(parents=True)
    for number, scene in enumerate(scenes(COUNT)):
        samples, rate = render_audio(scene)
        segment = np.resize(samples, SECONDS * rate)
        noise = np.random.default_rng(number).normal(0, 0.1, (START + AFTER) * rate)
        parts = [noise[: START * rate], segment, noise[START * rate :]] if whole else [segment]
        path = folder / f"{name.format(ytid=ytid(number))}.wav"
        soundfile.write(path, np.concatenate(parts), rate, subtype="FLOAT")


@pytest.fixture
def vggsound_of(tmp_path):
    def write(name: str, *, whole: bool):
        root = tmp_path / f"{name} {whole}"
        write_recordings(root / "audio", name, whole=whole)
        shapes = [scene.shape.value for scene in scenes(COUNT)]
        rows = [[ytid(n), START, CLASSES[shape][0], "test"] for n, shape in enumerate(shapes)]
        write_csv(root / "vggsound.csv", rows)
        return root

    return write


def test_the_segment_is_cut_from_a_whole_video(world_embedder, vggsound_of, tmp_path):
    roots = [vggsound_of("{ytid}_000020", whole=False), vggsound_of("{ytid}", whole=True)]
    names = {
        label: name for label, name in shape_names(0).items() if label in str(vggsound(roots[0]).classes)
    }
    options = {"templates": "short", "clips": 5, "names": names}
    alone, cut = (
        evaluate("vggsound", world_embedder, root, options=options, cache=tmp_path) for root in roots
    )
    assert torch.allclose(alone.detail.scores, cut.detail.scores, atol=1e-5)
    assert not alone.notes and cut.notes == ["6 of 6 files contain the whole video: only its segment is used"]


def test_a_file_with_the_start_in_its_name_or_the_length_of_the_segment_is_used_whole(vggsound_of):
    for name, whole in (("{ytid}_000020", True), ("{ytid}", False), ("Y{ytid}", False)):
        found = vggsound(vggsound_of(name, whole=whole))
        assert all(item.item.keys() == {"audio"} for item in found.items) and not found.notes
    assert all(isinstance(item.item, LazyItem) for item in vggsound(vggsound_of("Y{ytid}", whole=True)).items)


def test_a_whole_video_that_ends_before_the_segment_is_named(vggsound_of):
    root = vggsound_of("{ytid}", whole=True)
    path = root / "audio" / f"{ytid(0)}.wav"
    soundfile.write(path, np.zeros(16_000 * 15), 16_000)
    found = vggsound(root)
    message = f"{path}: expected the segment from 20 to 30 s, or the whole video, got a file of 15.0 s"
    assert list(found.damaged) == [message] and len(found.items) == COUNT - 1


def test_audioset_and_audiocaps_cut_whole_videos_too(tmp_path):
    write_recordings(tmp_path / "audio", "{ytid}", whole=True)
    write_csv(
        tmp_path / "class_labels_indices.csv", [["index", "mid", "display_name"], [0, MIDS["bar"], "bar"]]
    )
    lines = [f'{ytid(n)}, {START}.000, {START + SECONDS}.000, "{MIDS["bar"]}"' for n in range(COUNT)]
    (tmp_path / "eval_segments.csv").write_text("\n".join(lines) + "\n")
    rows = [[n, ytid(n % COUNT), START, "a bar"] for n in range(2 * COUNT)]
    write_csv(tmp_path / "test.csv", [["audiocap_id", "youtube_id", "start_time", "caption"], *rows])
    items = [each.item for each in (*audioset_clips(tmp_path).items, *audiocaps(tmp_path).candidates)]
    assert len(items) == 2 * COUNT
    for item in items:
        part = item.load()
        assert part["audio"].shape == (1, SECONDS * part["rate"]) and part["audio"].abs().max() > 0
    assert audioset_clips(tmp_path).notes == audiocaps(tmp_path).notes != []


def test_frames_of_a_whole_video_are_not_evaluated_as_if_they_were_the_segment(tmp_path, monkeypatch):
    path = tmp_path / "val" / f"{ytid(0)}.mp4"
    write_clip(path, 0)  # two seconds
    header = ["label", "youtube_id", "time_start", "time_end", "split"]
    write_csv(tmp_path / "val.csv", [header, ["abseiling", ytid(0), 0, 1, "val"]])
    assert kinetics400(tmp_path).items[0].item == {"video": path}
    monkeypatch.setattr(segments, "CUT_TOLERANCE_SECONDS", 0.5)
    found = kinetics400(tmp_path)
    assert not found.items and found.damaged == [
        f"{path}: expected the segment from 0 to 1 s alone, got a file of 2.0 s"
    ]
