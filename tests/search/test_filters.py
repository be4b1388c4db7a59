"""Filters: what their SQL finds in a table is what the same condition in Python finds."""

import math
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagebind.modality import MediaKind
from imagebind.search.filters import glob_pattern, where
from tests.search.made import make_index, paths, row, unit

NAMES = [
    "/a/dog.jpg",
    "/a/b/dog.jpg",
    "/a/it's 100%_\\.png",
    "/a/new\nline.png",
    "/ü/[x].png",
    "/a/b/c/d.wav",
]


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    rows = [row(name, 1, number, metadata={"name": name, "n": number}) for number, name in enumerate(NAMES)]
    return make_index(tmp_path_factory.mktemp("filters") / "db", rows)


@pytest.mark.parametrize(
    ("glob", "found"),
    [
        ("*.jpg", ["/a/dog.jpg", "/a/b/dog.jpg"]),
        ("/a/*.jpg", ["/a/dog.jpg"]),
        ("a/**.jpg", ["/a/dog.jpg", "/a/b/dog.jpg"]),
        ("/a/**/dog.jpg", ["/a/dog.jpg", "/a/b/dog.jpg"]),
        ("d?g.jpg", ["/a/dog.jpg", "/a/b/dog.jpg"]),
        ("[x].png", ["/ü/[x].png"]),
        ("og.jpg", []),
        ("it's*", ["/a/it's 100%_\\.png"]),
    ],
)
def test_patterns_of_paths(index, glob, found):
    hits = index.search(unit(1), 10, path=glob)
    assert sorted(paths(hits)) == sorted(found)
    assert sorted(filter(re.compile(glob_pattern(glob)).search, NAMES)) == sorted(found)


@pytest.mark.parametrize("name", NAMES)
def test_a_path_taken_literally_finds_itself(index, name):
    assert paths(index.search(unit(1), 10, path=name)) == [name]
    assert paths(index.search(unit(1), 10, metadata={"name": name})) == [name]


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=12).filter(lambda text: "\0" not in text))
def test_no_text_breaks_out_of_its_quotes(index, text):
    if text not in NAMES:
        assert index.search(unit(1), 10, metadata={"name": text}) == []
    assert {*paths(index.search(unit(1), 10, path=text or "x"))} <= {*NAMES}


def test_metadata_is_told_by_its_whole_value_and_type(index):
    assert paths(index.search(unit(1), 10, metadata={"n": 1})) == [NAMES[1]]
    assert index.search(unit(1), 10, metadata={"n": "1"}) == []
    assert index.search(unit(1), 10, metadata={"ame": NAMES[1]}) == []


def test_time_finds_what_overlaps_and_nothing_without_time(tmp_path):
    rows = [
        row("early", 1, kind=MediaKind.AUDIO, start=0.0, end=2.0),
        row("late", 1, kind=MediaKind.AUDIO, start=4.0, end=6.0),
        row("still", 1),
    ]
    index = make_index(tmp_path / "db", rows)
    assert paths(index.search(unit(1), between=(1, 3))) == ["early"]
    for both in ((0, 9), (0, math.inf), (-math.inf, 9), (-math.inf, math.inf)):
        assert sorted(paths(index.search(unit(1), between=both))) == ["early", "late"]
    assert paths(index.search(unit(1), between=(5, math.inf))) == ["late"]
    with pytest.raises(ValueError, match="seconds that rise, got 3 and 1"):
        index.search(unit(1), between=(3, 1))


def test_no_filter_is_no_condition():
    assert where() is None
