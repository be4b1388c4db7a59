"""Positions of files in a tar archive, compared with Python's tarfile."""

import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagebind.datasets.tar_index import MAX_METADATA_BYTES, TarEntry, tar_entries
from imagebind.errors import MediaError

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
NAMES = [
    "a.jpg",
    "folder/b.txt",
    "n" * 100,
    "deep/" * 20 + "c.png",  # beyond 100 characters: stored in a prefix or in an extended header
    "é/ü.wav",
]


def write(path: Path, form: int, names: list[str]) -> Path:
    with tarfile.open(path, "w", format=form) as archive:
        for number, name in enumerate(names):
            entry = tarfile.TarInfo(name)
            entry.mtime = 1.5 + number  # POSIX's format stores a fraction in an extended header
            entry.size = 300 * number
            archive.addfile(entry, io.BytesIO(bytes([number]) * entry.size))
        for kind in (tarfile.DIRTYPE, tarfile.SYMTYPE):
            entry = tarfile.TarInfo("no_file")
            entry.type = kind
            archive.addfile(entry)
    return path


def entries_of(path: Path) -> list[TarEntry]:
    with path.open("rb") as file:
        return list(tar_entries(file, str(path)))


@pytest.mark.parametrize("form", FORMATS)
def test_every_header_format_gives_the_entries_of_tarfile(tmp_path, form):
    path = write(tmp_path / "a.tar", FORMATS[form], NAMES)
    with tarfile.open(path) as archive:
        theirs = [(entry.name, entry.offset_data, entry.size) for entry in archive if entry.isfile()]
    assert len(theirs) == len(NAMES)
    assert [entry[:3] for entry in entries_of(path)] == theirs


def test_names_longer_than_a_header_are_read_from_metadata_entries(tmp_path):
    name = "x" * 300 + ".jpg"
    for form in ("gnu", "pax"):
        (entry,) = entries_of(write(tmp_path / form, FORMATS[form], [name]))
        assert entry.name == name


def test_metadata_beyond_the_limit_are_an_error_and_not_a_shortened_name(tmp_path):
    name = "x" * MAX_METADATA_BYTES + ".jpg"
    for form in ("gnu", "pax"):
        path = write(tmp_path / form, FORMATS[form], ["a.jpg", name])
        with pytest.raises(MediaError, match=r"after a\.jpg .* bytes of metadata, more than 1,048,576"):
            entries_of(path)


def test_an_archive_may_lack_the_zeros_at_its_end(tmp_path):
    path = write(tmp_path / "a.tar", FORMATS["ustar"], ["a.jpg", "b.jpg"])
    with tarfile.open(path) as archive:
        end = archive.getmembers()[-1].offset_data
    path.write_bytes(path.read_bytes()[:end])
    assert [entry.name for entry in entries_of(path)] == ["a.jpg", "b.jpg"]


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
            entries_of(path)


def test_a_negative_size_in_metadata_is_an_error(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        entry = tarfile.TarInfo("a.jpg")
        entry.pax_headers = {"size": "-1024"}
        archive.addfile(entry)
    with pytest.raises(MediaError, match="no header at byte 1,024"):
        entries_of(path)


def test_sparse_files_are_marked_and_their_maps_skipped(tmp_path):
    path = tmp_path / "a.tar"
    sparse = bytearray(tarfile.TarInfo("s.png").tobuf(format=tarfile.GNU_FORMAT))
    sparse[156:157], sparse[124:136], sparse[483:495] = b"S", b"%011o\0" % 512, b"%011o\0" % 2**30
    sparse[482] = 1  # two blocks of its map follow
    sparse[148:156] = b" " * 8
    sparse[148:156] = b"%06o\0 " % sum(sparse)
    more = bytearray(512)
    more[504] = 1
    posix = tarfile.TarInfo("p.png")
    posix.pax_headers = {"GNU.sparse.realsize": "700", "GNU.sparse.name": "q.png"}
    content = [sparse, more, bytes(512), b"x" * 512, posix.tobuf(format=tarfile.PAX_FORMAT)]
    path.write_bytes(b"".join([*content, tarfile.TarInfo("b.png").tobuf(), bytes(1024)]))
    found = [(entry.name, entry.sparse_size) for entry in entries_of(path)]
    assert found == [("s.png", 2**30), ("q.png", 700), ("b.png", None)]
    with tarfile.open(path) as archive:
        assert [entry.name for entry in archive][::2] == ["s.png", "b.png"]


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_damaged_archive_gives_entries_inside_it_or_a_media_error(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "damaged.tar"
    content = bytearray(write(path, FORMATS["pax"], NAMES[:3]).read_bytes()[:6144])
    for position in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=6)):
        content[position] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        entries = entries_of(path)
    except MediaError:
        return
    assert all(0 <= entry.start <= entry.start + entry.size <= len(content) for entry in entries)
