"""Links of a chained Ogg file follow each other, each decoded with its own headers."""

import numpy as np
import pytest

from imagebind.errors import collect_warnings
from imagebind.io.source import DEFAULT_LIMITS
from imagebind.media.audio_file import load_audio, open_audio
from imagebind.media.sequential_audio import SequentialAudio, probe_audio
from tests.media.encoded import SECONDS, encode, ffmpeg_decodes
from tests.media.filmed import needs_ffmpeg

pytestmark = needs_ffmpeg


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("vorbis_q1.ogg", "vorbis_16k.ogg"),  # another rate, and mono
        ("vorbis_q1.ogg", "vorbis_q9.ogg"),  # other codebooks at the same rate
        ("opus.opus", "opus_speech.opus"),
        ("flac.ogg", "vorbis_q1.ogg"),  # another codec
    ],
)
def test_each_link_is_decoded_with_its_own_headers(first, second, tmp_path):
    links = [encode(tmp_path, name) for name in (first, second)]
    path = tmp_path / "chain.ogg"
    path.write_bytes(b"".join(link.read_bytes() for link in links))
    whole, rate = load_audio(path)
    options = f"-ac 2 -ar {rate}"
    expected = np.concatenate([ffmpeg_decodes(link, channels=2, options=options) for link in links], axis=1)
    assert whole.shape == expected.shape
    np.testing.assert_allclose(whole, expected, atol=1e-4)
    with open_audio(path) as recording:
        border = ffmpeg_decodes(links[0], channels=2).shape[1]
        across = recording.read(border - 1000, border + 1000)
    np.testing.assert_array_equal(across, whole[:, border - 1000 : border + 1000])
    seconds, _ = probe_audio(path, limits=DEFAULT_LIMITS)
    assert float(seconds) == pytest.approx(2 * SECONDS, abs=0.3)
    audio = SequentialAudio(path, limits=DEFAULT_LIMITS)
    stretches = [audio.read(number, 4 * number, 4 * number + 4)[0] for number in range(4)]
    np.testing.assert_array_equal(np.concatenate(stretches, axis=1), whole)


@pytest.mark.parametrize("second", ["vorbis_q1.ogg", "vorbis_16k.ogg"])
def test_a_link_cut_short_in_its_headers_is_left_out_with_a_warning(second, tmp_path):
    first = encode(tmp_path, "vorbis_q1.ogg").read_bytes()
    with collect_warnings() as warnings:
        whole, _ = load_audio(first + encode(tmp_path, second).read_bytes()[:3000])
    assert warnings == ["1 of the 2 streams in the chained Ogg have no readable audio"]
    np.testing.assert_array_equal(whole, load_audio(first)[0])


def test_links_with_the_same_headers_equal_the_decode_of_ffmpeg(tmp_path):
    link = encode(tmp_path, "vorbis_q1.ogg").read_bytes()
    path = tmp_path / "chain.ogg"
    path.write_bytes(link + link)
    # Versions of FFmpeg overlap the blocks at the border of the links with slightly different windows.
    np.testing.assert_allclose(load_audio(path)[0], ffmpeg_decodes(path, channels=2), atol=5e-4)
