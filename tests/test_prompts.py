"""Tests of CLIP's templates and of class files, whose errors have the file and line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebind.errors import MediaError
from imagebind.modality import MediaKind
from imagebind.prompts import (
    OPENAI_IMAGENET_TEMPLATES,
    SHORT_TEMPLATES,
    check_template,
    default_templates,
    parse_label,
    parse_labels,
    read_labels,
)


def test_the_80_templates_are_open_clips_in_its_order():
    theirs = pytest.importorskip("open_clip.zero_shot_metadata").OPENAI_IMAGENET_TEMPLATES
    assert len(OPENAI_IMAGENET_TEMPLATES) == len(set(OPENAI_IMAGENET_TEMPLATES)) == 80
    assert [ours.format("tench") for ours in OPENAI_IMAGENET_TEMPLATES] == [each("tench") for each in theirs]


@pytest.mark.parametrize("kind", MediaKind)
def test_every_media_type_has_short_and_default_templates_with_one_placeholder(kind):
    for template in (*SHORT_TEMPLATES[kind], *default_templates(kind.value)):
        assert check_template(template).format("dog").count("dog") == 1


def test_all_media_types_but_text_use_the_templates_of_the_paper():
    paper = {kind for kind in MediaKind if default_templates(kind) == OPENAI_IMAGENET_TEMPLATES}
    assert paper == set(MediaKind) - {MediaKind.TEXT}


def test_an_unknown_media_type_raises_an_error_with_the_known_ones():
    with pytest.raises(ValueError, match=r"media type: expected one of image, video, .*, got 'vision'"):
        default_templates("vision")


@pytest.mark.parametrize(
    "template", ["a photo", "{} and {}", "a {name}", "a {", "{{}}", "a photo of a {0.__class__}", "{:d}"]
)
def test_a_template_without_exactly_one_placeholder_raises_an_error(template):
    with pytest.raises(ValueError, match=r"expected \{\} once"):
        check_template(template)


def test_a_class_file_has_names_separated_by_bars_and_comments(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_bytes("\ufeff# pets\n\ndog | puppy|young  dog\r\n  C# guitar \n   # no more\ncafé".encode())
    assert read_labels(path) == [("dog", "puppy", "young dog"), ("C# guitar",), ("café",)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("dog\ncat||kitten\n", r"labels\.txt, line 2: expected .*, got an empty name in 'cat\|\|kitten'"),
        ("dog|\n", r"labels\.txt, line 1: .*empty name"),
        ("# pets\ndog|dog\n", r"labels\.txt, line 2: .*a repeated name"),
        (
            "dog|puppy\n\ncat|puppy\n",
            r"labels\.txt, line 3: expected each name in one class, got 'puppy', which line 1 has",
        ),
        ("# nothing\n\n", r"labels\.txt: expected one class per line, got none"),
    ],
)
def test_a_fault_in_a_class_file_is_reported_with_its_line(tmp_path, content, message):
    path = tmp_path / "labels.txt"
    path.write_text(content)
    with pytest.raises(MediaError, match=message):
        read_labels(path)


def test_a_class_file_in_another_encoding_raises_an_error_with_the_line(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_bytes(b"dog\ncaf\xe9\n")
    with pytest.raises(
        MediaError, match=r"labels\.txt, line 2: expected text in UTF-8, got bytes that are not UTF-8"
    ):
        read_labels(path)


NAMES = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="|"), min_size=1, max_size=5)


@given(st.lists(NAMES, min_size=1, max_size=4, unique=True))
def test_names_joined_by_bars_are_parsed(names):
    assert parse_label(" | ".join(names), item="x") == tuple(names)
    if not names[0].startswith("#"):
        assert parse_labels(["|".join(names)], item="x") == [tuple(names)]
