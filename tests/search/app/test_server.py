"""Routes: files of the index and nothing else, in parts, and with bounds on what comes in."""

import os
import shutil
import socket
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from imagebind.modality import MediaKind
from imagebind.search import Index
from imagebind.search.app import server
from imagebind.search.app.inputs import MEGABYTE
from imagebind.search.app.server import build_app, media_type, served_file
from tests.search.app.conftest import items
from tests.search.app.served import serving
from tests.search.crawled import crawled, tiny


def test_a_file_in_the_index_is_served_by_its_id_with_its_type(served, indexed):
    for kind, wanted in (
        (MediaKind.IMAGE, "image/png"),
        (MediaKind.VIDEO, "video/mp4"),
        (MediaKind.TEXT, "text/plain; charset=utf-8"),
    ):
        hit = items(indexed, kind)[0]
        answer = httpx.get(f"{served.url}/media/{hit.id}")
        assert answer.status_code == 200 and answer.headers["content-type"] == wanted
        assert answer.content == hit.file.read_bytes()
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_part_of_a_file_is_served_to_whoever_asks_for_a_range(served, indexed):
    hit = items(indexed, MediaKind.AUDIO)[0]
    answer = httpx.get(f"{served.url}/media/{hit.id}", headers={"Range": "bytes=100-299"})
    assert answer.status_code == 206 and answer.content == hit.file.read_bytes()[100:300]
    assert answer.headers["content-range"] == f"bytes 100-299/{hit.size}"


@pytest.mark.parametrize("name", ["nothing", "..%2f..%2fetc%2fpasswd", "%2fetc%2fpasswd", "' OR 'a'='a"])
def test_what_is_no_id_in_the_index_is_not_there_whatever_file_it_names(served, name):
    answer = httpx.get(f"{served.url}/media/{name}")
    assert answer.status_code == 404 and "root:" not in answer.text


def test_a_file_that_is_gone_is_said_to_be_gone(copied):
    (hit,) = items(copied, MediaKind.IMAGE)
    with serving(copied, max_upload_mb=1) as url:
        assert httpx.get(f"{url}/media/{hit.id}").status_code == 200
        hit.file.unlink()
        answer = httpx.get(f"{url}/media/{hit.id}")
        assert (
            answer.status_code == 404
            and f"{hit.path} does not exist" in answer.text
            and "--prune" in answer.text
        )
        assert httpx.get(f"{url}/thumbnail/{hit.id}").content == hit.thumbnail


def test_a_text_that_looks_like_a_path_opens_no_file(copied):
    (text,) = items(copied, MediaKind.TEXT)
    assert text.path == "/etc/hostname" and Path(text.path).is_file()
    with serving(copied, max_upload_mb=1) as url:
        answer = httpx.get(f"{url}/media/{text.id}")
    assert answer.status_code == 404 and "has no file" in answer.text


def linked(hit, target) -> None:
    """Replace a hit's file by a link."""
    hit.file.unlink()
    hit.file.symlink_to(target)


def test_a_file_that_was_replaced_by_a_link_after_indexing_is_not_served(copied, tmp_path):
    (hit,) = items(copied, MediaKind.IMAGE)
    content = hit.file.read_bytes()
    beside = tmp_path / ".secret.png"
    beside.write_bytes(content + b"more")
    for target in ("/etc/passwd", beside, tmp_path, "/dev/zero", "/proc/self/environ", hit.file, "gone"):
        linked(hit, target)
        with pytest.raises(OSError, match=r"link|regular|No such|Too many"):
            served_file(hit, copied.roots())
    with serving(copied, max_upload_mb=1) as url:
        linked(hit, "/etc/passwd")
        answer = httpx.get(f"{url}/media/{hit.id}")
        assert answer.status_code == 404 and "is a symbolic link to another folder" in answer.text
        hit.file.unlink()
        os.mkfifo(hit.file)
        assert httpx.get(f"{url}/media/{hit.id}", timeout=5).status_code == 404


def test_links_are_followed_to_what_was_indexed_below_a_root_and_nowhere_else(tmp_path, media):
    inside, outside, index_folder = tmp_path / "media", tmp_path / "outside", tmp_path / "db"
    for folder in (inside / "real", outside):
        folder.mkdir(parents=True)
        shutil.copy(next(media.rglob("image.png")), folder / "image.png")
    (inside / "folder").symlink_to(outside)
    (inside / "link.png").symlink_to(inside / "real" / "image.png")
    (tmp_path / "root").symlink_to(inside)
    crawled(index_folder, tmp_path / "root")
    index = Index.open(index_folder, tiny())
    assert index.roots() == [tmp_path / "root"]
    hits = {hit.file.relative_to(tmp_path / "root").as_posix(): hit for hit in items(index, MediaKind.IMAGE)}
    assert set(hits) == {"real/image.png", "link.png", "folder/image.png"}
    for name in ("real/image.png", "link.png"):
        assert served_file(hits[name], index.roots())[0] == inside / "real" / "image.png"
    with pytest.raises(PermissionError):
        served_file(hits["folder/image.png"], index.roots())
    crawled(index_folder, outside)
    assert served_file(hits["folder/image.png"], index.roots())[0] == outside / "image.png"


RANGES = [
    ("bytes=0-0", 206, slice(0, 1)),
    ("bytes=5-", 206, slice(5, None)),
    ("bytes=-5", 206, slice(-5, None)),
    ("bytes=10-99999999999999999999", 206, slice(10, None)),
    ("bytes=-99999999", 206, slice(None)),
    ("bytes=99999999-", 416, None),
    ("bytes=9-5", 400, None),
    ("bytes=", 400, None),
    ("bytes=x-y", 400, None),
    ("bites=0-1", 400, None),
    ("0-1", 400, None),
    ("bytes=-", 400, None),
    ("bytes=1-2,,-", None, None),
]


@pytest.mark.parametrize(("asked", "status", "part"), RANGES)
def test_ranges_are_exact_and_wrong_ones_are_refused(served, indexed, asked, status, part):
    hit = items(indexed, MediaKind.AUDIO)[0]
    content = hit.file.read_bytes()
    for method in ("GET", "HEAD"):
        answer = httpx.request(method, f"{served.url}/media/{hit.id}", headers={"Range": asked})
        assert answer.status_code == status or (status is None and answer.status_code < 500)
        if part is not None:
            assert answer.content == (content[part] if method == "GET" else b"")
            assert answer.headers["content-length"] == str(len(content[part]))


def test_what_is_taken_out_of_the_index_is_not_served_any_more(copied):
    (hit,) = items(copied, MediaKind.IMAGE)
    with serving(copied, max_upload_mb=1) as url:
        assert httpx.get(f"{url}/thumbnail/{hit.id}").status_code == 200
        copied.delete(ids=[hit.id])
        for route in ("media", "thumbnail"):
            assert httpx.get(f"{url}/{route}/{hit.id}").status_code == 404


@pytest.mark.parametrize("name", ["page.html", "drawing.svg", "script.js", "nothing"])
def test_a_file_whose_name_says_that_it_is_a_page_is_saved_not_shown(indexed, name):
    hit = items(indexed, MediaKind.IMAGE)[0]
    assert media_type(hit) == "image/png"
    assert media_type(replace(hit, path=f"/media/{name}")) is None


def test_the_pages_own_server_opens_nothing_else(served, indexed, media):
    pyproject = Path(__file__).parents[3] / "pyproject.toml"
    db = next(path for path in Path(indexed.uri).rglob("*") if path.is_file())
    for path in (Path("/etc/passwd"), pyproject, db, items(indexed, MediaKind.IMAGE)[0].file):
        for route in (f"/gradio_api/file={path}", f"/gradio_api/file/{path}", f"/file={path}", f"//{path}"):
            assert httpx.get(served.url + quote(route, safe="/=")).status_code == 404
    for route in (
        "/gradio_api/file=http://example.com/",
        "/gradio_api/proxy=http://example.com/",
        "/gradio_api/info",
        "/gradio_api/openapi.json",
        "/docs",
        "/openapi.json",
        "/monitoring/summary",
    ):
        assert httpx.get(served.url + route).status_code == 404


def test_the_page_is_asked_for_by_this_machines_names_only(served):
    assert httpx.get(served.url, headers={"Host": "localhost:7860"}).status_code == 200
    assert httpx.get(served.url, headers={"Host": "evil.example"}).status_code == 400


def test_another_page_in_a_browser_gets_nothing(served):
    own = served.url.removeprefix("http://")
    for origin in (
        "http://evil.example",
        "null",
        "file://",
        f"http://{own}.evil.example",
        "http://localhost",
    ):
        for method, path in (("GET", "/"), ("GET", "/config"), ("POST", "/gradio_api/upload")):
            answer = httpx.request(method, served.url + path, headers={"Origin": origin})
            assert answer.status_code == 403
    assert httpx.get(served.url, headers={"Origin": served.url}).status_code == 200


def test_the_page_says_what_a_browser_may_load_and_names_nobody_elses_address(served):
    answer = httpx.get(served.url)
    assert answer.headers["content-security-policy"].startswith("default-src 'self'")
    config = httpx.get(f"{served.url}/config").json()
    assert config["analytics_enabled"] is False
    assert all(event["api_visibility"] == "private" for event in config["dependencies"])


def upload(url: str, size: int) -> httpx.Response:
    return httpx.post(f"{url}/gradio_api/upload", files={"files": ("x.bin", b"x" * size)})


def test_an_upload_is_taken_up_to_the_bound_and_then_refused(served):
    assert upload(served.url, 10_000).status_code == 200
    assert upload(served.url, 1_060_000).status_code == 413  # above one file's bound, below the request's
    answer = upload(served.url, 3_000_000)
    assert answer.status_code == 413 and "at most 1 MB" in answer.text


def test_an_upload_that_does_not_say_how_long_it_is_is_refused(served):
    before = served.left()
    body = iter([b"--x\r\n", b"x" * 100_000])
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = httpx.post(f"{served.url}/gradio_api/upload", content=body, headers=headers)
    assert answer.status_code == 411 and served.left() == before


def test_uploads_that_wait_are_bounded_in_number_and_in_total(served, monkeypatch):
    folder = served.uploads / "waiting"
    folder.mkdir()
    (folder / "sparse").touch()
    os.truncate(folder / "sparse", 100 * MEGABYTE)
    assert upload(served.url, 1000).status_code == 429
    os.truncate(folder / "sparse", 1)
    assert upload(served.url, 1000).status_code == 200
    for number in range(server.WAITING_UPLOADS):
        (folder / f"{number}").touch()
    assert upload(served.url, 1000).status_code == 429
    shutil.rmtree(folder)
    assert upload(served.url, 1000).status_code == 200


def test_a_stalled_client_is_let_go_and_holds_nobody_up(served, indexed, monkeypatch):
    monkeypatch.setattr(server, "BODY_SECONDS", 0.2)
    host, port = served.url.removeprefix("http://").split(":")
    stalled = []
    for path in ("/gradio_api/upload", "/gradio_api/queue/join"):
        for _ in range(60):  # more than threads that answer
            connection = socket.create_connection((host, int(port)), timeout=30)
            head = (
                f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 1000\r\n"
                'Content-Type: multipart/form-data; boundary="x"\r\n\r\n--x\r\n'
            )
            connection.sendall(head.encode())
            stalled.append(connection)
    hit = items(indexed, MediaKind.VIDEO)[0]
    assert httpx.get(f"{served.url}/media/{hit.id}", timeout=20).status_code == 200
    for connection in stalled:
        assert b" 408 " in connection.recv(100)
        connection.close()
    assert upload(served.url, 10).status_code == 200


def test_a_bound_of_nothing_is_refused(indexed):
    with pytest.raises(ValueError, match="max_upload_mb: expected more than 0, got 0"):
        build_app(indexed, max_upload_mb=0)


def asked(url: str, value: object) -> list[httpx.Response]:
    """What each event of the page that takes a value answers to one."""
    config = httpx.get(f"{url}/config").json()
    return [
        httpx.post(
            f"{url}/gradio_api/queue/join",
            json={
                "data": [value] * len(event["inputs"]),
                "fn_index": event["id"],
                "session_hash": f"s{event['id']}",
                "trigger_id": event["targets"][0][0] if event["targets"] else None,
            },
        )
        for event in config["dependencies"]
        if event["inputs"]
    ]


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "http://127.0.0.1:9/x.png", "/dev/zero", "../../etc/passwd", ["/etc/passwd"], 1]
)
def test_a_file_that_was_not_dropped_here_is_no_upload_whatever_its_path_says(served, path):
    file = {"path": path, "orig_name": "x.txt", "size": 1, "meta": {"_type": "gradio.FileData"}}
    for value in (file, [file], {"video": file}, {"path": None, "deeper": [{"x": file}]}):
        answers = asked(served.url, value)
        assert len(answers) > 3
        assert {answer.status_code for answer in answers} == {403}
        assert "was not uploaded" in answers[0].text


def test_a_question_that_is_no_json_is_refused(served):
    for body in (b'{"data": [{"path": "/etc/passwd"}', b"[" * 100_000, b"\xff\xfe"):
        answer = httpx.post(f"{served.url}/gradio_api/queue/join", content=body)
        assert answer.status_code == 403


def test_gradio_itself_holds_paths_against_what_was_uploaded(indexed):
    app = build_app(indexed, max_upload_mb=1)
    (mounted,) = {route.app for route in app.routes if hasattr(getattr(route, "app", None), "get_blocks")}
    assert mounted.get_blocks().has_launched


def test_what_was_dropped_is_asked_about(served):
    (path,) = httpx.post(f"{served.url}/gradio_api/upload", files={"files": ("x.txt", b"a red star")}).json()
    file = {"path": path, "orig_name": "x.txt", "meta": {"_type": "gradio.FileData"}}
    assert 403 not in {answer.status_code for answer in asked(served.url, file)}
