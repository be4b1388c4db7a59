"""Limits on requests: their origin, size, duration and number at once."""

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from imagebind.modality import MediaKind
from imagebind.search.app import guard, server
from tests.search.app.conftest import items
from tests.search.app.served import FILTERS, eventually, search, serving, upload


def test_only_requests_to_this_machines_names_are_answered(served):
    assert httpx.get(served.url, headers={"Host": "localhost:7860"}).status_code == 200
    assert httpx.get(served.url, headers={"Host": "evil.example"}).status_code == 400


def test_requests_of_pages_from_other_origins_are_refused(served):
    own = served.url.removeprefix("http://")
    for origin in (
        "http://evil.example",
        "null",
        "file://",
        f"http://{own}.evil.example",
        "http://localhost",
    ):
        for method, path in (("GET", "/"), ("GET", "/map"), ("POST", "/search"), ("POST", "/uploads")):
            answer = httpx.request(method, served.url + path, headers={"Origin": origin})
            assert answer.status_code == 403
    assert httpx.get(served.url, headers={"Origin": served.url}).status_code == 200


def test_the_page_restricts_what_a_browser_loads_and_has_no_external_urls(served):
    answer = httpx.get(served.url)
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy and "http" not in policy
    for name in ("cards.css", *(path.name for path in server.STATIC_FOLDER.iterdir())):
        file = httpx.get(f"{served.url}/static/{name}")
        assert file.status_code == 200 and file.headers["x-content-type-options"] == "nosniff"
        assert "://" not in file.text
    assert "://" not in answer.text and " style=" not in answer.text and " onclick" not in answer.text


def test_an_upload_above_the_size_limit_is_refused(served):
    answer = upload(served.url, b"a red star")
    assert answer.status_code == 200 and answer.json()["kind"] == "text"
    answer = upload(served.url, b"x" * 2**20)
    assert answer.status_code in (200, 422)
    for size in (2**20 + 1, 3_000_000):
        answer = upload(served.url, b"x" * size)
        assert answer.status_code == 413 and "at most 1 MiB" in answer.text
    assert served.temporary_files() == []


def test_an_upload_without_a_content_length_is_refused(served):
    body = iter([b"x" * 100_000])
    answer = httpx.post(f"{served.url}/uploads?name=x.bin", content=body)
    assert answer.status_code == 411 and served.temporary_files() == []


def start_upload(url: str, size: int) -> socket.socket:
    """Start an upload whose last byte does not arrive."""
    host, port = url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=30)
    head = f"POST /uploads?name=x.png HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {size}\r\n\r\n"
    connection.sendall(head.encode() + b"x" * (size - 1))
    return connection


def test_waiting_uploads_are_limited_in_number_and_size_and_deleted_if_the_client_leaves(served, monkeypatch):
    text = b"a red star"
    running = [start_upload(served.url, 2**20) for _ in range(guard.MAX_PENDING_FULL_UPLOADS)]
    assert eventually(lambda: upload(served.url, text).status_code == 429)
    assert eventually(lambda: len(served.temporary_files()) == len(running))
    for connection in running:
        connection.close()
    assert eventually(lambda: upload(served.url, text).status_code == 200)
    assert eventually(lambda: served.temporary_files() == [])
    monkeypatch.setattr(guard, "MAX_PENDING_UPLOADS", 2)
    running = [start_upload(served.url, 10) for _ in range(2)]
    assert eventually(lambda: upload(served.url, text).status_code == 429)
    assert "retry-after" in upload(served.url, text).headers
    for connection in running:
        connection.close()
    assert eventually(lambda: upload(served.url, text).status_code == 200)


def test_a_stalled_client_times_out_and_does_not_delay_others(served, indexed, monkeypatch):
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.2)
    host, port = served.url.removeprefix("http://").split(":")
    stalled = []
    for path in ("/uploads?name=x.png", "/search"):
        for _ in range(60):  # more than the threads that answer requests
            connection = socket.create_connection((host, int(port)), timeout=30)
            head = (
                f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 1000\r\n"
                "Content-Type: application/json\r\n\r\n--x\r\n"
            )
            connection.sendall(head.encode())
            stalled.append(connection)
    hit = items(indexed, MediaKind.VIDEO)[0]
    assert httpx.get(f"{served.url}/media/{hit.id}", timeout=20).status_code == 200
    for connection in stalled:
        assert b" 408 " in connection.recv(100)
        connection.close()
    assert upload(served.url, b"a red star").status_code == 200
    assert served.temporary_files() == []


def test_a_search_request_with_invalid_or_too_long_json_is_refused(served):
    headers = {"Content-Type": "application/json"}
    bodies = [b'{"query": {"texts": [["x", 1]}', b"[" * 100_000, b"\xff\xfe", b'{"query": NaN}']
    for body in [*bodies, b'{"query": "\\ud800"}']:
        answer = httpx.post(f"{served.url}/search", content=body, headers=headers)
        assert answer.status_code in (400, 422), body[:100]
    answer = httpx.post(f"{served.url}/search", content=b"x" * (2**20 + 1), headers=headers)
    assert answer.status_code == 413
    assert search(served.url, texts=[["a star", 1]], kinds=["smell"]).status_code == 422


def test_searches_above_the_waiting_limit_are_refused_until_later(indexed, monkeypatch):
    monkeypatch.setattr(server, "MAX_RUNNING", 1)
    monkeypatch.setattr(server, "MAX_WAITING", 1)
    began, goes_on = threading.Event(), threading.Event()
    searched = []

    def slow(query: object, filters: object) -> str:
        searched.append(query)
        began.set()
        assert goes_on.wait(60)
        return "done"

    monkeypatch.setattr("imagebind.search.app.service.PageService.search", lambda _, *asked: slow(*asked))
    with serving(indexed, max_upload_mb=1) as url, ThreadPoolExecutor(2) as pool:
        first = pool.submit(search, url, texts=[["a", 1]])
        assert began.wait(30)
        host, port = url.removeprefix("http://").split(":")
        # This client's request waits for its turn; the client disconnects before that.
        with socket.create_connection((host, int(port))) as leaving:
            body = json.dumps({"query": {}, "filters": FILTERS}).encode()
            head = f"POST /search HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {len(body)}\r\n"
            leaving.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)
            assert eventually(lambda: search(url, texts=[["a", 1]]).status_code == 503)
            refused = search(url, texts=[["a", 1]])
            assert refused.headers["retry-after"] and "Too many requests" in refused.text
            assert httpx.get(url).status_code == 200  # the page itself needs no turn
        goes_on.set()
        assert first.result().text == "done"
        assert search(url, texts=[["a", 1]]).status_code == 200
    assert len(searched) == 2  # not the one whose client left


@pytest.mark.huge
def test_memory_stays_flat_over_many_uploads(served, media):
    image = next(media.rglob("image.png")).read_bytes()

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    for turn in range(150):
        assert upload(served.url, image, "image.png").status_code == 200
        if turn == 50:
            before = resident()
    assert resident() - before < 32 * 2**20
    assert served.temporary_files() == []
