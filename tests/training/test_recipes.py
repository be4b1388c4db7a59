"""The recipes that come along have the paper's numbers, and the tiny one trains on the world's files."""

from dataclasses import replace

import numpy as np
import pytest

from imagebind.config import imagebind_tiny
from imagebind.models.imagebind_model import ImageBindModel
from imagebind.training import recipes
from imagebind.training.journal import read_log
from imagebind.training.loop import train
from imagebind.training.recipe import Steps
from imagebind.training.tuning import Lora, Trunks
from imagebind.training.world import write_world
from tests.training.toy import losses_of

TABLE_9 = {  # lr, weight decay, batch, clip, epochs, repeat, drop path, temperature
    "audio": (1.6e-3, 0.2, 2048, 1.0, 64, 1.25, 0.1, 0.05),
    "depth": (1.6e-3, 0.2, 512, 1.0, 64, 50, 0.0, 0.2),
    "thermal": (5e-4, 0.05, 512, 5.0, 64, 25, 0.0, 0.1),
    "imu": (5e-4, 0.5, 512, 1.0, 8, 1, 0.7, 0.2),
}


@pytest.mark.parametrize("name", TABLE_9)
def test_a_pair_of_the_paper_has_the_numbers_of_its_table(tmp_path, name):
    recipe = getattr(recipes, name)(list, output=tmp_path)
    (pair,), optimizer = recipe.pairs, recipe.optimizer
    numbers = (optimizer.lr, optimizer.weight_decay, recipe.batch_size, optimizer.clip_grad_norm)
    numbers += (recipe.length.total, pair.repeat, recipe.model.trunk(name).drop_path_rate, pair.temperature)
    assert numbers == TABLE_9[name]
    assert optimizer.betas == (0.9, 0.95) and recipe.length.warmup == 2
    assert recipe.learns == Trunks(modalities=(name,))
    assert [modality.value for modality in recipe.model.modalities] == ["vision", name]
    assert recipe.model.vision.norm_eps == 1e-5  # as open_clip, which vision starts from


def test_the_lora_recipe_tunes_one_trunk_of_the_released_model(tmp_path):
    recipe = recipes.lora("thermal", list, output=tmp_path)
    assert recipe.learns == Lora(modalities=("thermal",))
    assert recipe.weights[0].source is None and recipe.pairs[0].temperature == 0.1


def test_the_tiny_model_has_the_size_that_is_said():
    model = ImageBindModel(imagebind_tiny(), device="meta")
    assert sum(parameter.numel() for parameter in model.parameters()) == 10_391_041


def test_the_tiny_recipe_trains_on_the_files_of_the_world(tmp_path):
    manifest = write_world(tmp_path / "world", 4, seed=0)
    recipe = recipes.tiny(manifest, output=tmp_path / "run")
    assert {pair.modality for pair in recipe.pairs} == {"text", "audio", "depth", "thermal", "imu"}
    train(replace(recipe, batch_size=4, length=Steps(total=10), trackers=()))
    records = read_log(tmp_path / "run")
    assert len({record["pair"] for record in records}) >= 4
    assert np.isfinite(losses_of(records)).all() and not any("broken" in record for record in records)
