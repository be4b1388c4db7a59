"""A crawl whose files an engine embeds: the rows and the report of a crawl in this process."""

import shutil
from collections.abc import Iterator

import pytest

from imagebind.distributed.crawl import Engine, on_engine, working_folder
from imagebind.distributed.job import EmbedJob
from imagebind.distributed.output import OutputMismatchError
from imagebind.distributed.worker import PartDone
from imagebind.embedder import Embedder
from imagebind.intake.mapping import parse_mapping
from imagebind.modality import MediaKind
from imagebind.search import Index
from imagebind.search.crawl.crawler import crawl
from imagebind.search.crawl.report import CrawlReport
from tests.distributed.made import run_here, write_table, write_tar
from tests.search.crawled import outcomes
from tests.search.recorded import damage_audio, write_recording


def crawled(index: Index, roots, engine: Engine, *, partitions=None, **options) -> CrawlReport:
    embed = on_engine(engine, working_folder(index.uri), partitions=partitions)
    return crawl(index, roots, embed=embed, **options)


def recording_engine(embedder: Embedder, embedded: list[str]) -> Engine:
    """Return an engine in this process that appends the names of the items to `embedded`."""

    def engine(job: EmbedJob) -> Iterator[PartDone]:
        embedded.extend(item.name for part in job.parts for item in part.items())
        return iter(run_here(job, embedder))

    return engine


def contents(index: Index) -> set:
    return {
        (hit.path, hit.kind, hit.start, hit.end, hit.content_hash, hit.size, hit.mtime_ns, hit.thumbnail)
        for hit in index.sample(1000)
    }


def test_an_engine_gives_the_same_rows_and_report_as_a_crawl_in_this_process(tmp_path, tiny, media):
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


def test_a_killed_engine_keeps_its_finished_parts_and_then_computes_the_others(tmp_path, tiny, media):
    index = Index.open(tmp_path / "db", tiny, create=True)

    def stop_after_two(job):
        job.parts[2:] = []
        yield from run_here(job, tiny)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        crawled(index, [media], stop_after_two, partitions=5)
    assert len(index) == 0
    embedded: list[str] = []
    report = crawled(index, [tmp_path], recording_engine(tiny, embedded))
    assert len(embedded) == 2 and len(index.files()) == 4
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
    embedded: list[str] = []
    assert outcomes(crawled(index, [media], recording_engine(tiny, embedded))) == {"added": 2}
    assert embedded == [str(media / "star.txt")]
    assert {hit.metadata["text"] for hit in index.sample(9)} == {"a ring", "a blue star"}


def test_moved_and_unchanged_files_are_not_given_to_the_engine(tmp_path, tiny, media):
    index = Index.open(tmp_path / "db", tiny, create=True)
    crawled(index, [media], recording_engine(tiny, []))
    ids = {hit.id for hit in index.sample(9)}
    (media / "star.txt").rename(media / "moved.txt")
    (media / "ring.txt").write_text("a blue ring")
    (media / "bad.png").unlink()
    embedded: list[str] = []
    assert outcomes(crawled(index, [media], recording_engine(tiny, embedded))) == {
        "added": 1,
        "moved": 1,
        "unchanged": 3,
    }
    assert embedded == [str(media / "ring.txt")] and ids < {hit.id for hit in index.sample(9)}


def test_an_answer_about_an_ambiguous_file_reaches_the_engine(tmp_path, tiny, deep_grey_file):
    index = Index.open(tmp_path / "db", tiny, create=True)
    answer = (MediaKind.THERMAL, {})
    crawled(index, [deep_grey_file], recording_engine(tiny, []), ask=lambda found, error: answer)
    assert index.files()[str(deep_grey_file)].kinds == {MediaKind.THERMAL}


def test_a_video_with_damaged_audio_is_indexed_by_its_frames(tmp_path, tiny):
    video_file = write_recording(tmp_path / "video.mp4", 5)
    damage_audio(video_file)
    index = Index.open(tmp_path / "db", tiny, create=True)
    report = crawled(index, [video_file], recording_engine(tiny, []))
    assert outcomes(report) == {"added": 1} and "audio" in report.failures[0].error
    assert [(hit.kind, hit.metadata) for hit in index.sample(9)] == [(MediaKind.VIDEO, {"unread": "audio"})]


def test_tables_and_archives_in_a_folder_are_not_media_for_an_engine(tmp_path, tiny, image_file):
    media, embedded = tmp_path / "media", []
    media.mkdir()
    (media / "star.txt").write_text("a red star")
    (media / "notes.pdf").write_bytes(b"%PDF-1.4 \x00\xff")
    write_table(media / "t.parquet", {"path": [str(image_file)]})
    write_table(media / "words.parquet", {"bytes": [b"a ring"], "modality": ["text"]})
    write_tar(media / "s.tar", {"0.txt": b"a ring"})
    index = Index.open(tmp_path / "db", tiny, create=True)
    for expected in ("added", "unchanged"):
        report = crawled(index, [media], recording_engine(tiny, embedded))
        assert embedded == list(index.files()) == [str(media / "star.txt")]
        assert outcomes(report) == {expected: 1}
        assert report.not_media == {".pdf": 1, ".parquet": 2, ".tar": 1}


def test_a_table_mapped_to_a_media_type_is_given_to_the_engine_as_a_file(tmp_path, tiny):
    media, embedded = tmp_path / "media", []
    media.mkdir()
    write_table(media / "t.parquet", {"path": ["elsewhere.txt"]})
    index = Index.open(tmp_path / "db", tiny, create=True)
    crawled(index, [media], recording_engine(tiny, embedded), mappings=[parse_mapping("*.parquet=text")])
    assert embedded == [str(media / "t.parquet")]


def test_a_video_is_embedded_again_if_mapped_to_audio_but_not_if_mapped_to_video(tmp_path, tiny):
    video_file = tmp_path / "video.mp4"
    write_recording(video_file, 3)
    index = Index.open(tmp_path / "db", tiny, create=True)
    crawled(index, [video_file], recording_engine(tiny, []))
    for kind, count, kinds in (
        ("video", 0, {MediaKind.VIDEO, MediaKind.AUDIO}),
        ("audio", 1, {MediaKind.AUDIO}),
        ("audio", 0, {MediaKind.AUDIO}),
    ):
        embedded: list[str] = []
        crawled(
            index, [video_file], recording_engine(tiny, embedded), mappings=[parse_mapping(f"*.mp4={kind}")]
        )
        assert len(embedded) == count and index.files()[str(video_file)].kinds == kinds


def test_the_error_for_a_damaged_working_folder_says_to_delete_it(tmp_path, tiny, media):
    index = Index.open(tmp_path / "db", tiny, create=True)
    folder = tmp_path / ".db.partitions"
    folder.mkdir()
    for name, content in (("_manifest.json", "{"), ("other.json", "{}")):
        (folder / name).write_text(content)
        with pytest.raises(OutputMismatchError, match=r"; delete the folder to embed its files again$"):
            crawled(index, [media], lambda job: run_here(job, tiny))
        (folder / name).unlink()
    folder.rmdir()
    assert outcomes(crawled(index, [media], lambda job: run_here(job, tiny))) == {"added": 4, "failed": 1}


def test_parts_lie_in_a_hidden_folder_beside_the_index():
    assert working_folder("/a/media.lance/") == "/a/.media.lance.partitions"
    assert working_folder("media.lance") == ".media.lance.partitions"
    assert working_folder("s3://bucket/media.lance") == "s3://bucket/.media.lance.partitions"
