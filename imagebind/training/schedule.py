"""The learning rate of each step: warm-up, then half a cosine down to nothing.

A pure function of the step. So the schedule has no state, and a resumed run needs to know its step alone.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The steps of a run, and how many of them warm up."""

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
        """What the peak learning rate is multiplied by in a step, the first being 0: in (0, 1].

        It rises linearly to 1 at the last step of the warm-up and would be 0 at the step after the last.
        Source: cosine is ours, the paper names no shape.
        """
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        done = (step - self.warmup_steps) / (self.total_steps - self.warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * done))
