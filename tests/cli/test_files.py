"""Which files arguments name."""

import os

from imagebind.cli.files import expand


def test_a_folder_stands_for_the_files_below_it_in_order(tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("c.txt", "b/a.txt", ".hidden", "a.txt"):
        (tmp_path / name).write_text("x")
    found = [path.relative_to(tmp_path).as_posix() for path in expand([tmp_path])]
    assert found == ["a.txt", "c.txt", "b/a.txt"]
    assert list(expand([tmp_path / ".hidden"])) == [tmp_path / ".hidden"]  # asked for by name
    assert [path.name for path in expand([tmp_path], without=[tmp_path / "c.txt"])] == ["a.txt", "a.txt"]


def test_a_folder_that_cannot_be_listed_is_not_passed_over_in_silence(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", os.fspath(path))

    monkeypatch.setattr(os, "scandir", refuse)
    assert list(expand([tmp_path])) == [tmp_path]
