"""`imagebind moments`: times, clips, a plot and JSON of a recording; and one-line errors."""

import json

import numpy as np
import pytest
import soundfile

from imagebind.media.audio_file import load_audio
from imagebind.toyworld.recordings import Shot, write_recording
from imagebind.toyworld.scene import Colour, Motion, Shape, World, similar_scene
from tests.toyworld.scenes import SCENE


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """Three shots of 3, 4 and 3 s; the second is a red metal star that spins."""
    rng = np.random.default_rng(0)
    others = [World(seed=9).scene(number) for number in range(40)]
    first, last = [
        scene
        for scene in others
        if scene.shape is not Shape.STAR and scene.colour is not Colour.RED and scene.motion is Motion.REST
    ][:2]
    scenes = [first, similar_scene(SCENE, rng), last]
    shots = [
        Shot(scene=scene, start=start, end=end)
        for scene, start, end in zip(scenes, (0, 3, 7), (3, 7, 10), strict=True)
    ]
    return write_recording(tmp_path_factory.mktemp("recording"), shots)


def test_a_text_is_found_by_all_streams_and_written_as_a_clip_and_a_plot(imagebind, recording, tmp_path):
    run = imagebind(
        *("moments", recording.video, "--with-imu", recording.imu, "--text", "a red star spinning"),
        *("--top", 2, "--json", "--cut", tmp_path / "clips", "--plot", tmp_path / "line.png", "-w", "tiny"),
    )
    assert run.code == 0, run.err
    best = json.loads(run.out.splitlines()[0])
    assert best["start"] == pytest.approx(3, abs=1) and best["end"] == pytest.approx(7, abs=1)
    assert set(best["streams"]) == {"video", "audio", "imu"} and best["path"] == str(recording.video)
    clips = sorted(path.name for path in (tmp_path / "clips").iterdir())
    assert len(clips) == len(run.out.splitlines()) and best["clip"].endswith(clips[0])
    assert (tmp_path / "line.png").read_bytes().startswith(b"\x89PNG")


def test_a_recording_and_its_imu_file_in_a_store_are_searched_and_cut(imagebind, memory, recording, tmp_path):
    memory.put_file(str(recording.video), "/media/film.mp4")
    memory.put_file(str(recording.imu), "/media/walk.csv")
    query = ("--text", "a red star spinning", "--top", 1, "--json", "-w", "tiny")
    here = imagebind("moments", recording.video, "--with-imu", recording.imu, *query)
    run = imagebind(
        *("moments", "memory://media/film.mp4", "--with-imu", "memory://media/walk.csv", *query),
        *("--cut", tmp_path),
    )
    assert run.code == 0, run.err
    moment = json.loads(run.out)
    (clip,) = tmp_path.iterdir()
    assert moment.pop("clip") == str(clip) and clip.name.startswith("film-01-")
    assert moment == {**json.loads(here.out), "path": "memory://media/film.mp4"}


def test_a_table_has_the_times_of_one_stream(imagebind, recording):
    run = imagebind("moments", recording.video, "--text", "a star", "--only", "audio", "-w", "tiny", "-k", 1)
    assert run.code == 0, run.err
    head, row = run.out.splitlines()
    assert head.split() == ["start", "end", "score"] and len(row.split()) == 3


def test_wrong_arguments_are_errors_without_a_traceback(imagebind, recording, tmp_path, audio_file):
    video, tiny = recording.video, ("-w", "tiny")
    soundfile.write(tmp_path / "mute.wav", np.zeros(48_000), 16_000)
    (tmp_path / "file").touch()
    (tmp_path / "cut.mp4").write_bytes(video.read_bytes()[:4000])
    (tmp_path / "table.txt").write_text("1 2 3 4 5 6 7\n" * 99)
    text = ("--text", "a star")
    for arguments, code, message in (
        ((video,), 2, "expected at least one item, such as"),
        ((video, "--text", " "), 2, "text: expected an item, got an empty one"),
        ((video, *text, "--cut", tmp_path / "file" / "clips"), 2, "expected a folder"),
        ((video, *text, "--plot", tmp_path / "no" / "plot.png"), 2, "expected an existing folder"),
        ((video, *text, "--hop", 3), 2, "expected 0.04 to 2 seconds (--window), got 3"),
        ((video, *text, "--hop", 0.001), 2, "got 0.001"),
        ((video, *text, "--hop", 0.001, "--window", 0.001), 2, "expected at least 0.04 seconds, got 0.001"),
        ((recording.video.parent, *text), 1, "a folder with no accelerometer file"),
        ((video, *text, "--window", "inf"), 2, "expected finite seconds above 0, got inf"),
        ((video, *text, "--imu-offset", 2), 2, "expected also the IMU file, --with-imu"),
        ((video, *text, "--with-imu", recording.imu, "--only", "video"), 2, "expected imu among --only"),
        ((recording.imu, *text, "--with-imu", recording.imu), 2, "expected a video or audio recording"),
        ((tmp_path / "cut.mp4", *text, *tiny), 1, "got a container that cannot be opened (Invalid data"),
        ((tmp_path / "table.txt", *text, *tiny), 1, "--map '**/table.txt=text'"),
        ((recording.imu, *text, "--cut", tmp_path / "clips"), 2, "a video or an audio file to cut"),
        ((video, "--audio", tmp_path / "mute.wav", *tiny), 1, "mute.wav: expected audio that can be"),
        ((audio_file, *text, "--only", "video", *tiny), 1, "expected a recording with video, got only audio"),
        ((video, *text, "--only", "text", *tiny), 2, "streams: expected some of video, audio, imu"),
        ((tmp_path / "none.mp4", *text, *tiny), 1, "none.mp4"),
        ((video, *text, "--with-imu", recording.imu, "--imu-offset", 99, *tiny), 1, "check the offset"),
    ):
        run = imagebind("moments", *arguments)
        assert run.code == code and message in " ".join(run.err.split()), (arguments, run.err)
        assert "Traceback" not in run.err and "Errno" not in run.err


def test_clips_of_two_searches_are_not_mixed_in_a_folder(imagebind, recording, tmp_path):
    cut = ("moments", recording.video, "--text", "a star", "-k", 1, "--cut", tmp_path, "-w", "tiny")
    (tmp_path / "other-01-0.00-1.00.mp4").touch()  # of another recording
    assert imagebind(*cut).code == 0
    clips = sorted(tmp_path.iterdir())
    run = imagebind(*cut)
    message = " ".join(run.err.replace("│", " ").split())
    assert run.code == 2 and f"expected a folder without clips of {recording.video.name}" in message
    assert sorted(tmp_path.iterdir()) == clips and len(clips) == 2


def test_options_of_a_recording_are_given_by_map(imagebind, recording, tmp_path):
    table = tmp_path / "ride.txt"  # a suffix of texts
    table.write_text(recording.imu.read_text())
    run = imagebind(
        "moments", table, "--text", "spinning", "--map", "*.txt=imu:accel_unit=m/s2", "--json", "-w", "tiny"
    )
    assert run.code == 0 and json.loads(run.out.splitlines()[0])["streams"].keys() == {"imu"}, run.err


def test_an_index_is_searched_for_moments(imagebind, recording, tmp_path):
    waveform, rate = load_audio(recording.video)
    soundfile.write(tmp_path / "talk.wav", waveform[0].numpy(), rate)
    db = tmp_path / "db"
    made = imagebind("index", tmp_path / "talk.wav", "--db", db, "--window", 2, "--hop", 1, "-w", "tiny")
    assert made.code == 0, made.err
    run = imagebind("search", db, "--text", "a star spinning", "--moments", "--json")
    hits = [json.loads(line) for line in run.out.splitlines()]
    assert run.code == 0 and 0 < len(hits) < 9, run.err  # of 9 windows
    assert hits[0]["start"] < 5 < hits[0]["end"]
    assert all(a["end"] <= b["start"] or b["end"] <= a["start"] for a in hits for b in hits if a is not b)
    run = imagebind("search", db, "--text", "a star", "--moments", "--by-cosine")
    assert run.code == 2 and "expected --moments or --by-cosine, got both" in run.err
