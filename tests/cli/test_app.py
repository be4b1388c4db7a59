"""`imagebind app`: the page, its address, and errors before a model is loaded."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from imagebind.checkpoints.factory import imagebind_tiny
from imagebind.embedder import Embedder
from imagebind.search import Index

TIMEOUT_SECONDS = 120  # a busy machine takes long to start


@pytest.fixture(scope="module")
def db(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("app") / "texts.lance"
    index = Index.open(folder, Embedder(imagebind_tiny(pretrained=True)), create=True)
    index.add(["a red star", "a blue ring"])
    return folder


def test_the_page_opens_at_the_printed_address_and_leaves_no_files(db, tmp_path):
    arguments = ["app", db, "--weights", "tiny", "--port", "0", "--host", "0.0.0.0"]
    with subprocess.Popen(
        [sys.executable, "-m", "imagebind.cli.main", *map(str, arguments)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path), "COLUMNS": "300"},
    ) as process:
        assert process.stderr is not None
        try:
            lines = []
            while not lines or "Ctrl+C" not in lines[-1]:
                lines.append(process.stderr.readline())
                assert lines[-1], f"it ended: {lines}"
            port = re.search(r"http://0\.0\.0\.0:(\d+)", lines[-1]).group(1)
            assert "there is no password" in "".join(lines[:-1])
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=TIMEOUT_SECONDS) as answer:
                assert answer.status == 200 and b"texts.lance" in answer.read()
            process.send_signal(signal.SIGINT)
            rest = process.communicate(timeout=TIMEOUT_SECONDS)[1]
        finally:
            process.kill()
    assert "Traceback" not in rest
    assert list(tmp_path.iterdir()) == []


def test_a_missing_index_is_an_error_before_a_model_is_loaded(imagebind, tmp_path):
    run = imagebind("app", tmp_path / "no.lance", "--weights", tmp_path / "no.pth")
    assert run.code == 1 and "no.lance: no index found" in run.err and "no.pth" not in run.err


def test_the_error_of_a_port_in_use_names_the_port_and_the_option(imagebind, db):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        run = imagebind("app", db, "--weights", "tiny", "--port", port)
    assert run.code == 1 and f"port {port}" in run.err and "try another --port" in run.err


def test_an_upload_limit_of_zero_and_an_unknown_option_are_refused(imagebind, db):
    assert imagebind("app", db, "--max-upload-mb", "0").code == 2
    assert imagebind("app", db, "--share").code == 2
