"""Parts: bad items fail alone, and so do items at which workers die repeatedly."""

import json
from pathlib import Path

import numpy as np
import pytest

from imagebind.distributed.crawl import EmbedFiles, prepare_files
from imagebind.distributed.job import EmbedJob, prepare
from imagebind.distributed.output import Output
from imagebind.distributed.worker import (
    MAX_ITEM_DEATHS,
    MAX_TRIES,
    EmbedItems,
    PartAttempt,
    WorkerDiedError,
)
from imagebind.media.discover import stat_file
from imagebind.modality import MediaKind
from imagebind.search import Index
from imagebind.search.crawl.crawler import crawl
from imagebind.search.crawl.examine import ExaminedFile
from tests.distributed.made import rows_in, run_here, write_table, write_tar


@pytest.fixture
def texts(tmp_path) -> list[str]:
    files = [tmp_path / f"{name}.txt" for name in ("star", "circle", "square")]
    for file in files:
        file.write_text(f"a red {file.stem}")
    return list(map(str, files))


def test_media_in_tables_and_shards_become_the_vectors_of_their_files(tmp_path, tiny, image_file, audio_file):
    contents = [Path(file).read_bytes() for file in (image_file, audio_file)]
    table = write_table(tmp_path / "t.parquet", {"bytes": contents, "path": ["p.jpg", None]})
    shard = write_tar(
        tmp_path / "s.tar", {"0.jpg": contents[0], "0.wav": contents[1], "0.txt": b"a red star"}
    )
    job = prepare([str(image_file), str(table), str(shard)], tmp_path / "out")
    assert [part.embedded for part in run_here(job, tiny)] == [1, 2, 3]
    rows = rows_in(tmp_path / "out")
    image, audio, text = tiny.encode([image_file, audio_file, "a red star"])
    for name, vector in {
        str(image_file): image,
        f"{table}/p.jpg": image,
        f"{table}/#1": audio,
        f"{shard}/0.jpg": image,
        f"{shard}/0.wav": audio,
        f"{shard}/0.txt": text,
    }.items():
        np.testing.assert_allclose(rows[name]["vector"], vector, atol=1e-5)
    assert (rows[f"{shard}/0.wav"]["start"], rows[f"{shard}/0.wav"]["end"]) == (0, pytest.approx(7))


def test_bad_items_fail_and_the_rest_of_their_part_is_embedded(
    tmp_path, tiny, texts, image_file, deep_grey_file
):
    cut_short = tmp_path / "cut.jpg"
    cut_short.write_bytes(image_file.read_bytes()[:2000])
    bad = [str(cut_short), str(deep_grey_file), str(tmp_path / "none.wav")]
    job = prepare([bad[0], texts[0], *bad[1:], texts[1]], tmp_path / "out")
    (part,) = run_here(job, tiny)
    assert (part.embedded, part.failed) == (2, 3)
    assert set(rows_in(tmp_path / "out")) == set(texts[:2])
    failures = list(job.output.failures())
    assert {failure.path for failure in failures} == set(bad)
    assert {failure.kind for failure in failures} == {
        "UnreadableMediaError",
        "MissingMediaError",
        "AmbiguousMediaError",
    }


def test_a_file_that_is_not_media_is_counted_if_found_in_a_folder_and_fails_if_given(tmp_path, tiny):
    media = tmp_path / "media"
    media.mkdir()
    (media / "star.txt").write_text("a red star")
    for name in ("paper.pdf", "EMPTY.bin", "bad.png"):
        (media / name).write_bytes(b"" if name == "EMPTY.bin" else b"%PDF-1.7 ")
    for source in (str(media), f"file://{media}"):
        job = prepare([source], tmp_path / str(source.startswith("file")))
        (part,) = run_here(job, tiny)
        assert (part.embedded, part.failed, part.not_media) == (1, 1, {".pdf": 1, ".bin": 1})
        assert [failure.path for failure in job.output.failures()] == [f"{source}/bad.png"]
    job = prepare([str(media), str(media / "paper.pdf")], tmp_path / "given")
    (part,) = run_here(job, tiny)
    assert (part.embedded, part.failed, part.not_media) == (1, 2, {".bin": 1})
    job = prepare([str(media)], tmp_path / "stated", method=EmbedItems(modality=MediaKind.TEXT))
    (part,) = run_here(job, tiny)
    assert not part.not_media


def both_jobs(folder: Path, kinds: dict[Path, MediaKind]) -> list[EmbedJob]:
    """Return the job that embeds files into vectors, and the one that embeds them into rows of an index."""
    files = [ExaminedFile(found=stat_file(path, path), kind=kind) for path, kind in kinds.items()]
    rows = prepare_files(files, Output(folder / "rows"), method=EmbedFiles())
    return [prepare(list(map(str, kinds)), folder / "vectors", method=EmbedItems()), rows]


def test_failures_of_a_crawl_and_of_a_part_have_the_same_record(tmp_path, tiny, image_file):
    bad = tmp_path / "cut.jpg"
    bad.write_bytes(image_file.read_bytes()[:2000])
    (failure,) = crawl(Index.open(tmp_path / "db", tiny, create=True), [bad]).failures
    for job in both_jobs(tmp_path, {bad: MediaKind.IMAGE}):
        (part,) = run_here(job, tiny)
        assert part.failures == (failure,) and list(job.output.failures()) == [failure]


def test_warnings_about_embedded_items_are_separate_from_failures(tmp_path, tiny, opposite_file, texts):
    kinds = {opposite_file: MediaKind.AUDIO} | dict.fromkeys(map(Path, texts), MediaKind.TEXT)
    for job in both_jobs(tmp_path, kinds):
        (part,) = run_here(job, tiny)
        assert (part.embedded, part.failed, part.warnings) == (4, 0, 1) and not job.output.has_failures()
        (file,) = Path(job.output.uri, "_warnings").iterdir()
        line = json.loads(file.read_text())
        assert line["path"] == str(opposite_file) and line["kind"] == "Warning"
        assert "cancel out" in line["warning"]


def test_clips_and_a_modality_reach_the_embedder(tmp_path, tiny, audio_file, deep_grey_file):
    job = prepare([str(audio_file)], tmp_path / "audio", method=EmbedItems(clips=True))
    run_here(job, tiny)
    assert len(job.output.read(0)) == 3
    job = prepare([str(deep_grey_file)], tmp_path / "deep", method=EmbedItems(modality=MediaKind.DEPTH))
    run_here(job, tiny)
    assert rows_in(tmp_path / "deep")[str(deep_grey_file)]["modality"] == "depth"


def test_an_item_at_which_workers_die_fails_and_the_others_are_embedded(tmp_path, tiny, texts):
    job = prepare(texts, tmp_path / "out")
    PartAttempt(job.output, 0, run=job.run)  # the worker dies during the whole part
    for _ in range(MAX_ITEM_DEATHS):
        attempt = PartAttempt(job.output, 0, run=job.run)
        assert attempt.is_careful
        results = attempt.embed(tiny, job.parts[0].items(), job.method)
        assert next(results).rows[0].path == texts[0]
        job.output.note(0, note_with_position(job, 1))  # the worker dies at the second item
    (part,) = run_here(job, tiny)
    assert (part.embedded, part.failed) == (2, 1)
    assert "got one at which 2 workers died" in part.failures[0].error and part.failures[0].path == texts[1]
    assert set(rows_in(tmp_path / "out")) == {texts[0], texts[2]}
    assert job.output.noted(0) is None


def note_with_position(job, position: int) -> str:
    return json.dumps(json.loads(job.output.noted(0)) | {"at": position})


def test_a_killed_run_does_not_count_against_its_items(tmp_path, tiny, texts):
    job = prepare(texts, tmp_path / "out")
    for run in ("one", "two", "three"):
        assert not PartAttempt(job.output, 0, run=run).is_careful
        job.output.note(0, note_with_position(job, 1))
    assert run_here(job, tiny)[0].embedded == 3


def test_a_part_at_which_all_workers_die_ends_the_run(tmp_path, texts):
    job = prepare(texts, tmp_path / "out")
    for _ in range(MAX_TRIES):
        PartAttempt(job.output, 0, run=job.run)
    with pytest.raises(WorkerDiedError, match=r"part 0.*more memory"):
        PartAttempt(job.output, 0, run=job.run)
