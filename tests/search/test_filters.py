"""Filters: their SQL finds the same rows as the same condition in Python."""

import math
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagebind.media.paths import glob_pattern
from imagebind.modality import MediaKind
from imagebind.search.filters import where
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
def test_a_pattern_finds_the_same_paths_as_in_python(index, glob, found):
    hits = index.search(unit(1), 10, path=glob)
    assert sorted(paths(hits)) == sorted(found)
    assert sorted(filter(re.compile(glob_pattern(glob)).search, NAMES)) == sorted(found)


@pytest.mark.parametrize("name", NAMES)
def test_a_path_or_its_metadata_finds_its_row_alone(index, name):
    assert paths(index.search(unit(1), 10, path=name)) == [name]
    assert paths(index.search(unit(1), 10, metadata={"name": name})) == [name]


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=12).filter(lambda text: "\0" not in text))
def test_any_text_is_a_valid_filter(index, text):
    if text not in NAMES:
        assert index.search(unit(1), 10, metadata={"name": text}) == []
    matching = {name for name in NAMES if re.compile(glob_pattern(text or "x")).search(name)}
    assert {*paths(index.search(unit(1), 10, path=text or "x"))} == matching


def test_metadata_matches_by_whole_value_and_type(index):
    assert paths(index.search(unit(1), 10, metadata={"n": 1})) == [NAMES[1]]
    assert index.search(unit(1), 10, metadata={"n": "1"}) == []
    assert index.search(unit(1), 10, metadata={"ame": NAMES[1]}) == []


# Characters with a meaning in JSON, SQL, LIKE or regular expressions; few, so that drawn texts often agree.
PIECES = [
    '"',
    "\\",
    ",",
    ":",
    "{",
    "}",
    "%",
    "_",
    "'",
    "\n",
    "\t",
    "\0",
    "é",
    "\u2028",
    "😀",
    "owner",
    "me",
    "1",
    "1,",
]
NAMES_OR_TEXTS = st.lists(st.sampled_from(PIECES), max_size=4).map("".join)
VALUES = NAMES_OR_TEXTS | st.integers(0, 11) | st.booleans() | st.sampled_from([1.0, 0.5, 1e300])
METADATA = st.dictionaries(NAMES_OR_TEXTS, VALUES, max_size=3)


def has(metadata, name, value) -> bool:
    return name in metadata and repr(metadata[name]) == repr(value)


@settings(deadline=None, max_examples=25)
@given(st.lists(METADATA, min_size=2, max_size=12), st.data())
def test_metadata_finds_exactly_the_rows_with_this_name_and_value(rows, data):
    folder = tempfile.TemporaryDirectory()
    with folder:
        index = make_index(
            Path(folder.name) / "db",
            [row(str(n), 1, n, metadata=entry) for n, entry in enumerate(rows)],
        )
        stored = [(name, value) for entry in rows for name, value in entry.items()]
        drawn = data.draw(st.lists(st.tuples(NAMES_OR_TEXTS, VALUES), max_size=3))
        for name, value in stored[:12] + drawn:
            found = paths(index.search(unit(1), len(rows), metadata={name: value}))
            assert sorted(found, key=int) == [
                str(n) for n, entry in enumerate(rows) if has(entry, name, value)
            ]


@pytest.mark.parametrize(
    ("wanted", "other"),
    [
        ({"owner": "me"}, {'x"owner': "me"}),
        ({"owner": "me"}, {"text": ',"owner":"me",'}),
        ({":": 1}, {"a,": ":1,"}),
        ({",": 1}, {"a": ",", ":1": 2}),
        ({"n": 1}, {"n": 11}),
    ],
)
def test_metadata_is_not_mistaken_for_similar_metadata(tmp_path, wanted, other):
    index = make_index(
        tmp_path / "db", [row("wanted", 1, metadata=wanted), row("other", 1, 1, metadata=other)]
    )
    assert paths(index.search(unit(1), metadata=wanted)) == ["wanted"]
    assert paths(index.search(unit(1), metadata=other)) == ["other"]


def test_long_metadata_is_found_up_to_a_limit(tmp_path):
    long = "x" * 60_000
    index = make_index(tmp_path / "db", [row("long", 1, metadata={"n": long}), row("short", 1)])
    assert paths(index.search(unit(1), metadata={"n": long})) == ["long"]
    with pytest.raises(
        ValueError, match="metadata 'n': expected at most 65536 characters, got 70006 as JSON"
    ):
        index.search(unit(1), metadata={"n": "x" * 70_000})


@pytest.mark.parametrize(
    "glob", ["**/" * 1000 + "*.jpg", "*" * 4000, "**/***/" * 500 + "*.jpg", "**" * 2000 + "/dog.jpg"]
)
def test_consecutive_wildcards_are_joined(index, glob):
    assert len(glob_pattern(glob)) < 200
    assert "/a/dog.jpg" in paths(index.search(unit(1), 10, path=glob))


@pytest.mark.parametrize(
    ("glob", "message"),
    [
        ("**/" * 3000, "expected at most 4096 characters, got 9000"),
        ("a" * 4097, "expected at most 4096 characters, got 4097"),
        ("*a" * 1000, "expected at most 64 wildcards, got 1000"),
        ("?" * 1000, "expected at most 64 wildcards, got 1000"),
    ],
)
def test_the_length_and_the_wildcards_of_a_pattern_are_limited(index, glob, message):
    with pytest.raises(ValueError, match=message):
        index.search(unit(1), path=glob)


@pytest.mark.parametrize("glob", ["**a" * 64, "?a" * 64, "é" * 4096, "**/" * 2 + "*" + "?" * 60])
def test_the_largest_patterns_are_accepted(index, glob):
    assert index.search(unit(1), path=glob) == []


@pytest.mark.parametrize("text", ["\0", "a\0b", "\ud800"])
def test_text_that_no_path_can_have_finds_nothing_or_is_refused(index, text):
    for filters in ({"path": text}, {"metadata": {"name": text}}, {"metadata": {text: 1}}):
        try:
            assert index.search(unit(1), **filters) == []
        except ValueError as error:
            assert "expected text that UTF-8 can encode" in str(error)


def test_between_finds_overlapping_rows_and_none_without_time(tmp_path):
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
    with pytest.raises(ValueError, match="expected start <= end in seconds, got 3"):
        index.search(unit(1), between=(3, 1))


def test_without_filters_there_is_no_condition():
    assert where() is None
