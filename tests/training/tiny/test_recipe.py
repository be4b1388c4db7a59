"""The two recipes of the tiny model, and their controls."""

from dataclasses import replace

import pytest
import torch

from imagebind.checkpoints.factory import load_model
from imagebind.config import tiny_config
from imagebind.models.imagebind_model import ImageBindModel
from imagebind.training.journal import read_log
from imagebind.training.loop import train
from imagebind.training.recipe import Steps
from imagebind.training.tiny import recipe as tiny


def short(recipe, steps=2):
    return replace(recipe, batch_size=4, length=Steps(total=steps), trackers=())


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    tiny.worlds(folder, scenes=6, held_out=5)
    return folder


@pytest.fixture(scope="module")
def output(world, tmp_path_factory):
    output = tmp_path_factory.mktemp("tiny")
    train(short(tiny.towers(world, output=output)))
    return output


def test_the_model_has_the_stated_size():
    model = ImageBindModel(tiny_config(), device="meta")
    assert sum(parameter.numel() for parameter in model.parameters()) == 6_969_089


def test_the_first_stage_trains_text_and_the_second_the_other_modalities(world, tmp_path):
    towers, aligned = tiny.stages(world, output=tmp_path)
    assert [pair.modality for pair in towers.pairs] == ["text", "text"]
    assert {pair.modality for pair in aligned.pairs} == {"audio", "depth", "thermal", "imu"}


def test_one_world_is_for_training_and_the_other_is_held_out(world):
    training, held_out = (tiny.open_world(world / name) for name in (tiny.TRAIN_NAME, tiny.HELD_OUT_NAME))
    assert training.world.held_out is False and held_out.world.held_out is True


def test_the_towers_stay_frozen_while_the_other_modalities_are_aligned(world, output):
    trained = train(short(tiny.alignment(world, output=output), steps=8))
    before = load_model(output / "towers" / "model", modalities=tiny.TOWERS).state_dict()
    after = load_model(trained.model).state_dict()
    assert all(
        torch.equal(tensor, after[name]) for name, tensor in before.items() if "log_logit_scale" not in name
    )
    assert set(load_model(trained.model).modalities) == {"vision", "text", "audio", "depth", "thermal", "imu"}
    trained_pairs = {record["pair"] for record in read_log(output / "senses") if "pair" in record}
    assert len(trained_pairs) >= 3 and "world/audio_shape" in trained.evaluation


@pytest.mark.parametrize("pairing", ["shuffled", pytest.param("text", marks=pytest.mark.huge)])
def test_a_control_is_trained_into_its_own_folder(world, output, pairing):
    recipe = tiny.alignment(world, output=output, pairing=pairing)
    assert recipe.output == output / f"senses-{pairing}"
    assert train(short(recipe)).step == 2


def test_the_vision_of_a_pair_is_the_embedding_of_its_image(world, output):
    pairs = tiny.alignment(world, output=output).pairs[0].data()
    model = load_model(output / "towers" / "model", modalities=["vision"])
    sample = pairs.sample(3, turn=0)
    expected = model.embed("vision", tiny.open_world(world / tiny.TRAIN_NAME).tensor(pairs.vision, 3)[None])
    assert sample.vision.shape == (128,) and torch.allclose(sample.vision, expected[0], atol=1e-5)
