"""The training loop: the loss falls, frozen weights stay, chunks and ranks do not change the result."""

import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from imagebind.checkpoints.factory import load_model
from imagebind.datasets.pairs import BrokenPair, PairSample
from imagebind.models.imagebind_model import ImageBindModel
from imagebind.training.journal import read_log
from imagebind.training.loop import CHECKPOINTS_NAME, DivergedError, train
from imagebind.training.optimizer import AdamW
from imagebind.training.recipe import Epochs, Recipe, RecipeError, Steps
from imagebind.training.run import Run
from imagebind.training.state import newest_checkpoint
from imagebind.training.tuning import Heads, Trunks
from tests.ranks import on_ranks
from tests.training.toy import (
    DEPTH,
    SIDE,
    TEXT,
    Stop,
    ToyPairs,
    losses_of,
    stop_after,
    toy_config,
    toy_recipe,
)

LOSS_TOLERANCE = 2e-4  # of losses around 4: sums in another order, amplified by a few steps of Adam


def curve(recipe: Recipe) -> np.ndarray:
    train(recipe)
    return losses_of(read_log(Path(recipe.output)))


def test_the_loss_falls_on_pairs_of_both_modalities(tmp_path):
    train(toy_recipe(tmp_path, length=Steps(total=60, warmup=4)))
    records = read_log(tmp_path)
    assert [record["step"] for record in records] == list(range(1, 61))
    for name in ("text", "depth"):
        losses = [record["loss"] for record in records if record["pair"] == name]
        assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    assert {"lr", "grad_norm", "samples_per_second"} <= set(records[0])
    assert records[3]["lr"] == 3e-3 and records[0]["lr"] == pytest.approx(3e-3 / 4)


def test_the_final_model_is_saved_with_the_inverse_of_the_temperatures(tmp_path):
    result = train(toy_recipe(tmp_path, length=Steps(total=2)))
    model = load_model(result.model)
    scales = {name: model.modality_postprocessors[name][1].log_logit_scale for name in ("depth", "text")}
    assert scales["depth"].exp().item() == pytest.approx(1 / 0.2)
    assert scales["text"].exp().item() == pytest.approx(1 / 0.1)


@pytest.mark.parametrize("learns", [Trunks(modalities=("depth",)), Heads(modalities=("depth",))])
def test_frozen_parameters_do_not_change(tmp_path, learns):
    torch.manual_seed(1)
    before = ImageBindModel(toy_config())
    old = {name: tensor.clone() for name, tensor in before.state_dict().items()}
    recipe = toy_recipe(tmp_path, model=lambda: before, pairs=(DEPTH,), learns=learns, length=Steps(total=2))
    new = load_model(train(recipe).model).state_dict()
    changed = {name for name in new if not torch.equal(new[name], old[name])}
    changed.discard("modality_postprocessors.depth.1.log_logit_scale")  # set to the recipe's
    wanted = {name for name in old if ".depth." in name and "postprocessors" not in name}
    if isinstance(learns, Heads):
        wanted = {name for name in wanted if "heads" in name}
    assert changed == wanted


def test_a_batch_in_chunks_has_the_curve_of_the_whole(tmp_path):
    whole = curve(toy_recipe(tmp_path / "whole"))
    chunks = curve(toy_recipe(tmp_path / "chunks", chunk_size=3))
    assert np.abs(whole - chunks).max() < LOSS_TOLERANCE


def test_no_more_than_a_chunk_is_on_the_device_at_once(tmp_path, monkeypatch):
    def to(self: torch.Tensor, *arguments, **options) -> torch.Tensor:
        if self.shape[1:] == (3, SIDE, SIDE):
            moved.append(len(self))
        return original(self, *arguments, **options)

    moved, original = [], torch.Tensor.to
    monkeypatch.setattr(torch.Tensor, "to", to)
    train(toy_recipe(tmp_path, pairs=(DEPTH,), chunk_size=3, length=Steps(total=1)))
    assert moved == [3, 3, 2] * 2  # each pass


def test_recomputed_activations_give_the_same_curve(tmp_path):
    options = {"model": toy_config(drop_path_rate=0.4)}
    kept = curve(toy_recipe(tmp_path / "kept", **options))
    again = curve(toy_recipe(tmp_path / "again", grad_checkpointing=True, **options))
    assert np.abs(kept - again).max() < LOSS_TOLERANCE


def test_bfloat16_has_about_the_curve_of_float32(tmp_path):
    full = curve(toy_recipe(tmp_path / "full", length=Steps(total=4)))
    half = curve(toy_recipe(tmp_path / "half", length=Steps(total=4), precision="bfloat16"))
    assert 0 < np.abs(full - half).max() < 0.3
    weights = load_model(tmp_path / "half" / "model").state_dict()
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}


def test_a_learned_temperature_moves_and_is_kept(tmp_path):
    pairs = (replace(TEXT, learn_temperature=True),)
    model = load_model(train(toy_recipe(tmp_path, pairs=pairs)).model)
    scale = model.modality_postprocessors["text"][1].log_logit_scale.exp().item()
    assert abs(scale - 1 / 0.1) > 0.01


RANK_OPTIONS = {
    "whole": {},
    "chunks": {"chunk_size": 3, "pairs": (replace(TEXT, learn_temperature=True), DEPTH)},
    "fsdp2": {"sharding": "fsdp2", "chunk_size": 3, "grad_checkpointing": True},
}
STOPPED = ("whole", "fsdp2")  # recipes that are also stopped and resumed


def on_a_rank(rank: int, folder: str) -> None:
    """Train all recipes as one of two ranks of torchrun; one process for all recipes saves start-up time."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": "2"}
    for name, options in RANK_OPTIONS.items():
        train(toy_recipe(Path(folder) / name, **options))
    for name in STOPPED:
        recipe = toy_recipe(Path(folder) / "stopped" / name, checkpoint_every=3, **RANK_OPTIONS[name])
        with pytest.raises(Stop):
            train(recipe, progress=stop_after(5))
        train(recipe)


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    on_ranks(on_a_rank, str(folder))
    return folder


@pytest.mark.huge
@pytest.mark.parametrize("name", RANK_OPTIONS)
def test_two_ranks_have_the_curve_of_one_process_with_the_same_batch(two_ranks, tmp_path, name):
    one = curve(toy_recipe(tmp_path, **RANK_OPTIONS[name]))
    two = losses_of(read_log(two_ranks / name))
    assert len(two) == 12 and np.abs(two - one).max() < LOSS_TOLERANCE
    norms = [[record["grad_norm"] for record in read_log(folder)] for folder in (tmp_path, two_ranks / name)]
    assert np.allclose(*norms, rtol=1e-2)


@pytest.mark.huge
@pytest.mark.parametrize("name", STOPPED)
def test_two_stopped_ranks_resume_with_the_same_losses(two_ranks, name):
    records = read_log(two_ranks / "stopped" / name)
    assert [record["step"] for record in records] == list(range(1, 13))
    np.testing.assert_allclose(losses_of(records), losses_of(read_log(two_ranks / name)), rtol=1e-4)


@pytest.mark.huge
@pytest.mark.parametrize("name", RANK_OPTIONS)
def test_two_ranks_save_the_model_that_one_process_does(two_ranks, tmp_path, name):
    one = load_model(train(toy_recipe(tmp_path, **RANK_OPTIONS[name])).model)
    two = load_model(two_ranks / name / "model")
    inputs = {"vision": torch.ones(2, 3, 28, 28), "depth": torch.ones(2, 1, 28, 28)}
    with torch.inference_mode():
        for mine, theirs in zip(one(inputs).values(), two(inputs).values(), strict=True):
            assert torch.cosine_similarity(mine, theirs).min() > 1 - 1e-4


def test_evaluation_runs_after_each_epoch_and_changes_no_random_number(tmp_path):
    modes = []

    def evaluation(model: ImageBindModel) -> dict[str, float]:
        modes.append(model.training)
        torch.rand(3)
        return {"answer": 42.0}

    options = {"model": toy_config(drop_path_rate=0.4), "pairs": (DEPTH,), "length": Epochs(total=1.5)}
    without = curve(toy_recipe(tmp_path / "without", **options))
    result = train(toy_recipe(tmp_path / "with", evaluations={"mine": evaluation}, **options))
    records = read_log(tmp_path / "with")
    np.testing.assert_allclose(losses_of(records), without, rtol=1e-4)
    # 64 pairs, 8 per step: an epoch is 8 steps.
    assert [record["step"] for record in records if "evaluation" in record] == [8, 12]
    assert result.evaluation == {"mine/answer": 42.0} and modes == [False, False]


@pytest.mark.parametrize("checkpoint_every", [3, 12])
def test_tensorboard_has_the_curve(tmp_path, checkpoint_every):
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    recipe = toy_recipe(
        tmp_path, pairs=(DEPTH,), checkpoint_every=checkpoint_every, trackers=("tensorboard",)
    )
    with pytest.raises(Stop):
        train(recipe, progress=stop_after(5))
    train(recipe)
    (folder,) = {path.parent for path in tmp_path.rglob("events.out.tfevents*")}
    events = event_accumulator.EventAccumulator(str(folder)).Reload().Scalars("loss/depth")
    assert [event.step for event in events] == list(range(1, 13))  # none twice
    assert np.allclose([event.value for event in events], losses_of(read_log(tmp_path)))


def test_weights_and_biases_gets_the_curve(tmp_path, monkeypatch):
    class Run:
        def log(self, figures: dict[str, float], step: int) -> None:
            logged[step] = figures

        def finish(self) -> None:
            logged["finished"] = True

    logged = {}
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=lambda project, dir: Run()))
    train(toy_recipe(tmp_path, pairs=(DEPTH,), length=Steps(total=2), trackers=("wandb",)))
    losses = losses_of(read_log(tmp_path))
    assert [logged[step]["loss/depth"] for step in (1, 2)] == losses.tolist() and logged["finished"]


def test_pairs_per_second_include_the_wait_for_data(tmp_path):
    class Slow(ToyPairs):
        def sample(self, index: int, *, turn: int) -> PairSample | BrokenPair:
            time.sleep(0.05)
            return super().sample(index, turn=turn)

    recipe = toy_recipe(tmp_path, pairs=(replace(DEPTH, data=lambda: Slow("depth")),), length=Steps(total=3))
    train(recipe)
    later = [record["samples_per_second"] for record in read_log(tmp_path)[1:]]  # the first is read before
    assert max(later) < 1 / 0.05


def test_progress_is_called_in_each_step(tmp_path):
    reported = []
    train(
        toy_recipe(tmp_path, length=Steps(total=3)),
        progress=lambda step, total, loss: reported.append((step, total, loss > 0)),
    )
    assert reported == [(1, 3, True), (2, 3, True), (3, 3, True)]


def test_a_nan_loss_stops_the_run_and_is_not_logged(tmp_path):
    recipe = toy_recipe(
        tmp_path, optimizer=AdamW(lr=1e30, clip_grad_norm=None), length=Steps(total=9), checkpoint_every=1
    )
    with pytest.raises(DivergedError, match=r"step \d.*expected a finite loss, got nan.*lower learning rate"):
        train(recipe)
    losses = losses_of(read_log(tmp_path))
    assert len(losses) and np.isfinite(losses).all()


@pytest.mark.parametrize("at_step", [3, 6])
def test_an_infinite_gradient_stops_the_run_before_a_weight_changes(tmp_path, monkeypatch, at_step):
    def backward(self: Run, *arguments) -> torch.Tensor:
        loss = original(self, *arguments)
        if self.step == at_step - 1:
            next(p.grad for p in self.encoder.parameters() if p.grad is not None).view(-1)[0] = np.inf
        return loss

    original = Run._backward
    monkeypatch.setattr(Run, "_backward", backward)
    recipe = toy_recipe(tmp_path, pairs=(DEPTH,), length=Steps(total=6), checkpoint_every=1)
    with pytest.raises(DivergedError, match=rf"step {at_step}, depth: .*finite gradient norm, got inf"):
        train(recipe)
    newest = newest_checkpoint(tmp_path / CHECKPOINTS_NAME)
    assert newest is not None and newest.name == f"step-{at_step - 1:06d}"
    assert not any(tensor.isnan().any() for tensor in load_model(newest / "model").state_dict().values())
    assert not (tmp_path / "model").exists()


def test_data_of_another_modality_is_refused(tmp_path):
    recipe = toy_recipe(tmp_path, pairs=(replace(DEPTH, data=TEXT.data),))
    with pytest.raises(RecipeError, match="depth: data: expected pairs with depth, got text"):
        train(recipe)


def test_an_unknown_tracker_fails_before_anything_starts(tmp_path):
    with pytest.raises(RecipeError, match=r"tensorboard.*got 'tensorbord'"):
        train(toy_recipe(tmp_path / "run", trackers=("tensorbord",)))
    assert not (tmp_path / "run").exists()
