"""Every file under the roots is found once, in a constant order."""

import os
from pathlib import Path

import pytest

from imagebind.errors import MediaError
from imagebind.media.discover import FoundFile, check_roots, discover
from tests.search.crawled import open_to_all, unprivileged


def fill(folder: Path, *names: str | bytes) -> None:
    for name in names:
        path = folder / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")


def names(*roots: Path, without=()) -> list[str]:
    """Return the found paths relative to the first root; errors in angle brackets."""
    found = discover(check_roots(roots), without=without)
    paths = [
        (f"<{os.path.relpath(f.item, roots[0])}>" if isinstance(f, MediaError) else f.path) for f in found
    ]
    return [path if isinstance(path, str) else os.path.relpath(path, roots[0]) for path in paths]


def test_files_are_sorted_by_name_with_size_and_time_and_without_hidden_ones(tmp_path):
    fill(tmp_path, "b/2.png", "b/10.png", "a.png", ".hidden.png", ".git/x.png", "b/.DS_Store", "c/d/e.txt")
    assert names(tmp_path) == ["a.png", "b/10.png", "b/2.png", "c/d/e.txt"]
    first = next(discover([tmp_path]))
    status = (tmp_path / "a.png").stat()
    assert (first.size, first.mtime_ns) == (1, status.st_mtime_ns)
    assert first.root == tmp_path and first.relative == Path("a.png")


def test_a_hidden_folder_is_walked_if_it_is_a_root(tmp_path):
    fill(tmp_path, ".photos/a.png")
    assert names(tmp_path / ".photos") == ["a.png"]


def test_a_loop_of_links_is_walked_once_and_ends(tmp_path):
    fill(tmp_path, "a/x.png", "b/y.png")
    (tmp_path / "a" / "to_b").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "to_a").symlink_to(tmp_path / "a")
    (tmp_path / "b" / "up").symlink_to("..")
    assert names(tmp_path) == ["a/x.png", "b/y.png"]


def test_a_linked_folder_elsewhere_is_walked_by_the_path_of_the_link(tmp_path):
    fill(tmp_path, "far/x.png", "root/y.png")
    (tmp_path / "root" / "a_link").symlink_to(tmp_path / "far")
    assert names(tmp_path / "root") == ["y.png", "a_link/x.png"]


def test_folders_under_two_roots_and_files_named_twice_are_found_once(tmp_path):
    fill(tmp_path, "a/x.png", "a/b/y.png")
    assert names(tmp_path, tmp_path / "a" / "b") == ["a/x.png", "a/b/y.png"]
    file = tmp_path / "a" / "x.png"
    assert names(tmp_path, file, file) == ["a/x.png", "a/b/y.png"]
    assert [found.relative for found in discover([file])] == [Path("x.png")]


def test_excluded_files_and_folders_are_left_out_by_any_path_to_them(tmp_path):
    fill(tmp_path, "media/db/data.bin", "media/x.png", "media/db.errors.jsonl")
    excluded = [tmp_path / "media" / "db", tmp_path / "media" / "db.errors.jsonl"]
    (tmp_path / "media" / "link").symlink_to(excluded[0])
    assert names(tmp_path / "media", without=excluded) == ["x.png"]


def test_broken_and_circular_links_are_yielded_as_errors(tmp_path):
    (tmp_path / "gone.png").symlink_to(tmp_path / "nothing")
    (tmp_path / "self.png").symlink_to(tmp_path / "self.png")
    fill(tmp_path, "x.png")
    assert names(tmp_path) == ["<gone.png>", "<self.png>", "x.png"]
    errors = [str(found) for found in discover([tmp_path]) if isinstance(found, MediaError)]
    assert "No such file" in errors[0] and "symbolic links" in errors[1]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX")
def test_pipes_are_skipped(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    fill(tmp_path, "x.png")
    assert names(tmp_path) == ["x.png"]


def test_a_folder_that_cannot_be_listed_is_an_error_and_the_others_are_walked():
    with open_to_all() as folder:
        fill(folder, "closed/x.png", "open/y.png")
        (folder / "closed").chmod(0)
        with unprivileged():
            found = list(discover([folder]))
        error, file = found
        assert isinstance(error, MediaError) and "closed" in error.item and "Permission denied" in str(error)
        assert isinstance(file, FoundFile) and file.path.name == "y.png"


def test_files_with_unusual_names_are_found(tmp_path):
    odd = [
        "two\nlines.png",
        "it's.png",
        '"quoted".png',
        "🐶.png",
        "[b].png",
        "n" * 251 + ".png",
        b"caf\xe9.png",
    ]
    fill(tmp_path, *odd)
    assert {found.path.name for found in discover([tmp_path])} == {os.fsdecode(name) for name in odd}


def test_a_missing_root_raises_an_error_before_the_walk(tmp_path):
    with pytest.raises(MediaError, match=r"medai: cannot be found \(No such file"):
        check_roots([tmp_path, tmp_path / "medai"])
