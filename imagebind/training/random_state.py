"""Captures and restores the state of every RNG that a forward pass or an augmentation may use."""

import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from imagebind.device import best_device, initialised_module

NUMPY_SEED_LIMIT = 2**32  # `np.random.seed` takes smaller seeds only

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RandomState:
    """RNG states of torch on the CPU and on this process's accelerator, of numpy and of Python.

    `device` is the accelerator's device type and RNG state, or None if none is in use. It is one device only:
    a rank uses one, and a resumed run may see more or fewer devices.
    """

    cpu: Tensor
    device: tuple[str, Tensor] | None
    numpy: Any
    python: Any

    @classmethod
    def capture(cls) -> "RandomState":
        """Return the current state of all generators."""
        return cls(
            cpu=torch.get_rng_state(),
            device=_device_state(),
            numpy=np.random.get_state(),
            python=random.getstate(),
        )

    def restore(self) -> None:
        """Set all generators to this state."""
        torch.set_rng_state(self.cpu)
        if self.device is not None:
            _restore_device(*self.device)
        np.random.set_state(self.numpy)
        random.setstate(self.python)

    def state_dict(self) -> dict[str, Any]:
        """Return the state as tensors and plain numbers, which `torch.load(weights_only=True)` can read."""
        name, keys, *rest = self.numpy
        version, words, gauss = self.python
        return {
            "cpu": self.cpu,
            "device": None if self.device is None else list(self.device),
            "numpy": [name, torch.from_numpy(keys.astype(np.int64)), *rest],
            "python": [version, torch.tensor(words), gauss],
        }

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> "RandomState":
        """Return the `RandomState` whose `state_dict` returned this dict."""
        name, keys, *rest = state["numpy"]
        version, words, gauss = state["python"]
        device = state.get("device")
        return cls(
            cpu=state["cpu"],
            device=None if device is None else (device[0], device[1]),
            numpy=(name, keys.numpy().astype(np.uint32), *rest),
            python=(version, tuple(words.tolist()), gauss),
        )


def _device_state() -> tuple[str, Tensor] | None:
    device_type = best_device()
    module = initialised_module(device_type)
    return None if module is None else (device_type, module.get_rng_state())


def _restore_device(device_type: str, state: Tensor) -> None:
    module = initialised_module(device_type) if device_type == best_device() else None
    if module is None:
        logger.warning("RNG state of %s not restored: this process does not use it", device_type)
    else:
        module.set_rng_state(state)


def seed_everything(*seeds: int) -> None:
    """Seed all generators from several integers, such as a seed and a rank, mixed into one seed."""
    mixed = int(np.random.SeedSequence(seeds).generate_state(1, np.uint64)[0])
    random.seed(mixed)
    np.random.seed(mixed % NUMPY_SEED_LIMIT)
    torch.manual_seed(mixed)


@contextmanager
def preserved_random_state() -> Iterator[None]:
    """Restore the generators of `RandomState` at the end of the block."""
    state = RandomState.capture()
    try:
        yield
    finally:
        state.restore()
