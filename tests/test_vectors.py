"""Tests of vector files: exact round trips, and no incomplete files."""

import json

import numpy as np
import pytest
from pyarrow import parquet

from imagebind.batching import Embedding
from imagebind.modality import MediaKind
from imagebind.vectors import VectorFile, VectorRow, rows_of


def some_rows(count: int) -> list[VectorRow]:
    vectors = np.random.default_rng(0).standard_normal((count, 4)).astype(np.float32)
    times = [(None, None) if i % 2 else (i * 1.0, i + 2.0) for i in range(count)]
    return [VectorRow(f"föö {i}.wav", "audio", *times[i], vectors[i]) for i in range(count)]


def write(path, rows):
    with VectorFile(path, embed_dim=4) as file:
        for row in rows:
            file.write(row)


def test_parquet_keeps_every_row_bit_for_bit(tmp_path):
    rows = some_rows(5000)  # more than one group
    write(tmp_path / "v.parquet", rows)
    table = parquet.read_table(tmp_path / "v.parquet")
    assert table.column_names == ["path", "modality", "start", "end", "vector"]
    assert table["path"].to_pylist() == [row.path for row in rows]
    assert table["start"].to_pylist() == [row.start for row in rows]
    vectors = np.array(table["vector"].to_pylist(), dtype=np.float32)
    np.testing.assert_array_equal(vectors, [row.vector for row in rows])


def test_json_lines_keep_every_row_bit_for_bit(tmp_path):
    rows = some_rows(20)
    write(tmp_path / "v.jsonl", rows)
    read = [json.loads(line) for line in (tmp_path / "v.jsonl").read_text("utf-8").splitlines()]
    assert [list(row) for row in read] == [["path", "modality", "start", "end", "vector"]] * 20
    assert read[3]["path"] == "föö 3.wav" and read[3]["start"] is None and read[4]["end"] == 6.0
    np.testing.assert_array_equal(np.float32([row["vector"] for row in read]), [row.vector for row in rows])


def test_npz_keeps_every_row_with_nan_for_missing_times(tmp_path):
    rows = some_rows(20)
    write(tmp_path / "v.npz", rows)
    with np.load(tmp_path / "v.npz") as read:
        assert read["path"].tolist() == [row.path for row in rows]
        assert read["end"][4] == 6.0 and np.isnan(read["end"][3])
        np.testing.assert_array_equal(read["vector"], [row.vector for row in rows])


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "npz"])
def test_a_file_without_rows_can_be_read(tmp_path, suffix):
    path = tmp_path / f"v.{suffix}"
    write(path, [])
    if suffix == "parquet":
        assert parquet.read_table(path).num_rows == 0
    elif suffix == "npz":
        assert np.load(path)["vector"].shape == (0, 4)
    else:
        assert path.read_text() == ""


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "npz"])
def test_a_failure_keeps_the_existing_file(tmp_path, suffix):
    path = tmp_path / f"v.{suffix}"
    path.write_text("before")
    with pytest.raises(KeyboardInterrupt), VectorFile(path, embed_dim=4) as file:
        file.write(some_rows(1)[0])
        raise KeyboardInterrupt
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_another_suffix_raises_an_error_with_the_supported_ones(tmp_path):
    with pytest.raises(ValueError, match=r"v\.csv.*\.parquet, \.jsonl, \.npz"):
        VectorFile(tmp_path / "v.csv", embed_dim=4)


def test_a_folder_is_refused_before_rows_are_written(tmp_path):
    (tmp_path / "v.npz").mkdir()
    with pytest.raises(IsADirectoryError, match=r"expected a file, got a folder: .*v\.npz"):
        VectorFile(tmp_path / "v.npz", embed_dim=4)


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "npz"])
def test_a_vector_of_another_width_raises_an_error_with_its_path(tmp_path, suffix):
    wide = VectorRow("a.wav", "audio", None, None, np.ones(5, np.float32))
    with pytest.raises(ValueError, match=r"a\.wav: expected a vector \(4,\), got \(5,\)"):
        write(tmp_path / f"v.{suffix}", [*some_rows(1), wide])
    assert list(tmp_path.iterdir()) == []


def test_a_recording_has_one_row_or_one_row_per_clip():
    spans, vector = ((0.0, 2.0), (1.0, 3.0)), np.ones(4, np.float32)
    whole = Embedding(index=0, name="a.wav", kind=MediaKind.AUDIO, vector=vector, spans=spans)
    assert [(row.start, row.end) for row in rows_of(whole)] == [(0.0, 3.0)]
    clips = Embedding(
        index=0, name="a.wav", kind=MediaKind.AUDIO, vector=vector, spans=spans, clips=np.eye(2, 4)
    )
    assert [(row.start, row.end) for row in rows_of(clips)] == list(spans)
    still = Embedding(index=0, name="a.png", kind=MediaKind.IMAGE, vector=vector)
    assert [(row.modality, row.start, row.end) for row in rows_of(still)] == [("vision", None, None)]


def test_a_failed_item_has_no_rows():
    failed = Embedding(index=0, name="a.png", error=ValueError("cut"))
    with pytest.raises(ValueError, match=r"a\.png: has no vector \(cut"):
        list(rows_of(failed))
