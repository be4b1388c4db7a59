"""The state of all generators, kept and set back."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from imagebind.training import random_state
from imagebind.training.random_state import RandomState, seed_everything, undisturbed


def drawn() -> tuple[float, float, float]:
    return torch.rand(()).item(), np.random.rand(), random.random()


def test_what_is_drawn_again_is_the_same_after_saving_and_reading(tmp_path):
    torch.save(RandomState.capture().state_dict(), tmp_path / "state.pt")
    expected = drawn()
    RandomState.from_state_dict(torch.load(tmp_path / "state.pt", weights_only=True)).restore()
    assert drawn() == expected


def test_what_is_drawn_in_between_changes_nothing():
    seed_everything(3, 1)
    expected = drawn()
    seed_everything(3, 1)
    with undisturbed():
        drawn()
    assert drawn() == expected


@pytest.fixture
def accelerator(monkeypatch) -> torch.Generator:
    """A machine whose accelerator is a generator on the CPU: torch.fake, as torch.cuda."""
    generator = torch.Generator()
    module = SimpleNamespace(get_rng_state=generator.get_state, set_rng_state=generator.set_state)
    monkeypatch.setattr(torch, "fake", module, raising=False)
    monkeypatch.setattr(random_state, "best_device", lambda: "fake")
    return generator


def test_the_accelerator_s_generator_is_kept_too(accelerator, tmp_path):
    torch.save(RandomState.capture().state_dict(), tmp_path / "state.pt")
    expected = torch.rand((), generator=accelerator)
    RandomState.from_state_dict(torch.load(tmp_path / "state.pt", weights_only=True)).restore()
    assert torch.rand((), generator=accelerator) == expected


def test_a_state_of_another_kind_of_machine_is_restored_but_for_the_accelerator(
    accelerator, monkeypatch, caplog
):
    state = RandomState.capture()
    expected = drawn()
    monkeypatch.setattr(random_state, "best_device", lambda: "cpu")
    state.restore()
    assert drawn() == expected and "the random state of fake is left out" in caplog.text


def test_an_accelerator_that_nothing_is_on_is_left_alone(accelerator, monkeypatch):
    monkeypatch.setattr(torch.fake, "is_initialized", lambda: False, raising=False)
    assert RandomState.capture().device is None
