"""Inputs that can be opened as audio: files, the audio of videos, arrays; and the errors for others."""

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from imagebind.errors import MediaError
from imagebind.io.source import Limits
from imagebind.transforms.audio import (
    AudioTransform,
    load_audio,
)

FILES = Path(__file__).parents[1] / "data" / "preprocessing"
STEREO = FILES / "stereo_48k_8s.wav"
FLAC = FILES / "mono_22k_6s.flac"


def tone(seconds: float, *, rate: int = 16_000, hertz: float = 440.0, level: float = 0.5) -> torch.Tensor:
    return level * torch.sin(2 * torch.pi * hertz * torch.arange(int(seconds * rate)) / rate)


def noise(seconds: float, *, rate: int = 16_000, channels: int = 1, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(channels, int(seconds * rate), generator=torch.Generator().manual_seed(seed))


def encode(
    waveform: torch.Tensor, rate: int, *, container: str, codec: str, with_video: bool = False
) -> bytes:
    """Encode audio in a container that libsndfile does not read, with a video stream on request."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        video = output.add_stream("mpeg4", rate=25) if with_video else None
        audio: Any = output.add_stream(codec, rate=rate, layout="stereo" if len(waveform) == 2 else "mono")
        if video is not None:
            video.width = video.height = 64
            video.pix_fmt = "yuv420p"
            video_frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            output.mux(video.encode(video_frame))
            output.mux(video.encode(None))
        frame = av.AudioFrame.from_ndarray(waveform.numpy(), format="fltp", layout=audio.layout.name)
        frame.sample_rate = rate
        frame.pts, frame.time_base = 0, Fraction(1, rate)  # the encoder delay then starts before 0
        output.mux(audio.encode(frame))
        output.mux(audio.encode(None))
    return buffer.getvalue()


# ---- inputs


def test_path_string_bytes_and_open_file_give_the_same_clips(tmp_path):
    expected = AudioTransform()(FLAC)
    data = FLAC.read_bytes()
    with FLAC.open("rb") as file:
        file.seek(100)
        inputs = [str(FLAC), data, bytearray(data), io.BytesIO(data), file]
        assert all(torch.equal(AudioTransform()(item), expected) for item in inputs)
        assert not file.closed


def test_a_file_named_raw_is_recognised_by_its_content(tmp_path):
    path = tmp_path / "sound.raw"
    path.write_bytes(FLAC.read_bytes())
    assert torch.equal(AudioTransform()(path), AudioTransform()(FLAC))


def test_an_array_and_a_tensor_give_the_clips_of_their_file():
    waveform, rate = load_audio(STEREO)
    assert waveform.shape == (2, 384_000) and rate == 48_000
    expected = AudioTransform()(STEREO)
    samples = waveform.numpy()
    frozen = samples.copy()
    frozen.setflags(write=False)
    for array in (waveform, samples, samples.T, frozen, samples.astype(">f4"), samples[::-1]):
        assert torch.allclose(AudioTransform()((array, rate)), expected, atol=1e-4)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32"])
def test_integers_are_scaled_to_full_scale(dtype):
    bits = np.dtype(dtype).itemsize * 8
    middle = 2 ** (bits - 1) if dtype == "uint8" else 0
    samples = (tone(2.0).double().numpy() * 2 ** (bits - 1)).round() + middle
    exact = (samples - middle) / 2 ** (bits - 1)
    got = AudioTransform()((samples.astype(dtype), 16_000))
    assert torch.allclose(got, AudioTransform()((exact, 16_000)), atol=1e-3)


def test_eight_channels_are_averaged(tmp_path):
    path = tmp_path / "eight.wav"
    waveform = noise(2.0, channels=8)
    soundfile.write(path, waveform.T.numpy(), 16_000, subtype="FLOAT")
    assert torch.equal(AudioTransform()(path), AudioTransform()((waveform.mean(dim=0), 16_000)))


@pytest.mark.parametrize(("container", "codec"), [("mp4", "aac"), ("matroska", "aac"), ("ipod", "aac")])
@pytest.mark.parametrize("with_video", [False, True])
def test_audio_of_a_video_or_m4a_keeps_its_timing(container, codec, with_video):
    clicks = torch.zeros(2, 48_000 * 3)
    clicks[:, 48_000], clicks[:, 100_000] = 0.9, -0.9
    waveform, rate = load_audio(
        encode(clicks, 48_000, container=container, codec=codec, with_video=with_video)
    )
    assert rate == 48_000 and len(waveform) == 2
    loudest = waveform[0].abs().topk(2).indices.sort().values
    assert (loudest - torch.tensor([48_000, 100_000])).abs().max() <= 48  # 1 ms; an encoder delays by 21 ms


def test_mp3_has_no_encoder_delay_and_its_slices_equal_those_of_the_whole(tmp_path):
    path = tmp_path / "clicks.mp3"
    clicks = np.zeros(44_100 * 6, np.float32)
    clicks[[44_100, 200_000]] = 0.9
    soundfile.write(path, clicks, 44_100)
    waveform, rate = load_audio(path)
    loudest = waveform[0].abs().topk(2).indices.sort().values
    assert (loudest - torch.tensor([44_100, 200_000])).abs().max() <= 44
    sliced = AudioTransform().with_spans(path, [(4.0, 5.0)])[0]
    assert torch.allclose(sliced, AudioTransform().with_spans((waveform, rate), [(4.0, 5.0)])[0], atol=1e-3)


def test_a_flac_without_a_stated_length_is_read_whole():
    data = bytearray(FLAC.read_bytes())
    data[21] &= 0xF0  # the last 36 bits of bytes 18 to 25 are the number of samples; 0 is unknown
    data[22:26] = bytes(4)
    assert torch.allclose(AudioTransform()(bytes(data)), AudioTransform()(FLAC), atol=1e-3)


# ---- errors


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_samples_that_are_not_finite_are_refused(tmp_path, value):
    samples = tone(2.0).numpy().copy()
    samples[1000] = value
    path = tmp_path / "odd.wav"
    soundfile.write(path, samples, 16_000, subtype="FLOAT")
    for item in (path, (samples, 16_000)):
        with pytest.raises(MediaError, match="NaN or infinite"):
            AudioTransform()(item)


def test_integers_cast_to_float_without_scaling_are_refused():
    with pytest.raises(
        MediaError, match=r"\[-1, 1\], got samples up to \d+; divide 16-bit integers by 32768"
    ):
        AudioTransform()((tone(2.0) * 20_000, 16_000))


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (torch.zeros(32_000), "expected a file or"),
        (None, "NoneType"),
        ((torch.zeros(32_000), None), "got the rate None"),
        ((torch.zeros(32_000), 0), "sampling rate .*, got 0.0 Hz"),
        ((torch.zeros(32_000), -16_000), "sampling rate"),
        ((torch.zeros(32_000), float("nan")), "sampling rate .*, got nan Hz"),
        ((torch.zeros(32_000), 16_000.5), "whole number"),
        ((torch.zeros(32_000), 10**9), "sampling rate"),
        ((torch.zeros(32_000), torch.zeros(2)), "got the rate"),
        ((torch.zeros(32_000), 10**400), r"got the rate 10{39}$"),
        ((torch.zeros(0), 16_000), r"shape \(0,\)"),
        ((torch.zeros(2, 2, 8_000), 16_000), r"shape \(2, 2, 8000\)"),
        ((torch.zeros(500, 500), 16_000), "as many rows as columns"),
        ((torch.zeros(32_000, dtype=torch.bool), 16_000), "bool"),
        ((torch.zeros(32_000, dtype=torch.int64), 16_000), "int64"),
        ((torch.zeros(32_000, dtype=torch.uint16), 16_000), "uint8, int8, int16 or int32, got torch.uint16"),
        ((torch.zeros(32_000, dtype=torch.complex64), 16_000), "complex"),
        ((np.array(["a", "b"]), 16_000), "values that are not numbers"),
        (([[1.0, 2.0], [3.0]], 16_000), "values that are not numbers"),
        (b"", "an empty file"),
        (b"this is not audio" * 100, "no audio that can be decoded"),
        ("missing.wav", r"missing\.wav: no such file"),
        ((FILES / "rgb_224x224.png").read_bytes(), "expected an audio file"),
    ],
    ids=str,
)
def test_an_input_that_is_not_audio_raises_an_error_with_the_reason(item, message):
    with pytest.raises(MediaError, match=message):
        AudioTransform()(item)


def test_a_video_without_audio_is_refused():
    with pytest.raises(
        MediaError, match=r"wide_320x240_25fps_6s\.mp4: expected an audio file .*, got no audio stream"
    ):
        load_audio(FILES / "wide_320x240_25fps_6s.mp4")


@pytest.mark.parametrize("item", ["wav", "m4a"])
def test_audio_over_a_limit_is_refused_with_the_name_of_the_limit(item):
    source = STEREO if item == "wav" else encode(noise(3.0), 16_000, container="ipod", codec="aac")
    with pytest.raises(MediaError, match="max_seconds"):
        AudioTransform(limits=Limits(max_seconds=2))(source)
    with pytest.raises(MediaError, match="max_bytes"):
        AudioTransform(limits=Limits(max_bytes=1000))(source)


def test_more_samples_than_stereo_of_the_longest_length_has_are_refused():
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros((16_000, 8), np.int16), 16_000, format="WAV")
    with pytest.raises(MediaError, match=r"at most 96,000 samples over all channels.*, got 128,000"):
        load_audio(buffer, limits=Limits(max_seconds=1))


def test_a_header_that_states_hours_of_audio_is_refused_without_allocating(tmp_path):
    path = tmp_path / "long.flac"
    soundfile.write(path, np.zeros((1_000, 8), np.int16), 96_000)
    data = bytearray(path.read_bytes())
    data[21] = data[21] & 0xF0  # the last 36 bits of bytes 18 to 25 are the number of samples
    data[22] = 0xF0  # 4 billion of them: 11 hours and a half
    with pytest.raises(
        MediaError, match=r"at least half of .* that its header states, got a file cut short after"
    ):
        load_audio(bytes(data))


def test_a_playlist_cannot_open_other_files():
    for text in (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:6,\n{FLAC}\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile '{FLAC}'\n",
    ):
        with pytest.raises(MediaError):
            load_audio(text.encode())


def small_files() -> dict[str, bytes]:
    files = {}
    for form in ("WAV", "FLAC", "OGG", "MP3"):
        buffer = io.BytesIO()
        soundfile.write(buffer, noise(0.5, channels=2).T.numpy(), 16_000, format=form)
        files[form] = buffer.getvalue()
    files["M4A"] = encode(noise(0.5), 16_000, container="ipod", codec="aac")
    files["MP4"] = encode(noise(0.5), 16_000, container="mp4", codec="aac", with_video=True)
    return files


SMALL_FILES = small_files()


@pytest.mark.parametrize("form", SMALL_FILES)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_a_damaged_file_gives_finite_clips_or_a_media_error(form, data):
    whole = bytearray(SMALL_FILES[form])
    for _ in range(data.draw(st.integers(0, 8))):
        bit = data.draw(st.integers(0, len(whole) * 8 - 1))
        whole[bit // 8] ^= 1 << bit % 8
    cut = data.draw(st.integers(0, len(whole)))
    try:
        views = AudioTransform(clips=2)(bytes(whole[:cut]))
    except MediaError:
        return
    assert views.shape == (2, 1, 128, 204)
    assert views.isfinite().all()
