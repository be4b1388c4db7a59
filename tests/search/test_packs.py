"""An index with vectors of a pack: they are found, filtered and calibrated, and the pack is checked."""

import numpy as np
import pytest

from imagebind.embedder import Embedder
from imagebind.errors import MediaError
from imagebind.intake.mapping import parse_mapping
from imagebind.modality import BoundModality, MediaKind
from imagebind.packs import read_pack
from imagebind.search import Index, SearchIndexError, SpaceMismatchError
from imagebind.search.crawl.crawler import crawl
from imagebind.search.html import hits_page
from tests.packed import event_files, event_pack, tiny

EVENT = BoundModality("event")


@pytest.fixture(scope="module")
def packs(tmp_path_factory):
    """The folders of two packs with the same modality."""
    folder = tmp_path_factory.mktemp("packs")
    return event_pack(folder / "first"), event_pack(folder / "second", seed=1)


@pytest.fixture(scope="module")
def embedder(packs):
    return Embedder(tiny(), packs=[packs[0]], num_workers=1)


@pytest.fixture
def files(tmp_path):
    return event_files(tmp_path / "media" / "events", 12)


@pytest.fixture
def index(embedder, files, tmp_path) -> Index:
    """An index of twelve event recordings and two texts, made by a crawl."""
    (tmp_path / "media" / "note.txt").write_text("a red star")
    (tmp_path / "media" / "other.txt").write_text("a blue ring")
    made = Index.open(tmp_path / "db", embedder, create=True)
    report = crawl(made, [tmp_path / "media"], mappings=[mapping(embedder)])
    assert not report.failures and report.rows == 14
    return made


def mapping(embedder: Embedder):
    return parse_mapping("events/*.npy=event", {EVENT: embedder.transform(EVENT)})


def test_items_of_a_pack_are_found_by_text_and_find_others(index, embedder, files):
    assert index.stats().kinds == {MediaKind.TEXT: 2, EVENT: 12}
    by_text = index.search("a red star", 20)
    assert {hit.kind for hit in by_text} == {MediaKind.TEXT, EVENT} and by_text[0].path.endswith("note.txt")
    cosines = {hit.file: hit.cosine for hit in by_text}
    (expected,) = embedder.encode(["a red star"]) @ embedder.encode(files[:1], modality="event").T
    assert cosines[files[0]] == pytest.approx(float(expected[0]), abs=1e-5)
    (hit,) = index.search({"event": np.load(files[3])}, 1, kinds=["event"])
    assert hit.file == files[3] and hit.cosine == pytest.approx(1, abs=1e-5)
    assert hit.kind == EVENT and isinstance(hit.kind, BoundModality)
    assert index.search({"event": files[3]}, 1, kinds=[MediaKind.TEXT])[0].kind is MediaKind.TEXT


def test_the_calibration_has_the_modality_of_a_pack_and_is_stored(index):
    assert index.calibration().samples[EVENT].shape == (12, 128)
    reopened = Index.open(index.uri)
    assert reopened.calibration().samples[EVENT].shape == (12, 128)
    scores = [hit.score for hit in index.search("a red star", 12, kinds=[EVENT])]
    assert abs(np.mean(scores)) < 0.01 and max(scores) > 1  # standard deviations from their own mean


def test_without_the_pack_an_index_is_searched_by_texts_and_a_query_of_the_pack_names_it(index, files):
    other = Index.open(index.uri, Embedder(tiny()))
    assert {hit.kind for hit in other.search("a red star", 20)} == {MediaKind.TEXT, EVENT}
    digest = index.space.weights["event"]
    with pytest.raises(SearchIndexError, match=rf"expected the pack of event with weights {digest} \(--pack"):
        other.search([("a red star", 1.0), ({"event": files[0]}, 0.5)])
    with pytest.raises(ValueError, match=r"media type: expected one of .*event, got 'evnt'"):
        other.search("a red star", kinds=["evnt"])


def test_another_pack_of_the_same_name_is_refused(index, packs):
    with pytest.raises(SpaceMismatchError, match="weights of event"):
        Index.open(index.uri, Embedder(tiny(), packs=[packs[1]]))


def test_an_index_records_a_pack_when_its_first_vector_is_added(embedder, packs, tmp_path):
    made = Index.open(tmp_path / "db", embedder, create=True)
    made.add(["a red star"])
    assert "event" not in made.space.weights
    second = Embedder(tiny(), packs=[packs[1]])
    index = Index.open(tmp_path / "db", second)
    index.add([np.zeros((8, 8), np.float32)], modality="event")
    assert index.space.weights["event"] == read_digest(second) and "shape" in index.space.transforms["event"]
    with pytest.raises(SpaceMismatchError, match="weights of event"):
        made.add([np.zeros((8, 8), np.float32)], modality="event")


def read_digest(embedder: Embedder) -> str:
    from imagebind.space import Space

    return Space.of(embedder, kinds=()).weights["event"]


def test_a_crawl_without_the_pack_keeps_its_rows_and_names_it_for_a_changed_file(
    index, embedder, files, tmp_path
):
    plain = Index.open(index.uri, Embedder(tiny(), num_workers=1))
    assert not crawl(plain, [tmp_path / "media"]).failures
    np.save(files[0], np.ones((7, 9), np.float32))
    (failure,) = crawl(plain, [tmp_path / "media"]).failures
    assert failure.path == str(files[0]) and "expected the pack of event" in failure.error
    assert len(index) == 14
    (failure,) = crawl(index, [tmp_path / "media"]).failures  # with the pack, but no mapping
    assert "--map 'events/*.npy=event'" in failure.error
    report = crawl(index, [tmp_path / "media"], mappings=[mapping(embedder)])
    assert not report.failures and report.rows == 1 and len(index) == 14


def test_a_damaged_file_of_a_pack_fails_alone(embedder, tmp_path):
    files = event_files(tmp_path / "events")
    files[1].write_bytes(b"\x93NUMPY")
    made = Index.open(tmp_path / "db", embedder, create=True)
    report = crawl(made, [tmp_path], mappings=[mapping(embedder)])
    assert [failure.path for failure in report.failures] == [str(files[1])] and len(made) == 2


def test_a_moved_file_of_a_pack_keeps_its_row(index, files, embedder, tmp_path):
    before = index.search({"event": files[0]}, 1)[0].id
    files[0].rename(files[0].with_name("moved.npy"))
    report = crawl(index, [tmp_path / "media"], mappings=[mapping(embedder)])
    (hit,) = index.search({"event": np.load(files[0].with_name("moved.npy"))}, 1)
    assert hit.id == before and hit.path.endswith("moved.npy") and report.rows == 0


def test_an_index_without_an_embedder_reads_rows_of_a_pack(index):
    reader = Index.open(index.uri)
    kinds = {state.kinds for state in reader.files().values()}
    assert kinds == {frozenset({EVENT}), frozenset({MediaKind.TEXT})}
    assert {hit.kind for hit in reader.sample(20, kinds=["event"])} == {EVENT}


def test_a_page_of_hits_shows_a_row_of_a_pack_by_its_file_name(index):
    page = hits_page(index.search("a red star", 1, kinds=["event"]), title="a red star")
    assert "kind-event" in page and ".npy" in page and ">event</span>" in page


def test_moments_are_of_recordings_only(index):
    from imagebind.search.moments import search_moments

    with pytest.raises(ValueError, match="expected some of video, audio, imu, got event"):
        search_moments(index, "a red star", kinds=["event"])


def test_an_unknown_modality_of_a_query_is_an_error(index):
    with pytest.raises(MediaError, match="got no media types among its keys"):
        index.search({"radar": np.zeros((8, 8))})


def test_the_space_of_a_pack_matches_that_of_an_index_made_with_it(packs, index):
    read_pack(packs[0]).space.check(index.space, owner="pack")
