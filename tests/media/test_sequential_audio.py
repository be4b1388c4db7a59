"""Sequential audio: its stretches equal the decoded file, and errors have the file's name."""

from fractions import Fraction

import numpy as np
import pytest
import soundfile

from imagebind.errors import MediaError
from imagebind.io.source import DEFAULT_LIMITS
from imagebind.media.audio_file import load_audio
from imagebind.media.sequential_audio import SequentialAudio, probe_audio
from tests.search.recorded import AUDIO_RATE, write_recording


@pytest.fixture(scope="module")
def m4a(tmp_path_factory):
    return write_recording(tmp_path_factory.mktemp("audio") / "sound.m4a", 9.5, video=False)


def test_overlapping_stretches_equal_those_of_the_whole_audio(m4a):
    whole, rate = load_audio(m4a)
    audio = SequentialAudio(m4a, limits=DEFAULT_LIMITS)
    for number, (first, last) in enumerate([(0, 4), (2, 6), (2, 3), (5, 20)]):
        waveform, given_rate = audio.read(number, first, last)
        assert given_rate == rate == AUDIO_RATE
        np.testing.assert_array_equal(waveform, whole[:, first * rate : last * rate])


def test_audio_whose_first_packets_are_damaged_begins_after_them(m4a, tmp_path):
    data = bytearray(m4a.read_bytes())
    start = data.index(b"mdat") + 4
    data[start : start + 1000] = b"\xff" * 1000
    (tmp_path / "damaged.m4a").write_bytes(data)
    waveform, rate = SequentialAudio(tmp_path / "damaged.m4a", limits=DEFAULT_LIMITS).read(0, 0, 4)
    assert rate == AUDIO_RATE and waveform.shape == (2, 4 * rate)


def test_a_stretch_after_the_end_is_refused(m4a):
    audio = SequentialAudio(m4a, limits=DEFAULT_LIMITS)
    with pytest.raises(
        MediaError,
        match=r"sound\.m4a: expected audio as long as its packets state, got audio that ends at 9\.\d+ s",
    ):
        audio.read(0, 30, 40)


def test_probing_gives_the_duration_of_audio_and_none_for_a_file_without_audio(m4a, tmp_path):
    seconds, in_stretches = probe_audio(m4a, limits=DEFAULT_LIMITS)
    whole, rate = load_audio(m4a)
    assert float(seconds) == pytest.approx(whole.shape[1] / rate, abs=0.1) and not in_stretches
    soundfile.write(tmp_path / "x.flac", np.zeros(12_345), 16_000)
    assert probe_audio(tmp_path / "x.flac", limits=DEFAULT_LIMITS) == (Fraction(12_345, 16_000), True)
    silent = write_recording(tmp_path / "silent.mp4", 1, audio=False)
    assert probe_audio(silent, limits=DEFAULT_LIMITS) is None


def test_a_file_that_is_not_media_raises_an_error_with_its_name(tmp_path):
    (tmp_path / "noise.wav").write_bytes(bytes(range(256)) * 9)
    with pytest.raises(MediaError, match=r"noise\.wav: .*, got no audio"):
        probe_audio(tmp_path / "noise.wav", limits=DEFAULT_LIMITS)
