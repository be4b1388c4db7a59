"""Routes: the page, its uploads and searches; and no others."""

import json
import re
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from imagebind.modality import MediaKind
from imagebind.search.app.server import build_app
from tests.search.app.conftest import items
from tests.search.app.served import FILTERS, search, upload


def test_the_server_opens_no_other_files(served, indexed):
    pyproject = Path(__file__).parents[3] / "pyproject.toml"
    db = next(path for path in Path(indexed.uri).rglob("*") if path.is_file())
    with httpx.Client(base_url=served.url) as client:
        for path in ("/etc/passwd", str(pyproject), str(db), str(items(indexed, MediaKind.IMAGE)[0].file)):
            for folder in ("", "/static", "/static/..", "/media"):
                for safe in ("/", ""):
                    assert client.get(f"{folder}/{quote(path, safe=safe)}").status_code == 404
        for route in (
            "docs",
            "redoc",
            "openapi.json",
            "static",
            "static/%2e%2e/server.py",
            "static/server.py",
        ):
            assert client.get(f"/{route}").status_code == 404


def test_a_failed_upload_is_named_and_an_unknown_route_is_not_found(served):
    answer = upload(served.url, b"\x89PNG\r\n\x1a\n torn", "torn.png")
    assert answer.status_code == 422 and answer.text.startswith("torn.png: ")
    assert upload(served.url, b"", "empty.png").text.startswith(
        "empty.png: expected a file with content, got an empty file"
    )
    assert upload(served.url, b"x", "x" * 1001).status_code == 422
    assert httpx.get(f"{served.url}/nothing").text == "Not Found"
    assert served.temporary_files() == []


@pytest.mark.parametrize("limit", [0, -1, float("inf"), float("nan")])
def test_an_upload_limit_that_is_not_finite_and_above_zero_is_refused(indexed, limit):
    with pytest.raises(ValueError, match=f"max_upload_mb: expected a finite number above 0, got {limit}"):
        build_app(indexed, max_upload_mb=limit)


def shown(answer: httpx.Response) -> list[str]:
    """Return the ids of the cards in an answer, in order."""
    assert answer.status_code == 200
    return re.findall(r'data-like="(\w+)"', answer.text)


def test_texts_and_uploads_are_added_with_their_weights(served, indexed, media):
    image, audio = (next(media.rglob(name)) for name in ("image.png", "audio.wav"))
    uploads = [upload(served.url, path.read_bytes(), path.name).json() for path in (image, audio)]
    assert [each["kind"] for each in uploads] == ["image", "audio"] and served.temporary_files() == []
    answer = search(
        served.url, texts=[["grass", -0.5]], uploads=[[uploads[0], "image", 1], [uploads[1], "audio", 0.8]]
    )
    pairs = [({"text": "grass"}, -0.5), ({"image": image}, 1.0), ({"audio": audio}, 0.8)]
    assert shown(answer) == [hit.id for hit in indexed.search(pairs, 5)]
    assert "− 0.5 × “grass” + image.png + 0.8 × audio.wav" in answer.text
    (first, *_) = shown(search(served.url, texts=[["a star", 1]], kinds=["audio"]))
    assert indexed.get(first).kind is MediaKind.AUDIO


def test_more_like_an_item_its_card_labels_and_the_map_have_routes(served, indexed, media):
    hit = items(indexed, MediaKind.VIDEO)[0]
    assert hit.id not in shown(httpx.post(f"{served.url}/like/{hit.id}", json=FILTERS))
    assert shown(httpx.get(f"{served.url}/item/{hit.id}")) == [hit.id]
    assert httpx.get(f"{served.url}/map").text.count("<circle ") == len(indexed)
    depth = upload(served.url, next(media.rglob("depth.png")).read_bytes(), "depth.png").json()
    assert depth["kind"] is None and set(depth["vectors"]) == {"depth", "thermal"}
    body = {"upload": depth, "kind": "depth", "labels": "a star\na ring"}
    answer = httpx.post(f"{served.url}/label", json=body, timeout=60)
    assert answer.status_code == 200 and answer.text.count('scope="row"') == 2
    assert "Choose its media type" in httpx.post(f"{served.url}/label", json=body | {"kind": None}).text


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        ([0.5], "expected a vector (128,), got (1,)"),
        ([0.0] * 128, "expected finite numbers that are not all 0"),
        ([float("inf")] * 128, "expected finite numbers that are not all 0"),
        ([float("nan")] * 128, "expected finite numbers that are not all 0"),
    ],
)
def test_an_invalid_vector_is_refused(served, vector, message):
    invalid = {"name": "x", "kind": "image", "vectors": {"image": vector}}
    content = json.dumps({"query": {"uploads": [[invalid, "image", 1]]}, "filters": FILTERS})
    headers = {"Content-Type": "application/json"}
    answer = httpx.post(f"{served.url}/search", content=content, headers=headers)
    assert answer.status_code == 200 and message in answer.text and 'role="alert"' in answer.text
    content = json.dumps({"upload": invalid, "kind": "image", "labels": "a\nb"})
    answer = httpx.post(f"{served.url}/label", content=content, headers=headers)
    assert answer.status_code == 200 and 'role="alert"' in answer.text
