"""Retrieval and classification, each metric a function of a matrix of similarities or scores.

A row is a query (or a sample), a column a candidate (or a class), and more is more similar. What is right
for a query is either one candidate, `target` (q,) of column numbers, or any of several, `target` (q, n) of
booleans: with five captions a sound, `caption_of[None, :] == sound[:, None]` one way, its transpose the
other.

Two rules keep figures from depending on chance or on a sort:

- A tie is lost. A right candidate stands behind every wrong one of the same similarity, so a model that
  gives every candidate the same number finds nothing.
- NaN is the lowest similarity there is, below every number: what could not be embedded is not found.
"""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

Matrix = Tensor | np.ndarray


def target_ranks(similarity: Matrix, target: Matrix | None = None) -> Tensor:
    """Where the first right candidate of each query stands, from 1: (q, n), (q,) or (q, n) -> (q,).

    It is 1 + the number of wrong candidates at least as similar. Without `target` the matrix is square and
    row i's is column i.

    Raises:
        ValueError: shapes that don't fit, a target that is no column, or a query that nothing is right for.
    """
    scores = _scores(similarity, "similarity")
    right = _right(scores, target)  # (q, n)
    best = scores.masked_fill(~right, -torch.inf).amax(dim=1, keepdim=True)  # (q, 1)
    return 1 + ((scores >= best) & ~right).sum(dim=1)


def recall_at_k(similarity: Matrix, target: Matrix | None, k: int) -> float:
    """Share of queries with a right candidate among the k most similar, in [0, 1].

    One is enough where several are right, as image–text and sound–text retrieval count. Where there are no
    more than k candidates, it is 1.

    Raises:
        ValueError: as `target_ranks`, or k below 1.
    """
    _check_k(k)
    return _share(target_ranks(similarity, target) <= k)


def retrieval_recalls(
    similarity: Matrix, target: Matrix | None = None, *, ks: Iterable[int] = (1, 5, 10)
) -> dict[int, float]:
    """`recall_at_k` for some k: {1: …, 5: …, 10: …}. The other way round: `similarity.T`, and `target.T`.

    Raises:
        ValueError: as `recall_at_k`.
    """
    ks = tuple(ks)
    for k in ks:
        _check_k(k)
    ranks = target_ranks(similarity, target)
    return {k: _share(ranks <= k) for k in ks}


def median_rank(similarity: Matrix, target: Matrix | None = None) -> float:
    """The median over queries of `target_ranks`: 1 is best; between two middle ranks, their mean.

    Raises:
        ValueError: as `target_ranks`.
    """
    ranks = target_ranks(similarity, target).sort().values
    middle = ranks[[(len(ranks) - 1) // 2, len(ranks) // 2]]
    return middle.double().mean().item()


def top_k_accuracy(scores: Matrix, target: Matrix, k: int = 1) -> float:
    """Share of samples with a right class among the k best scored: (n, c), (n,) or (n, c) -> [0, 1].

    Raises:
        ValueError: as `recall_at_k`.
    """
    return recall_at_k(scores, target, k)


def average_precision(scores: Matrix, target: Matrix) -> Tensor:
    """Of each class, over the samples: (n, c), (n, c) of booleans -> (c,); NaN where no sample is right.

    The sum over the thresholds, from the highest score down, of precision × gain in recall, without
    interpolation. Samples of one score pass a threshold together, right and wrong: scores all alike give
    the class's frequency. The same numbers as scikit-learn's `average_precision_score`.

    Raises:
        ValueError: shapes that don't fit.
    """
    scores = _scores(scores, "scores")
    right = torch.as_tensor(target, device=scores.device)
    if right.dtype != torch.bool or right.shape != scores.shape:
        raise ValueError(
            f"target: expected booleans of the scores' shape {tuple(scores.shape)}, "
            f"got {right.dtype} {tuple(right.shape)}"
        )
    ordered, order = scores.sort(dim=0, descending=True)  # (n, c)
    hits = right.gather(0, order).double()
    ends = torch.searchsorted(-ordered.T.contiguous(), -ordered.T.contiguous(), right=True).T  # (n, c)
    # `ends` is how many samples score at least what the sample in this place does: the size of its threshold
    precision = hits.cumsum(dim=0).gather(0, ends - 1) / ends
    return (precision * hits).sum(dim=0) / hits.sum(dim=0)  # 0 / 0 is NaN: no sample is right


def mean_average_precision(scores: Matrix, target: Matrix) -> float:
    """Mean over classes of `average_precision`: (n, c), (n, c) of booleans -> [0, 1]; AudioSet's mAP.

    Classes that no sample belongs to are left out.

    Raises:
        ValueError: shapes that don't fit, or no class that any sample belongs to.
    """
    of_class = average_precision(scores, target)
    if of_class.isnan().all():
        raise ValueError(f"target: expected a true entry at least, got none in {tuple(np.shape(target))}")
    return of_class.nanmean().item()


def _share(found: Tensor) -> float:
    return found.double().mean().item()


def _scores(values: Matrix, name: str) -> Tensor:
    scores = torch.as_tensor(values)
    if scores.ndim != 2 or 0 in scores.shape:
        raise ValueError(f"{name}: expected a matrix (queries, candidates), got shape {tuple(scores.shape)}")
    if scores.is_complex() or scores.dtype == torch.bool:
        raise ValueError(f"{name}: expected real numbers, got {scores.dtype}")
    scores = scores if scores.is_floating_point() else scores.double()
    return scores.masked_fill(scores.isnan(), -torch.inf)


def _right(scores: Tensor, target: Matrix | None) -> Tensor:
    """Which candidates are right: (q, n) of booleans, one in each row at least."""
    queries, candidates = scores.shape
    if target is None:
        if queries != candidates:
            raise ValueError(
                f"similarity without target: expected as many columns as rows, got {tuple(scores.shape)}"
            )
        return torch.eye(queries, dtype=torch.bool, device=scores.device)
    target = torch.as_tensor(target, device=scores.device)
    if target.dtype == torch.bool:
        if target.shape != scores.shape:
            raise ValueError(
                f"target of booleans: expected similarity's shape {tuple(scores.shape)}, "
                f"got {tuple(target.shape)}"
            )
        if (none := ~target.any(dim=1)).any():
            raise ValueError(f"every query: expected a right candidate, got none for row {_first(none)}")
        return target
    if target.is_floating_point() or target.is_complex() or target.shape != (queries,):
        raise ValueError(
            f"target: expected column numbers ({queries},) or booleans {tuple(scores.shape)}, "
            f"got {target.dtype} {tuple(target.shape)}"
        )
    if (outside := (target < 0) | (target >= candidates)).any():
        row = _first(outside)
        raise ValueError(
            f"target: expected columns 0 to {candidates - 1}, got {int(target[row])} in row {row}"
        )
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, target.long()[:, None], True)


def _first(flags: Tensor) -> int:
    return int(flags.nonzero()[0])


def _check_k(k: int) -> None:
    if k < 1:
        raise ValueError(f"k: expected at least 1, got {k}")
