"""Opening paths, bytes and open files: errors, and the names of items in messages."""

import io
import os
import socket
import tempfile
import threading
from pathlib import Path

import pytest
from PIL import Image

from imagebind.errors import MediaError
from imagebind.io.source import Limits, encodable, is_source, name_of, open_source


def read(source, **options):
    with open_source(source, **options) as file:
        return file.read()


def test_paths_bytes_and_open_files_are_read_from_their_start(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"abc")
    for source in (path, str(path), b"abc", bytearray(b"abc"), memoryview(b"a.b.c.")[::2]):
        assert read(source) == b"abc"
    with path.open("rb") as file:
        file.read(2)
        assert read(file) == b"abc" and not file.closed


def test_a_spooled_file_whose_seek_returns_none_is_read():
    class Spooled(io.BytesIO):
        def seek(self, *args):
            super().seek(*args)  # as tempfile.SpooledTemporaryFile before Python 3.11

    assert read(Spooled(b"abc")) == b"abc"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "none.png", "no such file"),
        (lambda folder: folder, "Is a directory"),
        (lambda folder: folder / "nul\0.png", "embedded null"),
        (lambda folder: Path("\ud800.png"), "surrogates not allowed"),
        (lambda folder: folder / ("x" * 300), "too long"),
        (lambda folder: b"", "expected a file with content, got an empty file"),
        (lambda folder: Path("/dev/zero"), "a pipe, socket or device"),
    ],
)
def test_an_invalid_file_raises_an_error_with_its_name_and_the_reason(make, message, tmp_path):
    source = make(tmp_path)
    with pytest.raises(MediaError, match=message) as caught:
        read(source)
    assert caught.value.item == name_of(source)


def test_a_pipe_without_a_writer_raises_an_error_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    failures = []

    def attempt():
        try:
            read(tmp_path / "pipe.wav")
        except MediaError as error:
            failures.append(error)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(5)
    assert len(failures) == 1 and "pipe.wav: cannot be opened (a pipe" in str(failures[0])


def test_sockets_and_link_loops_raise_errors(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's path has to be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("here.sock")
        with pytest.raises(MediaError, match=r"here\.sock.*socket"):
            read(Path("here.sock"))
    Path("a").symlink_to("b")
    Path("b").symlink_to("a")
    with pytest.raises(MediaError, match="symbolic links"):
        read(Path("a"))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_read_permission_raises_an_error(tmp_path):
    path = tmp_path / "secret.png"
    path.touch(mode=0)
    with pytest.raises(MediaError, match=r"secret\.png.*Permission denied"):
        read(path)


def test_a_permission_error_of_the_system_is_reported(tmp_path, monkeypatch):
    def refuse(self, *args):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "secret.png").write_bytes(b"x")
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(MediaError, match=r"secret\.png.*Permission denied"):
        read(tmp_path / "secret.png")


def test_unsuitable_open_files_raise_errors(tmp_path):
    closed = io.BytesIO(b"x")
    closed.close()
    for file in (closed, io.BytesIO):
        with pytest.raises(
            MediaError, match=r"an open file that can be read from any position.*, got one that cannot"
        ):
            read(file)
    with (tmp_path / "w").open("wb") as writing, pytest.raises(MediaError, match="read"):
        read(writing)
    with tempfile.NamedTemporaryFile("w+") as file, pytest.raises(MediaError, match="'rb'"):
        read(file)
    with pytest.raises(MediaError, match="'rb'"):
        read(io.StringIO("text"))
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as pipe, pytest.raises(MediaError, match="seek"):
        read(pipe)
    os.close(writing)


def test_a_file_above_the_size_limit_raises_an_error():
    with pytest.raises(MediaError, match=r"<5 bytes>: expected at most 4 bytes \(max_bytes\), got 5 bytes"):
        read(b"12345", limits=Limits(max_bytes=4))


def test_a_file_that_was_opened_from_a_path_is_closed_even_after_an_error(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"abc")
    with pytest.raises(RuntimeError), open_source(path) as file:
        raise RuntimeError
    assert file.closed


def test_names_of_all_files_can_be_printed_and_stored():
    assert name_of(Path("a/b.png")) == "a/b.png" and name_of("") == "''"
    assert name_of(Path(os.fsdecode(b"caf\xe9"))) == r"caf\udce9"
    assert name_of(Path("two\nlines")) == "two\nlines"
    assert name_of(memoryview(b"1234")) == "<4 bytes>"
    assert name_of(3) == "<int>"
    file = io.BytesIO()
    file.name = "upload.wav"
    assert name_of(file) == "upload.wav"
    assert encodable("dög") == "dög"


def test_is_source_accepts_only_items_that_can_be_opened(tmp_path):
    assert all(map(is_source, ("a", tmp_path, b"a", io.BytesIO())))
    assert not any(map(is_source, (1, None, [b"a"], {"a": 1})))


def test_an_image_opened_from_memory_is_named_by_its_type():
    file = io.BytesIO()
    Image.new("L", (3, 4)).save(file, "PNG")
    assert name_of(Image.open(file)) == "<PngImageFile>"
