"""Calibration: scores of media types whose cosines have different scales."""

import numpy as np
import pytest

from imagebind.calibration import Calibration
from imagebind.modality import MediaKind
from tests.search.made import make_index, random_rows, unit


def sample(count: int, centre: float, spread: float) -> np.ndarray:
    """Return vectors whose cosines with the first axis have about this mean and standard deviation."""
    cosines = centre + spread * np.random.default_rng(0).standard_normal(count)
    return np.stack([unit(cosine, np.sqrt(max(1 - cosine**2, 0))) for cosine in cosines])


def test_a_score_is_in_standard_deviations_above_the_mean_of_its_media_type():
    found = Calibration({MediaKind.TEXT: sample(500, 0.8, 0.05), MediaKind.AUDIO: sample(500, 0.1, 0.05)})
    assert found.scale(unit(1), MediaKind.TEXT).score(0.9) == pytest.approx(2, abs=0.3)
    assert found.scale(unit(1), MediaKind.AUDIO).score(0.2) == pytest.approx(2, abs=0.3)


def test_noise_of_an_unrelated_media_type_is_not_inflated():
    found = Calibration({MediaKind.TEXT: sample(500, 0.5, 0.1), MediaKind.IMU: sample(500, 0.5, 0.001)})
    text, imu = (found.scale(unit(1), kind) for kind in (MediaKind.TEXT, MediaKind.IMU))
    assert text.score(0.8) > 2 > 0.2 > imu.score(0.503)


def test_small_samples_use_the_pooled_standard_deviation():
    few = np.stack([unit(cosine, np.sqrt(1 - cosine**2)) for cosine in (0.85, 0.95)])
    found = Calibration({MediaKind.AUDIO: sample(500, 0.1, 0.05), MediaKind.TEXT: few})
    assert found.scale(unit(1), MediaKind.TEXT).score(0.95) == pytest.approx(1, abs=0.2)  # 0.9 ± 0.05
    assert found.scale(unit(1), MediaKind.TEXT).score(0.85) == pytest.approx(-1, abs=0.2)


def test_with_small_samples_only_scores_are_cosines():
    found = Calibration({MediaKind.TEXT: sample(3, 0.5, 0.1), MediaKind.IMU: sample(2, 0.9, 0.01)})
    assert found.scale(unit(1), MediaKind.IMU).score(0.7) == 0.7
    assert Calibration().scale(unit(1), MediaKind.IMU) == (0.0, 1.0)


def test_equal_items_give_finite_scores():
    found = Calibration({MediaKind.TEXT: np.tile(unit(1), (20, 1))})
    assert np.isfinite(found.scale(unit(1), MediaKind.TEXT).score(1.0))


def test_a_calibration_is_unchanged_after_writing_and_reading():
    found = Calibration({MediaKind.TEXT: sample(20, 0.5, 0.1)})
    again = Calibration.from_bytes(found.to_bytes())
    np.testing.assert_array_equal(again.samples[MediaKind.TEXT], found.samples[MediaKind.TEXT])


def test_mixed_hits_are_not_sorted_by_media_type(tmp_path):
    texts = random_rows(200, MediaKind.TEXT, centre=0)
    recordings = random_rows(200, MediaKind.AUDIO, centre=1, seed=1)
    index = make_index(tmp_path / "db", [*texts, *recordings])
    query = unit(1, 0, 2)  # nearer to texts in the first component; in the third, both media types vary
    raw = index.search(query, 10, calibrated=False)
    assert {hit.kind for hit in raw} == {MediaKind.TEXT}
    assert raw == sorted(raw, key=lambda hit: -hit.cosine)
    found = index.search(query, 10)
    assert {hit.kind for hit in found} == {MediaKind.TEXT, MediaKind.AUDIO}
    assert found == sorted(found, key=lambda hit: -hit.score)


def test_a_stored_calibration_is_used_until_a_new_media_type_is_added(tmp_path):
    index = make_index(tmp_path / "db", random_rows(50, MediaKind.TEXT))
    index.optimize()
    assert {*index.calibration().samples} == {MediaKind.TEXT}
    index.add_rows(random_rows(50, MediaKind.AUDIO, centre=1))
    assert {*index.calibration().samples} == {MediaKind.TEXT, MediaKind.AUDIO}
