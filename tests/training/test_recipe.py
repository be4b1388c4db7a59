"""Recipes are checked on creation, and errors in recipe files name their line."""

from dataclasses import replace

import pytest

from imagebind.config import VisionConfig
from imagebind.training.data.augment import AlignedAudio, AlignedImages, AlignedImu, CaptionedVision
from imagebind.training.evaluate import Retrieval
from imagebind.training.optimizer import AdamW
from imagebind.training.recipe import (
    Epochs,
    OpenClipWeights,
    PairRecipe,
    Recipe,
    RecipeError,
    Steps,
    Weights,
    load_recipe,
)
from imagebind.training.tuning import Heads, Lora, Trunks
from tests.training.toy import DEPTH, TEXT, text_pairs, toy_config, toy_recipe

RECIPE_SOURCE = """
from imagebind.training.optimizer import AdamW
from imagebind.training.recipe import Recipe, Steps
from tests.training.toy import DEPTH, toy_config

recipe = Recipe(
    model=toy_config(),
    pairs=(DEPTH,),
    optimizer=AdamW(lr=1e-3, weight_decay=0.1),
    length=Steps(total=3),
    batch_size=4,
    output="run",
)
"""


def test_a_recipe_file_defines_its_recipe(tmp_path):
    (tmp_path / "r.py").write_text(RECIPE_SOURCE)
    recipe = load_recipe(tmp_path / "r.py")
    assert recipe.batch_size == 4 and recipe.optimizer.betas == (0.9, 0.95)


@pytest.mark.parametrize("option", ["weight_decay", "batch_size", "total", "model"])
def test_an_error_for_a_misspelt_option_names_its_line(tmp_path, option):
    path = tmp_path / "r.py"
    path.write_text(RECIPE_SOURCE.replace(f"{option}=", f"{option}x="))
    with pytest.raises(RecipeError, match=rf"r\.py:\d+: .*unexpected keyword argument '{option}x'"):
        load_recipe(path)


def test_files_without_a_recipe_are_refused(tmp_path):
    faults = {
        "recipe = 3": "got int",
        "recipes = 3": "got none",
        "recipe = Recipe(": r"r\.py:1: ",
        "import nothing_of_the_kind": r"r\.py:1: No module named 'nothing_of_the_kind'",
    }
    for text, message in faults.items():
        (tmp_path / "r.py").write_text(text)
        with pytest.raises(RecipeError, match=message):
            load_recipe(tmp_path / "r.py")
    with pytest.raises(RecipeError, match="no such file"):
        load_recipe(tmp_path / "other.py")


def test_a_syntax_error_in_an_imported_module_names_the_import_and_the_module(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "imported_by_recipe.py").write_text("\n\n\n\nx = (")
    (tmp_path / "r.py").write_text("import os\nimport imported_by_recipe\n")
    with pytest.raises(RecipeError, match=r"r\.py:2: .*\(imported_by_recipe\.py, line 5\)"):
        load_recipe(tmp_path / "r.py")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pairs": ()}, "pairs: expected at least one"),
        ({"pairs": (TEXT, TEXT)}, "each with a different name"),
        ({"pairs": [TEXT]}, "pairs: expected a tuple, got list"),
        ({"batch_size": 0}, "batch_size: expected a whole number of at least 1, got 0"),
        ({"chunk_size": 0}, "chunk_size: expected a whole number"),
        ({"precision": "float16"}, "precision: expected one of float32, bfloat16, got 'float16'"),
        ({"sharding": "fsdp"}, "sharding: expected one of ddp, fsdp2"),
        ({"seed": -1}, "seed: expected a whole number of at least 0, got -1"),
        ({"max_broken_share": 2}, "max_broken_share: expected"),
        ({"pairs": (replace(DEPTH, modality="audio"),)}, r"vision, text, depth\), got \['audio'\]"),
        (
            {"model": toy_config(drop_path_rate=float("nan"))},
            r"depth\.drop_path_rate: expected at least 0 and less than 1.*, got nan",
        ),
        ({"learns": Trunks(modalities=("dept",))}, r"got \['dept'\]"),
        (
            {"learns": Heads(modalities=("text",)), "pairs": (DEPTH,)},
            "pairs: expected some for each trainable modality, got none for text",
        ),
    ],
)
def test_invalid_recipes_are_refused_on_creation(tmp_path, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        toy_recipe(tmp_path, **options)


def test_invalid_parts_of_a_recipe_are_refused():
    faults = {
        "expected another modality": lambda: PairRecipe(modality="vision", data=text_pairs, temperature=0.1),
        "temperature: expected": lambda: PairRecipe(modality="text", data=text_pairs, temperature=0),
        "at least 0.01": lambda: replace(TEXT, temperature=0.001, learn_temperature=True),
        "function that returns": lambda: PairRecipe(modality="text", data=text_pairs(), temperature=0.1),
        "letters, digits": lambda: replace(TEXT, name="image text"),
        "lr: expected": lambda: AdamW(lr=0),
        r"betas: expected .*, got \(0.9, 1\)": lambda: AdamW(lr=1, betas=(0.9, 1)),
        "betas: expected .*, got 0.9": lambda: AdamW(lr=1, betas=0.9),
        "clip_grad_norm: expected": lambda: AdamW(lr=1, clip_grad_norm=0),
        "warmup: expected less than total = 3, got 3": lambda: Steps(total=3, warmup=3),
        "warmup: expected less than total = 1, got 2": lambda: Epochs(total=1, warmup=2),
        "rank: expected": lambda: Lora(modalities=("text",), rank=0),
        "tuple of names": lambda: Trunks(modalities="audio"),
        "each name once": lambda: Trunks(modalities=("audio", "audio")),
    }
    for message, make in faults.items():
        with pytest.raises((ValueError, TypeError), match=message):
            make()


NOT_FINITE = [float("nan"), float("inf"), float("-inf")]


@pytest.mark.parametrize("value", NOT_FINITE)
@pytest.mark.parametrize(
    ("part", "names"),
    [
        (AdamW(lr=1), ("lr", "weight_decay", "eps")),
        (TEXT, ("temperature", "weight", "repeat")),
        (Steps(total=3), ("total", "warmup")),
        (Epochs(total=3), ("total", "warmup")),
        (Lora(modalities=("text",)), ("rank", "alpha")),
        (toy_recipe("unused"), ("batch_size", "chunk_size", "seed", "num_workers", "checkpoint_every")),
        (toy_recipe("unused"), ("keep_checkpoints", "max_broken_share")),
        (AlignedImages(), ("flip", "magnitude", "jitter", "erasing")),
        (AlignedAudio(), ("mask",)),
        (Retrieval(data=text_pairs), ("batch_size",)),
    ],
)
def test_errors_for_numbers_that_are_not_finite_name_their_field(part, names, value):
    for name in names:
        with pytest.raises(ValueError, match=f"^{name}: expected .*, got {value}$"):
            replace(part, **{name: value})


def test_infinity_switches_clipping_off_and_makes_magnitudes_uniform():
    for part, name in ((AdamW(lr=1, eps=0), "clip_grad_norm"), (AlignedImages(flip=False), "magnitude_std")):
        replace(part, **{name: float("inf")})
        for value in (float("nan"), -1):
            with pytest.raises(ValueError, match=f"^{name}: expected .*, got {value}$"):
                replace(part, **{name: value})


@pytest.mark.parametrize("transform", [AlignedImages, AlignedAudio, AlignedImu, CaptionedVision])
@pytest.mark.parametrize("scale", [0.5, (0, 0), (0.1, 1.5), (0.5, 0.1), (float("nan"), 1), (0.1,)])
def test_crop_scales_that_are_not_ranges_within_0_to_1_are_refused(transform, scale):
    with pytest.raises(ValueError, match=r"^scale: expected two numbers"):
        transform(scale=scale)


def test_a_text_in_place_of_a_number_is_refused():
    with pytest.raises(ValueError, match=r"^lr: expected a positive, finite number, got '1e-3'$"):
        AdamW(lr="1e-3")


def test_epochs_are_converted_to_steps():
    schedule = Epochs(total=64, warmup=2).schedule(steps_per_epoch=100)
    assert (schedule.total_steps, schedule.warmup_steps) == (6400, 200)
    assert Epochs(total=0.001).schedule(steps_per_epoch=10).total_steps == 1


def test_recipes_have_the_same_identity_if_settings_that_affect_the_loss_are_equal(tmp_path):
    recipe: Recipe = toy_recipe(tmp_path)
    assert recipe.identity() == toy_recipe(tmp_path / "other", num_workers=3).identity()
    for options in ({"seed": 1}, {"batch_size": 4}, {"pairs": (DEPTH,)}, {"optimizer": AdamW(lr=1)}):
        assert recipe.identity() != toy_recipe(tmp_path, **options).identity()
    wider = replace(toy_config(), vision=VisionConfig(embed_dim=64, num_blocks=2, num_heads=2))
    assert recipe.identity() != toy_recipe(tmp_path, model=wider).identity()


def test_an_identity_also_has_the_weights_by_absolute_path(tmp_path, monkeypatch):
    (tmp_path / "towers.pt").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    def located(*weights: Weights | OpenClipWeights) -> str:
        return toy_recipe(tmp_path, weights=weights).identity()["located"]

    relative = located(Weights(source="run/model"), OpenClipWeights(pretrained="towers.pt"))
    towers = OpenClipWeights(pretrained=str(tmp_path / "towers.pt"))
    assert relative == located(Weights(source=tmp_path / "run/model"), towers)
    assert located(Weights(source="~/model")) == located(Weights(source=tmp_path / "x/../model"))
    monkeypatch.chdir("/")
    for elsewhere in (Weights(source=None), Weights(source="hf://owner/model"), OpenClipWeights()):
        assert located(elsewhere) == repr((elsewhere,))
    assert located(Weights(source="run/model")) != relative
