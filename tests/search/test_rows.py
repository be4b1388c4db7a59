"""Rows: paths of any name, metadata in one form, vectors of unit length."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebind.media.paths import path_exists, path_text, text_path
from imagebind.modality import MediaKind, ModalityType
from imagebind.search.rows import IndexRow, metadata_text, to_arrow, to_hit
from tests.search.made import EMBED_DIM, row, unit


@given(st.binary(min_size=1, max_size=40).filter(lambda name: b"\0" not in name and b"\\" not in name))
def test_any_file_name_survives_conversion_to_text_and_back(name):
    path = Path(os.fsdecode(b"/somewhere/" + name))
    text = path_text(path)
    text.encode("utf-8")
    assert text_path(text) == path


def test_a_name_with_a_literal_backslash_x_is_found_if_the_file_exists(tmp_path):
    path = tmp_path / "odd\\xffname.png"
    path.touch()
    assert text_path(path_text(path)) == path


LONG_NAMES = ["写真".encode("shift_jis") * 18 + b".png", b"\xe9" * 100 + b".png", b"\xff" * 255]


@pytest.mark.parametrize("name", LONG_NAMES)
def test_the_path_of_a_long_name_that_is_not_utf8_is_known_while_the_file_exists_and_after(tmp_path, name):
    path = tmp_path / os.fsdecode(name)
    path.touch()
    assert text_path(path_text(path)) == path and path_exists(path)
    path.unlink()
    assert text_path(path_text(path)) == path and not path_exists(path)


def test_a_name_too_long_for_a_file_system_exists_only_inside_an_archive(tmp_path):
    archive = tmp_path / "shard.tar"
    archive.touch()
    assert path_exists(archive / ("x" * 300)) and path_exists(archive / ("x" * 5000))
    assert not path_exists(tmp_path / ("x" * 300)) and not path_exists(tmp_path / ("x/" * 5000))


def test_a_row_survives_conversion_to_a_table_and_back():
    given_row = row(
        "/a.mp4",
        1,
        2,
        kind=MediaKind.VIDEO,
        start=1.0,
        end=3.0,
        metadata={"b": 2, "a": "ü"},
        thumbnail=b"jpeg",
    )
    (record,) = to_arrow([given_row], EMBED_DIM).to_pylist()
    hit = to_hit(record, cosine=0.5)
    for name in ("id", "path", "kind", "start", "end", "metadata", "thumbnail", "size", "mtime_ns"):
        assert getattr(hit, name) == getattr(given_row, name), name
    assert hit.modality is ModalityType.VISION and hit.cosine == 0.5 and np.isnan(hit.score)
    np.testing.assert_array_equal(hit.vector, given_row.vector)


@pytest.mark.parametrize(
    "vector", [np.zeros(EMBED_DIM), np.full(EMBED_DIM, np.nan), 2 * unit(1), np.ones(3)], ids=str
)
def test_a_vector_that_is_not_of_the_space_is_refused_by_its_path(vector):
    with pytest.raises(ValueError, match=r"/odd\.png: expected a vector"):
        to_arrow([IndexRow(path="/odd.png", kind=MediaKind.IMAGE, vector=vector)], EMBED_DIM)


def test_equal_metadata_has_the_same_text_in_any_order():
    assert metadata_text({"b": 1, "a": "x"}) == metadata_text({"a": "x", "b": 1}) == '{"a":"x","b":1}'


def test_nested_metadata_is_refused():
    with pytest.raises(ValueError, match="metadata 'tags': expected a string, number or boolean, got a list"):
        metadata_text({"tags": ["a"]})
