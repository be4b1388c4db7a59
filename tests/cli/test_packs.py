"""`--pack` on the command line: items of a pack are embedded, compared, classified, indexed and found."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.packed import event_files, event_pack, spectral_pack

MODEL = ("--model", "tiny", "--device", "cpu")


@pytest.fixture(scope="module")
def pack(tmp_path_factory) -> Path:
    return event_pack(tmp_path_factory.mktemp("packs") / "event_camera")


@pytest.fixture
def media(tmp_path) -> Path:
    """A folder with three event recordings and a text."""
    event_files(tmp_path / "media" / "events")
    (tmp_path / "media" / "note.txt").write_text("a red star")
    return tmp_path / "media"


def test_event_files_are_indexed_and_found_by_text_and_find_texts(imagebind, pack, media, tmp_path):
    db, recording = tmp_path / "media.lance", media / "events" / "1.npy"
    run = imagebind("index", media, "--db", db, *MODEL, "--pack", pack, "--map", "events/*.npy=event")
    assert run.code == 0 and "4 rows written" in run.err
    assert ["event", "3"] in [line.split() for line in run.err.splitlines()]
    run = imagebind("search", db, "--text", "a red star", "--only", "event", "--json")  # without the pack
    assert {json.loads(line)["kind"] for line in run.out.splitlines()} == {"event"}
    by_event = ("search", db, "--item", f"event={recording}", "--json")
    first, *_ = map(json.loads, imagebind(*by_event, "--pack", pack, "--only", "event").out.splitlines())
    assert first["path"] == str(recording) and first["cosine"] > 0.999
    (text,) = map(json.loads, imagebind(*by_event, "--pack", pack, "--only", "text").out.splitlines())
    assert text["path"].endswith("note.txt")
    run = imagebind(*by_event)
    assert run.code == 2 and "got 'event'; a modality of your own needs --pack" in " ".join(run.err.split())
    run = imagebind("search", db, "--text", "a red star", "--only", "evnt")
    assert run.code == 2 and "got 'evnt'" in run.err


def test_a_second_pack_of_the_same_name_is_refused_without_a_traceback(imagebind, pack, media, tmp_path):
    db, other = tmp_path / "media.lance", event_pack(tmp_path / "other", seed=1)
    mapped = ("--map", "events/*.npy=event", *MODEL)
    assert imagebind("index", media, "--db", db, "--pack", pack, *mapped).code == 0
    run = imagebind("index", media, "--db", db, "--pack", other, *mapped)
    assert run.code == 1 and "weights of event" in run.err and "Traceback" not in run.err


def test_items_of_a_pack_are_embedded_by_modality_or_mapping(imagebind, pack, media, tmp_path):
    out, options = tmp_path / "events.npz", (*MODEL, "--pack", pack)
    run = imagebind("embed", media / "events", "--out", out, "--modality", "event", *options)
    assert run.code == 0 and "3 of 3 files" in run.err
    run = imagebind("embed", media, "--out", tmp_path / "all.jsonl", "--map", "**.npy=event", *options)
    rows = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    assert run.code == 0 and sorted(row["modality"] for row in rows) == ["event"] * 3 + ["text"]
    run = imagebind("embed", media, "--out", out, *options)  # an array is ambiguous, and may be an event
    assert run.code == 1 and "=thermal' or --map 'events/*.npy=imu' or --map 'events/*.npy=event'" in run.err


def test_items_of_a_pack_are_compared_and_classified(imagebind, pack, media):
    recording = media / "events" / "0.npy"
    run = imagebind("compare", "--text", "a star", "--item", f"event={recording}", "--pack", pack, *MODEL)
    assert run.code == 0 and "2 0.npy" in run.out
    labels = ("--label", "star", "--label", "ring", "--json")
    run = imagebind("classify", recording, "--modality", "event", "--pack", pack, *labels, *MODEL)
    assert run.code == 0 and json.loads(run.out)["kind"] == "event"


def test_items_of_a_pack_are_queries_of_generation_and_detection(imagebind, pack, media, tmp_path):
    out, query = tmp_path / "out.png", ("--item", f"event={media / 'events' / '0.npy'}", "--pack", pack)
    weighted = ("--text", "a red star", "--weight", "event=0.5")
    run = imagebind("generate", *query, *weighted, "--out", out, *MODEL)
    assert run.code == 0 and out.exists()
    run = imagebind("detect", out, *query, "--threshold", "0", "--top", "1", *MODEL)
    assert run.code == 0 and "0.npy" in run.out


def test_info_shows_the_tensor_of_an_image_of_several_channels(imagebind, tmp_path):
    pack = spectral_pack(tmp_path / "spectral_camera")
    np.save(tmp_path / "cube.npy", np.zeros((40, 50, 5), np.float32))
    run = imagebind("info", tmp_path / "cube.npy", "--pack", pack, "--modality", "spectral")
    assert run.code == 0 and "spectral" in run.out and "(1, 5, 32, 32)" in run.out


def test_own_files_of_a_pack_are_evaluated(imagebind, pack, tmp_path):
    for label in ("star", "ring"):
        event_files(tmp_path / label)
    options = ("--pack", pack, "--cache", tmp_path / "cache", "--json", *MODEL)
    pattern = f"event={tmp_path / '*' / '*.npy'}"
    run = imagebind("evaluate", "shapes", "--item", pattern, "--option", "templates=name", *options)
    assert run.code == 0 and json.loads(run.out)["samples"] == 6
    run = imagebind("evaluate", "shapes", "--item", pattern, "--item", pattern, *options)
    assert run.code == 2 and "expected one, got 2" in run.err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--item", "event"), "expected MODALITY=FILE"),
        (("--item", "event="), "event: expected an item, got an empty one"),
        (("--item", "radar=x.npy"), "expected one of image, video, text, audio, depth, thermal, imu, event"),
    ],
)
def test_a_wrong_item_is_a_usage_error(imagebind, pack, tmp_path, arguments, text):
    run = imagebind("search", tmp_path / "db", "--pack", pack, *arguments)
    assert run.code == 2 and text in " ".join(run.err.replace("│", "").split())


def test_a_missing_pack_a_missing_file_and_a_pack_with_ray_are_errors(imagebind, pack, tmp_path):
    run = imagebind("info", tmp_path, "--pack", tmp_path / "nowhere")
    assert run.code == 1 and "no such folder" in run.err and "Traceback" not in run.err
    run = imagebind(
        "embed", tmp_path / "x.npy", "--out", tmp_path / "o.npz", "--engine", "ray", "--pack", pack
    )
    assert run.code == 2 and "--pack" in run.err
    run = imagebind("compare", "--text", "a", "--item", f"event={tmp_path / 'x.npy'}", "--pack", pack, *MODEL)
    assert run.code == 1 and "x.npy" in run.err and "Traceback" not in run.err
