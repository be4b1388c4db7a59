"""The map: positions by principal components, media types centred on each other, and a point per item."""

import re

import numpy as np
import pytest

from imagebind.modality import MediaKind
from imagebind.search.app import map as map_module
from imagebind.search.app.map import map_of, project
from tests.search.made import make_index, random_rows

KINDS = [MediaKind.IMAGE] * 50 + [MediaKind.AUDIO] * 50


@pytest.fixture
def vectors() -> np.ndarray:
    """Return vectors of two distant media types, whose variance is mostly in two directions."""
    rng = np.random.default_rng(0)
    spread = rng.normal(size=(100, 6)) * [0.5, 0.2, 0.02, 0.02, 0.02, 0.02]
    spread[:50, 5] += 3
    return spread


def test_positions_follow_the_directions_in_which_vectors_differ_most(vectors):
    positions = project(vectors, KINDS)
    assert positions.shape == (100, 2) and np.abs(positions).max() == pytest.approx(1)
    for axis in (0, 1):
        assert abs(np.corrcoef(positions[:50, axis], vectors[:50, axis])[0, 1]) > 0.99


def test_positions_fill_the_map_although_most_are_on_one_side(vectors):
    vectors[:50, 0] = vectors[:50, 0] ** 2 * 10  # a long tail on one side
    positions = project(vectors, KINDS)
    longest = np.abs(positions).max(axis=0).argmax()
    assert positions[:, longest].min() == pytest.approx(-1) and positions[:, longest].max() == pytest.approx(
        1
    )
    assert positions.min(axis=0) + positions.max(axis=0) == pytest.approx(0, abs=1e-9)


def test_distant_media_types_are_centred_on_each_other(vectors):
    positions = project(vectors, KINDS)
    apart = positions[:50].mean(axis=0) - positions[50:].mean(axis=0)
    assert np.abs(apart).max() < 1e-6


def test_a_media_type_with_too_few_items_for_a_mean_is_not_centred(vectors):
    kinds = [MediaKind.IMAGE] * 99 + [MediaKind.DEPTH]
    vectors[99] = vectors[:99].mean(axis=0) + 2 * np.eye(6)[0]
    assert np.abs(project(vectors, kinds)[99]).max() == pytest.approx(1)


def test_equal_vectors_have_one_position():
    np.testing.assert_array_equal(project(np.ones((5, 4)), [MediaKind.TEXT] * 5), np.zeros((5, 2)))


def test_every_item_has_a_point_with_its_name_and_every_media_type_an_entry_in_the_legend(indexed):
    drawn = map_of(indexed)
    assert len(re.findall("<circle ", drawn)) == len(indexed)
    assert f"All {len(indexed)} items" in drawn
    assert set(re.findall(r'data-legend="(\w+)"', drawn)) == {kind.value for kind in MediaKind}
    assert "onerror=alert(1)&gt;" in drawn and "<img src=x" not in drawn
    assert 'aria-label="audio: long.wav 10.0–20.0 s"' in drawn


def test_a_large_index_is_sampled_and_the_map_reports_it(tmp_path, monkeypatch):
    monkeypatch.setattr(map_module, "MAP_POINTS", 20)
    drawn = map_of(make_index(tmp_path / "db", random_rows(50, MediaKind.IMAGE)))
    assert drawn.count("<circle ") == 20 and "20 of 50 items" in drawn


def test_fewer_than_two_items_make_no_map(tmp_path):
    assert map_of(make_index(tmp_path / "db", random_rows(1, MediaKind.IMAGE))) == ""
