"""`imagebind index`: folders are indexed, failures are named, and wrong arguments are errors at once."""

import io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imagebind.cli.files import error_path
from imagebind.search import Index


@pytest.fixture
def media(tmp_path, image_file, audio_file, deep_grey_file) -> Path:
    """An image, audio, a text and a file that is not media."""
    folder = tmp_path / "my media"
    folder.mkdir()
    for file in (image_file, audio_file):
        shutil.copy(file, folder)
    (folder / "note.txt").write_text("a red star")
    (folder / "paper.pdf").write_bytes(b"%PDF-1.7\n\xff\xfe")
    return folder


@pytest.fixture
def db(tmp_path) -> Path:
    return tmp_path / "media.lance"


def test_a_folder_is_indexed_and_the_last_line_is_a_search_command(imagebind, media, db):
    run = imagebind("index", media, "--db", db, "-w", "tiny")
    assert run.code == 0 and run.out == "" and "4 files in" in run.err and "3 rows written" in run.err
    assert "1 file left out (not media, or part of a recording): 1 .pdf" in run.err
    *_, last = run.err.strip().splitlines()
    assert last == f"search it: imagebind search {db} --text 'a red star'"
    run = imagebind("search", db, "--text", "a red star", "-w", "tiny", "--only", "text", "--json")
    assert json.loads(run.out)["path"] == str(media / "note.txt")


def test_a_second_run_indexes_changed_files_and_counts_missing_ones(imagebind, media, db):
    imagebind("index", media, "--db", db, "-w", "tiny")
    (media / "note.txt").write_text("a blue ring")
    next(media.glob("*.wav")).unlink()
    run = imagebind("index", media, "--db", db, "-w", "tiny")
    header, *rows = [
        line.split() for line in run.err.splitlines() if "unchanged" in line or line.startswith(" ")
    ]
    assert header == ["unchanged", "changed"] and rows == [["image", "1"], ["text", "1"]]
    assert run.code == 0 and "1 file in the index no longer exist; --prune removes them" in run.err
    run = imagebind("index", media, "--db", db, "-w", "tiny", "--prune")
    assert "removed" in run.err and "no longer exist" not in run.err
    assert len(Index.open(db)) == 2


def test_failures_are_named_in_a_file_until_there_are_none(imagebind, media, db, image_file, deep_grey_file):
    (media / "cut [1].jpg").write_bytes(image_file.read_bytes()[:2000])
    shutil.copy(deep_grey_file, media / "scan1.png")
    run = imagebind("index", media, "--db", db, "-w", "tiny")
    errors = Path(f"{db}.errors.jsonl")
    assert run.code == 1 and "Traceback" not in run.err and f"all failures are in {errors}" in run.err
    assert "cut [1].jpg" in run.err and "--map '*.png=depth'" in run.err
    lines = {Path(line["path"]).name: line for line in map(json.loads, errors.read_text().splitlines())}
    assert {name: line["kind"] for name, line in lines.items()} == {
        "cut [1].jpg": "UnreadableMediaError",
        "scan1.png": "AmbiguousMediaError",
    }
    (media / "cut [1].jpg").unlink()
    run = imagebind("index", media, "--db", db, "-w", "tiny", "--map", "scan*.png=depth:kinect_v1")
    assert run.code == 0 and not errors.exists() and len(Index.open(db)) == 4


def test_warnings_are_listed_once_per_file_beside_failures_and_are_not_failures(
    imagebind, media, db, opposite_file
):
    shutil.copy(opposite_file, media)  # several of its windows cause the warning
    run = imagebind("index", media, "--db", db, "-w", "tiny", "--window", "2")
    errors = Path(f"{db}.errors.jsonl")
    assert run.code == 0 and f"warnings about 1 file in {errors}" in run.err
    (line,) = map(json.loads, errors.read_text().splitlines())
    assert line.keys() == {"path", "warning", "kind"} and line["kind"] == "Warning"
    assert line["path"] == str(media / opposite_file.name) and line["warning"] in run.err
    run = imagebind("index", media, "--db", db, "-w", "tiny")  # unchanged
    assert run.code == 0 and not errors.exists() and "cancel out" not in run.err


def test_on_a_terminal_an_ambiguous_media_type_is_asked_for(
    imagebind, media, db, deep_grey_file, monkeypatch
):
    for name in ("scan1.png", "scan2.png"):
        shutil.copy(deep_grey_file, media / name)
    answers = io.StringIO("depht\ndepth:kinect_v2\n")
    monkeypatch.setattr(answers, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", answers)
    monkeypatch.setattr(type(sys.stderr), "isatty", lambda self: True)
    run = imagebind("index", media, "--db", db, "-w", "tiny")
    assert run.code == 0, run.err
    assert run.err.count("Media type of these files in") == 2  # the first answer was invalid
    assert "(depth, thermal, skip)" in run.err and "'depht': expected one of" in run.err
    assert sum(hit.kind.value == "depth" for hit in Index.open(db).sample(9)) == 2


def test_long_recordings_have_windows_of_the_given_length(imagebind, tmp_path, audio_file, db):
    run = imagebind("index", audio_file, "--db", db, "-w", "tiny", "--window", 3, "--hop", 2)  # 7 s
    assert run.code == 0 and sorted(hit.start for hit in Index.open(db).sample(9)) == [0, 2, 4]


def test_windows_overlap_by_half_by_default(imagebind, tmp_path, audio_file, db):
    run = imagebind("index", audio_file, "--db", db, "-w", "tiny", "--window", 4)  # 7 s
    assert run.code == 0 and sorted(hit.start for hit in Index.open(db).sample(9)) == [0, 2, 3]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--map", "*.png=depht"], "depht"),
        (["--map", "*.png=depth:kinect"], "kinect_v1"),
        (["--hop", "20"], "--window"),
        (["--window", "-3"], "expected finite seconds of at least 0.04, got -3"),
        (["--hop", "0"], "expected 0.04 to 10 seconds (--window), got 0"),
        (["--batch-size", "0"], "--batch-size"),
        (["--actors", "2"], "--engine ray"),
        (["--engine", "ray", "--device", "mps"], "cpu or cuda"),
    ],
)
def test_wrong_arguments_are_usage_errors_before_a_model_is_loaded(
    imagebind, media, db, arguments, message, monkeypatch
):
    monkeypatch.setattr("imagebind.cli.index.load_embedder", None)
    run = imagebind("index", media, "--db", db, *arguments)
    assert run.code == 2 and message in run.err and not db.exists()


def test_a_missing_folder_and_a_damaged_index_are_errors_before_a_model_is_loaded(
    imagebind, media, db, monkeypatch
):
    monkeypatch.setattr("imagebind.cli.index.load_embedder", None)
    run = imagebind("index", media / "nowhere", "--db", db)
    assert run.code == 1 and "nowhere: cannot be found" in run.err and not db.exists()
    versions = db / "items.lance" / "_versions"
    versions.mkdir(parents=True)
    (versions / "1.manifest").write_bytes(b"damaged")
    run = imagebind("index", media, "--db", db)
    assert run.code == 1 and str(db) in run.err and "Traceback" not in run.err


def test_a_folder_with_other_files_is_not_written_to(imagebind, media):
    before = sorted(media.iterdir())
    run = imagebind("index", media, "--db", media, "-w", "tiny")
    assert run.code == 1 and "expected a new folder" in run.err and sorted(media.iterdir()) == before


def test_two_folders_are_indexed_together(imagebind, media, tmp_path, db):
    other = tmp_path / "other"
    other.mkdir()
    Image.fromarray(np.zeros((20, 20, 3), dtype=np.uint8)).save(other / "black.png")
    assert imagebind("index", media, other, "--db", db, "-w", "tiny").code == 0
    assert len(Index.open(db)) == 4


def test_failures_are_written_beside_the_index_or_where_the_command_is_called():
    assert error_path("a/media.lance/") == Path("a/media.lance.errors.jsonl")
    assert error_path("s3://bucket/media.lance") == Path("media.lance.errors.jsonl")


def test_a_folder_in_a_store_is_indexed_and_later_only_its_changed_files(imagebind, memory, db, image_file):
    memory.put_file(str(image_file), "/media/deeper/star.jpg")
    memory.pipe_file("/media/note.txt", b"a red star")
    arguments = ["index", "memory://media", "--db", db, "-w", "tiny"]
    run = imagebind(*arguments, "--map", "deeper/*=image")
    assert run.code == 0 and "2 rows written" in run.err
    assert sorted(Index.open(db).files()) == ["memory://media/deeper/star.jpg", "memory://media/note.txt"]
    memory.pipe_file("/media/note.txt", b"a blue ring")
    assert "1 rows written" in imagebind(*arguments).err
    memory.rm_file("/media/note.txt")
    imagebind(*arguments, "--prune")
    assert list(Index.open(db).files()) == ["memory://media/deeper/star.jpg"]
