"""`imagebind train`: a recipe file, checked first."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from imagebind.checkpoints.factory import load_model
from imagebind.cli.train import _recipes
from imagebind.training.journal import read_log
from tests.training.test_recipe import RECIPE_SOURCE

ROOT = Path(__file__).parent.parent.parent


def recipe_file(folder: Path, text: str = RECIPE_SOURCE) -> Path:
    path = folder / "recipe.py"
    path.write_text(text)
    return path


def test_a_recipe_is_trained_into_the_given_folder(imagebind, tmp_path):
    run = imagebind("train", recipe_file(tmp_path), "--out", tmp_path / "run")
    assert run.code == 0 and "3 steps; the model is in" in run.out
    assert load_model(tmp_path / "run" / "model").modalities == ("vision", "text", "depth")


def test_a_misspelt_option_fails_before_anything_starts(imagebind, tmp_path):
    text = RECIPE_SOURCE.replace("weight_decay", "wait_decay")
    run = imagebind("train", recipe_file(tmp_path, text), "--out", tmp_path / "run")
    assert run.code == 1 and "unexpected keyword argument 'wait_decay'" in run.err
    assert "Traceback" not in run.err and not (tmp_path / "run").exists()
    run = imagebind("train", recipe_file(tmp_path), "--outt", tmp_path / "run")
    assert run.code == 2 and "--outt" in run.err


def test_the_small_decoder_takes_its_own_options_only(imagebind, tmp_path):
    run = imagebind("train", "tiny-decoder", "--out", tmp_path / "run", "--data", tmp_path)
    assert run.code == 2 and "expected no option but --out and --seed" in run.err
    assert not (tmp_path / "run").exists()


def test_a_recipe_can_be_checked_without_training(imagebind, tmp_path):
    run = imagebind("train", recipe_file(tmp_path), "--out", tmp_path / "run", "--check")
    assert run.code == 0 and "is valid: pairs depth, batch size 4" in run.out
    assert not (tmp_path / "run").exists()


def test_the_seed_of_the_option_also_seeds_the_augmentation(tmp_path):
    (tmp_path / "pairs.csv").write_text("vision,audio\nfilm.mp4,film.wav\n")
    options = {"output": None, "data": tmp_path / "pairs.csv", "pairing": "vision"}
    for given, wanted in ((None, 0), (3, 3)):
        (recipe,) = _recipes("audio", seed=given, **options)
        assert recipe.seed == recipe.pairs[0].data().seed == wanted


def torchrun(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a module or a script in two ranks."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    settings = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    return subprocess.run(
        [*launcher, *map(str, arguments)],
        cwd=folder,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_torchrun_starts_two_ranks_that_write_one_log_and_one_model(tmp_path):
    run = torchrun(
        "-m", "imagebind.cli.main", "train", recipe_file(tmp_path), "--out", "run", folder=tmp_path
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("3 steps; the model is in run/model") == 1
    assert [record["step"] for record in read_log(tmp_path / "run")] == [1, 2, 3]


TRAIN_TWICE_SCRIPT = """
from imagebind.training.loop import train
from imagebind.training.recipe import Steps
from tests.training.toy import toy_recipe

for folder, precision in (("one", "float32"), ("two", "bfloat16")):
    train(toy_recipe(folder, length=Steps(total=2), precision=precision))
"""


@pytest.mark.huge
def test_ranks_of_torchrun_can_train_twice(tmp_path):
    (tmp_path / "twice.py").write_text(TRAIN_TWICE_SCRIPT)
    run = torchrun("twice.py", folder=tmp_path)
    assert run.returncode == 0, run.stderr
    for folder in ("one", "two"):
        assert [record["step"] for record in read_log(tmp_path / folder)] == [1, 2]
