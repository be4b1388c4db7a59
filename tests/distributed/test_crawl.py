"""A crawl whose files an engine embeds: the rows and the report of a crawl in this process."""

import shutil
from collections.abc import Iterator

import pytest

from imagebind.distributed.crawl import Engine, on_engine, working_folder
from imagebind.distributed.job import EmbedJob
from imagebind.distributed.worker import PartDone
from imagebind.embedder import Embedder
from imagebind.intake.mapping import parse_mapping
from imagebind.modality import MediaKind
from imagebind.search import Index
from imagebind.search.crawl.crawler import crawl
from imagebind.search.crawl.report import CrawlReport
from tests.distributed.made import run_here, write_table, write_tar
from tests.search.crawled import outcomes
from tests.search.recorded import spoil_sound, write_film


def crawled(index: Index, roots, engine: Engine, *, partitions=None, **options) -> CrawlReport:
    embed = on_engine(engine, working_folder(index.uri), partitions=partitions)
    return crawl(index, roots, embed=embed, **options)


def noting(embedder: Embedder, seen: list[str]) -> Engine:
    """An engine in this process that notes what it is given."""

    def engine(job: EmbedJob) -> Iterator[PartDone]:
        seen.extend(item.name for part in job.parts for item in part.items())
        return iter(run_here(job, embedder))

    return engine


def contents(index: Index) -> set:
    return {
        (hit.path, hit.kind, hit.start, hit.end, hit.content_hash, hit.size, hit.mtime_ns, hit.thumbnail)
        for hit in index.sample(1000)
    }


def test_an_engine_gives_the_rows_and_the_report_of_a_crawl_alone_which_finds_nothing_left(
    tmp_path, tiny, media
):
    (media / "deep").mkdir()
    shutil.copy(media / "star.txt", media / "deep" / "map.prose")
    roots, mappings = [media], [parse_mapping("deep/*.prose=text")]
    index = Index.open(tmp_path / "db", tiny, create=True)
    first = crawled(index, roots, lambda job: run_here(job, tiny), mappings=mappings, partitions=3)
    assert outcomes(first) == {"added": 5, "failed": 1} and first.rows == 5
    assert outcomes(crawl(index, roots, mappings=mappings)) == {"unchanged": 5, "failed": 1}
    alone = Index.open(tmp_path / "alone", tiny, create=True)
    report = crawl(alone, roots, mappings=mappings)
    assert (report.counts, report.failures) == (first.counts, first.failures)
    assert contents(index) == contents(alone) and len(index) == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone", "db", "media"]


def test_an_engine_that_was_killed_has_its_parts_added_and_does_the_rest(tmp_path, tiny, media):
    index = Index.open(tmp_path / "db", tiny, create=True)

    def stop_after_two(job):
        job.parts[2:] = []
        yield from run_here(job, tiny)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        crawled(index, [media], stop_after_two, partitions=5)
    assert len(index) == 0
    seen: list[str] = []
    report = crawled(index, [tmp_path], noting(tiny, seen))
    assert len(seen) == 2 and len(index.files()) == 4
    assert outcomes(report) == {"added": 4, "failed": 1} and not report.not_media


def test_a_file_that_changed_after_an_engine_was_killed_is_embedded_again(tmp_path, tiny):
    media = tmp_path / "media"
    media.mkdir()
    for name in ("ring", "star"):
        (media / f"{name}.txt").write_text(f"a {name}")
    index = Index.open(tmp_path / "db", tiny, create=True)

    def stop(job):
        yield from run_here(job, tiny)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        crawled(index, [media], stop)
    (media / "star.txt").write_text("a blue star")
    seen: list[str] = []
    assert outcomes(crawled(index, [media], noting(tiny, seen))) == {"added": 2}
    assert seen == [str(media / "star.txt")]
    assert {hit.metadata["text"] for hit in index.sample(9)} == {"a ring", "a blue star"}


def test_moved_and_unchanged_files_are_not_given_to_the_engine(tmp_path, tiny, media):
    index = Index.open(tmp_path / "db", tiny, create=True)
    crawled(index, [media], noting(tiny, []))
    ids = {hit.id for hit in index.sample(9)}
    (media / "star.txt").rename(media / "moved.txt")
    (media / "ring.txt").write_text("a blue ring")
    (media / "bad.png").unlink()
    seen: list[str] = []
    assert outcomes(crawled(index, [media], noting(tiny, seen))) == {"added": 1, "moved": 1, "unchanged": 3}
    assert seen == [str(media / "ring.txt")] and ids < {hit.id for hit in index.sample(9)}


def test_an_answer_about_an_ambiguous_file_reaches_the_engine(tmp_path, tiny, deep_grey_file):
    index = Index.open(tmp_path / "db", tiny, create=True)
    answer = (MediaKind.THERMAL, {})
    crawled(index, [deep_grey_file], noting(tiny, []), ask=lambda found, error: answer)
    assert index.files()[str(deep_grey_file)].kinds == {MediaKind.THERMAL}


def test_a_video_with_damaged_audio_is_indexed_by_its_frames(tmp_path, tiny):
    film = write_film(tmp_path / "film.mp4", 5)
    spoil_sound(film)
    index = Index.open(tmp_path / "db", tiny, create=True)
    report = crawled(index, [film], noting(tiny, []))
    assert outcomes(report) == {"added": 1} and "audio" in report.failures[0].error
    assert [(hit.kind, hit.metadata) for hit in index.sample(9)] == [(MediaKind.VIDEO, {"unread": "audio"})]


def test_tables_and_archives_in_a_folder_are_no_media_to_the_engine_as_to_a_crawl(tmp_path, tiny, image_file):
    media, seen = tmp_path / "media", []
    media.mkdir()
    (media / "star.txt").write_text("a red star")
    (media / "notes.pdf").write_bytes(b"%PDF-1.4 \x00\xff")
    write_table(media / "t.parquet", {"path": [str(image_file)]})
    write_table(media / "words.parquet", {"bytes": [b"a ring"], "modality": ["text"]})
    write_tar(media / "s.tar", {"0.txt": b"a ring"})
    index = Index.open(tmp_path / "db", tiny, create=True)
    for expected in ("added", "unchanged"):
        report = crawled(index, [media], noting(tiny, seen))
        assert seen == list(index.files()) == [str(media / "star.txt")]
        assert outcomes(report) == {expected: 1}
        assert report.not_media == {".pdf": 1, ".parquet": 2, ".tar": 1}


def test_a_table_mapped_to_a_media_type_is_given_to_the_engine_as_a_file(tmp_path, tiny):
    media, seen = tmp_path / "media", []
    media.mkdir()
    write_table(media / "t.parquet", {"path": ["elsewhere.txt"]})
    index = Index.open(tmp_path / "db", tiny, create=True)
    crawled(index, [media], noting(tiny, seen), mappings=[parse_mapping("*.parquet=text")])
    assert seen == [str(media / "t.parquet")]


def test_a_video_is_embedded_again_if_mapped_to_audio_but_not_if_mapped_to_video(tmp_path, tiny):
    film = tmp_path / "film.mp4"
    write_film(film, 3)
    index = Index.open(tmp_path / "db", tiny, create=True)
    crawled(index, [film], noting(tiny, []))
    for said, count, kinds in (
        ("video", 0, {MediaKind.VIDEO, MediaKind.AUDIO}),
        ("audio", 1, {MediaKind.AUDIO}),
        ("audio", 0, {MediaKind.AUDIO}),
    ):
        seen: list[str] = []
        crawled(index, [film], noting(tiny, seen), mappings=[parse_mapping(f"*.mp4={said}")])
        assert len(seen) == count and index.files()[str(film)].kinds == kinds


def test_parts_lie_in_a_hidden_folder_beside_the_index():
    assert working_folder("/a/media.lance/") == "/a/.media.lance.partitions"
    assert working_folder("media.lance") == ".media.lance.partitions"
    assert working_folder("s3://bucket/media.lance") == "s3://bucket/.media.lance.partitions"
