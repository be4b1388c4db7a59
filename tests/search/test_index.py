"""The index: added rows are found in the right order, and each change is one commit."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from imagebind.checkpoints.factory import imagebind_tiny
from imagebind.embedder import Embedder
from imagebind.errors import MediaError
from imagebind.modality import MediaKind
from imagebind.search import Index, IndexRow, SearchIndexError
from tests.search.made import EMBED_DIM, make_index, paths, random_rows, row, unit


@pytest.fixture(scope="module")
def tiny():
    return Embedder(imagebind_tiny(pretrained=True))


def test_the_nearest_come_first_with_their_cosines(tmp_path):
    index = make_index(tmp_path / "db", [row("/far", 0, 1), row("/near", 1, 0.1), row("/middle", 1, 1)])
    hits = index.search(unit(1), 2)
    assert paths(hits) == ["/near", "/middle"]
    assert hits[1].cosine == pytest.approx(np.sqrt(0.5), abs=1e-6)


def test_the_querys_own_file_comes_first_although_its_media_type_has_a_large_deviation(tmp_path):
    images = [row(f"/like/{number}", 1, 0.1 * number) for number in range(20)]
    images += [row(f"/unlike/{number}", 0, 0, 1) for number in range(20)]
    audio_rows = [row(f"/sound/{number}", 0, 1, kind=MediaKind.AUDIO) for number in range(39)]
    audio_rows.append(row("/match", 1, 0.3, kind=MediaKind.AUDIO))
    caption = row("/caption", 1, kind=MediaKind.TEXT)
    index = make_index(tmp_path / "db", [*images, *audio_rows, caption])
    own, match, *others = index.search(unit(1), 9)
    assert own.path == "/like/0" and own.cosine == pytest.approx(1)
    assert match.path == "/match" and match.score > own.score + 1
    assert [hit.score for hit in others] == sorted((hit.score for hit in others), reverse=True)


def test_a_weighted_sum_of_vectors_adds_and_subtracts(tmp_path):
    index = make_index(tmp_path / "db", [row("/x", 1), row("/y", 0, 1), row("/both", 1, 1)])
    assert index.search([(unit(1), 1.0), (unit(0, 1), 1.0)], 1)[0].path == "/both"
    assert index.search([(unit(1, 1), 1.0), (unit(0, 1), -0.9)], 1)[0].path == "/x"


def test_a_text_an_image_and_audio_are_added_and_a_text_finds_itself(tiny, tmp_path, image_file, audio_file):
    index = Index.open(tmp_path / "db", tiny, create=True)
    ids = index.add(["a red star", image_file, {"audio": audio_file}], metadata={"owner": "me"})
    assert len(index) == len(set(ids)) == 3
    hit = index.search("a red star", 1, calibrated=False)[0]
    assert hit.id == ids[0] and hit.cosine == pytest.approx(1, abs=1e-5)
    assert hit.metadata == {"owner": "me", "text": "a red star"}
    audio = index.get(ids[2])
    assert audio.kind is MediaKind.AUDIO and (audio.start, audio.end) == (0, pytest.approx(7))
    assert audio.file == audio_file.absolute()
    assert index.stats().kinds == {MediaKind.TEXT: 1, MediaKind.IMAGE: 1, MediaKind.AUDIO: 1}


def test_a_file_has_one_path_in_the_index(tiny, tmp_path, monkeypatch, audio_file):
    (tmp_path / "inside").mkdir()
    (tmp_path / "bark.wav").write_bytes(audio_file.read_bytes())
    monkeypatch.chdir(tmp_path)
    index = Index.open("db", tiny, create=True)
    ids = index.add([{"audio": "bark.wav"}, Path("inside/../bark.wav"), {"audio": Path("bark.wav")}])
    assert {index.get(each).path for each in ids} == {str(tmp_path / "bark.wav")}
    (tmp_path / "~bark.wav").write_bytes(audio_file.read_bytes())  # not the home folder of a user
    (row_id,) = index.add([Path("~bark.wav")])
    assert index.get(row_id).path == str(tmp_path / "~bark.wav")


def test_an_item_that_cannot_be_read_adds_nothing_or_is_left_out(tiny, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    index = Index.open(tmp_path / "db", tiny, create=True)
    with pytest.raises(MediaError, match=r"bad\.png"):
        index.add(["fine", tmp_path / "bad.png"])
    assert len(index) == 0
    ids = index.add(["fine", tmp_path / "bad.png"], on_error="skip")
    assert len(index) == 1 and ids[1] == ""


def test_a_query_that_cannot_be_read_is_named(tiny, tmp_path):
    index = Index.open(tmp_path / "db", tiny, create=True)
    with pytest.raises(MediaError, match=r"nowhere\.png"):
        index.search(Path("nowhere.png"))


def test_without_an_embedder_only_vectors_can_be_used(tmp_path):
    index = make_index(tmp_path / "db", [row("/x", 1)])
    with pytest.raises(ValueError, match="opened with an embedder"):
        index.search("a star")
    with pytest.raises(ValueError, match=r"expected a vector \(8,\), got \(3,\)"):
        index.search(np.ones(3, dtype=np.float32))


def test_an_empty_index_finds_nothing(tiny, tmp_path):
    index = Index.open(tmp_path / "db", tiny, create=True)
    assert index.search("a star") == [] and index.sample(5) == [] and index.files() == {}
    assert index.stats().rows == 0
    index.optimize()


def test_only_requested_media_types_are_found_and_a_missing_one_is_no_error(tmp_path):
    index = make_index(tmp_path / "db", [row("/x", 1), row("/y", 1, kind=MediaKind.AUDIO)])
    assert paths(index.search(unit(1), kinds=["audio"])) == ["/y"]
    assert index.search(unit(1), kinds=[MediaKind.IMU]) == []
    with pytest.raises(ValueError, match="smell"):
        index.search(unit(1), kinds=["smell"])


def test_the_hits_of_a_long_file_can_be_limited(tmp_path):
    rows = [row("/long", 1, 0.01 * n, kind=MediaKind.AUDIO, start=float(n), end=n + 2.0) for n in range(60)]
    index = make_index(tmp_path / "db", [*rows, row("/short", 1, 1, kind=MediaKind.AUDIO)])
    assert {*paths(index.search(unit(1), 5))} == {"/long"}
    assert paths(index.search(unit(1), 5, per_file=1)) == ["/long", "/short"]
    assert paths(index.search(unit(1), 5, per_file=2)) == ["/long", "/long", "/short"]


def test_a_replaced_file_has_only_its_new_rows(tmp_path):
    index = make_index(tmp_path / "db", [row("/a", 1), row("/a", 0, 1), row("/it's", 1)])
    version = index.stats().version
    index.replace_paths(["/a"], [row("/a", 0, 0, 1)])
    assert index.stats().version == version + 1  # one commit
    assert sorted(paths(index.search(unit(1), 9))) == ["/a", "/it's"]
    index.replace_paths(["/it's"], [])
    assert paths(index.search(unit(1), 9)) == ["/a"]


def test_a_moved_file_keeps_its_vector_and_id(tmp_path):
    index = make_index(tmp_path / "db", [row("/it's here", 1, content_hash="h", size=3)])
    before = index.search(unit(1))[0]
    index.move_paths({"/it's here": ("/now there", 7)})
    after = index.get(before.id)
    assert (after.path, after.mtime_ns) == ("/now there", 7)
    np.testing.assert_array_equal(after.vector, unit(1))
    assert {*index.files()} == {"/now there"}


def test_many_files_are_moved_in_few_commits(tmp_path, monkeypatch):
    monkeypatch.setattr("imagebind.search.nearest.MIN_APPROXIMATE_ROWS", 300)
    rows = random_rows(700, MediaKind.IMAGE, spread=0.2, width=128)
    index = make_index(tmp_path / "db", rows, width=128)
    index.optimize()
    version = index.stats().version
    index.move_paths({each.path: (f"/there{each.path}", n) for n, each in enumerate(rows)})
    assert index.stats().version == version + 2
    assert {path: state.mtime_ns for path, state in index.files().items()} == {
        f"/there{each.path}": n for n, each in enumerate(rows)
    }
    hits = [index.search(each.vector, 1)[0] for each in rows[::70]]
    assert [(hit.id, hit.path) for hit in hits] == [(each.id, f"/there{each.path}") for each in rows[::70]]
    swapped = {"/there/image/1": ("/there/image/2", 1), "/there/image/2": ("/there/image/1", 2)}
    index.move_paths(swapped)
    assert index.get(rows[1].id).path == "/there/image/2"
    index.move_paths({"/not there": ("/x", 1)})
    assert len(index) == 700


def test_metadata_of_a_file_is_kept_when_its_rows_are_replaced(tmp_path):
    rows = [
        row("/it's", 1, metadata={"owner": "me", "text": "old words"}),
        row("/it's", 0, 1, metadata={"rating": 5}),
        row("/other", 1, metadata={"owner": "you"}),
    ]
    index = make_index(tmp_path / "db", rows)
    index.replace_paths(["/it's"], [row("/it's", 0, 0, 1, metadata={"text": "new words", "rating": 4})])
    (hit,) = index.search(unit(0, 0, 1), 1)
    assert hit.metadata == {"owner": "me", "text": "new words", "rating": 4}


def test_filtered_approximate_searches_find_as_many_rows_as_exact_ones(tmp_path, monkeypatch):
    monkeypatch.setattr("imagebind.search.nearest.MIN_APPROXIMATE_ROWS", 3000)
    monkeypatch.setattr("imagebind.search.nearest.ROWS_PER_PARTITION", 50)
    images = random_rows(4000, MediaKind.IMAGE, spread=0.2, width=128)
    recordings = random_rows(200, MediaKind.AUDIO, spread=0.2, width=128, centre=1, seed=1)
    index = make_index(tmp_path / "db", [*images, *recordings], width=128)
    index.optimize()
    query = images[0].vector - 2 * recordings[0].vector  # far from audio, whose partitions are searched last
    query /= np.linalg.norm(query)
    assert {hit.kind for hit in index.search(query, 2000)} == {MediaKind.IMAGE, MediaKind.AUDIO}
    for narrow in ({"kinds": ["audio"]}, {"path": "/audio/1?"}):
        exact = index.search(query, 10, exact=True, **narrow)
        assert len(index.search(query, 10, **narrow)) == len(exact) == 10


def test_a_sample_is_complete_although_the_index_is_compacted_meanwhile(tmp_path, monkeypatch):
    index = make_index(tmp_path / "db", random_rows(100, MediaKind.IMAGE))
    for each in random_rows(20, MediaKind.TEXT):
        index.add_rows([each])
    other = Index.open(tmp_path / "db")
    take = type(index._store.items).take_row_ids
    compacted = []

    def late(table, ids):
        if not compacted:
            compacted.append(True)
            other.optimize()
        return take(table, ids)

    monkeypatch.setattr(type(index._store.items), "take_row_ids", late)
    assert len(index.sample(200)) == 120 and compacted


def test_rows_are_deleted_by_id_and_by_path_and_counted(tmp_path):
    index = make_index(tmp_path / "db", [row(f"/{n}", 1, n) for n in range(1200)])
    hit = index.search(unit(1), 1)[0]
    assert index.delete(ids=[hit.id, "nobody"]) == 1 and index.get(hit.id) is None
    assert index.delete(paths=[f"/{n}" for n in range(1100)]) == 1100 - (hit.path != "/1199")
    with pytest.raises(ValueError, match="ids or paths"):
        index.delete()


def test_files_have_their_state_and_media_types(tmp_path):
    same = {"content_hash": "h", "size": 5, "mtime_ns": 9}
    rows = [row("/v", 1, kind=MediaKind.VIDEO, **same), row("/v", 1, kind=MediaKind.AUDIO, **same)]
    state = make_index(tmp_path / "db", rows).files()["/v"]
    assert (state.content_hash, state.size, state.mtime_ns) == ("h", 5, 9)
    assert state.kinds == {MediaKind.VIDEO, MediaKind.AUDIO}


def test_a_refused_row_leaves_nothing_of_its_batch(tmp_path):
    index = make_index(tmp_path / "db")
    bad = row("/bad", 1)
    object.__setattr__(bad, "vector", np.zeros(EMBED_DIM, dtype=np.float32))
    with pytest.raises(ValueError, match="/bad"):
        index.add_rows([row("/good", 1), bad])
    assert len(index) == 0


def test_rows_added_through_one_index_object_are_found_through_another(tmp_path):
    index = make_index(tmp_path / "db", [row("/x", 1)])
    other = Index.open(tmp_path / "db")
    assert len(other.search(unit(1))) == 1
    index.add_rows([row("/y", 1, 1)])
    assert len(other.search(unit(1))) == 2


def test_many_rows_get_an_approximate_index_that_finds_nearly_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("imagebind.search.nearest.MIN_APPROXIMATE_ROWS", 3000)
    # With vectors of width 8, the codes of the approximate index would be too short.
    rows = random_rows(4000, MediaKind.IMAGE, spread=0.2, width=128)
    index = make_index(tmp_path / "db", rows, width=128)
    assert not index.stats().approximate
    index.optimize()
    assert index.stats().approximate
    queries = [hit.vector for hit in index.sample(20, seed=3)]
    shared = [len({*paths(index.search(q, 10))} & {*paths(index.search(q, 10, exact=True))}) for q in queries]
    assert np.mean(shared) >= 9.5
    new = IndexRow(path="/new", kind=MediaKind.IMAGE, vector=-rows[0].vector)
    index.add_rows([new])  # not in the approximate index yet
    assert index.search(new.vector, 1)[0].path == "/new"


def test_samples_are_random_rows_and_depend_on_the_seed_only(tmp_path):
    index = make_index(tmp_path / "db", random_rows(100, MediaKind.IMAGE))
    first, again, other = (paths(index.sample(10, seed=seed)) for seed in (0, 0, 1))
    assert first == again != other and len({*first}) == 10
    assert all(hit.vector.shape == (EMBED_DIM,) for hit in index.sample(200))


def test_a_missing_index_is_named_with_the_command_that_makes_it(tmp_path):
    with pytest.raises(SearchIndexError, match=r"nothing\.lance: no index found; create one with `imagebind"):
        Index.open(tmp_path / "nothing.lance")


def test_a_folder_with_other_files_does_not_become_an_index(tiny, tmp_path):
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(SearchIndexError, match=r"got one with 'thesis\.txt'"):
        Index.open(tmp_path, tiny, create=True)


def test_a_damaged_index_is_named(tmp_path):
    make_index(tmp_path / "db", [row("/x", 1)])
    for file in (tmp_path / "db").rglob("*.manifest"):
        file.write_bytes(b"rubbish")
    with pytest.raises(SearchIndexError, match=r"db: cannot be"):
        Index.open(tmp_path / "db").search(unit(1))


@pytest.mark.parametrize("folders", [[], ["data"], ["_versions"]])
def test_a_partly_created_index_can_be_created_again(tiny, tmp_path, folders):
    for name in folders or ["."]:
        (tmp_path / "db" / "items.lance" / name).mkdir(parents=True)
    (tmp_path / "db" / ".writer.pid").write_text("1")
    with pytest.raises(SearchIndexError, match="no index found"):
        Index.open(tmp_path / "db", tiny)
    index = Index.open(tmp_path / "db", tiny, create=True)
    assert index.add(["a star"]) and len(Index.open(tmp_path / "db")) == 1


def test_creating_an_index_resumes_after_an_interruption(tiny, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("imagebind.search.store._set_about", stop)
    with pytest.raises(KeyboardInterrupt):
        Index.open(tmp_path / "db", tiny, create=True)
    monkeypatch.undo()
    index = Index.open(tmp_path / "db", tiny, create=True)
    assert index.space.model == "imagebind_tiny"


def test_importing_search_imports_neither_a_database_nor_torch():
    code = "import imagebind.search, sys; print({'lancedb', 'pyarrow', 'torch'} & {*sys.modules})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
