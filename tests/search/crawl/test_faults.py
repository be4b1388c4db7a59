"""The crawl with faults: no row lost or duplicated, each failure named."""

import json
import multiprocessing
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from imagebind.errors import warn_of
from imagebind.modality import MediaKind
from imagebind.search import Index, SearchIndexError, thumbnails
from imagebind.search.crawl import writer
from imagebind.search.lock import IndexBusyError
from imagebind.toyworld import write_world
from imagebind.windows import WindowPlanner
from tests.search.crawl.conftest import FILES, SCENES
from tests.search.crawled import crawl_in_steps, crawled, open_to_all, outcomes, tiny, unprivileged, vectors

ROWS_PER_COMMIT = 3


def start_crawl(db: Path, media: Path) -> multiprocessing.process.BaseProcess:
    """Start a crawl in a process forked from one that has imported everything; return it once it runs."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.search.crawled", "lancedb"])
    running = context.Event()
    process = context.Process(target=crawl_in_steps, args=(db, media, ROWS_PER_COMMIT, running))
    process.start()
    assert running.wait(60)
    return process


def kill_at_random(media: Path, folder: Path, *, kills: int, rng: np.random.Generator) -> int:
    """Kill crawls of one index, let one end, and compare the index with that of an uninterrupted crawl.

    Return how many kills left the index with some of the files.
    """
    uninterrupted, db = folder / "uninterrupted", folder / "killed"
    whole = start_crawl(uninterrupted, media)
    began = time.monotonic()
    whole.join()
    seconds = time.monotonic() - began
    assert whole.exitcode == 0
    expected = vectors(uninterrupted, media)
    rows, partial = 0, 0
    for _ in range(kills):
        process = start_crawl(db, media)
        time.sleep(seconds * rng.uniform(0, 0.7))
        process.kill()
        process.join()
        if (db / "items.lance").is_dir():
            found = vectors(db, media)  # fails if a row occurs twice
            assert len(found) >= rows, "rows were lost"
            rows = len(found)
            partial += 0 < rows < len(expected)
    last = start_crawl(db, media)
    last.join()
    assert last.exitcode == 0
    found = vectors(db, media)
    assert found.keys() == expected.keys()
    for row, vector in expected.items():
        np.testing.assert_allclose(found[row], vector, atol=1e-5, err_msg=str(row))
    return partial


def test_a_crawl_killed_repeatedly_has_the_same_result(media, tmp_path):
    kill_at_random(media, tmp_path, kills=3, rng=np.random.default_rng(0))


@pytest.mark.huge
def test_a_crawl_killed_fifty_times_has_the_same_result(media, tmp_path):
    rng, partial = np.random.default_rng(1), 0
    for number in range(10):
        folder = tmp_path / str(number)
        folder.mkdir()
        partial += kill_at_random(media, folder, kills=5, rng=rng)
    assert partial >= 10


def test_of_two_crawls_at_once_one_runs_and_the_other_fails(media, db):
    counts = []

    def meanwhile(report, total):
        if not counts:
            with pytest.raises(IndexBusyError, match=rf"media\.lance: process {os.getpid()}"):
                crawled(db, media)
            counts.append(report.seen)

    assert outcomes(crawled(db, media, progress=meanwhile)) == {"added": SCENES * FILES} and counts


def test_committed_rows_are_found_during_the_crawl(media, db, monkeypatch):
    monkeypatch.setattr(writer, "COMMIT_ROWS", 4)
    hits = []

    def meanwhile(report, total):
        if report.rows > sum(hits[-1:]):  # a commit has added rows
            hits.append(len(Index.open(db, tiny()).search("a star", 99)))

    crawled(db, media, progress=meanwhile)
    assert hits == sorted(hits) and len(hits) > 3 and hits[-1] == SCENES * FILES


def test_damaged_files_do_not_affect_others(media, db, tmp_path):
    rng = np.random.default_rng(0)
    damaged = set()
    for scene in ("000000", "000002"):
        for name in ("image.png", "video.mp4", "audio.wav", "depth.png", "imu.csv", "image.txt"):
            path = media / scene / name
            content = bytearray(path.read_bytes()[: 900 if scene == "000000" else None])
            if scene == "000002":
                content[: len(content) // 2] = rng.bytes(len(content) // 2)
            path.write_bytes(content)
            damaged.add(path)
    report = crawled(db, media, errors=tmp_path / "errors.jsonl")
    found = outcomes(report)
    # A truncated text is still a text.
    kept = {path for path in map(Path, Index.open(db).files()) if path in damaged}
    assert kept <= {media / "000000" / name for name in ("image.txt", "audio.wav", "imu.csv")}
    good = SCENES * FILES - len(damaged)
    not_media = report.not_media.total() - 1  # damaged tables, without the manifest
    assert found["added"] == good + len(kept) and found["failed"] == len(damaged) - len(kept) - not_media
    assert len((tmp_path / "errors.jsonl").read_text().splitlines()) == found["failed"]
    assert all(failure.path in failure.error for failure in report.failures)


@pytest.mark.huge
def test_two_hundred_damaged_files_do_not_affect_eight_hundred_others(tmp_path):
    """200 files are truncated or partly overwritten by noise; the other 800 keep their vectors."""
    media = tmp_path / "media"
    write_world(media, 125, seed=5)
    crawled(tmp_path / "before", media)
    expected = vectors(tmp_path / "before", media)
    files = sorted(path for path in media.rglob("*") if path.is_file() and path.parent != media)
    assert len(files) == 1000
    rng = np.random.default_rng(0)
    damaged = {files[index] for index in rng.choice(1000, 200, replace=False)}
    for path in damaged:
        content = bytearray(path.read_bytes())
        if rng.random() < 0.5:
            del content[rng.integers(len(content)) :]
        else:
            start = rng.integers(len(content) // 2)
            length = max(len(content) // 4, 1)
            content[start : start + length] = rng.bytes(length)
        path.write_bytes(content)
    report = crawled(tmp_path / "after", media, errors=tmp_path / "errors.jsonl")
    found = vectors(tmp_path / "after", media)
    good = {row for row in expected if media / row[0] not in damaged}
    assert good <= found.keys()
    for row in good:
        np.testing.assert_allclose(found[row], expected[row], atol=1e-5, err_msg=str(row))
    written = [json.loads(line) for line in (tmp_path / "errors.jsonl").read_text().splitlines()]
    lines = [line for line in written if "error" in line]
    failed = {Path(line["path"]) for line in lines}
    warned = {Path(line["path"]) for line in written if "warning" in line}
    assert failed | warned <= damaged and len(failed) == len(lines) > 50
    assert all(line["path"] in line["error"] for line in lines)
    read = {media / path for path, *_ in found} & damaged  # texts, and files that can still be decoded
    not_media = report.not_media.total() - 1  # not recognised as media, without the manifest
    assert len(failed | read) + not_media == 200 and not failed & read


@pytest.mark.parametrize("times", [1, 9])
def test_a_file_that_changes_while_it_is_read_is_read_again_once(media, db, monkeypatch, times):
    changing, other = media / "000000" / "image.png", media / "000001" / "image.png"
    changed = []

    def inspect(views):
        if views.kind is MediaKind.IMAGE and len(changed) < times:
            shutil.copy(other, changing)
            os.utime(changing, ns=(len(changed), len(changed)))
            changed.append(True)
        return thumbnails.thumbnails(views)

    monkeypatch.setattr("imagebind.search.crawl.embed.thumbnails", inspect)
    report = crawled(db, media)
    if times == 1:
        assert outcomes(report) == {"added": SCENES * FILES}
        found = vectors(db, media)
        np.testing.assert_allclose(
            found["000000/image.png", "image", None], found["000001/image.png", "image", None], atol=1e-5
        )
    else:
        assert outcomes(report) == {"added": SCENES * FILES - 1, "failed": 1}
        assert "got one that changed twice while it was read" in report.failures[0].error


def test_a_file_deleted_while_it_is_read_is_named(media, db, monkeypatch):
    def inspect(views):
        (media / "000000" / "image.png").unlink(missing_ok=True)
        return thumbnails.thumbnails(views)

    monkeypatch.setattr("imagebind.search.crawl.embed.thumbnails", inspect)
    report = crawled(db, media)
    assert outcomes(report) == {"added": SCENES * FILES - 1, "failed": 1}
    assert "image.png: cannot be found" in report.failures[0].error


def test_warnings_are_kept_once_per_file_from_planning_and_embedding(media, db, tmp_path, monkeypatch):
    plan = WindowPlanner.requests

    def doubtful(self, path, kind, options):
        if kind is MediaKind.IMU:
            warn_of(str(path), "a gap")
        return plan(self, path, kind, options)

    monkeypatch.setattr(WindowPlanner, "requests", doubtful)
    tone = np.sin(np.arange(30 * 16_000) / 10) * 0.5
    soundfile.write(media / "opposite.wav", np.stack([tone, -tone], axis=1), 16_000)
    errors = tmp_path / "errors.jsonl"
    report = crawled(db, media, errors=errors)
    lines = [json.loads(line) for line in errors.read_text().splitlines()]
    assert "failed" not in outcomes(report) and report.failures == []
    assert report.warned_files == len(lines) == len({line["path"] for line in lines}) == SCENES + 1
    assert {line["kind"] for line in lines} == {"Warning"}
    texts = [line["warning"][:16] for line in lines]
    assert texts.count("a gap") == SCENES and texts.count("the channels can") == 1
    assert [warning.record for warning in report.warnings] == lines


def test_unreadable_files_and_folders_are_named_and_keep_their_rows(world):
    with open_to_all() as folder:
        media, db = Path(shutil.copytree(world, folder / "media")), folder / "db"
        media.chmod(0o755)
        crawled(db, media)
        for path in (db, *db.rglob("*")):
            os.chown(path, 65534, 65534)
        (media / "000000" / "image.png").chmod(0)
        os.utime(media / "000000" / "image.png")
        (media / "000001").chmod(0)
        with unprivileged():
            report = crawled(db, media, prune=True)
        named = {Path(failure.path).name for failure in report.failures}
        assert named == {"image.png", "000001"} and all(
            "ermission denied" in f.error for f in report.failures
        )
        assert len(Index.open(db)) == SCENES * FILES and "removed" not in outcomes(report)


def test_an_index_that_cannot_be_written_to_is_named(world):
    with open_to_all() as folder:
        media, db = Path(shutil.copytree(world, folder / "media")), folder / "db"
        media.chmod(0o755)
        crawled(db, media / "000000")
        with (
            unprivileged(),
            pytest.raises(SearchIndexError, match=rf"{db}: cannot be written to .*ermission"),
        ):
            crawled(db, media)
        assert len(Index.open(db)) == FILES


@contextmanager
def small_disk(folder: Path, megabytes: float) -> Iterator[Path]:
    """Mount a file system of a few megabytes; skip the test if that is impossible."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={round(megabytes * 1024)}k", "tmpfs", str(folder)]
    if (
        os.geteuid() != 0
        or shutil.which("mount") is None
        or subprocess.run(mount, capture_output=True).returncode
    ):
        pytest.skip("no file system can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_named_and_committed_rows_stay(media, tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "COMMIT_ROWS", ROWS_PER_COMMIT)
    with small_disk(tmp_path / "disk", 0.15) as disk:
        db = disk / "db"
        with pytest.raises(SearchIndexError, match=rf"{db}: cannot be written to .*[Nn]o space"):
            crawled(db, media)
        committed = vectors(db, media)
        assert 0 < len(committed) < SCENES * FILES
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        report = crawled(db, media)
        assert outcomes(report) == {"unchanged": len(committed), "added": SCENES * FILES - len(committed)}
        assert len(vectors(db, media)) == SCENES * FILES
