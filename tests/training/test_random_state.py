"""The state of all random number generators is captured and restored."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from imagebind.training import random_state
from imagebind.training.random_state import RandomState, preserved_random_state, seed_everything


def draw() -> tuple[float, float, float]:
    return torch.rand(()).item(), np.random.rand(), random.random()


def test_random_numbers_repeat_after_the_state_is_saved_and_read(tmp_path):
    torch.save(RandomState.capture().state_dict(), tmp_path / "state.pt")
    expected = draw()
    RandomState.from_state_dict(torch.load(tmp_path / "state.pt", weights_only=True)).restore()
    assert draw() == expected


def test_random_numbers_drawn_while_the_state_is_preserved_change_nothing():
    seed_everything(3, 1)
    expected = draw()
    seed_everything(3, 1)
    with preserved_random_state():
        draw()
    assert draw() == expected


@pytest.fixture
def accelerator(monkeypatch) -> torch.Generator:
    """Make `torch.fake`, a generator on the CPU, the accelerator of this machine."""
    generator = torch.Generator()
    module = SimpleNamespace(get_rng_state=generator.get_state, set_rng_state=generator.set_state)
    monkeypatch.setattr(torch, "fake", module, raising=False)
    monkeypatch.setattr(random_state, "best_device", lambda: "fake")
    return generator


def test_the_rng_state_of_the_accelerator_is_captured(accelerator, tmp_path):
    torch.save(RandomState.capture().state_dict(), tmp_path / "state.pt")
    expected = torch.rand((), generator=accelerator)
    RandomState.from_state_dict(torch.load(tmp_path / "state.pt", weights_only=True)).restore()
    assert torch.rand((), generator=accelerator) == expected


def test_a_state_of_another_device_type_is_restored_except_for_the_accelerator(
    accelerator, monkeypatch, caplog
):
    state = RandomState.capture()
    expected = draw()
    monkeypatch.setattr(random_state, "best_device", lambda: "cpu")
    state.restore()
    assert draw() == expected and "RNG state of fake not restored" in caplog.text


def test_an_uninitialised_accelerator_is_left_alone(accelerator, monkeypatch):
    monkeypatch.setattr(torch.fake, "is_initialized", lambda: False, raising=False)
    assert RandomState.capture().device is None
