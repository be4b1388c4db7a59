"""The low-pass before downsampling: the tones that it keeps and removes, and when it is not used."""

import numpy as np
import pytest

from imagebind.media.imu_recording import ImuRecording
from imagebind.transforms.imu import ImuTransform
from imagebind.transforms.imu_resample import IMU_STEPS, resample

TARGET_HZ = 400  # 2000 steps in 5 s


def tone(hertz: float, times: np.ndarray) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * times + 0.3)


def recording(hertz: float, rate: float, seconds: float = 7.0) -> ImuRecording:
    times = np.arange(int(seconds * rate)) / rate
    return ImuRecording(samples=np.tile(tone(hertz, times)[:, None], (1, 6)), seconds=times)


@pytest.mark.parametrize("rate", [450, 833.3, 1000, 2000])
@pytest.mark.parametrize("hertz", [0.5, 100, 159])
def test_tones_below_0_8_of_half_the_target_rate_are_unchanged(rate, hertz):
    out = resample(recording(hertz, rate), (1, 6))
    expected = tone(hertz, 1 + np.arange(IMU_STEPS) / TARGET_HZ)
    assert np.abs(out - expected).max() < 1e-3


RATES, HIGH_TONES = (450, 833.3, 1000, 2000), (205, 220, 395, 480, 795)


@pytest.mark.parametrize(
    "rate, hertz", [(rate, hertz) for rate in RATES for hertz in HIGH_TONES if hertz < rate / 2]
)
def test_tones_above_half_the_target_rate_are_removed_and_do_not_alias(rate, hertz):
    assert np.abs(resample(recording(hertz, rate), (1, 6))).max() < 1e-3  # 60 dB
    aliased = resample(recording(hertz, rate), (1, 6), antialias=False)
    assert np.abs(aliased).max() > 0.3


@pytest.mark.parametrize("rate", [50, 200, 399, 400, 403])
def test_a_recording_at_or_below_the_target_rate_is_interpolated_linearly(rate):
    each = recording(7, rate)
    times = 1 + np.arange(IMU_STEPS) * (5 / IMU_STEPS)
    expected = np.stack([np.interp(times, each.seconds, channel) for channel in each.samples.T])
    np.testing.assert_array_equal(resample(each, (1, 6)), expected)


def test_gravity_is_unchanged_and_the_ends_are_repeated():
    samples = np.tile([0.0, 0.0, 9.81, 0.1, 0.2, 0.3], (4800, 1))
    each = ImuRecording(samples=samples, seconds=np.arange(4800) / 1000)
    np.testing.assert_allclose(resample(each, (0, 5)), np.tile(samples[0][:, None], IMU_STEPS), atol=1e-12)


def test_an_uneven_clock_is_filtered_by_time():
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.00095, 0.00105, 7000))
    times -= times[0]
    slow, fast = (
        ImuRecording(samples=np.tile(tone(f, times)[:, None], (1, 6)), seconds=times) for f in (5, 395)
    )
    assert np.abs(resample(slow, (1, 6)) - tone(5, 1 + np.arange(IMU_STEPS) / TARGET_HZ)).max() < 2e-3
    assert np.abs(resample(fast, (1, 6))).max() < 0.15


def test_antialias_is_an_option_of_the_transform():
    samples = recording(395, 1000).samples + np.array([0, 0, 9.81, 0, 0, 0])
    assert ImuTransform()((samples, 1000))[0].abs().max() < 1e-3
    assert ImuTransform(antialias=False)((samples, 1000))[0].abs().max() > 0.9
    wide = ImuTransform(window_seconds=1)((samples, 1000))  # 2000 steps in 1 s: the tone is kept
    assert wide[0].abs().max() > 0.9
