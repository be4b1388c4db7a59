"""Training the small decoder: its data, its loss, resumption and its memory."""

import numpy as np
import pytest
import torch

from imagebind.applications.tiny_decoder import TinyDecoder
from imagebind.checkpoints.factory import imagebind_tiny
from imagebind.embedder import Embedder
from imagebind.errors import CheckpointError
from imagebind.training.journal import read_log
from imagebind.training.recipe import RecipeError
from imagebind.training.tiny import decoder as training
from tests.training.toy import Stop, stop_after

SCENES = 12


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(training, "BATCH_SIZE", 8)


@pytest.fixture(scope="module")
def embedder():
    return Embedder(imagebind_tiny(pretrained=True, modalities=["vision"]))


@pytest.fixture(scope="module")
def folder(embedder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("decoder") / "images"
    training.embedded_images(folder, embedder, scenes=SCENES)
    return folder


@pytest.fixture(scope="module")
def data(embedder, folder):
    return training.embedded_images(folder, embedder, scenes=SCENES)


def test_the_data_are_images_with_their_unit_embeddings(data, embedder):
    assert data.images.shape == (SCENES, 3, 64, 64) and data.images.dtype == torch.uint8
    assert data.embeddings.shape == (SCENES, 128) and data.poses.shape == (SCENES, 3)
    assert torch.allclose(data.embeddings.norm(dim=1), torch.ones(SCENES), atol=1e-5)


def test_images_are_embedded_once(folder, embedder, data, monkeypatch):
    monkeypatch.setattr(training, "embed_pixels", lambda *_: pytest.fail("embedded again"))
    again = training.embedded_images(folder, embedder, scenes=SCENES)
    assert torch.equal(again.embeddings, data.embeddings)


def test_a_damaged_file_of_images_is_rendered_again(folder, embedder, data):
    (path,) = folder.iterdir()
    path.write_bytes(path.read_bytes()[:-50])
    again = training.embedded_images(folder, embedder, scenes=SCENES)
    assert torch.equal(again.images, data.images)
    assert torch.allclose(again.embeddings, data.embeddings, atol=1e-5)


def test_training_lowers_the_loss(data, tmp_path):
    losses = []
    training.train_network(data, tmp_path, seed=0, steps=15, progress=lambda *each: losses.append(each[2]))
    assert losses[-1] < 0.7 * losses[0]


def test_an_interrupted_run_continues_to_the_same_weights(data, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "STEPS_PER_CHECKPOINT", 2)
    monkeypatch.setattr(training, "STEPS_PER_LINE", 1)
    whole = training.train_network(data, tmp_path / "whole", seed=0, steps=5)

    with pytest.raises(Stop):
        training.train_network(data, tmp_path / "cut", seed=0, steps=5, progress=stop_after(3))
    steps = []
    resumed = training.train_network(
        data, tmp_path / "cut", seed=0, steps=5, progress=lambda step, *_: steps.append(step)
    )
    assert steps == [3, 4, 5]
    for mine, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(mine, other)
    assert [each["step"] for each in read_log(tmp_path / "cut")] == [1, 2, 3, 4, 5]


def test_noise_turns_embeddings_but_keeps_their_length(data):
    noisy = training.with_noise(data.embeddings, 1.5, np.random.default_rng(0))
    assert torch.allclose(noisy.norm(dim=1), torch.ones(SCENES), atol=1e-5)
    cosines = (noisy * data.embeddings).sum(dim=1)
    assert 0.4 < cosines.min() < 0.8 and cosines.max() > 0.9


def test_a_checkpoint_of_another_run_is_refused(data, tmp_path):
    training.train_network(data, tmp_path, seed=0, steps=1)
    with pytest.raises(RecipeError, match="use another output folder"):
        training.train_network(data, tmp_path, seed=1, steps=1)


def test_a_damaged_or_foreign_checkpoint_is_an_error_that_names_its_file(data, tmp_path):
    training.train_network(data, tmp_path, seed=0, steps=1)
    path = tmp_path / training.CHECKPOINT_NAME
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt: cannot be read"):
        training.train_network(data, tmp_path, seed=0, steps=1)
    torch.save({"step": 1}, path)
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt: expected a checkpoint of a decoder's"):
        training.train_network(data, tmp_path, seed=0, steps=1)


@pytest.mark.parametrize("option", [{"noise": float("nan")}, {"scenes": 0}, {"steps": 0}, {"seed": -1}])
def test_an_invalid_option_is_refused_by_name(tmp_path, option):
    with pytest.raises(ValueError, match=f"^{next(iter(option))}: expected"):
        training.train_decoder(tmp_path, **option)


def test_a_trained_decoder_has_a_memory_of_image_embeddings(folder, data):
    path = training.train_decoder(folder.parent, scenes=SCENES, steps=1)
    decoder = TinyDecoder.load(path)
    assert torch.allclose(decoder.memory, data.embeddings, atol=1e-3)  # in half precision
    decoder.check(Embedder(imagebind_tiny(pretrained=True)))
