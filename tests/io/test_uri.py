"""Files by URI: downloads follow changes on the server, have limits and name the URL in errors."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import av
import numpy as np
import pytest
import torch
from PIL import Image

from imagebind.checkpoints.loading import read_state_dict, resolve
from imagebind.errors import CheckpointError, MediaError
from imagebind.io.source import Limits, open_source
from imagebind.io.uri import local_copy
from imagebind.media.audio_file import load_audio
from imagebind.media.detect import detect
from imagebind.modality import MediaKind
from imagebind.transforms.image import load_image


class FileServer(ThreadingHTTPServer):
    """A server of files by path that counts sent bytes, with redirects and interruptions."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _RequestHandler)
        self.files: dict[str, bytes] = {}
        self.tags: dict[str, str] = {}
        self.modified = ""
        self.sent = 0
        self.redirects: dict[str, str] = {}
        self.missing = 0  # bytes that are announced and not sent
        self.states_length = True

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


class _RequestHandler(BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        if self.path in self.server.redirects:
            self.send_response(302)
            self.send_header("Location", self.server.redirects[self.path])
            self.end_headers()
            return
        body = self.server.files.get(self.path)
        if body is None:
            self.send_error(404)
            return
        self.send_response(200)
        if self.server.states_length:
            self.send_header("Content-Length", str(len(body) + self.server.missing))
        if self.server.modified:
            self.send_header("Last-Modified", self.server.modified)
        if self.path in self.server.tags:
            self.send_header("ETag", self.server.tags[self.path])
        self.end_headers()
        for start in range(0, len(body), 65536):
            try:
                self.wfile.write(body[start : start + 65536])
            except OSError:  # the client has disconnected
                return
            self.server.sent += len(body[start : start + 65536])

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def file_server() -> Iterator[FileServer]:
    server = FileServer()
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def png(colour: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(file, "PNG")
    return file.getvalue()


def colour(url: str) -> tuple[int, ...]:
    return tuple(np.asarray(load_image(url))[0, 0].tolist())


def test_equal_paths_on_two_servers_are_two_files_and_changes_are_read():
    with file_server() as one, file_server() as other:
        one.files["/a.png"], other.files["/a.png"] = png("red"), png("blue")
        assert colour(one.url("/a.png")) == (255, 0, 0)
        assert colour(other.url("/a.png")) == (0, 0, 255)
        one.files["/a.png"] = png("lime")
        assert colour(one.url("/a.png")) == (0, 255, 0)


def test_spaces_and_accents_in_a_url_are_escaped():
    with file_server() as server:
        server.files["/a%20b%C3%A9.png"] = png("white")
        assert colour(server.url("/a bé.png")) == (255, 255, 255)


def test_a_download_stops_at_the_size_limit():
    with file_server() as server:
        server.files["/large"] = bytes(50_000_000)
        limits = Limits(max_bytes=100_000)
        with (
            pytest.raises(
                MediaError, match=r"/large: expected at most 100,000 bytes .*, got 50,000,000 bytes"
            ),
            open_source(server.url("/large"), limits=limits),
        ):
            pass
        server.states_length = False
        with (
            pytest.raises(
                MediaError, match=r"/large: expected at most 100,000 bytes .*, got more than 100,000 bytes"
            ),
            open_source(server.url("/large"), limits=limits),
        ):
            pass
        assert server.sent < 25_000_000
        with open_source(server.url("/large"), limits=Limits(max_bytes=50_000_000)) as file:
            assert len(file.read()) == 50_000_000


def test_video_and_audio_urls_are_detected_and_audio_is_loaded(video_file, tmp_path):
    audio = tmp_path / "a.m4a"
    with av.open(audio, "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 32000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with file_server() as server:
        server.files["/a.mp4"], server.files["/a.m4a"] = video_file.read_bytes(), audio.read_bytes()
        assert detect(server.url("/a.mp4")) is MediaKind.VIDEO
        assert detect(server.url("/a.m4a")) is MediaKind.AUDIO
        assert load_audio(server.url("/a.m4a"))[0].shape[-1] >= 32000


def test_redirects_must_be_http():
    with file_server() as server:
        for target in ("file:///etc/hostname", "ftp://127.0.0.1:9/x", "data:,x"):
            server.redirects["/moved"] = target
            with pytest.raises(MediaError, match="cannot be opened"):
                load_image(server.url("/moved"))
        server.redirects["/moved"] = server.url("/a.png")
        server.files["/a.png"] = png("red")
        assert colour(server.url("/moved")) == (255, 0, 0)


def test_kept_errors_hold_no_file_open():
    with file_server() as server:
        errors = []  # kept, since an HTTPError among their causes would hold its response open
        before = open_files()
        for _ in range(20):
            with pytest.raises(MediaError) as caught:
                load_image(server.url("/none.png"))
            errors.append(caught.value)
        assert open_files() < before + 10  # the server may have some connections open


def test_a_failed_download_raises_an_error_with_its_url(monkeypatch):
    with file_server() as server:
        server.files["/a.png"], server.missing = png("red"), 5
        for url, reason in (
            (server.url("/none.png"), "404"),
            (server.url("/a.png"), "connection was interrupted"),
        ):
            with pytest.raises(MediaError, match=reason) as caught:
                load_image(url)
            assert caught.value.item == url
        monkeypatch.setenv("IMAGEBIND_OFFLINE", "1")
        with pytest.raises(MediaError, match="switched off by IMAGEBIND_OFFLINE"):
            load_image(server.url("/a.png"))
    monkeypatch.delenv("IMAGEBIND_OFFLINE")
    with pytest.raises(MediaError, match=r"cannot be opened \(Connection refused\)"):
        load_image("http://127.0.0.1:9/a.png")


def test_a_url_with_a_password_is_refused_without_a_request():
    with file_server() as server:
        server.files["/a@b.png"] = png("red")
        for user in ("name:secret@", "name@"):
            with pytest.raises(
                MediaError, match="cannot be opened \\(a URL with a user name is not supported"
            ):
                load_image(server.url("/a@b.png").replace("127", f"{user}127", 1))
        assert server.sent == 0
        assert colour(server.url("/a@b.png")) == (255, 0, 0)


def test_downloaded_weights_are_replaced_only_by_a_changed_and_complete_file(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    saved = io.BytesIO()
    torch.save({"modality_heads.text.w": torch.ones(3)}, saved)
    with file_server() as server:
        server.files["/w.pth"], server.tags["/w.pth"] = saved.getvalue(), '"1"'
        url = server.url("/w.pth")
        assert read_state_dict(url)["modality_heads.text.w"].tolist() == [1, 1, 1]
        path = resolve(url)
        modified = path.stat().st_mtime_ns
        assert resolve(url) == path and path.stat().st_mtime_ns == modified and path.name == "w.pth"
        assert path.is_relative_to(tmp_path) and resolve(url, offline=True) == path
        server.files["/w.pth"], server.tags["/w.pth"] = b"other", '"2"'
        assert resolve(url).read_bytes() == b"other"
        server.missing = 3
        server.tags["/w.pth"] = '"3"'
        with pytest.raises(CheckpointError, match="interrupted at 5 of 8 bytes"):
            resolve(url)
        assert path.read_bytes() == b"other" and not list(path.parent.glob(".*"))
        del server.files["/w.pth"]
        with pytest.raises(CheckpointError, match=r"/w\.pth: cannot be downloaded .*404"):
            resolve(url)


def test_the_error_of_an_invalid_url_of_weights_names_it():
    with pytest.raises(CheckpointError, match=r"http://\[bad/w\.pth: cannot be downloaded \(Invalid"):
        resolve("http://[bad/w.pth")


def test_an_interrupted_download_leaves_no_files(tmp_path, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("imagebind.io.uri.copy_body", stop)
    with file_server() as server:
        server.files["/w"] = b"one"
        with pytest.raises(KeyboardInterrupt):
            local_copy(server.url("/w"), cache_dir=tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_url_cannot_write_outside_its_cache_folder(tmp_path):
    with file_server() as server:
        for path in ("/x/../../w.pth", "/..", "/"):
            server.files[path], server.tags[path] = b"here", '"1"'
            kept = local_copy(server.url(path), cache_dir=tmp_path).resolve()
            assert kept.is_relative_to(tmp_path / "by-address") and kept.read_bytes() == b"here"


def test_a_url_with_a_long_name_is_copied_under_the_end_of_the_name(tmp_path):
    with file_server() as server:
        path = f"/{'x' * 300}.pth"
        server.files[path] = b"here"
        copy = local_copy(server.url(path), cache_dir=tmp_path)
        assert copy.read_bytes() == b"here" and copy.name == "x" * 196 + ".pth"


def test_without_validators_a_file_is_downloaded_again(tmp_path):
    with file_server() as server:
        server.files["/w"] = b"one"
        assert local_copy(server.url("/w"), cache_dir=tmp_path).read_bytes() == b"one"
        server.files["/w"] = b"two"
        assert local_copy(server.url("/w"), cache_dir=tmp_path).read_bytes() == b"two"
