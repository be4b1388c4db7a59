"""Serving: who can reach the page, and that nothing of its uploads stays."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from imagebind.search.app.serve import UPLOAD_FOLDER_VARIABLE, is_loopback, listen, own_uploads, sweep


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "::1"])
def test_addresses_that_only_this_machine_reaches(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com", "localhost.example.com"])
def test_addresses_that_others_reach(host):
    assert not is_loopback(host)


def test_a_port_that_is_taken_is_named():
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(OSError, match=rf"cannot listen at 127\.0\.0\.1, port {port} \(.+\); try another"):
            listen("127.0.0.1", port)


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_a_port_of_the_newer_protocol_is_taken_too():
    try:
        opened = listen("::1", 0)
    except OSError as error:
        pytest.skip(f"no loopback address of IPv6 here: {error}")
    with opened:
        assert opened.family is socket.AF_INET6


@pytest.mark.parametrize("before", [None, "/somewhere/else"])
def test_uploads_have_a_folder_of_their_own_which_is_gone_at_the_end(monkeypatch, before):
    monkeypatch.delenv(UPLOAD_FOLDER_VARIABLE, raising=False)
    if before is not None:
        monkeypatch.setenv(UPLOAD_FOLDER_VARIABLE, before)
    with own_uploads() as folder:
        assert os.environ[UPLOAD_FOLDER_VARIABLE] == folder
        (Path(folder) / "left.wav").write_bytes(b"x")
    assert not Path(folder).exists() and os.environ.get(UPLOAD_FOLDER_VARIABLE) == before


def test_files_that_nobody_has_written_to_for_long_are_swept_away(tmp_path):
    old, new = tmp_path / "a" / "old.wav", tmp_path / "new.wav"
    old.parent.mkdir()
    for path in (old, new):
        path.write_bytes(b"x")
    os.utime(old, (0, 0))
    sweep(tmp_path, older=60)
    assert not old.exists() and new.exists()


STOPPED = """
import signal
import uvicorn
from pathlib import Path
from imagebind.search.app.serve import ended_by_signals, listen, own_uploads

signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started the tests may ignore it

class Told(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        print(folder, flush=True)

async def app(scope, receive, send):
    pass

with ended_by_signals(), own_uploads() as folder, listen("127.0.0.1", 0) as opened:
    (Path(folder) / "upload.png").write_bytes(b"private")
    Told(uvicorn.Config(app, log_level="error", lifespan="off")).run(sockets=[opened])
"""


@pytest.mark.parametrize(
    ("number", "ended"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, -signal.SIGINT)]
)
def test_a_server_that_a_signal_ends_leaves_no_upload_behind(tmp_path, number, ended):
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", STOPPED]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        assert (folder / "upload.png").exists() and folder.is_relative_to(tmp_path)
        process.send_signal(number)
        assert process.wait(60) == ended
    assert list(tmp_path.iterdir()) == []
