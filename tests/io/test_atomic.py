"""Files get their names only when they are complete."""

import os

import pytest

from imagebind.io.atomic import TEMPORARY_NAME, flush_to_disk, replacing, replacing_all


def test_a_file_is_replaced_at_the_end(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert temporary.parent == tmp_path and TEMPORARY_NAME.fullmatch(temporary.name)
        assert path.read_text() == "old"
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_an_exception_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_of_several_files_all_or_none_are_replaced(tmp_path, monkeypatch):
    def write() -> None:
        with replacing_all() as temporary_for:
            for name in "ab":
                temporary_for(tmp_path / name).write_text(name)

    def full_disk(descriptor: int) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(os, "fsync", full_disk)
        write()
    assert list(tmp_path.iterdir()) == []
    write()
    assert sorted(path.read_text() for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_file_may_have_the_longest_possible_name(tmp_path):
    path = tmp_path / ("ü" * 127 + "x")  # 255 bytes
    with replacing(path) as temporary:
        temporary.touch()
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_can_be_flushed(tmp_path):
    flush_to_disk(tmp_path)
