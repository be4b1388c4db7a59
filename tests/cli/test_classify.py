"""`imagebind classify`: zero-shot labels of a file of any media type."""

import json
import math
import re
import shutil

import pytest

from imagebind.toyworld import ATTRIBUTES, World, write_scene
from imagebind.toyworld.captions import WORDS

SEED = 81


@pytest.fixture(scope="module")
def scenes():
    world = World(seed=SEED, held_out=True)
    return [world.scene(number) for number in range(4)]


@pytest.fixture(scope="module")
def files(scenes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    return [write_scene(scene, folder / str(number)) for number, scene in enumerate(scenes)]


@pytest.fixture(scope="module")
def shapes_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("labels") / "shapes.txt"
    lines = [" | ".join(WORDS["shape"][shape]) for shape in ATTRIBUTES["shape"]]
    path.write_text("# shapes of the toy world\n\n" + "\n".join(lines) + "\n")
    return path


def test_audio_is_classified_by_the_shape_of_its_scene(imagebind, scenes, files, shapes_file):
    audio_files = [each["audio"] for each in files]
    run = imagebind("classify", *audio_files, "--labels", shapes_file, "-w", "tiny", "--json", "--top", "8")
    assert run.code == 0, run.err
    lines = [json.loads(line) for line in run.out.splitlines()]
    assert [(line["path"], line["kind"]) for line in lines] == [(str(file), "audio") for file in audio_files]
    predicted = [line["labels"][0]["label"] for line in lines]
    assert sum(label == scene.shape.value for label, scene in zip(predicted, scenes, strict=True)) >= 3
    for line in lines:
        assert len(line["labels"]) == 8
        probabilities = [each["probability"] for each in line["labels"]]
        assert sum(probabilities) == pytest.approx(1, abs=1e-4)
        assert probabilities == sorted(probabilities, reverse=True)


def test_a_table_fits_in_80_columns_and_shows_the_best_few(imagebind, monkeypatch, files):
    monkeypatch.setenv("COLUMNS", "80")
    long = "a thing that is " + "very " * 20 + "hot"
    run = imagebind(
        *("classify", files[0]["image"], files[0]["image_caption"], "--label", "hot thing|scorching thing"),
        *("--label", "cold thing", "--label", long, "--top", "2", "-w", "tiny"),
    )
    assert run.code == 0, run.err
    assert max(map(len, run.out.splitlines())) <= 80
    assert "probability" in run.out and "cosine" in run.out
    # Two files, the best two labels of each.
    assert len(re.findall(r" [01]\.\d{3} +-?[01]\.\d{3} *$", run.out, re.MULTILINE)) == 4


def test_given_templates_are_used(imagebind, embedder, small_weights, image_file):
    run = imagebind(
        *("classify", image_file, "--label", "dog", "--label", "cat", "--json", "-w", small_weights),
        *("--template", "a sketch of a {}", "--template", "the {}"),
    )
    assert run.code == 0, run.err
    texts = embedder.encode(["a sketch of a dog", "the dog"]).mean(axis=0)
    expected = float(embedder.similarity(texts, embedder.encode(image_file)))
    (dog,) = (each for each in json.loads(run.out)["labels"] if each["label"] == "dog")
    assert dog["cosine"] == pytest.approx(expected, abs=1e-4)


def test_the_given_temperature_determines_the_probabilities(imagebind, small_weights, image_file):
    command = ("classify", image_file, "--label", "dog", "--label", "cat", "--template", "{}", "--json")
    run = imagebind(*command, "-w", small_weights, "--temperature", "0.5")
    best, other = json.loads(run.out)["labels"]
    odds = best["probability"] / other["probability"]
    assert odds == pytest.approx(math.exp((best["cosine"] - other["cosine"]) / 0.5), abs=1e-4)
    for wrong in ("0", "-1", "nan"):
        run = imagebind(*command, "-w", "no-such-weights", "--temperature", wrong)
        assert run.code == 2 and "expected a finite number above 0" in run.err


def test_unreadable_and_ambiguous_files_are_named_and_the_others_are_classified(
    imagebind, small_weights, deep_grey_file, image_file, tmp_path
):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF\x24\0\0\0WAVEfmt ")
    run = imagebind(
        *("classify", deep_grey_file, broken, image_file, "--label", "dog", "--label", "cat"),
        *("--template", "{}", "-w", small_weights),
    )
    assert run.code == 1 and "Traceback" not in run.err
    assert image_file.name in run.out and "broken.wav" in run.err and "--modality" in run.err
    run = imagebind(
        *("classify", deep_grey_file, "--label", "dog", "--label", "cat", "--template", "{}"),
        *("--modality", "depth", "-w", small_weights),
    )
    assert run.code == 0 and deep_grey_file.name in run.out
    (tmp_path / "paper.pdf").write_bytes(b"%PDF-1.7 ")
    broken.unlink()
    shutil.copy(deep_grey_file, tmp_path / "1.png")
    run = imagebind(
        *("classify", tmp_path, "--label", "dog", "--label", "cat", "--template", "{}"),
        *("--map", "*.png=depth", "-w", small_weights),
    )
    assert run.code == 0 and "1.png" in run.out and "1 .pdf" in run.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "at least two labels"),
        (["--label", "dog"], "at least two labels"),
        (["--label", "dog", "--label", "cat|dog"], "expected different names of labels, got 'dog'"),
        (["--label", "dog", "--label", "cat|"], "empty name"),
        (["--label", "dog", "--label", "cat", "--template", "a photo"], "expected {} once"),
    ],
)
def test_invalid_labels_and_templates_are_refused_before_a_model_is_loaded(
    imagebind, image_file, options, message
):
    run = imagebind("classify", image_file, *options, "-w", "no-such-weights")
    assert run.code == 2 and message in run.err


def test_an_error_in_a_file_of_labels_has_its_line_number_and_no_traceback(imagebind, image_file, tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text("dog\ncat||\n")
    run = imagebind("classify", image_file, "--labels", path)
    assert run.code == 1 and "labels.txt, line 2" in run.err and "Traceback" not in run.err
    run = imagebind("classify", image_file, "--labels", tmp_path / "none.txt")
    assert run.code == 1 and "none.txt" in run.err and "Traceback" not in run.err


def test_warnings_are_printed_and_are_not_failures(imagebind, opposite_file):
    labels = ("--label", "star", "--label", "ring", "--template", "{}")
    run = imagebind("classify", opposite_file, *labels, "-w", "tiny", "--json")
    assert run.code == 0 and len(run.out.splitlines()) == 1
    assert f"{opposite_file}: the channels cancel out" in run.err
