"""Audio transform: parity with the original's loader, known answers, spans, and errors."""

import itertools
import pickle
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from imagebind.errors import MediaError, collect_warnings
from imagebind.media.clips import clip_spans
from imagebind.transforms.audio import (
    AUDIO_MEAN,
    AUDIO_STD,
    AudioTransform,
    rate_ratio,
    resample,
    to_mono,
    waveform_to_mel,
)

FILES = Path(__file__).parents[1] / "data" / "preprocessing"
STEREO = FILES / "stereo_48k_8s.wav"
FLAC = FILES / "mono_22k_6s.flac"
EXPECTED = np.load(FILES / "audio_expected_sub.npz")
PADDING = (0 - AUDIO_MEAN) / AUDIO_STD  # a padded zero, normalised


def tone(seconds: float, *, rate: int = 16_000, hertz: float = 440.0, level: float = 0.5) -> torch.Tensor:
    return level * torch.sin(2 * torch.pi * hertz * torch.arange(int(seconds * rate)) / rate)


def noise(seconds: float, *, rate: int = 16_000, channels: int = 1, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(channels, int(seconds * rate), generator=torch.Generator().manual_seed(seed))


# ---- parity


@pytest.mark.parametrize("name", EXPECTED.files)
def test_clips_equal_those_of_the_original(name):
    views = AudioTransform(channel=0)(FILES / name)
    assert views.shape == (3, 1, 128, 204)
    assert views.dtype == torch.float32
    difference = np.abs(views[:, 0, ::2, ::3].numpy() - EXPECTED[name])
    assert difference.max() < 2e-3  # the original's in-place mean can cause 0.02; here it is far less
    assert difference.mean() < 1e-5


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_a_clip_read_alone_equals_that_of_the_whole_resampled_recording(rate):
    recording = noise(5, rate=rate)
    whole = resample(recording[0], rate)
    clips = AudioTransform()((recording, rate))
    for clip, start in zip(clips, (0, 1.5, 3), strict=True):
        samples = whole[int(16_000 * start) : int(16_000 * (start + 2))]
        expected = (waveform_to_mel(samples) - AUDIO_MEAN) / AUDIO_STD
        assert torch.allclose(clip[0], expected, atol=2e-3)


# ---- known answers


def test_a_tone_is_loudest_in_the_bin_of_its_frequency():
    mel = waveform_to_mel(tone(2.0, hertz=1000))
    # 128 bins between 20 Hz and 8000 Hz, evenly on the scale 1127 · ln(1 + f / 700)
    low, high, at = (1127 * np.log(1 + hertz / 700) for hertz in (20, 8000, 1000))
    assert (mel[:, 50].argmax().item() + 1) == round((at - low) / (high - low) * 129)


def test_two_seconds_have_198_windows_and_6_of_padding_that_is_normalised_too():
    clip = AudioTransform(clips=1)((tone(2.0), 16_000))[0, 0]
    assert torch.allclose(clip[:, 198:], torch.tensor(PADDING))
    assert not torch.isclose(clip[:, :198], torch.tensor(PADDING), atol=1e-6).all(dim=0).any()


def test_a_long_clip_is_cut_to_the_given_frames():
    clip = tone(3.0)
    assert torch.equal(waveform_to_mel(clip), waveform_to_mel(clip, frames=298)[:, :204])


def test_silence_gives_finite_values():
    assert AudioTransform()((torch.zeros(32_000), 16_000)).isfinite().all()


def test_a_constant_added_to_a_clip_changes_its_mel_by_less_than_0_05():
    clip = noise(2.0)[0]
    assert torch.allclose(waveform_to_mel(clip), waveform_to_mel(clip + 0.3), atol=5e-2, rtol=0)


def test_channels_are_averaged_unless_one_is_selected():
    waveform = torch.tensor([[1.0, 0.0], [0.0, 0.5]])
    assert to_mono(waveform).tolist() == [0.5, 0.25]
    assert to_mono(waveform, 1).tolist() == [0.0, 0.5]
    with pytest.raises(ValueError, match="0 to 1, got 2"):
        to_mono(waveform, 2)


@pytest.mark.parametrize(
    ("gains", "expected_warning"),
    [
        ([1, -1], "channel 0; pass channel=0"),
        ([-0.5, 0.51], "channel 1; pass channel=1"),
        ([1, -0.75], None),  # -18 dB
        ([1, 1], None),
        ([1, 0], None),
        ([1], None),
        ([1e-5, -1e-5], None),  # inaudible
        ([0, 0], None),
        ([1] + [0] * 15, "channel 0;"),  # -24 dB
    ],
)
def test_channels_that_cancel_out_give_a_warning_with_the_channel_to_pass(gains, expected_warning):
    sine = np.sin(np.arange(80_000) / 10).astype(np.float32) * 0.5
    waveform = np.array(gains, np.float32)[:, None] * sine + 0.1
    with collect_warnings() as warnings:
        mel = AudioTransform()((waveform, 16_000))
    if expected_warning is None:
        assert warnings == []
    else:
        (warning,) = warnings  # of three clips
        assert expected_warning in warning
    with collect_warnings() as warnings:
        AudioTransform(channel=0)((waveform, 16_000))
    assert warnings == [] and mel.isfinite().all()


def test_opposite_channels_average_to_silence_but_the_first_alone_does_not():
    opposite = torch.stack([tone(2.0), -tone(2.0)])
    silence = AudioTransform()((torch.zeros(32_000), 16_000))
    assert torch.equal(AudioTransform()((opposite, 16_000)), silence)
    assert not torch.equal(AudioTransform(channel=0)((opposite, 16_000)), silence)


@pytest.mark.parametrize("rate", [1_000, 11_025, 44_100, 44_101, 47_999, 192_000, 655_350])
def test_any_rate_keeps_a_tone_at_its_pitch_with_a_kernel_that_fits_memory(rate):
    ratio = rate_ratio(rate, 16_000)
    assert abs(float(ratio) * 16_000 / rate - 1) < 2e-4
    assert ratio.denominator * ratio.numerator < 1.01 * 2**22
    spectrum = torch.fft.rfft(resample(tone(1.0, rate=rate, hertz=300), rate)[:16_000]).abs()
    assert spectrum.argmax().item() == 300


# ---- spans


def test_the_spans_of_the_clips_are_returned():
    views, spans = AudioTransform(clips=4).with_spans((tone(8.0), 16_000))
    assert len(views) == 4
    assert spans == [(0.0, 2.0), (2.0, 4.0), (4.0, 6.0), (6.0, 8.0)]


def test_given_spans_replace_the_default_and_are_padded_after_the_end():
    recording = noise(5.0)
    views, spans = AudioTransform().with_spans((recording, 16_000), [(0.5, 2.5), (Fraction(4), Fraction(6))])
    assert spans == [(0.5, 2.5), (4.0, 6.0)]
    expected = (waveform_to_mel(recording[0, 8_000:40_000]) - AUDIO_MEAN) / AUDIO_STD
    assert torch.equal(views[0, 0], expected)
    assert torch.allclose(views[1, 0, :, 98:], torch.tensor(PADDING))  # a second is 98 windows


@pytest.mark.parametrize("seconds", [0.025, 0.3, 1.0, 1.999])
def test_a_recording_shorter_than_a_clip_gives_the_same_padded_clip_each_time(seconds):
    views = AudioTransform()((noise(seconds), 16_000))
    assert torch.equal(views[0], views[1]) and torch.equal(views[0], views[2])
    assert torch.allclose(views[..., -6:], torch.tensor(PADDING))


def test_only_the_samples_of_the_clips_are_read_from_a_file(tmp_path, monkeypatch):
    path = tmp_path / "long.wav"
    soundfile.write(path, np.zeros(60 * 16_000, np.float32), 16_000)
    frames_read = []
    read = soundfile.SoundFile.read

    def read_and_record(self, frames, **options):
        frames_read.append(frames)
        return read(self, frames, **options)

    monkeypatch.setattr(soundfile.SoundFile, "read", read_and_record)
    AudioTransform()(path)
    assert frames_read == [1] + [32_000] * 3  # the last sample is read to check that the file is complete


@pytest.mark.parametrize("span", [(1.0, 1.0), (-1.0, 1.0), (float("nan"), 1.0), (0.0, float("inf"))])
def test_a_span_without_a_positive_length_is_refused(span):
    with pytest.raises(ValueError, match="start < end"):
        AudioTransform().with_spans((tone(2.0), 16_000), [span])


def test_a_span_after_the_end_is_refused_with_the_length_of_the_recording():
    with pytest.raises(MediaError, match=r"0\.0000 s of its 2\.0000 s between 5\.0 and 7\.0"):
        AudioTransform().with_spans((tone(2.0), 16_000), [(5.0, 7.0)])


def test_inputs_are_not_modified():
    waveform = noise(5.0) + 0.5
    before = waveform.clone()
    AudioTransform()((waveform, 16_000))
    assert torch.equal(waveform, before)


def test_a_pickled_transform_gives_the_same_clips_in_threads():
    transform = pickle.loads(pickle.dumps(AudioTransform()))
    expected = [AudioTransform()(FILES / name) for name in EXPECTED.files]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(transform, [FILES / name for name in EXPECTED.files] * 2))
    assert all(torch.equal(a, b) for a, b in zip(results, itertools.cycle(expected)))


# ---- errors


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.0249])
def test_the_error_for_audio_shorter_than_25_ms_has_its_length(tmp_path, seconds):
    path = tmp_path / "blip.wav"
    soundfile.write(path, np.zeros(int(seconds * 48_000), np.float32), 48_000)
    message = r"0\.0249 s|0\.0010 s" if seconds else "without samples"
    with pytest.raises(MediaError, match=rf"blip\.wav.*({message})"):
        AudioTransform()(path)


def test_a_missing_channel_is_refused():
    with pytest.raises(
        MediaError, match=r"expected a recording with channel 1 \(counted from 0\), got one with 1 in all"
    ):
        AudioTransform(channel=1)(FLAC)


@settings(max_examples=15, deadline=None)
@given(samples=st.integers(1_200, 150_000), rate=st.sampled_from([8_000, 16_000, 22_050, 48_000]))
def test_the_starts_of_clips_follow_from_the_resampled_length(samples, rate):
    views, spans = AudioTransform(clips=2).with_spans((torch.ones(samples), rate))
    assert views.shape == (2, 1, 128, 204)
    resampled = -(-samples * 16_000 // rate)
    assert [start for start, _ in spans] == [
        float(start) for start, _ in clip_spans(resampled / 16_000, clip_seconds=2.0, clips=2)
    ]


@pytest.mark.parametrize("seconds", [0.5, 5.0])
def test_silence_is_distinguished_from_the_quietest_audio(seconds):
    transform = AudioTransform()
    last_bit = torch.randint(-1, 2, (1, int(seconds * 16_000)), generator=torch.Generator().manual_seed(0))
    for silent in (torch.zeros_like(last_bit).float(), torch.full(last_bit.shape, 0.3), last_bit / 2**15):
        assert transform.is_silent(transform((silent, 16_000)))
    click = torch.zeros(last_bit.shape)
    click[0, 1000] = 0.1
    for audio in (0.001 * noise(seconds), tone(seconds, level=0.001)[None], click):
        assert not transform.is_silent(transform((audio, 16_000)))


@pytest.mark.parametrize("rate", [0, -16_000, float("nan"), float("inf"), 10**400])
def test_a_rate_that_is_not_positive_and_finite_is_refused(rate):
    clip = torch.zeros(1000)
    with pytest.raises(ValueError, match=r"^rate: expected a whole number of at least 1, got"):
        resample(clip, rate)
    with pytest.raises(ValueError, match=r"^new_rate: expected a whole number of at least 1, got"):
        resample(clip, 16_000, rate)
    with pytest.raises(ValueError, match=r"^rate: expected a finite rate of at least 100 Hz, got"):
        waveform_to_mel(clip, rate=rate)
