"""Clips cut out of recordings: exact in time, copied only between keyframes, and playable."""

import json
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from imagebind.applications.cut import cut_clip, cut_moments, keyframe_at
from imagebind.applications.moments import Moment
from imagebind.errors import MediaError
from imagebind.media.audio_file import load_audio
from imagebind.media.video_file import open_video
from tests.media.filmed import ffmpeg, make_video, needs_ffmpeg, record

RATE = 20


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """A video of 4 s with a keyframe each second, B-frames and audio; frame i has the gray level 3·i."""
    folder = tmp_path_factory.mktemp("cut")
    path = folder / "recording.mp4"
    with av.open(path, "w") as container:
        options = {"g": "20", "keyint_min": "20", "sc_threshold": "0", "bf": "2", "crf": "12"}
        video = container.add_stream("libx264", rate=RATE, options=options)
        audio = container.add_stream("aac", rate=48_000, layout="stereo")
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for number in range(4 * RATE):
            pixels = np.full((48, 64, 3), 3 * number, np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(video.encode(None))
        loud = np.repeat([0.1, 0.3, 0.5, 0.7], 48_000) * np.sin(np.arange(192_000) / 7)
        frame = av.AudioFrame.from_ndarray(
            np.stack([loud, loud]).astype(np.float32), format="fltp", layout="stereo"
        )
        frame.sample_rate, frame.pts = 48_000, 0
        container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
    return path


def durations(path: Path) -> dict[str, float]:
    """Return the seconds of the file and of its streams, as ffprobe states them."""
    command = ["ffprobe", "-v", "error", "-show_entries", "format=duration:stream=codec_type,duration"]
    run = subprocess.run([*command, "-of", "json", path], capture_output=True, text=True, check=True)
    found = json.loads(run.stdout)
    streams = {each["codec_type"]: float(each["duration"]) for each in found["streams"]}
    return {"file": float(found["format"]["duration"]), **streams}


def frame_numbers(path: Path) -> list[int]:
    """Return the numbers of the frames, by their gray levels."""
    with open_video(path) as video:
        frames = video.decode(range(video.info.frames))
        return [round(float(pixels.mean()) / 3) for _, pixels in frames]


@needs_ffmpeg
@pytest.mark.parametrize("start, end", [(1, 3), (0, 2), (2, 4)])
def test_a_cut_between_keyframes_copies_the_packets(recording, tmp_path, start, end):
    clip = cut_clip(recording, tmp_path / "clip", start=start, end=end)
    assert clip.is_copy and clip.path == tmp_path / "clip.mp4"
    assert frame_numbers(clip.path) == list(range(start * RATE, end * RATE))
    found = durations(clip.path)
    assert found["video"] == pytest.approx(end - start, abs=0.001)
    assert found["file"] == pytest.approx(end - start, abs=0.05)
    assert found["audio"] == pytest.approx(end - start, abs=0.05)
    ffmpeg("-xerror", "-i", clip.path, "-f", "null", "-")


@needs_ffmpeg
@pytest.mark.parametrize("start, end", [(0.55, 1.95), (1, 2.55), (3.2, 9)])
def test_another_cut_is_encoded_again_to_the_exact_frames(recording, tmp_path, start, end):
    clip = cut_clip(recording, tmp_path / "clip", start=start, end=end)
    assert not clip.is_copy
    end = min(end, 4)
    expected = range(round(start * RATE), round(end * RATE))
    assert frame_numbers(clip.path) == pytest.approx(list(expected), abs=1)  # encoded twice
    found = durations(clip.path)
    assert found["video"] == pytest.approx(end - start, abs=0.001)
    assert found["file"] == pytest.approx(end - start, abs=0.05)


def test_the_audio_of_a_clip_is_that_of_its_time(recording, tmp_path):
    for name, start, end in (("copied", 1, 3), ("encoded", 1.05, 2.95)):
        clip = cut_clip(recording, tmp_path / name, start=start, end=end)
        waveform, rate = load_audio(clip.path)
        middle = waveform.shape[1] // 2  # the audio is louder from there on
        quiet, loud = (
            waveform[0, rate // 4 : middle - rate // 4],
            waveform[0, middle + rate // 4 : -rate // 4],
        )
        assert quiet.std() == pytest.approx(0.3 / 2**0.5, rel=0.05)
        assert loud.std() == pytest.approx(0.5 / 2**0.5, rel=0.05)


def test_a_cut_is_on_keyframes_only_if_no_frame_depends_on_a_frame_left_out(recording, tmp_path):
    assert keyframe_at(recording, 1, 2) == keyframe_at(recording, 1.01, 4.2) == 1
    assert keyframe_at(recording, 1.05, 2) is None and keyframe_at(recording, 1, 2.05) is None
    path = tmp_path / "open.mp4"
    record(path, "-c:v libx264 -g 25 -keyint_min 25 -x264-params open-gop=1:bframes=3:scenecut=0")
    with av.open(path) as container:
        keys = [
            packet.pts for packet in container.demux(video=0) if packet.pts is not None and packet.is_keyframe
        ]
        zero, base = container.streams.video[0].start_time, container.streams.video[0].time_base
    first, second = (float((key - zero) * Fraction(base)) for key in keys[1:3])
    assert keyframe_at(path, first, second) is None  # frames shown before a keyframe depend on it


def test_a_clip_keeps_uneven_times_and_its_size_except_for_an_odd_pixel(tmp_path):
    times = [0, 0.1, 0.15, 0.4, 0.9, 1.0, 1.3, 1.9]
    path = tmp_path / "uneven.mkv"
    path.write_bytes(make_video(container="matroska", codec="ffv1", size=(65, 49), times=times))
    clip = cut_clip(path, tmp_path / "clip", start=0.12, end=1.1)
    with open_video(clip.path) as video:
        stamps = [float(tick * video.clock.tick) for tick in video.clock.ticks]
        assert (video.info.width, video.info.height) == (64, 48)
    # The first frame is that of 0.1 s, which is shown at 0.12 s. The audio starts at 0.12 s, too.
    assert stamps == pytest.approx([0, 0.03, 0.28, 0.78, 0.88], abs=0.002)


def test_audio_is_cut_to_the_sample(tmp_path):
    waveform = np.linspace(-0.5, 0.5, 5 * 8_000)
    soundfile.write(tmp_path / "talk.flac", waveform, 8_000)
    clip = cut_clip(tmp_path / "talk.flac", tmp_path / "clip", start=1.25, end=3.5)
    found, rate = soundfile.read(clip.path)
    assert clip.path.suffix == ".wav" and rate == 8_000
    np.testing.assert_allclose(found, waveform[10_000:28_000], atol=1e-4)


def test_moments_are_written_into_a_new_folder_by_rank(recording, tmp_path):
    moments = [Moment(start=s, end=e, peak=s, score=1.0) for s, e in ((1.0, 2.0), (0.2, 0.7))]
    clips = cut_moments(recording, moments, tmp_path / "new" / "clips")
    names = ["recording-01-1.00-2.00.mp4", "recording-02-0.20-0.70.mp4"]
    assert [clip.path.name for clip in clips] == names
    assert sorted(path.name for path in (tmp_path / "new" / "clips").iterdir()) == names


def test_a_clip_after_the_end_of_its_recording_is_refused(recording, tmp_path):
    soundfile.write(tmp_path / "talk.wav", np.zeros(3 * 8_000), 8_000)
    for path, seconds in ((recording, r"4(\.01\d*)?"), (tmp_path / "talk.wav", "3")):  # AAC may be longer
        with pytest.raises(ValueError, match=f"the recording's {seconds} s, got 5 to 6 s"):
            cut_clip(path, tmp_path / "clip", start=5, end=6)
    assert [path.name for path in tmp_path.iterdir()] == ["talk.wav"]


def test_a_cut_that_is_refused_leaves_no_file(recording, imu_file, tmp_path):
    with pytest.raises(MediaError, match=r"walk\.csv: expected a video or an audio file to cut, got imu"):
        cut_clip(imu_file, tmp_path / "clip", start=0, end=1)
    for end in (2, float("inf")):
        with pytest.raises(ValueError, match="0 <= start < end"):
            cut_clip(recording, tmp_path / "clip", start=2, end=end)
    with pytest.raises(OSError):
        cut_clip(recording, tmp_path / "missing" / "clip", start=1, end=2)
    assert list(tmp_path.iterdir()) == []
