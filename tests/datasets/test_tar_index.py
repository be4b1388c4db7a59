"""Positions of files in a tar archive, compared with Python's tarfile."""

import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagebind.datasets.tar_index import tar_entries
from imagebind.errors import MediaError

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
NAMES = [
    "a.jpg",
    "folder/b.txt",
    "n" * 100,
    "deep/" * 20 + "c.png",  # beyond 100 characters: a prefix, or a note before the header
    "é/ü.wav",
]


def write(path: Path, form: int, names: list[str]) -> Path:
    with tarfile.open(path, "w", format=form) as archive:
        for number, name in enumerate(names):
            entry = tarfile.TarInfo(name)
            entry.mtime = 1.5 + number  # with POSIX's format a fraction is in a note
            entry.size = 300 * number
            archive.addfile(entry, io.BytesIO(bytes([number]) * entry.size))
        for kind in (tarfile.DIRTYPE, tarfile.SYMTYPE):
            entry = tarfile.TarInfo("no_file")
            entry.type = kind
            archive.addfile(entry)
    return path


@pytest.mark.parametrize("form", FORMATS)
def test_every_header_format_gives_the_entries_of_tarfile(tmp_path, form):
    path = write(tmp_path / "a.tar", FORMATS[form], NAMES)
    with tarfile.open(path) as archive:
        theirs = [(entry.name, entry.offset_data, entry.size) for entry in archive if entry.isfile()]
    assert len(theirs) == len(NAMES)
    assert [tuple(entry) for entry in tar_entries(path)] == theirs


def test_names_longer_than_a_header_are_read_from_metadata_entries(tmp_path):
    name = "x" * 300 + ".jpg"
    for form in ("gnu", "pax"):
        (entry,) = tar_entries(write(tmp_path / form, FORMATS[form], [name]))
        assert entry.name == name


def test_an_archive_may_lack_the_zeros_at_its_end(tmp_path):
    path = write(tmp_path / "a.tar", FORMATS["ustar"], ["a.jpg", "b.jpg"])
    with tarfile.open(path) as archive:
        end = archive.getmembers()[-1].offset_data
    path.write_bytes(path.read_bytes()[:end])
    assert [entry.name for entry in tar_entries(path)] == ["a.jpg", "b.jpg"]


def test_a_truncated_archive_is_an_error(tmp_path):
    path = write(tmp_path / "a.tar", FORMATS["ustar"], ["a.jpg", "b.jpg"])
    with tarfile.open(path) as archive:
        last = archive.getmembers()[1]
    whole = path.read_bytes()
    for end, message in (
        (last.offset_data + 10, "truncated in b.jpg"),
        (last.offset + 100, "no header at byte"),
    ):
        path.write_bytes(whole[:end])
        with pytest.raises(MediaError, match=message):
            list(tar_entries(path))


def test_a_negative_size_in_metadata_is_an_error(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        entry = tarfile.TarInfo("a.jpg")
        entry.pax_headers = {"size": "-1024"}
        archive.addfile(entry)
    with pytest.raises(MediaError, match="no header at byte 1,024"):
        list(tar_entries(path))


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_damaged_archive_gives_entries_inside_it_or_a_media_error(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "damaged.tar"
    content = bytearray(write(path, FORMATS["pax"], NAMES[:3]).read_bytes()[:6144])
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=6)):
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        entries = list(tar_entries(path))
    except MediaError:
        return
    assert all(0 <= entry.start <= entry.start + entry.size <= len(content) for entry in entries)
