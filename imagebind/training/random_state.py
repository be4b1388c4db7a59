"""The state of every generator that a forward pass or an augmentation draws from."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

NUMPY_SEEDS = 2**32  # numpy's old generator takes no larger ones


@dataclass(frozen=True, kw_only=True)
class RandomState:
    """torch's on the CPU and on every CUDA device, numpy's and Python's."""

    cpu: Tensor
    cuda: list[Tensor]
    numpy: Any
    python: Any

    @classmethod
    def capture(cls) -> "RandomState":
        """The generators as they are now."""
        return cls(
            cpu=torch.get_rng_state(),
            cuda=torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
            numpy=np.random.get_state(),
            python=random.getstate(),
        )

    def restore(self) -> None:
        """Set the generators back to what they were."""
        torch.set_rng_state(self.cpu)
        if self.cuda:
            torch.cuda.set_rng_state_all(self.cuda)
        np.random.set_state(self.numpy)
        random.setstate(self.python)

    def state_dict(self) -> dict[str, Any]:
        """As tensors and plain numbers, which `torch.load(weights_only=True)` reads back."""
        name, keys, *rest = self.numpy
        version, words, gauss = self.python
        return {
            "cpu": self.cpu,
            "cuda": self.cuda,
            "numpy": [name, torch.from_numpy(keys.astype(np.int64)), *rest],
            "python": [version, torch.tensor(words), gauss],
        }

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> "RandomState":
        """Read what `state_dict` gave."""
        name, keys, *rest = state["numpy"]
        version, words, gauss = state["python"]
        return cls(
            cpu=state["cpu"],
            cuda=state["cuda"],
            numpy=(name, keys.numpy().astype(np.uint32), *rest),
            python=(version, tuple(words.tolist()), gauss),
        )


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
