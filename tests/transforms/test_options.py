"""Options of transforms: values of a wrong type or out of range are refused by the constructor."""

import math
import re
from fractions import Fraction

import numpy as np
import pytest
import torch

from imagebind.checks import is_number
from imagebind.transforms import (
    ArrayTransform,
    AudioTransform,
    DepthTransform,
    ImageTransform,
    ImuTransform,
    ThermalTransform,
    Tokenizer,
    VideoTransform,
)

NOT_NUMBERS = [math.nan, math.inf, -math.inf, "2", None, True, [1], (), 10**400]
COUNTS = [
    (AudioTransform, "clips"),
    (AudioTransform, "mel_bins"),
    (AudioTransform, "mel_frames"),
    (AudioTransform, "sample_rate"),
    (DepthTransform, "size"),
    (ImageTransform, "size"),
    (ThermalTransform, "size"),
    (Tokenizer, "context_length"),
    (VideoTransform, "clips"),
    (VideoTransform, "crops"),
    (VideoTransform, "frames"),
    (VideoTransform, "size"),
]
LENGTHS = [
    (AudioTransform, "clip_seconds"),
    (ImuTransform, "window_seconds"),
    (ImuTransform, "max_gap_seconds"),
    (VideoTransform, "clip_seconds"),
]


def refused(transform, option, values, **others):
    for value in values:
        message = f"{option}: expected .*, got {re.escape(repr(value))}$"
        with pytest.raises(ValueError, match=message):
            transform(**{option: value}, **others)


@pytest.mark.parametrize(("transform", "option"), COUNTS)
def test_a_count_must_be_a_positive_whole_number(transform, option):
    refused(transform, option, [value for value in NOT_NUMBERS if value != 10**400] + [0, -1, 1.5, 2.0])


@pytest.mark.parametrize(("transform", "option"), LENGTHS)
def test_a_length_must_be_a_positive_number(transform, option):
    refused(transform, option, [*NOT_NUMBERS, 0, -1])


@pytest.mark.parametrize("transform", [ImageTransform, VideoTransform])
def test_an_image_has_three_means_and_three_positive_standard_deviations(transform):
    for option in ("mean", "std"):
        refused(transform, option, [0.5, "abc", (0.5,), (0.5, 0.5, math.nan), (0.5, 0.5, "x")])
    refused(transform, "std", [(1, 1, 0), (1, 1, -1)])
    transform(mean=np.zeros(3), std=[1, 1, 2.0])
    transform(mean=torch.zeros(3), std=torch.ones(3))


def test_audio_has_one_mean_and_one_positive_standard_deviation():
    for option in ("mean", "std"):
        refused(AudioTransform, option, NOT_NUMBERS)
    refused(AudioTransform, "std", [0, -1])
    AudioTransform(mean=torch.tensor(-4.0), std=np.array(4.0))


def test_an_array_has_a_shape_a_mean_and_a_positive_standard_deviation():
    refused(ArrayTransform, "shape", [3, None, "34", (3, True), (3, 4.0)])
    for option in ("mean", "std"):
        refused(ArrayTransform, option, [math.nan, "2", None, True, 10**400, (1, 1, "x")], shape=(3, 4))
    refused(ArrayTransform, "std", [0, -1, (1, 1, 0)], shape=(3, 4))
    ArrayTransform(shape=(3, 4), mean=torch.tensor(1.0), std=np.ones(3))


def test_a_channel_is_counted_from_zero():
    refused(AudioTransform, "channel", [-1, 0.0, "0", True])


def test_a_sample_rate_below_100_hz_is_refused():
    refused(AudioTransform, "sample_rate", [99])
    mel = AudioTransform(sample_rate=100, clips=1)((np.zeros(16_000, np.float32), 16_000))
    assert mel.shape == (1, 1, 128, 204)


def test_options_that_may_be_none_are_refused_with_other_wrong_values():
    others = [value for value in NOT_NUMBERS if value is not None]
    refused(ImuTransform, "rate", [*others, 0, -1])
    refused(ImuTransform, "start", [*others, -1])
    for option in ("accel_unit", "gyro_unit", "time_unit"):
        refused(ImuTransform, option, [1, [1], b"g"])
    refused(ImuTransform, "layout", [1, [1]])
    refused(DepthTransform, "baseline", [value for value in others if value != "2"])
    refused(DepthTransform, "focal", [math.nan, 0, -1, True, 10**400])
    refused(DepthTransform, "preset", [None, [1], 1])
    for low in (*others, 5):
        with pytest.raises(ValueError, match=r"low, high: expected finite low < high, got low="):
            ThermalTransform(low=low, high=5)


def test_numbers_of_numpy_and_pytorch_and_fractions_are_numbers():
    assert all(map(is_number, (0, -1.5, Fraction(1, 3), np.float16(2), np.int64(3), np.array(2))))
    assert is_number(torch.tensor(2)) and not is_number(torch.tensor(float("nan")))
    assert not any(map(is_number, (*NOT_NUMBERS, np.nan, np.array([1]), 1j)))
