"""The released file's download from a local server with typical faults."""

import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from imagebind.checkpoints.download import (
    IMAGEBIND_HUGE,
    WEIGHTS_LICENCE,
    ReleasedFile,
    cache_folder,
    download,
    is_offline,
    verify,
    verify_once,
)
from imagebind.errors import CheckpointError
from imagebind.io import http
from tests.search.crawled import unprivileged

PAYLOAD = random.Random(0).randbytes(3 << 20)
SENT_CHUNK_BYTES = 1 << 16


@dataclass
class Behaviour:
    """The server's behaviour; each field is one possible fault."""

    payload: bytes = PAYLOAD
    cuts: list[int] = field(default_factory=list)  # per response: stop after this many bytes
    statuses: list[int] = field(default_factory=list)  # per response, instead of the file
    ranges: bool = True
    wrong_range: bool = False
    states_length: bool = True
    content_type: str = "application/octet-stream"
    pause: float = 0.0  # seconds per chunk
    requested_ranges: list[str | None] = field(default_factory=list)  # the Range of each request
    sent: int = 0


class Handler(BaseHTTPRequestHandler):
    server: "Server"

    def do_GET(self) -> None:
        behaviour = self.server.behaviour
        behaviour.requested_ranges.append(self.headers.get("Range"))
        if behaviour.statuses:
            self.send_error(behaviour.statuses.pop(0))
            return
        start = self._start(behaviour)
        if start is None:
            return
        self.send_header("Content-Type", behaviour.content_type)
        if behaviour.states_length:
            self.send_header("Content-Length", str(len(behaviour.payload) - start))
        self.end_headers()
        cut = behaviour.cuts.pop(0) if behaviour.cuts else len(behaviour.payload)
        body = behaviour.payload[start:][:cut]
        for at in range(0, len(body), SENT_CHUNK_BYTES):
            try:
                self.wfile.write(body[at : at + SENT_CHUNK_BYTES])
            except OSError:  # the client was killed
                return
            behaviour.sent += len(body[at : at + SENT_CHUNK_BYTES])
            time.sleep(behaviour.pause)

    def _start(self, behaviour: Behaviour) -> int | None:
        requested = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if not requested or not behaviour.ranges:
            self.send_response(200)
            return 0
        start, size = int(requested[1]), len(behaviour.payload)
        if start >= size:
            self.send_error(416)
            return None
        start = start // 2 if behaviour.wrong_range else start
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        return start

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    behaviour: Behaviour

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a killed client


@pytest.fixture
def serve() -> Iterator[Callable[[Behaviour], ReleasedFile]]:
    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()

    def start(behaviour: Behaviour) -> ReleasedFile:
        server.behaviour = behaviour
        return replace(RELEASED, url=f"http://127.0.0.1:{server.server_port}/weights.pth")

    yield start
    server.shutdown()
    server.server_close()
    thread.join(timeout=5)


RELEASED = ReleasedFile(
    name="weights.pth",
    url="http://127.0.0.1:9/weights.pth",  # the discard port, without a server
    size=len(PAYLOAD),
    sha256=hashlib.sha256(PAYLOAD).hexdigest(),
    licence="For these tests alone.",
)


@pytest.fixture(autouse=True)
def isolated(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Disable pauses, environment switches and proxies, and use an empty working directory."""
    monkeypatch.setattr(http, "RETRY_PAUSE_SECONDS", 0.001)
    for name in ("IMAGEBIND_OFFLINE", "HF_HUB_OFFLINE", "TORCH_HOME", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.chdir(tmp_path_factory.mktemp("work"))


def fetch(released: ReleasedFile, folder: Path) -> Path:
    return download(released, cache_dir=folder, show_progress=False)


def left_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"weights.pth.lock"}


COMPLETE_DOWNLOAD = {"weights.pth", "weights.pth.verified"}


# Without faults


def test_a_download_is_complete_and_leaves_no_other_files(serve, tmp_path):
    behaviour = Behaviour()
    path = fetch(serve(behaviour), tmp_path / "cache")
    assert path == tmp_path / "cache" / "weights.pth"
    assert path.read_bytes() == PAYLOAD
    assert left_in(path.parent) == COMPLETE_DOWNLOAD


def test_a_file_in_the_cache_is_not_downloaded_again(serve, tmp_path):
    behaviour = Behaviour()
    released = serve(behaviour)
    fetch(released, tmp_path)
    fetch(released, tmp_path)
    assert behaviour.requested_ranges == [None]


def test_a_download_of_the_original_project_is_used(serve, tmp_path):
    behaviour = Behaviour()
    original = Path.cwd() / ".checkpoints" / "weights.pth"
    original.parent.mkdir()
    original.write_bytes(PAYLOAD)
    assert fetch(serve(behaviour), tmp_path) == original
    assert behaviour.requested_ranges == []


def test_a_damaged_download_of_the_original_project_is_ignored_and_kept(serve, tmp_path, caplog):
    original = Path.cwd() / ".checkpoints" / "weights.pth"
    original.parent.mkdir()
    original.write_bytes(PAYLOAD[:-1])
    assert fetch(serve(Behaviour()), tmp_path) == tmp_path / "weights.pth"
    assert original.read_bytes() == PAYLOAD[:-1]
    assert f"got {len(PAYLOAD) - 1:,}" in caplog.text


def test_a_damaged_file_in_the_cache_is_replaced(serve, tmp_path):
    (tmp_path / "weights.pth").write_bytes(PAYLOAD[::-1])
    assert fetch(serve(Behaviour()), tmp_path).read_bytes() == PAYLOAD


def test_the_licence_and_the_progress_are_shown(serve, tmp_path, capsys, caplog):
    caplog.set_level("INFO", logger="imagebind")
    download(serve(Behaviour()), cache_dir=tmp_path)
    shown = capsys.readouterr()
    assert RELEASED.licence in shown.err
    assert "weights.pth" in shown.err
    assert shown.out == ""
    assert RELEASED.licence in caplog.text


def test_without_progress_the_licence_is_only_logged(serve, tmp_path, capsys, caplog):
    caplog.set_level("INFO", logger="imagebind")
    fetch(serve(Behaviour()), tmp_path)
    assert capsys.readouterr() == ("", "")
    assert RELEASED.licence in caplog.text


def test_the_licence_text_forbids_commercial_use():
    assert IMAGEBIND_HUGE.licence == WEIGHTS_LICENCE
    assert "CC BY-NC-SA 4.0" in WEIGHTS_LICENCE and "not for commercial use" in WEIGHTS_LICENCE
    assert len(IMAGEBIND_HUGE.sha256) == 64


# Interruptions


def test_an_interrupted_download_is_resumed(serve, tmp_path):
    behaviour = Behaviour(cuts=[1 << 20, 1 << 20])
    assert fetch(serve(behaviour), tmp_path).read_bytes() == PAYLOAD
    assert behaviour.requested_ranges == [None, f"bytes={1 << 20}-", f"bytes={2 << 20}-"]
    assert behaviour.sent == len(PAYLOAD)


def test_an_interruption_without_a_stated_length_is_detected(serve, tmp_path):
    behaviour = Behaviour(cuts=[1 << 20], states_length=False)
    assert fetch(serve(behaviour), tmp_path).read_bytes() == PAYLOAD
    assert behaviour.sent == len(PAYLOAD)


def test_a_server_without_ranges_restarts_the_download(serve, tmp_path):
    behaviour = Behaviour(cuts=[1 << 20], ranges=False)
    assert fetch(serve(behaviour), tmp_path).read_bytes() == PAYLOAD
    assert len(behaviour.requested_ranges) == 2


def test_a_server_without_ranges_that_always_interrupts_raises_an_error(serve, tmp_path):
    behaviour = Behaviour(cuts=[1 << 20] * 20, ranges=False)
    with pytest.raises(CheckpointError, match=r"interrupted.*5 times in a row"):
        fetch(serve(behaviour), tmp_path)
    assert left_in(tmp_path) == {"weights.pth.part"}


def test_another_range_than_requested_is_not_appended(serve, tmp_path):
    (tmp_path / "weights.pth.part").write_bytes(PAYLOAD[: 1 << 20])
    behaviour = Behaviour(wrong_range=True)
    assert fetch(serve(behaviour), tmp_path).read_bytes() == PAYLOAD
    assert behaviour.requested_ranges == [f"bytes={1 << 20}-", None]


def test_a_part_of_another_file_is_downloaded_again(serve, tmp_path):
    (tmp_path / "weights.pth.part").write_bytes(bytes(1 << 20))
    behaviour = Behaviour()
    assert fetch(serve(behaviour), tmp_path).read_bytes() == PAYLOAD
    assert behaviour.requested_ranges == [f"bytes={1 << 20}-", None]


def test_a_part_that_is_too_long_is_downloaded_again(serve, tmp_path):
    (tmp_path / "weights.pth.part").write_bytes(PAYLOAD + b"!")
    assert fetch(serve(Behaviour()), tmp_path).read_bytes() == PAYLOAD


def test_a_part_that_is_complete_needs_no_request(serve, tmp_path):
    (tmp_path / "weights.pth.part").write_bytes(PAYLOAD)
    behaviour = Behaviour()
    assert fetch(serve(behaviour), tmp_path).read_bytes() == PAYLOAD
    assert behaviour.requested_ranges == []


def test_temporary_server_errors_are_retried(serve, tmp_path):
    behaviour = Behaviour(statuses=[500, 503, 429])
    assert fetch(serve(behaviour), tmp_path).read_bytes() == PAYLOAD
    assert len(behaviour.requested_ranges) == 4


def test_surplus_bytes_of_a_server_are_ignored(serve, tmp_path):
    behaviour = Behaviour(payload=PAYLOAD + b"!" * 100, states_length=False)
    assert fetch(serve(behaviour), tmp_path).read_bytes() == PAYLOAD


# Another file, or no file


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        (Behaviour(payload=PAYLOAD[::-1]), r"sent another file.*SHA-256"),
        (Behaviour(payload=PAYLOAD[:1000]), rf"expected a file of {len(PAYLOAD):,} bytes, got 1,000 bytes"),
        (
            Behaviour(payload=b"<html>log in</html>", content_type="text/html; charset=utf-8"),
            r"19 bytes of text/html",
        ),
        (Behaviour(statuses=[404]), r"answered 404"),
        (Behaviour(statuses=[403]), r"answered 403"),
        (Behaviour(statuses=[500] * 20), r"answered 500.*5 times in a row"),
    ],
)
def test_a_server_without_the_file_raises_an_error_and_leaves_no_files(serve, tmp_path, behaviour, message):
    with pytest.raises(CheckpointError, match=message):
        fetch(serve(deepcopy(behaviour)), tmp_path)
    assert left_in(tmp_path) == set()


def test_resuming_detects_that_the_servers_file_became_shorter(serve, tmp_path):
    (tmp_path / "weights.pth.part").write_bytes(PAYLOAD[:2000])
    with pytest.raises(CheckpointError, match="1,000 bytes"):
        fetch(serve(Behaviour(payload=PAYLOAD[:1000])), tmp_path)


def test_an_unreachable_server_raises_an_error_with_the_url(tmp_path):
    with pytest.raises(CheckpointError, match=r"http://127\.0\.0\.1:9/weights\.pth.*cannot be reached"):
        fetch(RELEASED, tmp_path)


# Verification


def test_verify_reports_the_actual_and_the_expected_size(tmp_path):
    path = tmp_path / "short.pth"
    path.write_bytes(PAYLOAD[:1234])
    with pytest.raises(
        CheckpointError, match=r"short\.pth: expected 3,145,728 bytes of weights\.pth, got 1,234"
    ):
        verify(path, RELEASED)


def test_verify_detects_one_flipped_bit(tmp_path):
    path = tmp_path / "flipped.pth"
    path.write_bytes(PAYLOAD[:-1] + bytes([PAYLOAD[-1] ^ 1]))
    with pytest.raises(
        CheckpointError, match=rf"expected SHA-256 {RELEASED.sha256} of .*, got [0-9a-f]{{64}}"
    ):
        verify(path, RELEASED)


@pytest.mark.parametrize("name", ["none.pth", "nul\0.pth"])
def test_verify_names_a_file_that_cannot_be_read(tmp_path, name):
    with pytest.raises(CheckpointError, match=f"{name}: expected .*, got a file that cannot be read"):
        verify(tmp_path / name, RELEASED)


def test_a_verified_file_is_not_hashed_again_until_it_changes(tmp_path, monkeypatch):
    path = tmp_path / "weights.pth"
    path.write_bytes(PAYLOAD)
    verify_once(path, RELEASED)
    with monkeypatch.context() as patch:
        patch.setattr(hashlib, "sha256", None)
        verify_once(path, RELEASED)
    path.write_bytes(PAYLOAD[::-1])
    os.utime(path, ns=(0, 0))
    with pytest.raises(CheckpointError):
        verify_once(path, RELEASED)


@pytest.mark.parametrize("stamp", [b"", b"\xff", b"[]", b"{}", b'{"sha256": "x"}'])
def test_a_damaged_stamp_is_ignored(tmp_path, stamp):
    path = tmp_path / "weights.pth"
    path.write_bytes(PAYLOAD)
    (tmp_path / "weights.pth.verified").write_bytes(stamp)
    verify_once(path, RELEASED)
    assert json.loads((tmp_path / "weights.pth.verified").read_bytes())["sha256"] == RELEASED.sha256


# Folders and environment


def test_the_cache_folder_is_the_argument_or_torchs_or_hugging_faces(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache/torch/hub/checkpoints"
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache_folder() == Path("/x/torch/hub/checkpoints")
    monkeypatch.setenv("HF_HOME", "/hf")
    assert cache_folder() == Path("/hf/imagebind")
    monkeypatch.setenv("TORCH_HOME", "/torch")
    assert cache_folder() == Path("/torch/hub/checkpoints")
    assert cache_folder("/argument") == Path("/argument")
    assert cache_folder("~/mine") == tmp_path / "mine"


@pytest.mark.parametrize(("value", "offline"), [("1", True), ("True", True), ("0", False), ("", False)])
@pytest.mark.parametrize("switch", ["IMAGEBIND_OFFLINE", "HF_HUB_OFFLINE"])
def test_the_environment_switches_the_network_off_unless_overridden(monkeypatch, switch, value, offline):
    monkeypatch.setenv(switch, value)
    assert is_offline() is offline
    assert is_offline(True) is True
    assert is_offline(False) is False


def test_offline_without_a_copy_reports_the_paths_and_the_way_out(tmp_path, monkeypatch):
    monkeypatch.setenv("IMAGEBIND_OFFLINE", "1")
    (tmp_path / "weights.pth").write_bytes(b"half")
    with pytest.raises(CheckpointError) as caught:
        fetch(RELEASED, tmp_path)
    message = str(caught.value)
    assert str(Path.cwd() / ".checkpoints" / "weights.pth") in message
    assert f"{tmp_path / 'weights.pth'}: expected " in message and ", got 4" in message
    assert RELEASED.url in message


def test_offline_with_a_copy_needs_no_server(tmp_path):
    (tmp_path / "weights.pth").write_bytes(PAYLOAD)
    assert download(RELEASED, cache_dir=tmp_path, offline=True) == tmp_path / "weights.pth"


@pytest.fixture
def read_only() -> Iterator[Path]:
    """Yield a folder that a test may make read-only; it becomes writable again, so that it can be removed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield folder
        folder.chmod(0o755)


def test_a_complete_file_in_a_read_only_folder_is_used(read_only, monkeypatch):
    (read_only / "weights.pth").write_bytes(PAYLOAD)
    read_only.chmod(0o555)
    monkeypatch.chdir(read_only)
    with unprivileged():
        assert fetch(RELEASED, read_only) == read_only / "weights.pth"
    assert left_in(read_only) == {"weights.pth"}


def test_a_read_only_folder_raises_an_error_with_its_path(serve, read_only, monkeypatch):
    read_only.chmod(0o555)
    monkeypatch.chdir(read_only)
    with unprivileged(), pytest.raises(CheckpointError, match=rf"{read_only}.*cannot be written"):
        fetch(serve(Behaviour()), read_only)


def test_a_file_at_the_cache_folders_path_raises_an_error_with_it(serve, tmp_path):
    (tmp_path / "cache").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"cache.*cannot be written"):
        fetch(serve(Behaviour()), tmp_path / "cache")


def test_too_little_disk_space_raises_an_error_before_any_request(serve, tmp_path):
    behaviour = Behaviour()
    with pytest.raises(CheckpointError, match=r"expected 1,000,000,000,000,000,000 free bytes for .*, got "):
        fetch(replace(serve(behaviour), size=10**18), tmp_path)
    assert behaviour.requested_ranges == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_raises_an_error_with_the_path(serve, tmp_path):
    (tmp_path / "weights.pth.part").symlink_to("/dev/full")
    with pytest.raises(CheckpointError, match=rf"{tmp_path}.*cannot be written \(No space left"):
        fetch(serve(Behaviour()), tmp_path)


# Several processes

DOWNLOAD_IN_A_PROCESS = """
import json, sys
from imagebind.io import http
from imagebind.checkpoints.download import ReleasedFile, download
http.DOWNLOAD_CHUNK_BYTES = 1 << 16
download(ReleasedFile(**json.loads(sys.argv[1])), cache_dir=sys.argv[2], show_progress=False)
"""


def start_process(released: ReleasedFile, folder: Path) -> subprocess.Popen[bytes]:
    root = Path(http.__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", DOWNLOAD_IN_A_PROCESS, json.dumps(vars(released)), str(folder)],
        env=os.environ | {"PYTHONPATH": str(root)},
    )


def test_two_simultaneous_processes_download_once(serve, tmp_path):
    behaviour = Behaviour(pause=0.01)
    released = serve(behaviour)
    processes = [start_process(released, tmp_path) for _ in range(2)]
    assert [process.wait(timeout=30) for process in processes] == [0, 0]
    assert behaviour.sent == len(PAYLOAD)
    assert (tmp_path / "weights.pth").read_bytes() == PAYLOAD
    assert left_in(tmp_path) == COMPLETE_DOWNLOAD


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_download_is_resumed_by_the_next_process(serve, tmp_path):
    behaviour = Behaviour(pause=0.05)
    released = serve(behaviour)
    process = start_process(released, tmp_path)
    part = tmp_path / "weights.pth.part"
    deadline = time.monotonic() + 20
    while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait(timeout=10)
    kept = part.stat().st_size
    assert 0 < kept < len(PAYLOAD)
    assert not (tmp_path / "weights.pth").exists()
    behaviour.pause = 0.0
    assert fetch(released, tmp_path).read_bytes() == PAYLOAD
    assert behaviour.requested_ranges == [None, f"bytes={kept}-"]
