"""Inputs: the items and errors of each source, and their division into parts."""

import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from imagebind.distributed import inputs as inputs_module
from imagebind.distributed import shards
from imagebind.distributed.inputs import FilesPart, RowsPart, ShardPart, divide
from imagebind.distributed.shards import shard_members
from imagebind.errors import MediaError
from tests.distributed.made import write_table, write_tar


def names(parts):
    return [item.name for part in parts for item in part.items()]


def errors(parts):
    return {item.name: str(item.error) for part in parts for item in part.items() if item.error is not None}


def test_files_are_divided_in_order_into_about_the_requested_number_of_parts():
    files = [f"{number}.txt" for number in range(10)]
    parts, failures = divide([*files, "3.txt"], base="/data", partitions=4)
    assert [len(part.files) for part in parts] == [3, 3, 3, 1] and not failures
    assert names(parts) == files and str(next(parts[0].items()).item) == "/data/0.txt"
    assert parts == divide(files, base="/data", partitions=4).parts


def test_fewer_than_one_part_is_an_error():
    with pytest.raises(ValueError, match="partitions: expected at least 1, got 0"):
        divide(["a.txt"], base="/", partitions=0)


def test_a_folder_in_a_store_is_walked_and_its_files_are_fetched(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / ".hidden.txt").write_text("no")
    for name in ("b.txt", "deep/a #1%20?.txt"):
        (tmp_path / name).write_text(name)
    (part,) = divide([f"file://{tmp_path}"], base="/").parts
    items = list(part.items())
    assert [item.name for item in items] == [
        f"file://{tmp_path}/b.txt",
        f"file://{tmp_path}/deep/a #1%20?.txt",
    ]
    assert [item.item.read() for item in items] == [b"b.txt", b"deep/a #1%20?.txt"]


def test_a_local_folder_is_walked_and_its_files_are_named_as_the_folder_was(tmp_path):
    (tmp_path / "media" / "deep").mkdir(parents=True)
    for name in ("b.txt", "deep/a.txt", ".hidden.txt"):
        (tmp_path / "media" / name).write_text(name)
    (part,) = divide(["media", "media/b.txt"], base=str(tmp_path)).parts
    assert [(item.name, item.in_folder) for item in part.items()] == [
        ("media/b.txt", False),
        ("media/deep/a.txt", True),
    ]


def test_a_file_in_a_folder_and_with_a_modality_in_a_table_is_two_files(tmp_path):
    (tmp_path / "a").write_bytes(b"neither")
    table = tmp_path / "t.parquet"
    write_table(table, {"path": [str(tmp_path / "a")], "modality": ["vision"]})
    (part,) = divide([str(table), str(tmp_path)], base="/").parts
    assert [(type(item.item), item.in_folder) for item in part.items()] == [
        (dict, False),
        (type(tmp_path), True),
    ]


def test_a_name_too_long_for_a_path_fails_alone():
    (part,) = divide(["x" * 300, "b.jpg"], base="/").parts
    assert [item.name for item in part.items()] == ["x" * 300, "b.jpg"]


def test_a_file_missing_in_a_store_fails_alone(tmp_path):
    (tmp_path / "there.txt").write_text("yes")
    uri = f"file://{tmp_path}"
    parts = divide([f"{uri}/gone.txt", f"{uri}/there.txt"], base="/").parts
    assert list(errors(parts)) == [f"{uri}/gone.txt"] and len(names(parts)) == 2


def test_an_unknown_scheme_raises_an_error_that_names_the_uri():
    with pytest.raises(MediaError, match=r"smell://x.*expected a path, or a URI"):
        divide(["smell://x/y"], base="/")


def test_the_output_below_an_input_folder_is_left_out(tmp_path):
    files = [str(tmp_path / name) for name in ("a.txt", "out/part-000000.parquet", "out2.txt")]
    (part,) = divide(files, base="/", without=str(tmp_path / "out")).parts
    assert names([part]) == [files[0], files[2]]


def test_a_table_of_paths_names_files_relative_to_its_folder_and_their_modalities(tmp_path):
    table = write_table(
        tmp_path / "t.parquet",
        {"path": ["a.png", "/b.png", "s3://c/d", None], "modality": ["depth", None, "audio", None]},
    )
    (part,) = divide([str(table)], base="/").parts
    assert isinstance(part, FilesPart)
    assert [file.path for file in part.files[:3]] == [str(tmp_path / "a.png"), "/b.png", "s3://c/d"]
    assert [file.modality for file in part.files[:3]] == ["depth", None, "audio"]
    assert str(tmp_path) in part.files[3].path  # does not exist, so an error has its position


def test_rows_of_bytes_are_divided_between_row_groups(tmp_path):
    contents = [f"text {number}".encode() for number in range(10)]
    table = write_table(
        tmp_path / "t.parquet",
        {"bytes": [*contents, None], "modality": [*["text"] * 9, "smell", None]},
        group_rows=2,
    )
    parts = divide([str(table)], base="/", partitions=3).parts
    assert all(isinstance(part, RowsPart) for part in parts)
    assert [part.groups for part in parts] == [(0, 1), (2, 3), (4, 5)]
    assert names(parts) == [f"{table}/#{number}" for number in range(11)]
    items = [item for part in parts for item in part.items()]
    assert [item.item["text"].read() for item in items[:9]] == contents[:9]
    assert set(errors(parts)) == {f"{table}/#9", f"{table}/#10"}
    assert "smell" in errors(parts)[f"{table}/#9"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("p/a.png", "p/a.png"),
        ("/etc/passwd", "etc/passwd"),
        ("../../etc/./passwd", "etc/passwd"),
        ("..", "#0"),
        ("\0", "#0"),
        ("file:///etc/passwd", "file:/etc/passwd"),
    ],
)
def test_a_row_with_bytes_is_named_within_its_table_and_never_as_a_file(tmp_path, path, name):
    table = write_table(tmp_path / "t.parquet", {"path": [path], "bytes": [b"a star"], "modality": ["text"]})
    assert names(divide([str(table)], base="/").parts) == [f"{table}/{name}"]


def test_a_file_of_a_shard_is_named_within_it_even_if_its_path_leads_outside(tmp_path):
    shard = write_tar(tmp_path / "s.tar", {"../../etc/a.txt": b"a", "/etc/b.txt": b"b"})
    assert names([ShardPart(str(shard))]) == [f"{shard}/etc/a.txt", f"{shard}/etc/b.txt"]


def test_a_table_without_media_and_one_of_vectors_are_refused_and_named(tmp_path):
    vectors = write_table(tmp_path / "v.parquet", {"path": ["a"], "vector": [[1.0]]})
    other = write_table(tmp_path / "o.parquet", {"label": [1]})
    cut_short = tmp_path / "c.parquet"
    cut_short.write_bytes(other.read_bytes()[:50])
    parts, failures = divide(map(str, (vectors, other, cut_short)), base="/")
    assert parts == []
    assert {item.name for item in failures} == {str(vectors), str(other), str(cut_short)}
    assert "label" in str(failures[1].error) and "vectors" in str(failures[0].error)


def test_a_shard_is_one_part_and_the_endings_of_its_files_set_their_media_types(tmp_path):
    shard = write_tar(
        tmp_path / "s.tar",
        {
            "k/0.depth.PNG": b"d",
            "k/0.caption": b"c",
            "k/0.jpg": b"j",
            "k/0.json": b"{}",
            "k/0.cls": b"7",
            "k/.hidden.jpg": b"h",
            "__meta__/x.txt": b"m",
        },
    )
    (part,) = divide([str(shard)], base="/").parts
    assert isinstance(part, ShardPart)
    items = list(part.items())
    assert [item.name for item in items] == [
        f"{shard}/k/0.depth.PNG",
        f"{shard}/k/0.caption",
        f"{shard}/k/0.jpg",
    ]
    assert items[0].item["depth"].read() == b"d" and items[1].item["text"].read() == b"c"
    assert items[2].item.read() == b"j"


@pytest.mark.parametrize("where", ["content", "header"])
def test_a_damaged_shard_yields_the_files_before_the_damage_and_an_error(tmp_path, where):
    shard = write_tar(tmp_path / "s.tar", {"a.txt": b"a" * 600, "b.txt": b"b" * 600, "c.txt": b"c" * 600})
    content = bytearray(shard.read_bytes())
    if where == "content":
        del content[2 * 1536 + 512 + 100 :]  # a header and two blocks a file
    else:
        content[2 * 1536 : 2 * 1536 + 200] = b"\xff" * 200
    shard.write_bytes(content)
    items = list(ShardPart(str(shard)).items())
    assert [item.name for item in items] == [f"{shard}/a.txt", f"{shard}/b.txt", str(shard)]
    assert items[2].error is not None and "after b.txt" in str(items[2].error)


def test_a_compressed_shard_and_a_file_that_is_no_shard_are_refused(tmp_path):
    path = tmp_path / "s.tar"
    image = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(image, "PNG")
    for content in (b"\x1f\x8b\x08" + b"x" * 600, image.getvalue() * 20, b""):
        path.write_bytes(content)
        with pytest.raises(MediaError, match=r"s\.tar.*expected a complete, uncompressed \.tar"):
            list(shard_members(str(path)))


# Bad rows and members


def png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    "columns",
    [
        {"bytes": ["a"]},
        {"bytes": [1]},
        {"bytes": [[1]]},
        {"bytes": [{"bytes": b"x"}]},
        {"bytes": [b"x"], "modality": [["image"]]},
        {"bytes": [b"x"], "modality": [3]},
        {"path": [1]},
        {"path": [b"/x"]},
        {"path": [["a"]]},
        {"path": ["a" * 100_000]},
        {"path": ["a.png"], "modality": [["image"]]},
    ],
)
def test_a_row_of_other_types_is_one_item_that_cannot_be_read(tmp_path, columns):
    inputs = divide([str(write_table(tmp_path / "t.parquet", columns))], base="/")
    items = [item for part in inputs.parts for item in part.items()]
    assert len(items) == 1 and not inputs.failures
    if items[0].error is None:  # a path that is no text names no file
        assert not items[0].item.exists()
    else:
        assert "t.parquet" in items[0].name or "a.png" in items[0].name


def test_a_member_without_a_name_does_not_hide_the_others(tmp_path):
    path = tmp_path / "s.tar"
    with tarfile.open(path, "w") as archive:
        for name in ("ok.png", "", "also.png"):
            info = tarfile.TarInfo(name)
            info.size = len(png())
            archive.addfile(info, io.BytesIO(png()))
    items = list(ShardPart(str(path)).items())
    assert [item.name for item in items] == [f"{path}/ok.png", f"{path}/#1", f"{path}/also.png"]
    assert not any(item.error for item in items)


@pytest.mark.parametrize(
    "body", [b"99999999999999999999 path=x\n", b"x path=y\n", b"-3 path=x\n", b"20 path=\xff\n"]
)
def test_a_damaged_pax_header_gives_its_file_or_an_error_that_names_the_shard(tmp_path, body):
    header = tarfile.TarInfo("p")
    header.type, header.size = tarfile.XHDTYPE, len(body)
    path = tmp_path / "pax.tar"
    last = tarfile.TarInfo("a.png").tobuf() + bytes(1024)
    path.write_bytes(header.tobuf() + body.ljust(512, b"\0") + last)
    (item,) = ShardPart(str(path)).items()
    assert item.name == f"{path}/a.png" if item.error is None else "pax.tar" in str(item.error)


def test_a_sparse_member_is_refused_with_the_size_that_it_states(tmp_path):
    header = bytearray(tarfile.TarInfo("sparse.png").tobuf(format=tarfile.GNU_FORMAT))
    header[156:157] = tarfile.GNUTYPE_SPARSE
    header[124:136] = b"%011o\0" % 512
    header[386:410] = b"%011o\0%011o\0" % (0, 512)
    header[483:495] = b"\x80" + (6 * 2**30).to_bytes(11, "big")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    path = tmp_path / "sparse.tar"
    path.write_bytes(bytes(header) + bytes(512 + 1024))
    (item,) = ShardPart(str(path)).items()
    assert "a sparse file of 6,442,450,944 bytes" in str(item.error)


def test_a_member_and_a_row_have_a_largest_size(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "MAX_ITEM_BYTES", 1000)
    monkeypatch.setattr(inputs_module, "MAX_ITEM_BYTES", 1000)
    shard = write_tar(tmp_path / "s.tar", {"big.txt": b"a" * 1001, "small.txt": b"a"})
    table = write_table(tmp_path / "t.parquet", {"bytes": [b"a" * 1001, b"a"]})
    for part in divide([str(shard), str(table)], base="/").parts:
        big, small = part.items()
        assert "1,001 bytes" in str(big.error) and small.error is None


@pytest.mark.parametrize("columns", [["bytes"], ["path"]])
def test_rows_that_state_far_more_than_the_file_has_are_refused_unread(tmp_path, columns):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "bomb.parquet"
    value = bytes(80 * 2**20)
    arrow_type = pa.binary() if columns == ["bytes"] else pa.string()
    pq.write_table(pa.table({columns[0]: pa.array([value], arrow_type)}), path, compression="zstd")
    inputs = divide([str(path)], base="/")
    found = [*inputs.failures, *(item for part in inputs.parts for item in part.items())]
    assert len(found) == 1 and "at most 200 times" in str(found[0].error)


def test_a_row_group_that_cannot_be_read_is_one_failure_and_the_others_are_read(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "three.parquet"
    schema = pa.schema([("bytes", pa.binary())])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for value in (b"first", bytes(80 * 2**20), b"third"):
            writer.write_table(pa.table({"bytes": [value]}, schema))
    part = RowsPart(str(path), (0, 1, 2), 0)
    first, refused, third = part.items()
    assert first.item.read() == b"first" and third.item.read() == b"third"
    assert third.name.endswith("#2")
    assert "#1 and the following rows of its row group: expected a whole Parquet file" in str(refused.error)
    assert ", got one that cannot be read" in str(refused.error)


def test_rows_that_share_a_large_value_are_all_read_despite_a_small_batch_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(inputs_module, "BATCH_BYTES", 2_000_000)
    noise = np.random.default_rng(0).bytes(900_000)
    path = write_table(tmp_path / "t.parquet", {"bytes": [noise] * 40})
    rows = [len(item.item.read()) for part in divide([str(path)], base="/").parts for item in part.items()]
    assert rows == [900_000] * 40
