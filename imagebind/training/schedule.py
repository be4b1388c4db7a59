"""The learning rate of each step: linear warm-up, then half a cosine down to zero.

It is a pure function of the step, so there is no scheduler state, and a resumed run only needs its step.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The number of steps of a run, and of its warm-up."""

    total_steps: int
    warmup_steps: int = 0

    def __post_init__(self) -> None:
        if self.total_steps < 1:
            raise ValueError(f"total_steps: expected at least 1, got {self.total_steps}")
        if not 0 <= self.warmup_steps < self.total_steps:
            raise ValueError(
                f"warmup_steps: expected a number in [0, total_steps = {self.total_steps}), got "
                f"{self.warmup_steps}"
            )

    def factor(self, step: int) -> float:
        """Return the factor in (0, 1] on the peak learning rate in a step, counted from 0.

        It rises linearly to 1 at the last step of the warm-up and would be 0 at the step after the last.
        Source: the cosine is ours; the paper names no shape.
        """
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        done = (step - self.warmup_steps) / (self.total_steps - self.warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * done))
