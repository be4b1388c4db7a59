"""Adding an engine's output to an index: all rows, each once."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagebind.checkpoints.factory import load_model
from imagebind.distributed import to_index
from imagebind.distributed.crawl_ahead import Engine, crawl_ahead
from imagebind.distributed.job import EmbedJob, prepare
from imagebind.distributed.to_index import add_partitions
from imagebind.distributed.worker import PartDone
from imagebind.embedder import Embedder
from imagebind.errors import ImageBindError
from imagebind.intake.mapping import parse_mapping
from imagebind.modality import MediaKind
from imagebind.search import Index, SpaceMismatchError
from imagebind.search.crawl.crawler import crawl
from imagebind.search.crawl.report import FileOutcome
from tests.distributed.made import run_here, write_table, write_tar
from tests.search.recorded import write_film


@pytest.fixture
def media(tmp_path, image_file, audio_file, video_file) -> Path:
    """A folder with one file of each of some kinds, and a bad one."""
    folder = tmp_path / "media"
    folder.mkdir()
    for file in (image_file, audio_file, video_file):
        (folder / file.name).symlink_to(file)
    (folder / "star.txt").write_text("a red star")
    (folder / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    return folder


@pytest.fixture
def output(tmp_path, tiny, media) -> Path:
    job = prepare(sorted(path.name for path in media.iterdir()), tmp_path / "out", partitions=3, base=media)
    run_here(job, tiny)
    return tmp_path / "out"


def test_an_index_of_an_output_finds_what_is_in_it(tmp_path, tiny, media, output):
    index = Index.open(tmp_path / "db", tiny, create=True)
    assert add_partitions(index, output) == len(index) == 4
    hit = index.search("a red star", 1, kinds=["text"])[0]
    assert hit.file == media / "star.txt" and hit.cosine == pytest.approx(1, abs=1e-5)
    assert index.stats().kinds == dict.fromkeys(
        (MediaKind.IMAGE, MediaKind.VIDEO, MediaKind.AUDIO, MediaKind.TEXT), 1
    )


def test_adding_an_output_again_or_after_a_kill_adds_nothing_twice(
    tmp_path, tiny, output, media, monkeypatch
):
    index = Index.open(tmp_path / "db", tiny, create=True)
    index.add([media / "star.txt"])  # by hand, before
    monkeypatch.setattr(to_index, "COMMIT_ROWS", 1)
    commits = []

    def stop(rows: int) -> None:
        commits.append(rows)
        if len(commits) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        add_partitions(index, output, progress=stop)
    for _ in range(2):
        add_partitions(index, output)
        assert len(index) == len(index.files()) == 4


def test_a_path_whose_rows_are_in_several_parts_keeps_all_of_them(tmp_path, tiny, audio_file):
    table = write_table(
        tmp_path / "t.parquet", {"path": [str(audio_file)] * 2, "modality": ["audio", None]}, group_rows=1
    )
    job = prepare([str(table)], tmp_path / "out", partitions=2)
    run_here(job, tiny)
    index = Index.open(tmp_path / "db", tiny, create=True)
    assert len(job.parts) == 2 and add_partitions(index, tmp_path / "out") == len(index) == 2
    assert len(index.files()) == 1


def test_a_path_that_goes_up_and_down_again_is_the_one_that_a_crawl_finds(tmp_path, tiny, media):
    (tmp_path / "work").mkdir()
    shutil.copy(media / "star.txt", media / "ring.txt")
    sources = ["../media/./star.txt", f"{tmp_path}/work/../media/ring.txt"]
    run_here(prepare(sources, tmp_path / "out", base=tmp_path / "work"), tiny)
    index = Index.open(tmp_path / "db", tiny, create=True)
    add_partitions(index, tmp_path / "out")
    assert set(index.files()) == {str(media / "star.txt"), str(media / "ring.txt")}
    crawl(index, [media])
    (media / "star.txt").unlink()
    crawl(index, [media], prune=True)
    assert set(index.files()) == {str(file) for file in media.iterdir() if file.name != "bad.png"}


def test_items_of_a_table_are_never_files_of_the_index(tmp_path, tiny):
    secret = tmp_path / "secret.txt"
    secret.write_text("a key")
    said = [str(secret), "../secret.txt", "..", f"file://{secret}", None]
    table = write_table(
        tmp_path / "t.parquet",
        {"path": said, "bytes": [f"star {number}".encode() for number in range(5)], "modality": ["text"] * 5},
    )
    shard = write_tar(tmp_path / "s.tar", {"../secret.txt": b"a star", "/../../secret.txt": b"a ring"})
    (tmp_path / "t.parquet#4").symlink_to(secret)
    run_here(prepare([str(table), str(shard)], tmp_path / "out"), tiny)
    index = Index.open(tmp_path / "db", tiny, create=True)
    assert add_partitions(index, tmp_path / "out") == 7
    assert not [hit.path for hit in index.sample(10) if hit.file.exists()]


def test_an_unfinished_output_and_another_folder_are_refused(tmp_path, tiny, output):
    index = Index.open(tmp_path / "db", tiny, create=True)
    (output / "part-000001.parquet").unlink()
    with pytest.raises(ImageBindError, match="1 of 3 parts are missing"):
        add_partitions(index, output)
    with pytest.raises(ImageBindError, match="no manifest found"):
        add_partitions(index, tmp_path / "media")
    assert len(index) == 0


def test_an_output_of_another_space_is_refused_with_both_named(tmp_path, small_weights, output):
    index = Index.open(tmp_path / "db", Embedder(load_model(small_weights)), create=True)
    with pytest.raises(SpaceMismatchError, match=r"got vectors of space imagebind_tiny .*; expected custom "):
        add_partitions(index, output)


def test_a_crawl_finds_nothing_left_to_do_after_an_engine_has_crawled_ahead(tmp_path, tiny, media):
    (media / "deep").mkdir()
    shutil.copy(media / "star.txt", media / "deep" / "map.prose")
    roots, mappings = [media], [parse_mapping("deep/*.prose=text")]
    ahead = Index.open(tmp_path / "ahead", tiny, create=True)
    crawl_ahead(ahead, roots, lambda job: run_here(job, tiny), mappings=mappings, partitions=3)
    report = crawl(ahead, roots, mappings=mappings)
    assert report.total(FileOutcome.ADDED) == report.total(FileOutcome.CHANGED) == 0
    assert report.total(FileOutcome.UNCHANGED) == 5 and report.total(FileOutcome.FAILED) == 1
    alone = Index.open(tmp_path / "alone", tiny, create=True)
    crawl(alone, roots, mappings=mappings)
    assert contents(ahead) == contents(alone) and len(ahead) == 5
    assert not (tmp_path / "ahead.partitions").exists()


def test_an_engine_that_was_killed_has_its_parts_added_and_does_the_rest(tmp_path, tiny, media):
    index = Index.open(tmp_path / "db", tiny, create=True)

    def stop_after_two(job):
        job.parts[2:] = []
        yield from run_here(job, tiny)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        crawl_ahead(index, [media], stop_after_two, partitions=5)
    assert len(index) == 0
    seen: list[str] = []
    crawl_ahead(index, [media], noting(tiny, seen))
    assert len(seen) == 4 and len(index.files()) == 4


def noting(embedder: Embedder, seen: list[str]) -> Engine:
    """An engine in this process that notes what it is given."""

    def engine(job: EmbedJob) -> Iterator[PartDone]:
        seen.extend(item.name for part in job.parts for item in part.items())
        return iter(run_here(job, embedder))

    return engine


def test_tables_and_archives_in_a_folder_are_no_media_to_the_engine_as_to_a_crawl(tmp_path, tiny, image_file):
    media, seen = tmp_path / "media", []
    media.mkdir()
    (media / "star.txt").write_text("a red star")
    (media / "notes.pdf").write_bytes(b"%PDF-1.4 \x00\xff")
    write_table(media / "t.parquet", {"path": [str(image_file)]})
    write_table(media / "words.parquet", {"bytes": [b"a ring"], "modality": ["text"]})
    write_tar(media / "s.tar", {"0.txt": b"a ring"})
    index = Index.open(tmp_path / "db", tiny, create=True)
    assert crawl_ahead(index, [media], noting(tiny, seen)) == 1
    assert seen == list(index.files()) == [str(media / "star.txt")]
    assert crawl_ahead(index, [media], noting(tiny, seen)) == 0
    report = crawl(index, [media])
    assert report.not_media == {".pdf": 1, ".parquet": 2, ".tar": 1} and report.total(FileOutcome.FAILED) == 0


def test_a_table_mapped_to_a_media_type_is_given_to_the_engine_as_a_file(tmp_path, tiny):
    media, seen = tmp_path / "media", []
    media.mkdir()
    write_table(media / "t.parquet", {"path": ["elsewhere.txt"]})
    index = Index.open(tmp_path / "db", tiny, create=True)
    crawl_ahead(index, [media], noting(tiny, seen), mappings=[parse_mapping("*.parquet=text")])
    assert seen == [str(media / "t.parquet")]


def test_a_video_is_embedded_again_if_mapped_to_audio_but_not_if_mapped_to_video(tmp_path, tiny):
    film = tmp_path / "film.mp4"
    write_film(film, 3)
    index = Index.open(tmp_path / "db", tiny, create=True)
    crawl_ahead(index, [film], noting(tiny, []))
    for said, count, kinds in (
        ("video", 0, {MediaKind.VIDEO, MediaKind.AUDIO}),
        ("audio", 1, {MediaKind.AUDIO}),
        ("audio", 0, {MediaKind.AUDIO}),
    ):
        assert (
            crawl_ahead(index, [film], noting(tiny, []), mappings=[parse_mapping(f"*.mp4={said}")]) == count
        )
        assert index.files()[str(film)].kinds == kinds


def contents(index: Index) -> set:
    return {
        (hit.path, hit.kind, hit.start, hit.end, hit.content_hash, hit.size, hit.mtime_ns, hit.thumbnail)
        for hit in index.sample(1000)
    }
