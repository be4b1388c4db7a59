"""Streams of a recording: aligned windows, in seconds of the recording; and refused arguments."""

import numpy as np
import pytest
import soundfile

from imagebind.applications.streams import audio_delay, embed_recording
from imagebind.embedder import Embedder
from imagebind.errors import MediaError
from imagebind.media.audio_file import load_audio
from imagebind.modality import MediaKind, ModalityType
from imagebind.transforms.audio import AudioTransform
from imagebind.transforms.imu import ImuTransform
from imagebind.transforms.video import VideoTransform
from tests.media.filmed import ffmpeg, needs_ffmpeg
from tests.reference import filled_model, small_config
from tests.search.recorded import write_recording

RECORDING_SECONDS = 12
VIDEO, AUDIO, IMU = MediaKind.VIDEO, MediaKind.AUDIO, MediaKind.IMU
TRANSFORMS = {
    VIDEO: VideoTransform(clips=3, crops=1, size=28),
    AUDIO: AudioTransform(clips=3),
    IMU: ImuTransform(window_seconds=2.0, accel_unit="m/s2"),
}


@pytest.fixture(scope="module")
def embedder(small_model):
    return Embedder(small_model, transforms=TRANSFORMS, num_workers=2)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    return write_recording(tmp_path_factory.mktemp("recording") / "recording.mp4", RECORDING_SECONDS)


@pytest.fixture(scope="module")
def imu_table(tmp_path_factory):
    """An IMU table of 6 s, with rotation in its second half."""
    path = tmp_path_factory.mktemp("imu") / "walk.csv"
    seconds = np.arange(0, 6, 0.01)
    rows = np.zeros((len(seconds), 7))
    rows[:, 0], rows[:, 3] = seconds, 9.81
    rows[:, 4] = np.where(seconds > 3, np.sin(20 * seconds), 0)
    header = "timestamp,accl_x,accl_y,accl_z,gyro_x,gyro_y,gyro_z"
    np.savetxt(path, rows, delimiter=",", header=header, comments="")
    return path


def test_the_streams_of_a_video_have_windows_of_2_s_half_a_second_apart(embedder, recording):
    vectors = embed_recording(embedder, recording)
    assert list(vectors.streams) == [VIDEO, AUDIO] and vectors.seconds == pytest.approx(RECORDING_SECONDS)
    for windows in vectors.streams.values():
        assert windows.starts[:4].tolist() == [0, 0.5, 1, 1.5] and len(windows.starts) >= 21
        np.testing.assert_allclose(windows.ends - windows.starts, 2, atol=0.06)
        np.testing.assert_allclose(np.linalg.norm(windows.vectors, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("kind", [VIDEO, AUDIO])
def test_a_window_is_embedded_as_a_clip_of_the_transform(embedder, recording, kind):
    windows = embed_recording(embedder, recording, streams=[kind]).streams[kind]
    views, _ = TRANSFORMS[kind].with_spans(recording, [(3, 5)])
    (expected,) = embedder.forward(kind.modality, views)
    np.testing.assert_allclose(windows.vectors[6], expected / expected.norm(), atol=1e-4)


def test_an_imu_file_is_shifted_by_its_offset_and_cut_to_the_recording(embedder, recording, imu_table):
    plain = embed_recording(embedder, recording, imu=imu_table).streams[IMU]
    later = embed_recording(embedder, recording, imu=imu_table, imu_offset=8.25, streams=["imu", "video"])
    shifted = later.streams[IMU]
    assert later.seconds == pytest.approx(RECORDING_SECONDS) and list(later.streams) == [VIDEO, IMU]
    assert shifted.starts[0] == 8.25 and shifted.centres[-1] <= RECORDING_SECONDS
    alone = embed_recording(embedder, recording, imu=imu_table, imu_offset=8.25, streams=["imu"])
    assert alone.seconds == later.seconds
    np.testing.assert_array_equal(alone.streams[IMU].starts, shifted.starts)
    np.testing.assert_array_equal(shifted.vectors, plain.vectors[: len(shifted.vectors)])


def test_options_of_an_imu_file_reach_its_transform(embedder, recording, imu_table):
    plain, other = (
        embed_recording(embedder, recording, imu=imu).streams[IMU].vectors
        for imu in (imu_table, {"imu": imu_table, "gyro_unit": "deg/s"})
    )
    assert plain.shape == other.shape and (plain != other).any()


def test_audio_and_imu_files_are_recordings_too(embedder, imu_table, tmp_path):
    rng = np.random.default_rng(0)
    soundfile.write(
        tmp_path / "talk.wav", rng.uniform(-0.5, 0.5, 5 * 16_000) * np.linspace(0, 1, 80_000), 16_000
    )
    assert list(embed_recording(embedder, tmp_path / "talk.wav").streams) == [AUDIO]
    vectors = embed_recording(embedder, imu_table)
    assert list(vectors.streams) == [IMU] and vectors.seconds == pytest.approx(6, abs=0.02)


def test_progress_counts_windows(embedder, recording):
    counts = []
    vectors = embed_recording(embedder, recording, progress=counts.append)
    assert sum(counts) == sum(len(windows.vectors) for windows in vectors.streams.values())


@needs_ffmpeg
def test_audio_that_starts_later_than_the_frames_is_shifted(embedder, recording, tmp_path):
    late = tmp_path / "late.mkv"
    ffmpeg(
        "-i", recording, "-itsoffset", 3, "-i", recording, "-map", "0:v", "-map", "1:a", "-c", "copy", late
    )
    assert audio_delay(recording) == 0 and audio_delay(late) == pytest.approx(3, abs=0.1)
    windows = embed_recording(embedder, late, streams=["audio", "video"]).streams[AUDIO]
    assert windows.starts[0] == pytest.approx(3, abs=0.1)


@needs_ffmpeg
def test_the_audio_of_another_container_is_aligned_to_a_millisecond(recording, tmp_path):
    copy = tmp_path / "copy.mkv"  # Matroska keeps the encoder's delay, which MP4 cuts off
    ffmpeg("-i", recording, "-c", "copy", copy)
    (mp4, rate), (mkv, _) = load_audio(recording), load_audio(copy)
    lag = np.correlate(mkv[0, : rate + 2000].numpy(), mp4[0, :rate].numpy(), mode="valid").argmax()
    assert lag > 500 and audio_delay(copy) == pytest.approx(-lag / rate, abs=0.001)  # Matroska's clock


@needs_ffmpeg
@pytest.mark.parametrize("seconds", [1.5, 6.2])
def test_an_mp3_ends_with_its_last_sample(embedder, recording, tmp_path, seconds):
    path = tmp_path / "talk.mp3"
    ffmpeg("-i", recording, "-t", seconds, "-vn", path)
    waveform, rate = load_audio(path)
    vectors = embed_recording(embedder, path)
    assert vectors.seconds == waveform.shape[1] / rate == pytest.approx(seconds, abs=0.001)
    assert vectors.streams[AUDIO].ends.max() <= vectors.seconds


@needs_ffmpeg
def test_a_recording_lasts_until_the_end_of_its_audio_after_the_last_frame(embedder, recording, tmp_path):
    short = tmp_path / "short.mp4"
    ffmpeg("-t", 1, "-i", recording, "-i", recording, "-map", "0:v", "-map", "1:a", "-c", "copy", short)
    vectors = embed_recording(embedder, short)
    assert vectors.seconds == pytest.approx(RECORDING_SECONDS, abs=0.1)


def test_silent_or_missing_audio_is_refused(embedder, tmp_path):
    silent = write_recording(tmp_path / "mute.mp4", 6, audio=False)
    soundfile.write(tmp_path / "mute.wav", np.zeros(6 * 16_000), 16_000)
    with pytest.raises(MediaError, match=r"mute\.wav: expected audio that can be heard, got silence"):
        embed_recording(embedder, tmp_path / "mute.wav")
    with pytest.raises(MediaError, match=r"mute\.mp4: expected a recording with audio, got only video"):
        embed_recording(embedder, silent, streams=["audio"])


@needs_ffmpeg
def test_a_silent_track_of_a_video_is_left_out_with_a_warning(embedder, recording, tmp_path, caplog):
    muted = tmp_path / "muted.mp4"
    ffmpeg("-i", recording, "-c:v", "copy", "-af", "volume=0", muted)
    assert list(embed_recording(embedder, muted).streams) == [VIDEO]
    assert "muted.mp4: the audio is silent and left out" in caplog.text
    with pytest.raises(MediaError, match=r"muted\.mp4: expected audio that can be heard, got silence"):
        embed_recording(embedder, muted, streams=["audio", "video"])


def test_other_files_and_missing_streams_are_refused(embedder, recording, imu_table, image_file):
    with pytest.raises(MediaError, match=r"\.jpg: expected a video, audio or IMU recording, got image"):
        embed_recording(embedder, image_file)
    with pytest.raises(
        MediaError,
        match=r"recording\.mp4: expected a recording with imu, got only video.*; pass an IMU file",
    ):
        embed_recording(embedder, recording, streams=["imu"])
    with pytest.raises(
        MediaError,
        match=r"walk\.csv: expected samples between 0 and 12 s .*, got IMU data from 40 to 46 s; check",
    ):
        embed_recording(embedder, recording, imu=imu_table, imu_offset=40)
    with pytest.raises(ValueError, match="streams: expected some of video, audio, imu, got text"):
        embed_recording(embedder, recording, streams=["text"])
    with pytest.raises(ValueError, match="streams: expected some of video, audio, imu, got event"):
        embed_recording(embedder, recording, streams=["event"])
    with pytest.raises(ValueError, match="got none"):
        embed_recording(embedder, recording, streams=[])
    without_audio = Embedder(
        filled_model(small_config(), modalities=[ModalityType.VISION]), transforms=TRANSFORMS
    )
    assert list(embed_recording(without_audio, recording).streams) == [VIDEO]
    with pytest.raises(MediaError, match=r"walk\.csv: .*a model with an IMU trunk"):
        embed_recording(without_audio, recording, imu=imu_table)


def test_options_without_effect_are_refused(embedder, recording, imu_table):
    with pytest.raises(ValueError, match="imu_offset: expected with imu=, the file to shift, got 2 alone"):
        embed_recording(embedder, recording, imu_offset=2)
    with pytest.raises(ValueError, match="imu: expected none with the IMU recording"):
        embed_recording(embedder, imu_table, imu=imu_table)
    with pytest.raises(ValueError, match=r"with 0\.04 <= hop <= window, got a hop of 0\.001"):
        embed_recording(embedder, recording, hop_seconds=0.001, window_seconds=0.001)


def test_a_damaged_recording_is_named(embedder, tmp_path, recording):
    (tmp_path / "cut.mp4").write_bytes(recording.read_bytes()[:1000])
    with pytest.raises(MediaError, match=r"cut\.mp4"):
        embed_recording(embedder, tmp_path / "cut.mp4")
