"""Files in stores by URI: opened, listed, with their status, and copied; and the errors of stores."""

import os
import pickle
from pathlib import Path
from threading import Barrier, Thread

import fsspec
import pytest

from imagebind.checkpoints.loading import resolve
from imagebind.errors import CheckpointError, MediaError, MissingMediaError
from imagebind.io.source import open_source
from imagebind.io.storage import Storage
from imagebind.io.store_path import StorePath, as_path, files_below
from imagebind.io.uri import OFFLINE_SWITCHES, OfflineError, local_copy, open_uri, upload
from imagebind.media.discover import check_roots, discover
from tests.io.test_uri import file_server


def test_a_uri_as_a_path_keeps_its_scheme():
    path = as_path("memory://bucket/deep/a b%20#1.txt")
    assert isinstance(path, StorePath) and str(path) == os.fspath(path) == "memory://bucket/deep/a b%20#1.txt"
    assert str(path.parent) == "memory://bucket/deep" and path.suffix == ".txt"
    assert str(path.relative_to("memory://bucket")) == "deep/a b%20#1.txt"
    assert pickle.loads(pickle.dumps(path)) == path == path.absolute()
    assert type(as_path("file:///a/b")) is type(as_path("/a/b")) is type(Path())
    assert as_path("file:///a/b") == as_path("file://localhost/a/b") == Path("/a/b")


@pytest.mark.parametrize(
    "uri", ["https://h/a?u=http://x/b.png", "hdfs:///data/a", "s3://b/a//c", "s3://b///c", "s3://b/a:/c:"]
)
def test_a_uri_as_a_path_keeps_its_empty_parts(uri):
    path = as_path(uri)
    assert str(path) == str(as_path(path)) == str(pickle.loads(pickle.dumps(path))) == uri
    assert str(path.parent / path.name) == uri
    assert str(as_path(f"{uri}/")) == uri


def test_files_with_empty_parts_and_colons_in_their_uris_are_found(memory):
    for name in ("/b//x//y.txt", "/b:/10:00:", "/b:/c:/z.txt"):
        memory.pipe_file(name, b"x")
    found = list(discover(check_roots(["memory://b", "memory://b:", "memory://b:/10:00:"])))
    expected = {"memory://b//x//y.txt", "memory://b:/10:00:", "memory://b:/c:/z.txt"}
    assert {str(file.path) for file in found} == expected
    assert {str(file.top / file.relative) for file in found} == expected


@pytest.mark.parametrize("switch", OFFLINE_SWITCHES)
def test_offline_only_stores_without_network_are_opened(switch, memory, tmp_path, monkeypatch):
    memory.pipe_file("/bucket/a", b"x")
    (tmp_path / "a").write_bytes(b"x")
    monkeypatch.setenv(switch, "1")
    for uri in ("memory://bucket/a", f"file://{tmp_path}/a", f"local://{tmp_path}/a"):
        assert open_uri(uri).read() == b"x"
    for uri in ("s3://bucket/a", "hf://datasets/a/b", "gs://bucket/a"):
        with pytest.raises(OfflineError, match="switched off"):
            open_uri(uri)
        with pytest.raises(OfflineError, match="switched off"):
            StorePath(uri).stat()
        with pytest.raises(OfflineError, match="switched off"):
            upload(tmp_path / "a", uri)
        with pytest.raises(MediaError, match="switched off"):
            files_below(uri)


def test_a_file_in_a_store_has_a_size_and_a_time(memory):
    memory.pipe_file("/bucket/a.txt", b"abc")
    path = StorePath("memory://bucket/a.txt")
    before = path.stat()
    assert before.st_size == 3 and before.st_mtime_ns > 0 and not path.is_dir() and path.parent.is_dir()
    memory.pipe_file("/bucket/a.txt", b"abd")
    assert path.stat().st_mtime_ns != before.st_mtime_ns
    with pytest.raises(FileNotFoundError, match="memory://bucket/none"):
        StorePath("memory://bucket/none").stat()


def test_the_root_of_a_store_is_a_folder(memory):
    memory.pipe_file("/bucket/a.txt", b"abc")
    root = as_path("memory://")
    assert str(root) == str(root / ".") == "memory://" and root.is_dir()
    assert str(root / "bucket") == "memory://bucket"
    for uri in ("memory://", "memory:///"):
        assert files_below(uri) == ["memory://bucket/a.txt"]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("Sun, 06 Nov 1994 08:49:37 GMT", 784111777), ("soon", 0), (f"Sun, 06 Nov {10**20} 08:49:37 GMT", 0)],
)
def test_the_time_of_a_file_at_a_url_is_that_of_the_server_or_0(header, seconds):
    with file_server() as server:
        server.files["/a.txt"], server.modified = b"abc", header
        assert StorePath(server.url("/a.txt")).stat().st_mtime_ns == seconds * 10**9


def test_a_file_at_a_url_has_a_size(monkeypatch):
    with file_server() as server:
        server.files["/a.txt"] = b"abc"
        assert StorePath(server.url("/a.txt")).stat().st_size == 3
        with pytest.raises(OSError, match="404"):
            StorePath(server.url("/none")).stat()
        monkeypatch.setenv("IMAGEBIND_OFFLINE", "1")
        with pytest.raises(OfflineError):
            StorePath(server.url("/a.txt")).stat()


def test_files_below_a_folder_are_listed_without_hidden_ones(memory):
    for name in ("b.txt", "a/c.txt", ".hidden/d.txt", "a/.e"):
        memory.pipe_file(f"/bucket/{name}", b"x")
    expected = ["memory://bucket/a/c.txt", "memory://bucket/b.txt"]
    assert files_below("memory://bucket") == files_below("memory://bucket/") == expected
    for file in ("memory://bucket/b.txt", "memory://bucket/none", "http://127.0.0.1:9/x"):
        assert files_below(file) == [file]
    with pytest.raises(
        MediaError, match=r"smell://x: expected a path, or a URI.*, got one that cannot .*not known"
    ):
        files_below("smell://x")


def test_readers_of_one_file_in_memory_do_not_share_a_position(memory):
    memory.pipe_file("/a", bytes(range(200)) * 1000)
    start, read = Barrier(4), []

    def attempt():
        start.wait()
        with open_source("memory://a") as file:
            read.append(b"".join(iter(lambda: file.read(1000), b"")))

    threads = [Thread(target=attempt) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read == [bytes(range(200)) * 1000] * 4


def test_a_scheme_may_be_in_lower_or_upper_case(memory, tmp_path):
    memory.pipe_file("/a", b"x")
    (tmp_path / "a").write_bytes(b"y")
    assert open_uri("MEMORY://a").read() == b"x" and open_uri(f"File://{tmp_path}/a").read() == b"y"


@pytest.mark.parametrize("uri", ["memory://none", "file:///none"])
def test_a_missing_file_raises_the_same_error_in_every_store(uri):
    missing = rf"{uri}: cannot be opened \(No such file or directory\)"
    with pytest.raises(MissingMediaError, match=missing), open_source(uri):
        pass
    with pytest.raises(CheckpointError, match=f"{uri}: .*No such file or directory"):
        resolve(uri)


def test_an_upload_to_a_url_is_refused(tmp_path):
    with pytest.raises(OSError, match="an HTTP server cannot be written to"):
        upload(tmp_path / "a", "http://127.0.0.1:9/a")


def test_every_error_for_a_missing_package_of_a_store_names_it(monkeypatch, tmp_path):
    def absent(scheme):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "get_filesystem_class", absent)
    with pytest.raises(MediaError, match=r"s3://bucket/a: .*Install s3fs"), open_source("s3://bucket/a"):
        pass
    with pytest.raises(MediaError, match=r"s3://bucket: .*Install s3fs"):
        files_below("s3://bucket")
    with pytest.raises(MediaError, match=r"s3://bucket: .*Install s3fs"):
        Storage("s3://bucket")
    with pytest.raises(CheckpointError, match=r"s3://bucket/w.pth: .*Install s3fs"):
        resolve("s3://bucket/w.pth")
    with pytest.raises(OSError, match=r"s3://bucket/v: Install s3fs"):
        upload(tmp_path, "s3://bucket/v")


def test_a_copy_of_a_file_is_used_until_the_file_changes(memory, tmp_path):
    memory.pipe_file("/bucket/w.pth", b"one")
    copy = local_copy("memory://bucket/w.pth", cache_dir=tmp_path)
    first = copy.stat().st_ino
    assert copy.read_bytes() == b"one" and copy.name == "w.pth"
    assert local_copy("memory://bucket/w.pth", cache_dir=tmp_path).stat().st_ino == first
    memory.pipe_file("/bucket/w.pth", b"two")
    assert local_copy("memory://bucket/w.pth", cache_dir=tmp_path).read_bytes() == b"two"
    memory.rm_file("/bucket/w.pth")
    assert local_copy("memory://bucket/w.pth", cache_dir=tmp_path, offline=True) == copy
    with pytest.raises(OfflineError):
        local_copy("memory://bucket/other", cache_dir=tmp_path, offline=True)


def test_a_copy_of_a_folder_has_the_files_directly_in_it(memory, tmp_path):
    for name in ("a", "b", "deep/c"):
        memory.pipe_file(f"/bucket/w/{name}", b"x")
    copy = local_copy("memory://bucket/w", cache_dir=tmp_path)
    assert sorted(path.name for path in copy.iterdir()) == ["a", "b"]
    memory.rm_file("/bucket/w/a")
    assert [path.name for path in local_copy("memory://bucket/w", cache_dir=tmp_path).iterdir()] == ["b"]


def test_a_file_below_two_roots_in_a_store_is_found_once(memory):
    for name in ("a/b.txt", "a/c.txt", "d.txt"):
        memory.pipe_file(f"/bucket/{name}", b"x")
    uris = ("memory://bucket/a", "memory://bucket", "memory://bucket/d.txt")
    found = list(discover(check_roots(uris)))
    assert sorted(str(file.path) for file in found) == [
        "memory://bucket/a/b.txt",
        "memory://bucket/a/c.txt",
        "memory://bucket/d.txt",
    ]


def test_a_folder_that_several_threads_request_at_once_is_copied_once(memory, tmp_path, monkeypatch):
    memory.pipe_file("/bucket/w/a", b"x")
    fetched, start, copies = [], Barrier(4), []
    get_file = type(memory).get_file

    def counted(self, name, path, **options):
        fetched.append(name)
        get_file(self, name, path, **options)

    def attempt():
        start.wait()
        copies.append(local_copy("memory://bucket/w", cache_dir=tmp_path))

    monkeypatch.setattr(type(memory), "get_file", counted)
    threads = [Thread(target=attempt) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(fetched) == 1 and len(copies) == 4 and (copies[0] / "a").read_bytes() == b"x"
