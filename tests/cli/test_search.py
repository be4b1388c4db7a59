"""`imagebind search`: queries of any media type, filters, and searches without hits."""

import json

import pytest

from imagebind.checkpoints.factory import imagebind_tiny
from imagebind.embedder import Embedder
from imagebind.search import Index
from imagebind.toyworld import World, write_scene


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Six scenes of the toy world in an index: their images, audio and captions."""
    folder = tmp_path_factory.mktemp("search")
    world = World(seed=5)
    files = [write_scene(world.scene(number), folder / f"scene-{number}") for number in range(6)]
    index = Index.open(folder / "db", Embedder(imagebind_tiny(pretrained=True)), create=True)
    index.add([scene["image"] for scene in files], metadata={"day": 1})
    index.add([{"audio": scene["audio"]} for scene in files], metadata={"day": 2})
    index.add([scene["image_caption"] for scene in files], modality="text")
    return folder / "db", files


def found(run) -> list[dict]:
    return [json.loads(line) for line in run.out.splitlines()]


def test_an_image_finds_itself_first_among_images(imagebind, scenes):
    db, files = scenes
    run = imagebind(
        "search", db, "--image", files[2]["image"], "--only", "image", "--json", "--weights", "tiny"
    )
    assert run.code == 0, run.err
    hits = found(run)
    assert hits[0]["path"] == str(files[2]["image"]) and hits[0]["cosine"] == pytest.approx(1, abs=1e-4)
    assert {hit["kind"] for hit in hits} == {"image"}


def test_items_are_added_and_subtracted(imagebind, scenes):
    db, files = scenes
    base = ("search", db, "--image", files[0]["image"], "--json", "--weights", "tiny", "--only", "image")
    plain = found(imagebind(*base))
    mixed = found(imagebind(*base, "--audio", files[1]["audio"], "--minus", "a red object"))
    assert {hit["path"] for hit in plain} == {hit["path"] for hit in mixed}
    assert plain[0]["cosine"] > mixed[0]["cosine"]


def test_hits_are_limited_by_path_metadata_and_number(imagebind, scenes):
    db, _ = scenes
    run = imagebind("search", db, "--text", "a star", "--where", "day=2", "--json", "--weights", "tiny")
    assert {hit["kind"] for hit in found(run)} == {"audio"}
    run = imagebind(
        "search", db, "--text", "a star", "--path", "scene-3/*", "--top", "2", "--json", "--weights", "tiny"
    )
    assert len(found(run)) == 2 and all("scene-3" in hit["path"] for hit in found(run))


def test_a_table_has_both_scores_and_no_path_is_cut(imagebind, scenes, monkeypatch):
    db, _ = scenes
    monkeypatch.setenv("COLUMNS", "60")
    run = imagebind("search", db, "--text", "a star", "--weights", "tiny", "--top", "3")
    assert run.out.split()[:6] == ["score", "cosine", "media", "type", "seconds", "path"]
    assert "…" not in run.out


def test_in_a_pipe_each_hit_has_one_line(imagebind, scenes, monkeypatch):
    db, _ = scenes
    monkeypatch.delenv("COLUMNS")
    run = imagebind("search", db, "--text", "a star", "--top", "3")
    assert len(run.out.splitlines()) == 4


def test_a_search_without_hits_prints_advice(imagebind, scenes):
    db, _ = scenes
    run = imagebind("search", db, "--text", "a star", "--path", "nowhere/*", "--weights", "tiny")
    assert run.code == 0 and "nothing found; try fewer or other filters" in run.out


def test_a_missing_index_an_unreadable_file_and_no_query_are_errors(imagebind, scenes, tmp_path):
    db, _ = scenes
    run = imagebind("search", tmp_path / "no.lance", "--text", "x", "--weights", "tiny")
    assert run.code == 1 and "no.lance: no index found" in run.err
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    run = imagebind("search", db, "--image", tmp_path / "cut.png", "--weights", "tiny")
    assert run.code == 1 and "cut.png" in run.err and "Traceback" not in run.err
    run = imagebind("search", db)
    assert run.code == 2 and "at least one item" in run.err
    run = imagebind("search", db, "--text", "snow", "--minus", "snow", "--weights", "tiny")
    assert run.code == 2 and "cancel out" in run.err and "Traceback" not in run.err


def test_an_index_of_the_small_model_is_searched_with_it_by_default(imagebind, scenes):
    db, files = scenes
    run = imagebind("search", db, "--image", files[2]["image"], "--only", "image", "--json", "--top", "1")
    assert run.code == 0 and json.loads(run.out)["path"] == str(files[2]["image"])


def test_a_model_other_than_that_of_the_index_is_refused(imagebind, scenes, small_weights):
    db, _ = scenes
    run = imagebind("search", db, "--text", "x", "--weights", small_weights)
    assert run.code == 1 and "expected vectors of space imagebind_tiny" in run.err
