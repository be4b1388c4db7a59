"""Bootstrap intervals: how much a figure would vary with other samples of the same size."""

from collections.abc import Callable

import torch
from torch import Tensor

RESAMPLES = 1000
SEED = 0
LEVEL = 0.95


def mean_interval(values: Tensor, *, resamples: int = RESAMPLES) -> tuple[float, float]:
    """Return the 95% interval of the mean: (n,) -> (low, high), by the percentile bootstrap, seed 0.

    The number of times that each sample is drawn follows a multinomial distribution.
    """
    generator = torch.Generator().manual_seed(SEED)
    count = len(values)
    rows = values.double().cpu()
    means = torch.stack(
        [rows[torch.randint(count, (count,), generator=generator)].mean() for _ in range(resamples)]
    )
    return _interval(means)


def interval(figure: Callable[[Tensor], float], count: int, *, resamples: int) -> tuple[float, float]:
    """Return the 95% interval of a figure of n samples; `figure` takes the drawn sample numbers (n,)."""
    generator = torch.Generator().manual_seed(SEED)
    drawn = [torch.randint(count, (count,), generator=generator) for _ in range(resamples)]
    return _interval(torch.tensor([figure(each) for each in drawn], dtype=torch.float64))


def _interval(values: Tensor) -> tuple[float, float]:
    low, high = values.nanquantile(torch.tensor([(1 - LEVEL) / 2, (1 + LEVEL) / 2], dtype=torch.float64))
    return low.item(), high.item()
