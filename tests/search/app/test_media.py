"""Media routes: files of the index and nothing else, in parts."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from imagebind.modality import MediaKind
from imagebind.search import Index
from imagebind.search.app.media import mime_type, served_file
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


def test_a_range_request_returns_part_of_a_file(served, indexed):
    hit = items(indexed, MediaKind.AUDIO)[0]
    answer = httpx.get(f"{served.url}/media/{hit.id}", headers={"Range": "bytes=100-299"})
    assert answer.status_code == 206 and answer.content == hit.file.read_bytes()[100:300]
    assert answer.headers["content-range"] == f"bytes 100-299/{hit.size}"


@pytest.mark.parametrize("name", ["nothing", "..%2f..%2fetc%2fpasswd", "%2fetc%2fpasswd", "' OR 'a'='a"])
def test_an_unknown_id_is_not_found_even_if_it_is_a_path(served, name):
    answer = httpx.get(f"{served.url}/media/{name}")
    assert answer.status_code == 404 and "root:" not in answer.text


def test_a_deleted_file_is_reported_as_gone(copied):
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


def replace_with_link(hit, target) -> None:
    """Replace a hit's file by a link."""
    hit.file.unlink()
    hit.file.symlink_to(target)


def test_a_file_that_was_replaced_by_a_link_after_indexing_is_not_served(copied, tmp_path):
    (hit,) = items(copied, MediaKind.IMAGE)
    content = hit.file.read_bytes()
    beside = tmp_path / ".secret.png"
    beside.write_bytes(content + b"more")
    for target in ("/etc/passwd", beside, tmp_path, "/dev/zero", "/proc/self/environ", hit.file, "gone"):
        replace_with_link(hit, target)
        with pytest.raises(OSError, match=r"link|regular|No such|Too many"):
            served_file(hit, copied.roots())
    with serving(copied, max_upload_mb=1) as url:
        replace_with_link(hit, "/etc/passwd")
        answer = httpx.get(f"{url}/media/{hit.id}")
        assert answer.status_code == 404 and "is a symbolic link to another folder" in answer.text
        hit.file.unlink()
        os.mkfifo(hit.file)
        assert httpx.get(f"{url}/media/{hit.id}", timeout=5).status_code == 404


def test_links_are_followed_only_to_indexed_files_below_a_root(tmp_path, media):
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


@pytest.mark.parametrize(("requested", "status", "part"), RANGES)
def test_ranges_are_exact_and_invalid_ones_are_refused(served, indexed, requested, status, part):
    hit = items(indexed, MediaKind.AUDIO)[0]
    content = hit.file.read_bytes()
    for method in ("GET", "HEAD"):
        answer = httpx.request(method, f"{served.url}/media/{hit.id}", headers={"Range": requested})
        assert answer.status_code == status or (status is None and answer.status_code < 500)
        if part is not None:
            assert answer.content == (content[part] if method == "GET" else b"")
            assert answer.headers["content-length"] == str(len(content[part]))


def test_a_file_removed_from_the_index_is_no_longer_served(copied):
    (hit,) = items(copied, MediaKind.IMAGE)
    with serving(copied, max_upload_mb=1) as url:
        assert httpx.get(f"{url}/thumbnail/{hit.id}").status_code == 200
        copied.delete(ids=[hit.id])
        for route in ("media", "thumbnail"):
            assert httpx.get(f"{url}/{route}/{hit.id}").status_code == 404


@pytest.mark.parametrize("name", ["page.html", "drawing.svg", "script.js", "nothing"])
def test_an_image_without_the_suffix_of_a_safe_image_type_is_downloaded_not_displayed(indexed, name):
    hit = items(indexed, MediaKind.IMAGE)[0]
    assert mime_type(hit) == "image/png"
    assert mime_type(replace(hit, path=f"/media/{name}")) is None
