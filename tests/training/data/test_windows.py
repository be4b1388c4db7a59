"""Time windows that two recordings share."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from imagebind.datasets.pairs import Pair
from imagebind.errors import MediaError
from imagebind.intake.requests import identify
from imagebind.training.data.windows import (
    imu_seconds,
    mask_frequencies,
    seconds_of,
    shared_window,
    window_around,
    window_in,
)
from imagebind.transforms.imu import ImuTransform
from tests.training.made import write_audio, write_image, write_imu, write_video


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("media")
    return {
        "video": write_video(folder / "video.mp4", seconds=6),
        "audio": write_audio(folder / "audio.wav", seconds=4),
        "still": write_image(folder / "still.png", np.zeros((8, 8, 3), np.uint8)),
    }


def common_window(vision, other, **options) -> tuple[float, float]:
    pair = Pair(vision=vision, other=other, modality="audio", name="both", **options)
    return shared_window(pair, identify(vision, modality="vision"), identify(other, modality=pair.modality))


def test_the_shared_window_ends_with_the_shorter_recording(files):
    assert common_window(files["video"], files["audio"]) == (0, 4)
    assert common_window(files["still"], files["audio"]) == (0, 4)
    assert common_window((np.zeros((30, 8, 8), np.uint8), 10), files["audio"]) == (0, 3)


def test_a_span_and_an_offset_shorten_the_shared_window(files):
    assert common_window(files["video"], files["audio"], span=(1, 3)) == (1, 3)
    assert common_window(files["video"], files["audio"], span=(1, 9)) == (1, 4)
    # With an offset of -1, the audio begins a second later.
    assert common_window(files["video"], files["audio"], offset=-1) == (1, 5)
    assert common_window(files["video"], files["audio"], offset=1.5) == (0, 2.5)


def test_recordings_without_overlap_are_an_error_that_names_the_pair(files):
    with pytest.raises(MediaError, match=r"both: expected .*, got a common start at 5 s and end at 4 s"):
        common_window(files["video"], files["audio"], span=(5, 6))


def test_lengths_of_arrays_follow_from_their_rates():
    assert seconds_of(identify({"video": np.zeros((30, 8, 8), np.uint8), "fps": 12})) == 2.5
    assert seconds_of(identify({"audio": np.zeros(8000), "rate": 16000})) == 0.5
    with pytest.raises(MediaError, match="a clip without fps"):
        seconds_of(identify({"video": np.zeros((30, 8, 8), np.uint8)}))


def test_the_length_of_imu_is_that_of_its_file_or_array(files, tmp_path):
    table = write_imu(tmp_path / "motion.csv", seconds=7, rate=50)
    samples = np.tile([0, 0, 9.8, 0, 0, 0], (300, 1))
    imu = ImuTransform()
    assert imu_seconds(identify({"imu": table}), imu) == pytest.approx(7)
    assert imu_seconds(identify({"imu": table.read_bytes()}), imu) == pytest.approx(7)
    assert imu_seconds(identify({"imu": samples, "rate": 100}), imu) == pytest.approx(3)
    assert imu_seconds(identify({"imu": samples}), replace(imu, rate=200)) == pytest.approx(1.5)
    with pytest.raises(MediaError, match="no clock"):
        imu_seconds(identify({"imu": samples}), imu)


def test_a_window_is_at_a_random_position_or_in_the_middle():
    rng = np.random.default_rng(0)
    windows = [window_in((3, 10), 2, rng) for _ in range(300)]
    assert all(start >= 3 and end <= 10 and end == start + 2 for start, end in windows)
    starts = [start for start, _ in windows]
    assert min(starts) < 3.1 and max(starts) > 7.9
    assert window_in((3, 10), 2, None) == (5.5, 7.5)
    for chance in (rng, None):
        assert window_in((3, 4), 2, chance) == (3, 5)
        assert window_in((1, math.inf), 2, chance) == (1, 3)


def test_a_window_around_another_has_its_middle_unless_it_exceeds_the_limits():
    assert window_around((6, 8), 5) == (4.5, 9.5)
    assert window_around((0, 2), 5) == (0, 5)
    assert window_around((0, 2), 5, earliest=-1) == (-1, 4)
    assert window_around((3, 5), 5, latest=5) == (0, 5) == window_around((3, 5), 5, latest=4)


def test_masking_sets_one_band_of_at_most_12_bins_to_zero():
    clips, rng = torch.ones(1, 1, 128, 20), np.random.default_rng(0)
    widths, positions = set(), set()
    for _ in range(500):
        masked = mask_frequencies(clips, rng)[0, 0]
        assert torch.equal(masked, masked[:, :1].expand(-1, 20)), "the masked band covers all frames"
        bins = (masked[:, 0] == 0).nonzero().flatten().tolist()
        assert not bins or bins == list(range(bins[0], bins[-1] + 1))
        widths.add(len(bins))
        positions.update(bins)
    assert widths == set(range(13)) and positions == set(range(128))
    assert clips.min() == 1, "the input is unchanged"
