"""Routes: files of the index and nothing else, in parts, and with bounds on what comes in."""

from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from imagebind.modality import MediaKind
from imagebind.search.app.server import build_app, media_type
from tests.search.app.conftest import items
from tests.search.app.served import serving


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
        assert answer.status_code == 404 and f"{hit.path} is gone" in answer.text and "--prune" in answer.text
        assert httpx.get(f"{url}/thumbnail/{hit.id}").content == hit.thumbnail


def test_a_text_that_looks_like_a_path_opens_no_file(copied):
    (text,) = items(copied, MediaKind.TEXT)
    assert text.path == "/etc/hostname" and Path(text.path).is_file()
    with serving(copied, max_upload_mb=1) as url:
        answer = httpx.get(f"{url}/media/{text.id}")
    assert answer.status_code == 404 and "has no file" in answer.text


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


def test_a_bound_of_nothing_is_refused(indexed):
    with pytest.raises(ValueError, match="max_upload_mb wants more than 0, got 0"):
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
        assert "was not dropped" in answers[0].text


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
