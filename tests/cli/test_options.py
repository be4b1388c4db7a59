"""Options that several commands share: a loaded model has the trunks that the command needs."""

import json
import shutil

import pytest
import typer

from imagebind.checkpoints.factory import load_model, save_model
from imagebind.cli.options import load_embedder
from imagebind.modality import ModalityType


@pytest.fixture(scope="module")
def two_trunks(small_weights, tmp_path_factory):
    """A saved model with vision and text trunks."""
    folder = tmp_path_factory.mktemp("two_trunks") / "model"
    save_model(load_model(small_weights, modalities=["vision", "text"]), folder)
    return folder


def test_requested_trunks_that_a_model_has_are_loaded(two_trunks):
    options = {"device": "cpu", "dtype": "float32"}
    assert load_embedder(str(two_trunks), modalities=ModalityType, **options).model.modalities == (
        "vision",
        "text",
    )
    part = load_embedder(str(two_trunks), modalities={ModalityType.TEXT, ModalityType.IMU}, **options)
    assert part.model.modalities == ("text",)
    with pytest.raises(typer.BadParameter, match="one of audio, imu, got trunks for vision, text"):
        load_embedder(str(two_trunks), modalities={ModalityType.IMU, ModalityType.AUDIO}, **options)


def test_audio_among_images_fails_alone_without_an_audio_trunk(
    imagebind, two_trunks, tmp_path, image_file, audio_file
):
    media = tmp_path / "media"
    media.mkdir()
    for file in (image_file, audio_file):
        shutil.copy(file, media)
    run = imagebind("embed", media, "-o", tmp_path / "v.jsonl", "-w", two_trunks)
    assert run.code == 1 and "1 of 2 files embedded" in run.err and "built without" in run.err
    (row,) = map(json.loads, (tmp_path / "v.jsonl").read_text().splitlines())
    assert row["modality"] == "vision"
    run = imagebind("embed", audio_file, "-o", tmp_path / "v.jsonl", "-w", two_trunks)
    assert run.code == 2 and "Traceback" not in run.err
    assert "one of audio, got trunks for vision, text" in run.err


def test_an_index_is_made_by_a_model_of_some_modalities(
    imagebind, two_trunks, tmp_path, image_file, audio_file
):
    media = tmp_path / "media"
    media.mkdir()
    for file in (image_file, audio_file):
        shutil.copy(file, media)
    run = imagebind("index", media, "--db", tmp_path / "db.lance", "-w", two_trunks)
    assert run.code == 1 and "built without" in run.err and "Traceback" not in run.err
    run = imagebind("search", tmp_path / "db.lance", "--text", "a dog", "-w", two_trunks)
    assert run.code == 0 and image_file.name in run.out


def test_labels_need_a_text_trunk(imagebind, small_weights, tmp_path, image_file):
    save_model(load_model(small_weights, modalities=["vision"]), tmp_path / "model")
    run = imagebind("classify", image_file, "--label", "dog", "--label", "cat", "-w", tmp_path / "model")
    assert run.code == 2 and "text" in run.err and "Traceback" not in run.err
