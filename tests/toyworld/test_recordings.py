"""Long recordings of the toy world: shots follow each other in all streams, and are written once."""

import av
import numpy as np
import pytest

from imagebind.media.audio_file import load_audio
from imagebind.media.video_file import open_video
from imagebind.toyworld import recordings as module
from imagebind.toyworld.audio import render_audio
from imagebind.toyworld.recordings import sample_shots, write_recordings
from imagebind.toyworld.render import FRAME_RATE, render_video
from imagebind.toyworld.scene import is_held_out, similar_scene
from imagebind.transforms.imu import load_imu
from tests.toyworld.scenes import SCENE


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("recordings")


@pytest.fixture(scope="module")
def recording(folder):
    (written,) = write_recordings(folder, 1, shots=3, seed=4, held_out=True)
    return written


def test_shots_last_2_to_6_s_follow_each_other_and_differ_in_shape_or_motion():
    shots = sample_shots(np.random.default_rng(0), 40, held_out=True)
    assert [shot.start for shot in shots] == [0, *(shot.end for shot in shots[:-1])]
    assert all(2 <= shot.end - shot.start <= 6 for shot in shots)
    assert len({(shot.scene.shape, shot.scene.motion) for shot in shots}) == 40
    assert all(is_held_out(each.scene.shape, each.scene.colour, each.scene.motion) for each in shots)
    with pytest.raises(ValueError, match="shots: expected 1 to 40"):
        sample_shots(np.random.default_rng(0), 41)


def test_video_audio_and_imu_have_the_length_of_the_shots(recording):
    seconds = recording.shots[-1].end
    with open_video(recording.video) as video:
        assert float(video.clock.duration) == seconds
    waveform, rate = load_audio(recording.video)
    assert waveform.shape[1] / rate == pytest.approx(seconds, abs=0.07)  # a frame of AAC
    assert load_imu(recording.imu).duration == pytest.approx(seconds, abs=0.03)


def test_a_shot_begins_with_a_keyframe_and_shows_its_scene(recording):
    with av.open(recording.video) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.pts is not None]
        keys = [float(packet.pts * stream.time_base) for packet in packets if packet.is_keyframe]
    assert {shot.start for shot in recording.shots} <= {*keys}
    waveform, rate = load_audio(recording.video)
    for shot in recording.shots:
        with open_video(recording.video) as video:
            ((_, pixels),) = video.decode([round(shot.start * FRAME_RATE) + 1])
        assert np.abs(pixels - render_video(shot.scene)[1].astype(float)).mean() < 12
        audio = waveform[0, round(shot.start * rate) :][: 2 * rate].numpy()
        assert np.corrcoef(audio, render_audio(shot.scene)[0])[0, 1] > 0.8


def test_existing_recordings_are_not_written_again(recording, folder, monkeypatch):
    monkeypatch.setattr(module, "write_recording", lambda *_: 1 / 0)
    assert write_recordings(folder, 1, shots=3, seed=4, held_out=True) == [recording]
    with pytest.raises(ZeroDivisionError):
        write_recordings(folder, 1, shots=3, seed=5, held_out=True)


def test_a_similar_scene_has_the_same_attributes_and_another_pose():
    rng = np.random.default_rng(0)
    others = [similar_scene(SCENE, rng) for _ in range(20)]
    assert all(other.attributes == SCENE.attributes for other in others)
    assert len({other.x for other in others}) == len({other.size for other in others}) == 20
