"""Crafted requests: none gets status 500, takes long or needs much memory."""

import random
import socket
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

from imagebind.search import Index
from imagebind.search.app import guard

TEXTS = [
    "",
    "%00",
    "..%2f..%2fetc%2fpasswd",
    "a" * 5000,
    "%ff%fe",
    "<script>",
    "'--",
    "%F0%9F%98%80",
    "1e999",
    "-1",
]
PATHS = [
    *("/", "/media/{}", "/thumbnail/{}", "/item/{}", "/map", "/static/{}", "/{}", "/uploads", "/search"),
    *("/uploads?name={}", "/like/{}", "/label", "/search?x={}", "/detections?name={}"),
]
METHODS = ["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "X" * 30]
VALUES = [
    "null",
    "1",
    "-1",
    "1e999",
    '"x"',
    "[]",
    "{}",
    "[[[]]]",
    "true",
    '{"path": "/etc/passwd"}',
    '{"texts": [["x", 1e999]], "uploads": [[{"name": "x", "kind": null, "vectors": {}}, null, 1]]}',
    '{"top": -1, "kinds": ["audio"], "path": "**/**", "first": "1"}',
    '{"name": "x", "kind": "audio", "vectors": {"audio": [1e308, NaN]}}',
    '"\\ud800"',
    "NaN",
]
FIELDS = [
    "threshold",
    "maps",
    "query",
    "filters",
    "upload",
    "kind",
    "labels",
    "texts",
    "uploads",
    "top",
    "kinds",
    "path",
    "first",
]
BOUNDARIES = ["x", "", '"', "x" * 300, "é"]


def crafted(draw: random.Random, host: str, ids: list[str]) -> bytes:
    """Draw a request as bytes."""
    path = draw.choice(PATHS).format(draw.choice([*TEXTS, *ids]))
    method = draw.choice(METHODS if draw.random() < 0.4 else ["GET", "POST"])
    body = draw.choice([_json, _multipart, _noise, _json_line])(draw)
    length = draw.choice([str(len(body))] * 6 + ["-1", "x", "9" * 30, "1e3", "0"])
    headers = {"Host": host if draw.random() < 0.95 else "evil.example", "Content-Length": length}
    headers["Connection"] = "close"
    types = [
        "application/json",
        *(f"multipart/form-data; boundary={each}" for each in BOUNDARIES),
        "text/plain",
        "",
    ]
    headers["Content-Type"] = draw.choice(types)
    if draw.random() < 0.3:
        numbers = [str(draw.choice([0, 1, 5, -1, 10**25])) for _ in range(2)]
        headers["Range"] = draw.choice(["bytes=", "bytes", "x=", ""]) + draw.choice(
            ["-", ",", "--", "-,"]
        ).join(numbers)
    if draw.random() < 0.1:
        headers[draw.choice(["Transfer-Encoding", "Expect", "Upgrade", "If-Range", "Cookie", "Origin"])] = (
            draw.choice(["chunked", "100-continue", "websocket", "x" * 5000, '"', "null"])
        )
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    start = f"{method} {path} HTTP/1.1\r\n"
    return (start + head + "\r\n").encode() + body


def _json(draw: random.Random) -> bytes:
    fields = draw.sample(FIELDS, draw.randrange(len(FIELDS)))
    pairs = [f'"{name}": {draw.choice([*VALUES, str(draw.randrange(20))])}' for name in fields]
    return ("{" + ", ".join(pairs) + draw.choice(["}", "}", "}", "", "}}"])).encode()


def _multipart(draw: random.Random) -> bytes:
    name = draw.choice(["files", "x", "", '"', "fi\\les"])
    file = draw.choice(["x.png", "", "../../x", "a" * 400 + ".png", "\0", "é.wav", "x/y", ".", ".."])
    head = f'--x\r\nContent-Disposition: form-data; name="{name}"; filename="{file}"\r\n\r\n'
    return (
        head.encode() + draw.randbytes(draw.randrange(200)) + draw.choice([b"\r\n--x--\r\n", b"", b"\r\n--x"])
    )


def _json_line(draw: random.Random) -> bytes:
    return _json(draw) + b"\n" + _noise(draw)


def _noise(draw: random.Random) -> bytes:
    return draw.randbytes(draw.randrange(300))


def response_status(address: tuple[str, int], request: bytes) -> int:
    """Return the status of the response, or 0 if the connection was closed without one."""
    with socket.create_connection(address, timeout=10) as connection:
        try:
            connection.sendall(request)
            start = connection.recv(100)
        except (ConnectionError, BrokenPipeError):
            return 0
        return int(start.split()[1]) if start.startswith(b"HTTP/") else 0


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.parametrize("count", [200, pytest.param(3000, marks=pytest.mark.huge)])
def test_crafted_requests_cause_no_server_error_or_timeout_and_the_page_keeps_working(
    served, indexed: Index, monkeypatch, count
):
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.3)  # many announce more bytes than they send
    host, port = served.url.removeprefix("http://").split(":")
    ids = [hit.id for hit in indexed.sample(5)]
    draw = random.Random(count)
    before, statuses, longest = resident(), Counter(), 0.0
    for _ in range(count):
        request = crafted(draw, f"{host}:{port}", ids)
        began = time.monotonic()
        status = response_status((host, int(port)), request)
        longest = max(longest, time.monotonic() - began)
        statuses[status] += 1
        assert status < 500, request[:2000]
    print(f"{count} requests: {dict(statuses)}, longest {longest:.1f} s, +{(resident() - before) >> 20} MB")
    assert statuses[0] <= count // 10  # connections closed without a response
    assert resident() - before < 2**30
    assert httpx.get(served.url).status_code == 200
