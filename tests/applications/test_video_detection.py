"""Detections in the frames of a video, linked over time, and a video that shows them."""

from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from PIL import Image

from imagebind.applications import detection as detection_module
from imagebind.applications.backgrounds import embed_backgrounds
from imagebind.applications.boxes import Detection
from imagebind.applications.detection import detection_queries
from imagebind.applications.video_detection import OWN_AUDIO_QUERY, Linker, detect_video, write_video
from imagebind.checkpoints.factory import imagebind_tiny
from imagebind.embedder import Embedder
from imagebind.errors import MediaError
from imagebind.toyworld import World, render_audio, render_video


def detection(box, query="dog") -> Detection:
    return Detection(query=query, score=0.9, cosine=0.5, box=box)


def test_boxes_that_overlap_from_frame_to_frame_are_one_track():
    linker = Linker()
    frames = [[detection((x, 0, x + 20, 20)), detection((80 - x, 50, 110 - x, 80))] for x in (0, 5, 10, 15)]
    tracks = [[each.track for each in linker.link(frame)] for frame in frames]
    assert tracks == [[1, 2]] * 4


def test_an_object_may_be_missed_for_two_frames_but_not_for_three():
    for missed, last in ((2, 1), (3, 2)):
        linker = Linker()
        linker.link([detection((0, 0, 20, 20))])
        for _ in range(missed):
            assert linker.link([]) == []
        assert linker.link([detection((2, 0, 22, 20))])[0].track == last


def test_boxes_of_other_queries_are_other_tracks():
    linker = Linker()
    linker.link([detection((0, 0, 20, 20))])
    assert [each.track for each in linker.link([detection((0, 0, 20, 20), "cat")])] == [2]


def test_two_boxes_of_a_frame_are_never_one_track():
    linker = Linker()
    linker.link([detection((0, 0, 20, 20))])
    linked = linker.link([detection((0, 0, 20, 20)), detection((1, 0, 21, 20))])
    assert [each.track for each in linked] == [1, 2]


def write_with_audio(path: Path, frames: np.ndarray, audio: Path) -> None:
    """Write frames (t, 224, 224, 3), 8 per second, with the audio of a file."""
    with av.open(path, "w") as container, av.open(audio) as source:
        stream = container.add_stream("libx264", rate=8)
        stream.width = stream.height = 224
        stream.pix_fmt = "yuv420p"
        voice = container.add_stream("aac", rate=source.streams.audio[0].rate)
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
        for frame in source.decode(audio=0):
            container.mux(voice.encode(frame))
        container.mux(voice.encode(None))


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """Return the path of a scene's video with audio."""
    scene = World(seed=5).scene(0)
    folder = tmp_path_factory.mktemp("video")
    frames = render_video(scene)
    audio, rate = render_audio(scene)
    soundfile.write(folder / "sound.wav", np.asarray(audio).reshape(-1), rate)
    write_with_audio(folder / "scene.mp4", frames, folder / "sound.wav")
    return folder / "scene.mp4"


def test_a_video_is_searched_for_a_text_and_for_its_own_audio(tiny, video):
    box = lambda image: [[40, 40, 180, 180]]  # noqa: E731
    frames = list(
        detect_video(tiny, video, "a thing", own_audio=True, frames_per_second=1, proposals=box, threshold=0)
    )
    assert len(frames) == 2 and frames[0].found.seconds == 0 < frames[1].found.seconds
    for frame in frames:
        assert {each.query for each in frame.found.detections} == {"a thing", OWN_AUDIO_QUERY}
        assert frame.maps.shape == (2, 224, 224) and frame.image.size == (224, 224)
    tracks = [{each.query: each.track for each in frame.found.detections} for frame in frames]
    assert tracks[0] == tracks[1]


def test_the_backgrounds_of_a_videos_own_audio_are_embedded_once(tiny, video, monkeypatch):
    calls = []

    def counted(*arguments):
        calls.append(arguments)
        return embed_backgrounds(*arguments)

    monkeypatch.setattr(detection_module, "embed_backgrounds", counted)
    options = {"own_audio": True, "proposals": lambda image: [[40, 40, 180, 180]]}
    assert len(list(detect_video(tiny, video, frames_per_second=2, **options))) == 4
    assert len(calls) == 1


def test_frames_after_the_end_of_the_audio_have_its_last_two_seconds(tiny, video, tmp_path):
    frames = np.concatenate([render_video(World(seed=5).scene(0))] * 3)  # 6 s, and 2 s of audio
    write_with_audio(tmp_path / "long.mp4", frames, video.parent / "sound.wav")
    options = {"own_audio": True, "proposals": lambda image: [[40, 40, 180, 180]], "threshold": 0}
    found = list(detect_video(tiny, tmp_path / "long.mp4", frames_per_second=0.5, **options))
    assert [frame.found.seconds > 2 for frame in found] == [False, True, True]
    for frame in found:
        assert frame.maps.shape == (1, 224, 224) and frame.maps.isfinite().all()
        assert [each.query for each in frame.found.detections] == [OWN_AUDIO_QUERY]


def test_an_open_file_gives_the_detections_of_a_path_with_prepared_queries_and_a_file_of_boxes(
    tiny, video, tmp_path
):
    (tmp_path / "boxes.csv").write_text(f"image,x1,y1,x2,y2\n{video.name},40,40,180,180\nother.mp4,0,0,9,9\n")
    boxes = tmp_path / "boxes.csv"
    options = {"proposals": boxes, "threshold": 0, "frames_per_second": 0.5, "own_audio": True}
    queries = detection_queries(tiny, Path(video.parent / "sound.wav"))
    expected = list(detect_video(tiny, video, queries, **options))
    with video.open("rb") as file:
        found = list(detect_video(tiny, file, video.parent / "sound.wav", **options))
    for frame, same in zip(found, expected, strict=True):
        assert (np.asarray(frame.image) == np.asarray(same.image)).all()
        boxes = [(each.query, each.box) for each in frame.found.detections]
        assert boxes == [(each.query, each.box) for each in same.found.detections]
        assert {box for _, box in boxes} == {(40, 40, 180, 180)}
        assert np.allclose(
            [each.score for each in frame.found.detections],
            [each.score for each in same.found.detections],
            atol=1e-4,
        )


def test_missing_audio_missing_queries_and_an_infinite_frame_rate_are_refused(tiny, video, tmp_path):
    with pytest.raises(ValueError, match="queries: expected one or more, got none"):
        list(detect_video(tiny, video))
    with pytest.raises(ValueError, match="frames_per_second: expected a finite number above 0, got inf"):
        list(detect_video(tiny, video, "a thing", frames_per_second=float("inf")))
    write_video(tmp_path / "mute.mp4", [Image.new("RGB", (64, 48))] * 3, frames_per_second=2)
    with pytest.raises(MediaError, match=r"mute\.mp4"):
        list(detect_video(tiny, tmp_path / "mute.mp4", own_audio=True))


def test_own_audio_needs_a_model_with_audio(video):
    embedder = Embedder(imagebind_tiny(modalities=["vision", "text"]))
    with pytest.raises(MediaError, match=r"scene\.mp4: expected a model with audio .*, got one with vision"):
        list(detect_video(embedder, video, own_audio=True))


def test_a_written_video_has_its_frames_rate_and_even_sides(tmp_path):
    images = [Image.new("RGB", (65, 49), (40 * number, 0, 0)) for number in range(5)]
    write_video(tmp_path / "out.mp4", images, frames_per_second=2.5)
    with av.open(tmp_path / "out.mp4") as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert container.streams.video[0].average_rate == 2.5
    assert len(frames) == 5 and frames[0].shape == (48, 64, 3)
    assert abs(int(frames[4][20, 20, 0]) - 160) < 12


def test_an_unknown_suffix_or_no_frames_leave_no_file(tmp_path):
    with pytest.raises(MediaError, match=r"out\.gif: expected one of the suffixes \.mp4.*, got '\.gif'"):
        write_video(tmp_path / "out.gif", [], frames_per_second=2)
    with pytest.raises(MediaError, match="expected at least one frame, got none"):
        write_video(tmp_path / "out.mp4", [], frames_per_second=2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rate", [0, 1e-4, 1e7, float("inf"), float("nan")])
def test_a_video_is_not_written_at_a_rate_that_ffmpeg_cannot_store(rate, tmp_path):
    with pytest.raises(ValueError, match=r"frames_per_second: expected 0\.001 to 1,000,000, got"):
        write_video(tmp_path / "out.mp4", [Image.new("RGB", (8, 8))], frames_per_second=rate)


@pytest.mark.parametrize("sizes", [[(1, 8)], [(8, 1)], [(8, 8), (8, 6)]])
def test_a_written_video_needs_images_of_one_size_and_of_two_pixels_per_side(sizes, tmp_path):
    with pytest.raises(
        MediaError, match=r"out\.mp4: expected images of one size, at least 2 x 2 pixels, got 8|1"
    ):
        write_video(tmp_path / "out.mp4", [Image.new("RGB", size) for size in sizes], frames_per_second=2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("mode", "white"), [("1", 1), ("L", 255), ("RGBA", (255,) * 4), ("I;16", 65535)])
def test_a_written_video_may_have_images_of_any_mode(mode, white, tmp_path):
    write_video(tmp_path / "out.mp4", [Image.new(mode, (8, 8), white)], frames_per_second=2)
    with av.open(tmp_path / "out.mp4") as container:
        (frame,) = container.decode(video=0)
    assert frame.to_ndarray(format="rgb24").min() > 240
