"""Adding an engine's output to an index: all rows, each once."""

import shutil
from pathlib import Path

import pytest

from imagebind.checkpoints.factory import load_model
from imagebind.distributed import to_index
from imagebind.distributed.job import prepare
from imagebind.distributed.to_index import add_partitions
from imagebind.embedder import Embedder
from imagebind.errors import ImageBindError
from imagebind.modality import MediaKind
from imagebind.search import Index, SpaceMismatchError
from imagebind.search.crawl.crawler import crawl
from tests.distributed.made import run_here, write_table, write_tar


@pytest.fixture
def output(tmp_path, tiny, media) -> Path:
    job = prepare(sorted(path.name for path in media.iterdir()), tmp_path / "out", partitions=3, base=media)
    run_here(job, tiny)
    return tmp_path / "out"


def test_an_index_of_an_output_finds_its_items(tmp_path, tiny, media, output):
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
    index.add([media / "star.txt"])  # added before by the user
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


def test_a_path_with_dots_becomes_the_normalised_path_that_a_crawl_finds(tmp_path, tiny, media):
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
    paths = [str(secret), "../secret.txt", "..", f"file://{secret}", None]
    table = write_table(
        tmp_path / "t.parquet",
        {
            "path": paths,
            "bytes": [f"star {number}".encode() for number in range(5)],
            "modality": ["text"] * 5,
        },
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
    with pytest.raises(ImageBindError, match=r"expected an output of .*, got no manifest"):
        add_partitions(index, tmp_path / "media")
    assert len(index) == 0


def test_an_output_of_another_space_is_refused_with_both_named(tmp_path, small_weights, output):
    index = Index.open(tmp_path / "db", Embedder(load_model(small_weights)), create=True)
    with pytest.raises(SpaceMismatchError, match=r"expected vectors of space custom .*, got imagebind_tiny "):
        add_partitions(index, output)
