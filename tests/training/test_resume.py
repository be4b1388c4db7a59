"""Interrupted runs resume with the same loss curve as uninterrupted ones."""

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError

from imagebind.checkpoints.factory import load_model
from imagebind.errors import CheckpointError
from imagebind.training import state
from imagebind.training.journal import LOG_NAME, read_log
from imagebind.training.loop import CHECKPOINTS_NAME, train
from imagebind.training.recipe import Epochs, Recipe, Steps
from imagebind.training.state import checkpoints, newest_checkpoint, read_trainer, save_checkpoint
from tests.training.toy import (
    DEPTH,
    TEXT,
    Stop,
    ToyPairs,
    depth_pairs,
    losses_of,
    stop_after,
    toy_config,
    toy_recipe,
)

STEPS = 12
ROOT = Path(__file__).parent.parent.parent


def noisy_recipe(output: Path, **options) -> Recipe:
    """Return a recipe with drop path, whose random numbers must continue after resuming."""
    return toy_recipe(output, model=toy_config(drop_path_rate=0.5), checkpoint_every=3, **options)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> tuple[np.ndarray, dict[str, torch.Tensor]]:
    """Return the loss curve and the weights of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    result = train(noisy_recipe(folder))
    return losses_of(read_log(folder)), load_model(result.model).state_dict()


def assert_same_run(folder: Path, uninterrupted) -> None:
    losses, weights = uninterrupted
    records = read_log(folder)
    assert [record["step"] for record in records] == list(range(1, len(losses) + 1))
    # Lost RNG or optimiser state changes the second digit. A matrix product in another process, with another
    # memory alignment, changes the seventh.
    np.testing.assert_allclose(losses_of(records), losses, rtol=1e-4)
    for name, tensor in load_model(folder / "model").state_dict().items():
        torch.testing.assert_close(tensor, weights[name], atol=1e-3, rtol=1e-3, msg=name)


@pytest.mark.parametrize("stopped_after", range(1, STEPS))
def test_a_run_stopped_after_any_step_resumes_with_the_same_losses_and_weights(
    tmp_path, uninterrupted, stopped_after
):
    with pytest.raises(Stop):
        train(noisy_recipe(tmp_path), progress=stop_after(stopped_after))
    torch.rand(7)
    train(noisy_recipe(tmp_path))
    assert_same_run(tmp_path, uninterrupted)


@pytest.mark.parametrize("moment", ["torch.save", "_finish", "flush_to_disk", "_remove"])
def test_a_run_stopped_while_writing_a_checkpoint_resumes_with_the_same_losses_and_weights(
    tmp_path, uninterrupted, monkeypatch, moment
):
    owner, name = (torch, "save") if moment == "torch.save" else (state, moment)
    calls = 0
    original = getattr(owner, name)

    def stop(*arguments, **options):
        nonlocal calls
        calls += 1
        if calls == (7 if moment == "flush_to_disk" else 3 if moment == "torch.save" else 2):
            raise Stop
        return original(*arguments, **options)

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(owner, name, stop)
        train(noisy_recipe(tmp_path, keep_checkpoints=1))
    train(noisy_recipe(tmp_path, keep_checkpoints=1))
    assert_same_run(tmp_path, uninterrupted)
    assert len(checkpoints(tmp_path / CHECKPOINTS_NAME)) == 1


TRAIN_SCRIPT = """
import sys, torch
from pathlib import Path
torch.set_num_threads(1)
from tests.training.test_resume import noisy_recipe
from imagebind.training.loop import train
train(noisy_recipe(Path(sys.argv[1])))
"""


def kill_after(folder: Path, steps: int) -> None:
    """Train in another process, and kill it once its log has `steps` lines."""
    process = subprocess.Popen([sys.executable, "-c", TRAIN_SCRIPT, str(folder)], cwd=ROOT)
    deadline = time.monotonic() + 60
    try:
        while len(read_log(folder)) < steps and process.poll() is None:
            assert time.monotonic() < deadline, "the run took longer than a minute"
            time.sleep(0.002)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL, "the run ended before it could be killed"


@pytest.mark.huge
def test_a_run_killed_twice_by_sigkill_resumes_with_the_same_losses_and_weights(tmp_path, uninterrupted):
    kill_after(tmp_path, 5)
    kill_after(tmp_path, 8)
    train(noisy_recipe(tmp_path))
    assert_same_run(tmp_path, uninterrupted)


def test_the_checkpoint_interval_does_not_change_the_losses(tmp_path):
    curves = []
    for every in (1, STEPS):
        train(toy_recipe(tmp_path / str(every), checkpoint_every=every))
        curves.append(losses_of(read_log(tmp_path / str(every))))
    assert np.array_equal(*curves)


def test_a_run_resumes_before_every_trunk_has_had_a_batch(tmp_path):
    # Without text pairs, the text trunk is never trained.
    recipe = toy_recipe(tmp_path / "cut", pairs=(DEPTH,), checkpoint_every=3)

    with pytest.raises(Stop):
        train(recipe, progress=stop_after(4))
    train(recipe)
    train(toy_recipe(tmp_path / "whole", pairs=(DEPTH,)))
    cut, whole = (losses_of(read_log(tmp_path / name)) for name in ("cut", "whole"))
    assert np.array_equal(cut, whole)


def test_a_trunk_with_its_first_batch_after_resuming_is_trained_the_same(tmp_path):
    train(toy_recipe(tmp_path / "whole"))
    records = read_log(tmp_path / "whole")
    assert records[0]["pair"] != records[1]["pair"], "the checkpoint of step 1 must lack a trunk"

    with pytest.raises(Stop):
        train(toy_recipe(tmp_path / "cut", checkpoint_every=1), progress=stop_after(2))
    train(toy_recipe(tmp_path / "cut", checkpoint_every=1))
    np.testing.assert_allclose(losses_of(read_log(tmp_path / "cut")), losses_of(records), rtol=1e-4)


def test_data_sets_that_use_global_rngs_on_creation_do_not_affect_resuming(tmp_path, uninterrupted):
    def data() -> ToyPairs:
        torch.rand(7)
        return depth_pairs()

    recipe = noisy_recipe(tmp_path, pairs=(TEXT, replace(DEPTH, data=data)))
    with pytest.raises(Stop):
        train(recipe, progress=stop_after(5))
    train(recipe)
    assert_same_run(tmp_path, uninterrupted)


def test_a_finished_run_changes_nothing_when_started_again(tmp_path, uninterrupted):
    for _ in range(2):
        assert train(noisy_recipe(tmp_path)).step == STEPS
    assert_same_run(tmp_path, uninterrupted)


def test_a_damaged_checkpoint_is_skipped(tmp_path, uninterrupted):
    train(noisy_recipe(tmp_path))
    newest, before = checkpoints(tmp_path / CHECKPOINTS_NAME)
    (newest / "trainer.pt").write_bytes((newest / "trainer.pt").read_bytes()[:100])
    assert newest_checkpoint(tmp_path / CHECKPOINTS_NAME) == before
    train(noisy_recipe(tmp_path))
    assert_same_run(tmp_path, uninterrupted)


def test_the_last_checkpoints_are_kept(tmp_path):
    train(noisy_recipe(tmp_path, keep_checkpoints=3))
    names = [path.name for path in checkpoints(tmp_path / CHECKPOINTS_NAME)]
    assert names == ["step-000012", "step-000009", "step-000006"]
    assert not [path for path in (tmp_path / CHECKPOINTS_NAME).iterdir() if path.name.startswith(".")]


def save(folder: Path, step: int, *, keep: int) -> Path:
    return save_checkpoint(folder, step, trainer={}, write_model=lambda unfinished: None, keep=keep)


def test_an_incomplete_checkpoint_does_not_count_as_kept(tmp_path):
    save(tmp_path, 6, keep=1)
    for damaged in (5, 9):  # a copy that was cut short
        shutil.copytree(tmp_path / "step-000006", tmp_path / f"step-{damaged:06d}")
        (tmp_path / f"step-{damaged:06d}" / "trainer.pt").write_bytes(b"x")
    newest = save(tmp_path, 7, keep=1)
    assert newest_checkpoint(tmp_path) == newest
    assert [path.name for path in checkpoints(tmp_path)] == ["step-000009", "step-000007"]


def test_a_full_disk_is_an_error_that_names_the_checkpoint(tmp_path):
    def full(folder: Path) -> None:
        raise SafetensorError("No space left on device")

    with pytest.raises(CheckpointError, match=r"step-000001: cannot be written.*No space left"):
        save_checkpoint(tmp_path, 1, trainer={}, write_model=full, keep=1)


def test_a_checkpoint_of_another_recipe_is_refused_naming_the_differences(tmp_path):
    train(noisy_recipe(tmp_path, length=Steps(total=3)))
    with pytest.raises(CheckpointError, match=r"batch_size: expected 8, got 16\. Give this run"):
        train(noisy_recipe(tmp_path, length=Steps(total=3), batch_size=16))


@pytest.mark.parametrize("length", [Steps(total=3), Epochs(total=0.5)])
def test_data_of_another_length_is_refused_naming_both_lengths(tmp_path, length):
    def recipe(count: int) -> Recipe:
        pairs = (replace(DEPTH, data=lambda: ToyPairs("depth", size=count)),)
        return toy_recipe(tmp_path, pairs=pairs, length=length)

    train(recipe(48))
    with pytest.raises(CheckpointError, match=r"data of depth: expected 48 pairs.*got 24"):
        train(recipe(24))
    train(recipe(48))


def test_an_incomplete_line_of_the_log_is_left_out(tmp_path):
    train(noisy_recipe(tmp_path, length=Steps(total=4)))
    with (tmp_path / LOG_NAME).open("a") as file:
        file.write(json.dumps({"step": 5, "loss": 1.0})[:9])
    assert [record["step"] for record in read_log(tmp_path)] == [1, 2, 3, 4]
    train(noisy_recipe(tmp_path, length=Steps(total=4)))
    assert (tmp_path / LOG_NAME).read_text().count("\n") == 4


@pytest.mark.parametrize("same", ["weights", "located"])
def test_weights_are_recognised_by_their_given_or_absolute_path(tmp_path, same):
    identity = {"seed": "0", "weights": "w.pth", "located": "/here/w.pth"}
    torch.save({"recipe": identity}, tmp_path / "trainer.pt")
    elsewhere = {name: value if name in ("seed", same) else "other" for name, value in identity.items()}
    assert read_trainer(tmp_path, elsewhere)["recipe"] == identity
    with pytest.raises(CheckpointError, match=r"weights: expected w\.pth, got other"):
        read_trainer(tmp_path, {**elsewhere, same: "other"})
    torch.save({"recipe": {"seed": "0", "weights": "w.pth"}}, tmp_path / "trainer.pt")  # of earlier versions
    if same == "weights":
        read_trainer(tmp_path, elsewhere)
