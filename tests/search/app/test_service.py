"""Responses of the page: weighted sums, filters, and advice if there are no results."""

import re
import shutil

import numpy as np
import pytest

from imagebind.checkpoints.factory import imagebind_tiny
from imagebind.embedder import Embedder
from imagebind.errors import MediaError
from imagebind.modality import MediaKind
from imagebind.search import Index
from imagebind.search.app.inputs import UploadEmbedder
from imagebind.search.app.labels import UploadClassifier
from imagebind.search.app.service import Filters, PageQuery, PageService, parse_time
from tests.search.app.conftest import items
from tests.search.app.served import uploaded
from tests.search.crawled import tiny


def ids(answer: str) -> list[str]:
    """Return the ids of the cards in a response, in order."""
    return re.findall(r'data-like="(\w+)"', answer)


@pytest.fixture(scope="module")
def upload(indexed, media):
    """Return a function that embeds a scene's file as if it were uploaded."""
    embed = UploadEmbedder(indexed)

    def embedded(name: str):
        with uploaded(sorted(media.rglob(name))[0]) as file:
            return embed(file)

    return embedded


def test_a_text_finds_the_hits_of_the_index(service, indexed):
    answer = service.search(PageQuery(texts=[("a star", 1.0)]), Filters(top=5))
    assert ids(answer) == [hit.id for hit in indexed.search("a star", 5)]
    assert "5 hits for <bdi>“a star”</bdi>" in answer


def test_an_image_and_audio_are_added_and_a_text_is_subtracted(service, indexed, upload):
    image, audio = upload("image.png"), upload("audio.wav")
    page_query = PageQuery(
        texts=[(" grass ", -0.5), ("", 1.0), ("red", 0.0)],
        uploads=[(image, MediaKind.IMAGE, 1.0), (audio, MediaKind.AUDIO, 0.8)],
    )
    pairs = [
        ({"text": "grass"}, -0.5),
        (image.vector(MediaKind.IMAGE), 1.0),
        (audio.vector(MediaKind.AUDIO), 0.8),
    ]
    answer = service.search(page_query, Filters(top=6))
    assert ids(answer) == [hit.id for hit in indexed.search(pairs, 6)]
    assert "− 0.5 × “grass” + image.png + 0.8 × audio.wav" in answer


def test_hits_satisfy_the_filters(service, indexed):
    filters = Filters(kinds=["audio"], path="long.wav", first="16", last="0:17", top=100)
    found = {hit.id: hit for hit in items(indexed, MediaKind.AUDIO)}
    hits = [found[id] for id in ids(service.search(PageQuery(texts=[("a star", 1.0)]), filters))]
    assert hits and all(hit.path.endswith("long.wav") and hit.start <= 17 and hit.end >= 16 for hit in hits)
    later = ids(service.search(PageQuery(texts=[("a star", 1.0)]), Filters(first=" 16.0 ", top=100)))
    assert {found[id].path.rpartition("/")[2] for id in later} == {"long.wav"}


def test_more_like_an_item_leaves_that_item_out(service, indexed):
    hit = items(indexed, MediaKind.VIDEO)[0]
    found = ids(service.like(hit.id, Filters(top=4)))
    expected = [each.id for each in indexed.search(indexed.get(hit.id).vector, 5) if each.id != hit.id]
    assert found == expected[:4] and hit.id not in found


@pytest.mark.parametrize(
    ("page_query", "message"),
    [
        (PageQuery(), "the query: expected a text or a file, got none"),
        (PageQuery(texts=[("  ", 1.0)]), "the query: expected a text or a file, got none"),
        (PageQuery(texts=[("a star", 0.0)]), "weights that are all 0"),
        (PageQuery(texts=[("a star", 1.0), ("a star", -1.0)]), "cancel out"),
    ],
)
def test_an_empty_query_or_one_whose_sum_is_zero_is_refused(service, page_query, message):
    assert message in service.search(page_query, Filters())


def test_an_ambiguous_upload_needs_a_media_type(service, upload):
    with pytest.raises(
        MediaError, match=r"depth\.png: the file may be depth or thermal; choose its media type"
    ):
        PageQuery(uploads=[(upload("depth.png"), None, 1.0)]).pairs()


def test_without_hits_the_page_suggests_other_filters_and_wrong_filters_are_named(service):
    page_query = PageQuery(texts=[("a star", 1.0)])
    assert "No hits." in service.search(page_query, Filters(path="nowhere/*"))
    assert "Filters" in service.search(page_query, Filters(path="nowhere/*"))
    with pytest.raises(MediaError, match="the times: expected From time before To time, got 5 and 2"):
        Filters(first="5", last="2").options()
    assert "From time before To time" in service.search(page_query, Filters(first="5", last="2"))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("", None), (" ", None), ("90", 90), ("1:30", 90), ("75:05", 4505), ("1:00:00.5", 3600.5), ("0", 0)],
)
def test_times_are_seconds_or_clock_times(text, seconds):
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["soon", "-1", "1:2:3:4", "nan", "1e9", "٣", ":30", "1:75", "1:60:00"])
def test_an_invalid_time_is_named(service, text):
    shown = service.search(PageQuery(texts=[("a star", 1.0)]), Filters(last=text))
    assert "the time" in shown and "seconds (90)" in shown


def test_a_deleted_item_has_a_notice(service):
    for answer in (service.like("gone", Filters()), service.item("gone")):
        assert "no longer in the index" in answer


def test_every_view_of_an_empty_index_shows_how_to_fill_it(tmp_path):
    service = PageService(index=Index.open(tmp_path / "new.lance", tiny(), create=True))
    page_query = PageQuery(texts=[("a star", 1.0)])
    for answer in (service.welcome(), service.search(page_query, Filters()), service.map()):
        assert "This index is empty." in answer
        assert f"imagebind index FOLDER --db {tmp_path}/new.lance" in answer
    assert "no items yet" in service.overview()[0]


def test_the_head_counts_items_and_warns_of_the_toy_world(service):
    head, kinds = service.overview()
    assert "<bdi>world.lance</bdi>" in head and "5 images, 4 videos" in head and "toy world" in head
    assert f", from {service.index.stats().files} files." in head
    assert kinds[MediaKind.IMU] == 4


def test_labels_of_an_upload_are_sorted_by_probability(service, upload):
    text = upload("image.txt")
    shown = service.label(text, MediaKind.TEXT, "a horse | a pony\na motionless coloured thing")
    assert "<bdi>a horse</bdi>" in shown and shown.count("%</td>") == 2
    assert "expected two or more, one per line, got 1" in service.label(text, MediaKind.TEXT, "star")
    assert "which line 1 has" in service.label(text, MediaKind.TEXT, "star\nstar")
    assert "expected at most 200 names, got 201" in service.label(
        text, MediaKind.TEXT, "\n".join(f"label {number}" for number in range(201))
    )
    assert "Drop a file first" in service.label(None, None, "a\nb")
    assert "Choose its media type" in service.label(text, None, "a\nb")


def test_a_deleted_index_has_one_notice_and_the_page_still_opens(tmp_path):
    index = Index.open(tmp_path / "new.lance", tiny(), create=True)
    service = PageService(index=index)
    shutil.rmtree(tmp_path / "new.lance")
    head, kinds = service.overview()
    assert 'role="alert"' in head and "new.lance" in head and kinds == {}
    assert "What are you looking for?" in service.welcome()


def test_labels_need_a_text_trunk_on_the_page():
    model = imagebind_tiny(pretrained=True, modalities=["audio"])
    with pytest.raises(MediaError, match="expected a model with a text trunk, got one without"):
        UploadClassifier(Embedder(model))(np.ones(128, dtype=np.float32), MediaKind.AUDIO, "dog\ncat")
