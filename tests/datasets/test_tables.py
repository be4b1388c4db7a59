"""Tests of tables as people save them: encodings, delimiters, ends of line, quoted cells, and damage."""

import codecs
import csv
import io
import itertools
import json

import numpy as np
import pytest
from PIL import Image

from imagebind.datasets.layouts.own import labelled_files
from imagebind.datasets.tables import json_at, lines_at, numbered_rows, table_at, text_at
from imagebind.errors import MediaError, MissingMediaError
from imagebind.modality import MediaKind

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be")
MARKS = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}
ROWS = [
    {"file": "a.png", "class": "Käse, alt; 50\t%"},
    {"file": "b b.png", "class": 'a "b"\nc'},
    {"file": "c.png", "class": "日本"},
]


def table(rows, *, delimiter=",", end="\n", encoding="utf-8", first="") -> bytes:
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
    writer.writerow(rows[0].keys())
    writer.writerows(row.values() for row in rows)
    text = (first + file.getvalue()).replace("\n", end)
    return MARKS.get(encoding, b"") + text.encode(encoding)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(("delimiter", "encoding"), [*itertools.product((",", ";", "\t"), ENCODINGS)])
def test_every_encoding_delimiter_and_end_of_line_gives_the_same_rows(tmp_path, delimiter, encoding, end):
    path = tmp_path / "table.csv"
    path.write_bytes(table(ROWS, delimiter=delimiter, end=end, encoding=encoding))
    assert table_at(path, ("file", "class")) == ROWS
    # The second row takes two lines.
    assert [line for line, _ in numbered_rows(path, ("file",))] == [2, 4, 5]


def test_a_line_that_names_the_delimiter_is_not_a_row(tmp_path):
    path = tmp_path / "excel.csv"
    for delimiter, first in (("|", "sep=|\n"), ("|", '"SEP=|"\n'), ("\t", '"sep=\\t"\n')):
        path.write_bytes(table(ROWS, delimiter=delimiter, first=first))
        assert numbered_rows(path, ("file", "class"))[0] == (3, ROWS[0])


def test_a_pattern_of_an_unknown_user_finds_no_files():
    with pytest.raises(MissingMediaError, match=r"^~nosuchuser/\*: expected files .*, got none"):
        labelled_files("~nosuchuser/*", MediaKind.IMAGE)


def test_a_pattern_may_begin_with_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").touch()
    found = labelled_files("~/*/*.png", MediaKind.IMAGE)
    assert [item.name for item in found.items] == [str(tmp_path / name / "1.png") for name in ("cat", "dog")]


def test_empty_rows_and_empty_columns_at_the_end_are_left_out(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("file;class;note;;\na.png;dog;;;\n;;;;\n\n b.png ;cat\n   \n")
    assert table_at(path, ("file", "class")) == [
        {"file": "a.png", "class": "dog", "note": ""},
        {"file": " b.png ", "class": "cat", "note": ""},
    ]


def test_values_below_a_column_without_a_name_at_the_end_are_left_out(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("file,class,\na.png,dog,checked\n")
    assert table_at(path, ("file", "class")) == [{"file": "a.png", "class": "dog"}]
    path.write_text("file,class,\na.png,dog,checked,twice\n")
    with pytest.raises(MediaError, match=r"line 2: expected 3 cells \(file, class\)"):
        table_at(path, ("file", "class"))


def test_own_files_take_one_class_each_from_a_table_as_excel_saves_it(tmp_path):
    for name in ("a", "b", "c"):
        Image.fromarray(np.zeros((8, 8, 3), dtype=np.uint8)).save(tmp_path / f"{name}.png")
    rows = [
        {"file": f"{name}.png", "class": label} for name, label in zip("abc", ("Käse", "x", "x"), strict=True)
    ]
    path = tmp_path / "classes.csv"
    for delimiter, encoding in ((";", "utf-8-sig"), ("\t", "utf-16"), (",", "utf-8")):
        path.write_bytes(table(rows, delimiter=delimiter, encoding=encoding, end="\r\n"))
        found = labelled_files(str(tmp_path / "*.png"), MediaKind.IMAGE, classes_from=path)
        assert [each.label for each in found.classes] == ["Käse", "x"]
        assert [item.labels for item in found.items] == [(0,), (1,), (1,)] and not found.missing
    path.write_text("file,class\na.png,x\nb.png,y\na.png,y\n")
    with pytest.raises(MediaError, match=r"classes\.csv, line 4: expected class 'x' for a\.png, .*got 'y'"):
        labelled_files(str(tmp_path / "*.png"), MediaKind.IMAGE, classes_from=path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"t\.csv: no such file; it should be a CSV with file, class"),
        (b"", r"t\.csv: expected file, class among the columns, got no header"),
        (b"File,Klasse\na,b\n", r"t\.csv: expected file, class among the columns, got File, Klasse"),
        (
            "file,class\na,Käse\n".encode("cp1252"),
            r"t\.csv, line 2: expected .*, got a character that is not utf-8",
        ),
        (
            "file,class\na,b\n".encode("utf-16-le"),
            r"t\.csv: expected text in UTF-8, or in UTF-16.*, got NUL characters",
        ),
        (
            b"file,class\na,b\nc,d, e\n",
            r"t\.csv, line 3: expected 2 cells \(file, class\), got 3; quote a cell",
        ),
        (
            b'file,class\na,"b\nc,d\ne,f\n',
            r"t\.csv: expected closed quotes, got a quote in the last 3 lines that is not closed",
        ),
        (
            b"file,class\na," + b"x" * 200_000,
            r"t\.csv, line 2: expected a row of CSV, got one that cannot be read \(field larger",
        ),
    ],
)
def test_a_table_that_cannot_be_read_is_named_with_the_expected_content(tmp_path, content, message):
    if content is not None:
        (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(MediaError, match=message) as caught:
        table_at(tmp_path / "t.csv", ("file", "class"))
    assert isinstance(caught.value, MissingMediaError) is (content is None)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_lists_and_json_are_read_in_every_encoding(tmp_path, encoding):
    text = "ä\r\n\r\n  b\u2028c \n"
    (tmp_path / "list.txt").write_bytes(MARKS.get(encoding, b"") + text.encode(encoding))
    assert text_at(tmp_path / "list.txt") == "ä\n\n  b\u2028c \n"
    assert lines_at(tmp_path / "list.txt") == ["ä", "b\u2028c"]  # only ends of line divide lines
    content = json.dumps({"images": ["ä"]}, ensure_ascii=False)
    (tmp_path / "a.json").write_bytes(MARKS.get(encoding, b"") + content.encode(encoding))
    assert json_at(tmp_path / "a.json", "images") == {"images": ["ä"]}


def test_damaged_json_is_named(tmp_path):
    (tmp_path / "a.json").write_text('{"images": ')
    with pytest.raises(MediaError, match=r"a\.json: expected images, got a file that cannot be read"):
        json_at(tmp_path / "a.json", "images")
    with pytest.raises(MissingMediaError, match=r"b\.json: no such file; it should be images"):
        json_at(tmp_path / "b.json", "images")
