"""Serving: addresses, ports, and uploads that are deleted at the end."""

import os
import select
import signal
import socket
import subprocess
import sys
import time

import pytest

from imagebind.search.app.serve import is_loopback, listen


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "::1"])
def test_addresses_that_only_this_machine_can_reach_are_loopback(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com", "localhost.example.com"])
def test_addresses_that_others_can_reach_are_not_loopback(host):
    assert not is_loopback(host)


def test_a_port_in_use_is_an_error_that_names_it():
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(OSError, match=rf"cannot listen at 127\.0\.0\.1, port {port} \(.+\); try another"):
            listen("127.0.0.1", port)


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_an_ipv6_address_can_be_listened_on():
    try:
        opened = listen("::1", 0)
    except OSError as error:
        pytest.skip(f"no loopback address of IPv6 here: {error}")
    with opened:
        assert opened.family is socket.AF_INET6


SERVER_SCRIPT = """
import signal
from types import SimpleNamespace
from imagebind.search.app.inputs import UploadFile
from imagebind.search.app.serve import listen, serve

def announced_rollover(file, rollover=UploadFile.rollover):
    rollover(file)
    print("an upload is on the disk", flush=True)

UploadFile.rollover = announced_rollover
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored if the tests were started by nohup
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in background jobs of a shell
index = SimpleNamespace(uri="x", embedder=object())  # an upload that does not end needs no model
with listen("127.0.0.1", 0) as opened:
    serve(
        index, opened, host="127.0.0.1", max_upload_mb=5, on_start=lambda url: print(url, flush=True)
    )
"""


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        *(
            pytest.param(each, marks=pytest.mark.huge)
            for each in (signal.SIGHUP, signal.SIGINT, signal.SIGKILL)
        ),
    ],
)
def test_a_server_that_a_signal_ends_leaves_no_upload_behind(tmp_path, number):
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", SERVER_SCRIPT]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        host, port = process.stdout.readline().strip().removeprefix("http://").split(":")
        while process.poll() is None:
            try:
                connection = socket.create_connection((host, int(port)))
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        try:
            with connection:
                target = f"POST /uploads?name=x.png HTTP/1.1\r\nHost: {host}:{port}\r\n"
                head = f"{target}Content-Length: 4000000\r\n\r\n"
                connection.sendall(head.encode() + b"x" * 3_000_000)
                assert select.select([process.stdout], [], [], 60)[0]
                assert process.stdout.readline() == "an upload is on the disk\n"
                process.send_signal(number)
                assert process.wait(60) == -number
        finally:
            process.kill()  # or the end of `with` would wait for it
    assert list(tmp_path.iterdir()) == []
