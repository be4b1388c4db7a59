"""The page of an index with rows of a pack that is not loaded: it shows, filters and maps them."""

import pytest

from imagebind.embedder import Embedder
from imagebind.errors import MediaError
from imagebind.search import Index
from imagebind.search.app.service import Filters, PageQuery, PageService
from tests.packed import event_files, event_pack, tiny

QUERY = PageQuery(texts=[("a red star", 1.0)])


@pytest.fixture(scope="module")
def service(tmp_path_factory) -> PageService:
    folder = tmp_path_factory.mktemp("event")
    embedder = Embedder(tiny(), packs=[event_pack(folder / "pack")], num_workers=1)
    index = Index.open(folder / "db", embedder, create=True)
    index.add([*({"event": path} for path in event_files(folder / "events")), "a red star"])
    return PageService(index=Index.open(folder / "db", Embedder(tiny(), num_workers=1)))


def test_rows_of_a_pack_are_shown_by_their_file_names(service):
    overview, kinds = service.overview()
    assert "1 text, 3 event items" in overview and {kind.value for kind in kinds} == {"text", "event"}
    found = service.search(QUERY, Filters())
    assert all(f"<bdi>{number}<wbr>.npy</bdi>" in found for number in range(3))
    assert found.count('data-kind="event"') == 3 and "<img" not in found


def test_rows_of_a_pack_can_be_filtered_and_are_on_the_map(service):
    found = service.search(QUERY, Filters(kinds=["event"]))
    assert found.count('data-kind="event"') == 3 and 'data-kind="text"' not in found
    shown = service.map()
    assert 'data-legend="event"' in shown and shown.count('data-kind="event"') == 3
    with pytest.raises(MediaError, match="got 'smell'"):
        service.search(QUERY, Filters(kinds=["smell"]))


def test_items_like_a_row_of_a_pack_are_found(service):
    (hit,) = service.index.sample(1, kinds=["event"])
    found = service.like(hit.id, Filters(kinds=["event"]))
    assert found.count('data-kind="event"') == 2 and hit.id not in found
