"""The recipes of the package have the settings of the paper."""

from functools import partial

import pytest

from imagebind.datasets.pairs import Pair
from imagebind.training import recipes
from imagebind.training.tuning import Lora, Trunks

TABLE_9 = {  # lr, weight decay, batch, clip, epochs, repeat, drop path, temperature
    "audio": (1.6e-3, 0.2, 2048, 1.0, 64, 1.25, 0.1, 0.05),
    "depth": (1.6e-3, 0.2, 512, 1.0, 64, 50, 0.0, 0.2),
    "thermal": (5e-4, 0.05, 512, 5.0, 64, 25, 0.0, 0.1),
    "imu": (5e-4, 0.5, 512, 1.0, 8, 1, 0.7, 0.2),
}


@pytest.mark.parametrize("name", TABLE_9)
def test_the_recipes_of_the_paper_have_the_settings_of_its_table(tmp_path, name):
    recipe = getattr(recipes, name)(list, output=tmp_path)
    (pair,), optimizer = recipe.pairs, recipe.optimizer
    numbers = (optimizer.lr, optimizer.weight_decay, recipe.batch_size, optimizer.clip_grad_norm)
    numbers += (recipe.length.total, pair.repeat, recipe.model.trunk(name).drop_path_rate, pair.temperature)
    assert numbers == TABLE_9[name]
    assert optimizer.betas == (0.9, 0.95) and recipe.length.warmup == 2
    assert recipe.learns == Trunks(modalities=(name,))
    assert [modality.value for modality in recipe.model.modalities] == ["vision", name]
    assert recipe.model.vision.norm_eps == 1e-5  # as open_clip, which vision starts from


@pytest.mark.parametrize("name", [*TABLE_9, "lora"])
def test_the_seed_of_a_recipe_is_that_of_its_augmentation(tmp_path, name):
    kind = "depth" if name == "lora" else name
    pair = Pair(vision="a.png", other="b", modality=kind, name="a")
    make = partial(recipes.lora, kind) if name == "lora" else getattr(recipes, name)
    for seed, options in ((0, {}), (5, {"seed": 5})):
        recipe = make(lambda: [pair], output=tmp_path, **options)
        assert recipe.seed == recipe.pairs[0].data().seed == seed


def test_the_lora_recipe_tunes_one_trunk_of_the_released_model(tmp_path):
    recipe = recipes.lora("thermal", list, output=tmp_path)
    assert recipe.learns == Lora(modalities=("thermal",))
    assert recipe.weights[0].source is None and recipe.pairs[0].temperature == 0.1
