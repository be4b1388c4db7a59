"""Bootstrap intervals: how much a figure would vary with other samples of the same size."""

from collections.abc import Callable

import torch
from torch import Tensor

BOOTSTRAP_RESAMPLES = 1000
BOOTSTRAP_SEED = 0
CONFIDENCE_LEVEL = 0.95


def mean_interval(values: Tensor, *, resamples: int = BOOTSTRAP_RESAMPLES) -> tuple[float, float]:
    """Return the 95% interval of the mean: (n,) -> (low, high), by the percentile bootstrap, seed 0.

    Each resample draws n samples with replacement.
    """
    rows = values.double().cpu()
    return interval(lambda drawn: rows[drawn].mean().item(), len(rows), resamples=resamples)


def interval(figure: Callable[[Tensor], float], count: int, *, resamples: int) -> tuple[float, float]:
    """Return the 95% interval of a figure of `count` samples; `figure` takes the drawn indices, (count,)."""
    generator = torch.Generator().manual_seed(BOOTSTRAP_SEED)
    values = [figure(torch.randint(count, (count,), generator=generator)) for _ in range(resamples)]
    tail = (1 - CONFIDENCE_LEVEL) / 2
    low, high = torch.tensor(values, dtype=torch.float64).quantile(
        torch.tensor([tail, 1 - tail], dtype=torch.float64)
    )
    return low.item(), high.item()
