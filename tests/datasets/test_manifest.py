"""Pairs from tables of files."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from imagebind.datasets.manifest import read_pairs
from imagebind.datasets.pairs import BrokenPair, PairDataset, PairSample
from imagebind.errors import MediaError
from imagebind.modality import ModalityType
from imagebind.training.data.augment import AlignedImages
from tests.training.made import ramp, write_image

ROWS = [
    {"vision": "a.jpg", "depth": "a.png", "depth.sensor": "kinect_v2", "depth.focal": "529.5", "text": None},
    {"vision": "b.mp4", "audio": "b.wav", "start": 1.5, "end": 4, "offset": -0.5, "name": "the second"},
    {"vision": "c.jpg", "depth": "c.png", "text": "a chair, by a window", "depth.focal": "c/intrinsics.txt"},
]


def write(path: Path, rows: list[dict]) -> Path:
    """Write rows in the format that the file's suffix names; return the path."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".parquet":
        pq.write_table(pa.table({key: [row.get(key) for row in rows] for key in columns}), path)
    else:
        cells = [[str(row[key]) if row.get(key) is not None else "" for key in columns] for row in rows]
        quoted = [[f'"{cell}"' if "," in cell else cell for cell in line] for line in cells]
        path.write_text("\n".join(",".join(line) for line in [columns, *quoted]) + "\n")
    return path


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_a_row_gives_a_pair_per_modality_in_every_manifest_format(tmp_path, form):
    pairs = read_pairs(write(tmp_path / f"pairs.{form}", ROWS))
    at = {name: str(tmp_path / name) for name in ("a.jpg", "a.png", "b.mp4", "b.wav", "c.jpg", "c.png")}
    intrinsics = str(tmp_path / "c/intrinsics.txt")
    assert [(pair.modality.value, pair.vision, pair.other) for pair in pairs] == [
        ("depth", {"vision": at["a.jpg"]}, {"depth": at["a.png"], "sensor": "kinect_v2", "focal": 529.5}),
        ("audio", {"vision": at["b.mp4"]}, {"audio": at["b.wav"]}),
        ("text", {"vision": at["c.jpg"]}, {"text": "a chair, by a window"}),
        ("depth", {"vision": at["c.jpg"]}, {"depth": at["c.png"], "focal": intrinsics}),
    ]
    assert (pairs[1].span, pairs[1].offset, pairs[1].name) == ((1.5, 4.0), -0.5, "the second")
    assert pairs[0].span is None and pairs[0].offset == 0
    assert "pairs." + form in pairs[0].name and "a.jpg" in pairs[0].name


def test_absolute_paths_and_uris_are_unchanged(tmp_path):
    rows = [{"vision": "/else/a.jpg", "audio": "s3://bucket/a.wav"}]
    (pair,) = read_pairs(write(tmp_path / "pairs.csv", rows))
    assert pair.vision == {"vision": "/else/a.jpg"} and pair.other == {"audio": "s3://bucket/a.wav"}


def test_manifest_pairs_can_be_read_and_one_with_a_missing_file_is_broken(tmp_path):
    for name in ("a", "b"):
        write_image(tmp_path / f"{name}.jpg", ramp(40, 60))
        write_image(tmp_path / f"{name}.png", np.full((40, 60), 2000, np.uint16))
    (tmp_path / "b.png").unlink()
    rows = [{"vision": f"{name}.jpg", "depth": f"{name}.png", "depth.sensor": "xtion"} for name in ("a", "b")]
    dataset = PairDataset(read_pairs(write(tmp_path / "pairs.csv", rows)), AlignedImages())
    assert isinstance(dataset[0], PairSample) and dataset[0].modality is ModalityType.DEPTH
    assert isinstance(dataset[1], BrokenPair)
    assert "b.png" in str(dataset[1].error) and "line 3" in dataset[1].name


@pytest.mark.parametrize(
    "row, message",
    [
        (
            {"vision": "a.jpg", "sound": "a.wav"},
            r"pairs.csv, line 2: expected the columns vision, text, audio.*, got sound",
        ),
        ({"vision": "a.jpg", "audio": "a.wav", "speed.of": "2"}, "expected the columns .*, got speed.of"),
        ({"": "0", "vision": "a.jpg", "audio": "a.wav"}, "got one without a name"),
        ({"audio": "a.wav"}, "line 2: expected an image or video beside audio, got no vision"),
        (
            {"vision": "a.mp4", "audio": "a.wav", "start": "1"},
            "line 2: expected both start and end, or neither, got one of them",
        ),
        (
            {"vision": "a.mp4", "audio": "a.wav", "start": "x", "end": "2"},
            "line 2: expected a number of seconds as start, got 'x'",
        ),
        ({"vision": "a.mp4", "audio": "a.wav", "start": "3", "end": "2"}, "line 2.*0 <= start < end"),
        ({"vision": "a.mp4", "audio": ""}, "1 rows without a pair"),
    ],
)
def test_an_invalid_row_is_an_error_that_names_it(tmp_path, row, message):
    with pytest.raises(MediaError, match=message):
        read_pairs(write(tmp_path / "pairs.csv", [row]))


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("pairs.xlsx", b"", "one of the suffixes .csv, .jsonl, .parquet.*, got '.xlsx'"),
        ("gone.csv", None, "gone.csv: no such file"),
        (
            "pairs.jsonl",
            b'{"vision": "a", "text": "b"}\n\n{"vision": ',
            r"pairs.jsonl, line 3: expected an object in JSON, got .* cannot be read \(Expecting value\)",
        ),
        ("pairs.jsonl", b"[" * 100_000, "pairs.jsonl, line 1: expected .*, got one that cannot be read"),
        ("pairs.jsonl", b"[1]\n", "pairs.jsonl, line 1: expected an object in JSON, got a list"),
        (
            "pairs.jsonl",
            b'{"vision": "a", "text": "b", "start": ' + b"9" * 400 + b"}",
            "line 1: expected a number of seconds as start",
        ),
        ("pairs.parquet", b"not parquet", "pairs.parquet: expected a complete manifest, got "),
        ("pairs.csv", b"vision,audio\na,b,c\n", "line 2: expected 2 cells .*, got 3"),
        ("pairs.csv", b"\xff\xfe\0", "pairs.csv, line 1: expected .*, got a character that is not utf-16"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_named(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(MediaError, match=message):
        read_pairs(tmp_path / name)
