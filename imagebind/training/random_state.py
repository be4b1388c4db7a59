"""The state of every generator that a forward pass or an augmentation draws from."""

import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from imagebind.device import best_device, module_in_use

NUMPY_SEEDS = 2**32  # numpy's old generator takes no larger ones

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RandomState:
    """torch's on the CPU and on this process's accelerator, numpy's and Python's.

    `device` is the accelerator's kind and state, None where none is in use. One is all that a rank draws on,
    and the next run may see more or fewer of them.
    """

    cpu: Tensor
    device: tuple[str, Tensor] | None
    numpy: Any
    python: Any

    @classmethod
    def capture(cls) -> "RandomState":
        """The generators as they are now."""
        return cls(
            cpu=torch.get_rng_state(),
            device=_device_state(),
            numpy=np.random.get_state(),
            python=random.getstate(),
        )

    def restore(self) -> None:
        """Set the generators back to what they were."""
        torch.set_rng_state(self.cpu)
        if self.device is not None:
            _restore_device(*self.device)
        np.random.set_state(self.numpy)
        random.setstate(self.python)

    def state_dict(self) -> dict[str, Any]:
        """As tensors and plain numbers, which `torch.load(weights_only=True)` reads back."""
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
        """Read what `state_dict` gave."""
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
    kind = best_device()
    module = module_in_use(kind)
    return None if module is None else (kind, module.get_rng_state())


def _restore_device(kind: str, state: Tensor) -> None:
    module = module_in_use(kind) if kind == best_device() else None
    if module is None:
        logger.warning("the random state of %s is left out: this process draws on another device", kind)
    else:
        module.set_rng_state(state)


def seed_everything(*seeds: int) -> None:
    """Start all generators from some numbers, such as a seed and a rank: other numbers, unrelated draws."""
    mixed = int(np.random.SeedSequence(seeds).generate_state(1, np.uint64)[0])
    random.seed(mixed)
    np.random.seed(mixed % NUMPY_SEEDS)
    torch.manual_seed(mixed)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Whatever is drawn inside, the draws after it are those that would have come without it."""
    state = RandomState.capture()
    try:
        yield
    finally:
        state.restore()
