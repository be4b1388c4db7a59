"""Filter bank and resampling: known answers, and parity with torchaudio if it can be imported."""

import importlib
import math
from fractions import Fraction

import pytest
import torch

from imagebind.transforms.mel import (
    log_mel,
    mel_filters,
    mel_scale,
    resample,
    resampling_kernel,
    window_samples,
)


def torchaudio():
    try:
        return importlib.import_module("torchaudio")
    except Exception as error:  # torchaudio built for another CUDA version than PyTorch raises RuntimeError
        pytest.skip(f"torchaudio cannot be imported: {error}")


def noise(samples: int) -> torch.Tensor:
    return 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(samples))


@pytest.mark.parametrize(("rate", "samples"), [(16_000, 32_000), (16_000, 400), (22_050, 30_001)])
def test_the_filter_bank_equals_torchaudios_kaldi_fbank(rate, samples):
    expected = torchaudio().compliance.kaldi.fbank(
        noise(samples)[None],
        sample_frequency=rate,
        num_mel_bins=128,
        window_type="hanning",
        htk_compat=True,
        use_energy=False,
        dither=0.0,
    )
    torch.testing.assert_close(log_mel(noise(samples), rate=rate, mel_bins=128), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_resampling_equals_torchaudios_default(rate):
    waveform = noise(rate // 2 + 7)
    expected = torchaudio().functional.resample(waveform, rate, 16_000)
    torch.testing.assert_close(resample(waveform, Fraction(rate, 16_000)), expected, atol=1e-6, rtol=0)


def test_the_default_device_does_not_matter_for_a_waveform_on_another_device():
    def both() -> tuple[torch.Tensor, torch.Tensor]:
        mel = log_mel(waveform, rate=16_000, mel_bins=64)
        return mel, resample(waveform, Fraction(3, 2))

    waveform = noise(16_000)
    expected = both()
    mel_filters.cache_clear()
    resampling_kernel.cache_clear()
    torch.set_default_device("meta")
    try:
        with_default = both()
    finally:
        torch.set_default_device(None)
    for got in (with_default, both()):  # no filter of another device is cached either
        assert torch.equal(got[0], expected[0]) and torch.equal(got[1], expected[1])
    elsewhere = waveform.to("meta")
    assert log_mel(elsewhere, rate=16_000, mel_bins=64).device.type == "meta"
    assert resample(elsewhere, Fraction(3, 2)).device.type == "meta"


def test_two_seconds_have_198_windows():
    assert window_samples(16_000) == 400
    assert log_mel(noise(32_000), rate=16_000, mel_bins=128).shape == (198, 128)


def test_silence_has_the_energy_floor():
    quiet = log_mel(torch.zeros(400), rate=16_000, mel_bins=8)
    torch.testing.assert_close(quiet, torch.full((1, 8), math.log(torch.finfo(torch.float32).eps)))


@pytest.mark.parametrize("hertz", [300, 1000, 4000])
def test_a_tone_is_loudest_in_the_band_around_it(hertz):
    time = torch.arange(16_000) / 16_000
    energies = log_mel(torch.sin(2 * math.pi * hertz * time), rate=16_000, mel_bins=128).mean(dim=0)
    low, high, tone = mel_scale(torch.tensor([20.0, 8000.0, float(hertz)])).tolist()
    band = (tone - low) / (high - low) * 129 - 1  # index of the filter with its peak at the tone
    assert abs(energies.argmax().item() - band) < 1.1


def test_filters_overlap_by_half_and_exclude_the_highest_frequency():
    filters = mel_filters(16, 512, 16_000)
    assert filters.shape == (257, 16) and filters.min() == 0 and filters[-1].sum() == 0
    between = filters[8:200].sum(dim=1)  # between the first peak and the last, two triangles add up to one
    torch.testing.assert_close(between, torch.ones_like(between))


def test_a_low_tone_survives_resampling_and_a_high_one_does_not():
    time = torch.arange(48_000) / 48_000
    low, high = (torch.sin(2 * math.pi * hertz * time) for hertz in (440, 10_000))
    middle = slice(4000, 12_000)
    expected = torch.sin(2 * math.pi * 440 * torch.arange(16_000) / 16_000)
    torch.testing.assert_close(resample(low, Fraction(3))[middle], expected[middle], atol=2e-3, rtol=0)
    assert resample(high, Fraction(3))[middle].abs().max() < 0.01


def test_resampling_keeps_the_duration_and_does_nothing_at_an_equal_rate():
    waveform = noise(1001)
    assert len(resample(waveform, Fraction(441, 160))) == math.ceil(1001 * 160 / 441)
    assert resample(waveform, Fraction(1)) is waveform
    assert resampling_kernel(Fraction(3)).shape == (1, 1, 3 + 2 * math.ceil(6 * 3 / 0.99))
