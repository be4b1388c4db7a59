"""Hits as a self-contained page with escaped text and links to files."""

import re
from dataclasses import replace
from html import unescape
from urllib.parse import unquote

import pytest

from imagebind.modality import MediaKind
from imagebind.search import Hit
from imagebind.search.html import has_file, hits_page, media_fragment, seconds

JPEG = b"\xff\xd8\xff\xe0 an image"
HIT = Hit(
    id="1",
    path="/media/rain & <b>wind</b>/a'\".wav",
    kind=MediaKind.AUDIO,
    start=65.0,
    end=75.04,
    metadata={},
    thumbnail=JPEG,
    content_hash="",
    size=1,
    mtime_ns=1,
    cosine=0.12345,
    score=2.5,
)
TEXT = replace(HIT, kind=MediaKind.TEXT, path="/notes/a.txt", start=None, end=None, thumbnail=None)


def test_a_page_has_names_times_and_both_scores_of_its_hits_in_order():
    page = hits_page([HIT, replace(HIT, kind=MediaKind.VIDEO, score=1.0)], title="rain")
    assert page.startswith("<!doctype html>") and "2 hits" in page and "<title>rain</title>" in page
    assert re.findall(r'data-kind="(\w+)"', page) == ["audio", "video"]
    assert "1:05.0–1:15.0" in page and "<dd>2.50</dd>" in page and "<dd>0.123</dd>" in page


def test_nothing_of_a_name_or_a_title_becomes_markup():
    page = hits_page([HIT, replace(TEXT, metadata={"text": "<script>1</script>"})], title="<i>x</i>")
    assert "<b>" not in page and "<script" not in page and "<i>" not in page
    assert "<bdi>a&#39;&#34;<wbr>.wav</bdi>" in page
    assert "&lt;script&gt;1&lt;/script&gt;" in page


def test_everything_is_in_the_page_but_the_files_that_it_links_to():
    page = hits_page([HIT, replace(HIT, kind=MediaKind.IMAGE)], title="rain")
    addresses = re.findall(r'(?:src|href|poster)="([^"]*)"', page)
    assert addresses and all(each.startswith(("data:image/jpeg;base64,", "file:///")) for each in addresses)
    assert "url(" not in page and "@import" not in page


def test_audio_and_video_play_at_the_time_of_the_hit():
    for kind, tag in ((MediaKind.AUDIO, "audio"), (MediaKind.VIDEO, "video")):
        page = hits_page([replace(HIT, kind=kind)], title="rain")
        (source,) = re.findall(rf'<{tag} [^>]*src="([^"]*)"', page)
        address, _, time = unescape(source).partition("#")
        assert unquote(address) == f"file://{HIT.path}" and time == "t=65.00,75.04"


@pytest.mark.parametrize(
    ("hit", "wanted"),
    [
        (HIT, True),
        (TEXT, True),
        (replace(TEXT, path="/etc/passwd", metadata={"text": "/etc/passwd"}, mtime_ns=0), False),
        (replace(TEXT, path="/notes/a.txt", metadata={"text": "words"}, mtime_ns=5), True),
        (replace(HIT, path="bark.wav"), False),
        (replace(HIT, path="<ndarray (480, 640)>"), False),
        (replace(HIT, path="s3://bucket/bark.wav"), False),
    ],
)
def test_only_items_read_from_an_absolute_path_have_a_file(hit, wanted):
    assert has_file(hit) is wanted
    assert ("Open file" in hits_page([hit], title="x")) is wanted


def test_times_are_in_seconds_or_minutes_and_omitted_without_a_time():
    assert seconds(TEXT) == "" and media_fragment(TEXT) == ""
    assert seconds(replace(HIT, start=3.0, end=5.0)) == "3.0–5.0 s"
    assert seconds(replace(HIT, start=0.0, end=0.04)) == "0.00–0.04 s"
    assert seconds(replace(HIT, start=59.96, end=61.0)) == "1:00.0–1:01.0"


def test_a_page_without_hits_has_advice():
    assert "try fewer or other filters" in hits_page([], title="x")
