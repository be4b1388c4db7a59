"""Retrieval and classification metrics, computed from a matrix of similarities or scores.

Rows are queries (or samples), columns are candidates (or classes), and higher values are more similar. The
relevant candidates of a query are given as `target`: (q,) column numbers if there is one per query, or (q, n)
booleans if there are several. For five captions per audio clip, the target is
`audio_of_caption[None, :] == audio[:, None]`, or its transpose for the other direction.

Two rules make results independent of how sorting orders equal scores and NaN:

- A relevant candidate ranks below every irrelevant one of equal similarity, so a model that gives all
  candidates the same score finds nothing.
- NaN ranks below every number: an item that could not be embedded is not found.
"""

from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor

from imagebind.checks import check_whole

Matrix = Tensor | np.ndarray


def as_numbers(values: Any, name: str, *, device: torch.device | None = None) -> Tensor:
    """Return values as a tensor, by default on their device; messages start with `name`.

    Raises:
        ValueError: the values are not real numbers or booleans in an array, a tensor or nested lists.
    """
    if isinstance(values, np.ndarray):  # PyTorch refuses negative strides, and warns of read-only memory
        is_usable = values.flags.writeable and all(stride >= 0 for stride in values.strides)
        values = values if is_usable else values.copy()
    try:
        numbers = torch.as_tensor(values, device=device)
    except (TypeError, ValueError, RuntimeError) as error:  # the classes depend on the values
        raise ValueError(f"{name}: expected numbers, got {values!r:.80}") from error
    if numbers.is_complex():
        raise ValueError(f"{name}: expected real numbers, got {numbers.dtype}")
    return numbers


def cosines(rows: Tensor, columns: Tensor) -> Tensor:
    """Return the cosine similarities of unit vectors: (n, e), (m, e) -> (n, m).

    Autocast is off here: in bfloat16 many similarities would tie, and the metrics count ties as misses.

    Raises:
        ValueError: shapes that do not match.
    """
    if rows.ndim != 2 or columns.ndim != 2 or rows.shape[1] != columns.shape[1]:
        shapes = f"{tuple(rows.shape)} and {tuple(columns.shape)}"
        raise ValueError(f"vectors: expected (n, e) and (m, e), got {shapes}")
    device_type = rows.device.type
    has_autocast = torch.amp.is_autocast_available(device_type)
    with torch.autocast(device_type, enabled=False) if has_autocast else nullcontext():
        return rows @ columns.T


def target_ranks(similarity: Matrix, target: Matrix | None = None) -> Tensor:
    """Return the rank, from 1, of each query's best relevant candidate: (q, n), (q,) or (q, n) -> (q,).

    The rank is 1 + the number of irrelevant candidates that are at least as similar. Without `target` the
    matrix must be square, and column i is relevant for row i.

    Raises:
        ValueError: shapes that do not match, a wrong dtype, a target outside the columns, or a query without
            a relevant candidate.
    """
    scores = _scores(similarity, "similarity")
    relevant = _relevant(scores, target)  # (q, n)
    best = scores.masked_fill(~relevant, -torch.inf).amax(dim=1, keepdim=True)  # (q, 1)
    return 1 + ((scores >= best) & ~relevant).sum(dim=1)


def recall_at_k(similarity: Matrix, target: Matrix | None, k: int) -> float:
    """Return the share of queries with a relevant candidate among the k most similar, in [0, 1].

    If several candidates are relevant, one is enough, as usual in image–text and audio–text retrieval. With
    k candidates or fewer, the recall is 1.

    Raises:
        ValueError: as `target_ranks`, or k is not a whole number of at least 1.
    """
    check_whole(1, k=k)
    return _mean_share(target_ranks(similarity, target) <= k)


def retrieval_recalls(
    similarity: Matrix, target: Matrix | None = None, *, ks: Iterable[int] = (1, 5, 10)
) -> dict[int, float]:
    """Return `recall_at_k` for each k: {1: …, 5: …, 10: …}.

    For the other direction, pass `similarity.T` and `target.T`, where `target` must be booleans.

    Raises:
        ValueError: as `recall_at_k`.
    """
    ks = tuple(ks)
    for k in ks:
        check_whole(1, k=k)
    ranks = target_ranks(similarity, target)
    return {k: _mean_share(ranks <= k) for k in ks}


def median_rank(similarity: Matrix, target: Matrix | None = None) -> float:
    """Return the median of `target_ranks` over queries: 1 is best; of two middle ranks, their mean.

    Raises:
        ValueError: as `target_ranks`.
    """
    return median_of_ranks(target_ranks(similarity, target))


def median_of_ranks(ranks: Tensor) -> float:
    """Return the median of ranks (q,), at least one; of two middle ranks, their mean."""
    ranks = ranks.sort().values
    middle = ranks[[(len(ranks) - 1) // 2, len(ranks) // 2]]
    return middle.double().mean().item()


def top_k_accuracy(scores: Matrix, target: Matrix, k: int = 1) -> float:
    """Return the share of samples with a correct class among the k best: (n, c), (n,) or (n, c) -> [0, 1].

    Raises:
        ValueError: as `recall_at_k`.
    """
    return recall_at_k(scores, target, k)


def average_precision(scores: Matrix, target: Matrix) -> Tensor:
    """Return each class's average precision: (n, c), (n, c) booleans -> (c,); NaN without positive samples.

    The sum over all thresholds, from the highest score down, of precision × gain in recall, without
    interpolation. Samples of equal score pass a threshold together, so that equal scores of all samples give
    the class's frequency. The results equal those of scikit-learn's `average_precision_score`.

    Raises:
        ValueError: shapes that do not match, scores that are not real, or a target that is not boolean.
    """
    scores = _scores(scores, "scores")
    relevant = as_numbers(target, "target", device=scores.device)
    if relevant.dtype != torch.bool or relevant.shape != scores.shape:
        raise ValueError(
            f"target: expected booleans of the scores' shape {tuple(scores.shape)}, "
            f"got {relevant.dtype} {tuple(relevant.shape)}"
        )
    ordered, order = scores.sort(dim=0, descending=True)  # (n, c)
    correct = relevant.gather(0, order).double()
    ends = torch.searchsorted(-ordered.T.contiguous(), -ordered.T.contiguous(), right=True).T  # (n, c)
    # `ends` counts the samples that score at least as high as each sample, which its threshold includes.
    precision = correct.cumsum(dim=0).gather(0, ends - 1) / ends
    return (precision * correct).sum(dim=0) / correct.sum(dim=0)  # 0 / 0 is NaN: no sample is relevant


def mean_average_precision(scores: Matrix, target: Matrix) -> float:
    """Return the mean of `average_precision` over classes: (n, c), (n, c) booleans -> [0, 1]; AudioSet's mAP.

    Classes without positive samples are ignored.

    Raises:
        ValueError: as `average_precision`, or no positive sample of any class.
    """
    of_class = average_precision(scores, target)
    if of_class.isnan().all():
        raise ValueError(f"target: expected at least one true entry, got none in {tuple(np.shape(target))}")
    return of_class.nanmean().item()


def _mean_share(found: Tensor) -> float:
    return found.double().mean().item()


def _scores(values: Matrix, name: str) -> Tensor:
    scores = as_numbers(values, name)
    if scores.ndim != 2 or 0 in scores.shape:
        raise ValueError(
            f"{name}: expected a matrix (queries, candidates), not empty, got shape {tuple(scores.shape)}"
        )
    if scores.dtype == torch.bool:
        raise ValueError(f"{name}: expected real numbers, got {scores.dtype}")
    scores = scores if scores.is_floating_point() else scores.double()
    return scores.masked_fill(scores.isnan(), -torch.inf)


def _relevant(scores: Tensor, target: Matrix | None) -> Tensor:
    """Return which candidates are relevant: (q, n) booleans, at least one per row."""
    queries, candidates = scores.shape
    if target is None:
        if queries != candidates:
            raise ValueError(
                f"similarity: expected, without target, as many columns as rows, got {tuple(scores.shape)}"
            )
        return torch.eye(queries, dtype=torch.bool, device=scores.device)
    target = as_numbers(target, "target", device=scores.device)
    if target.dtype == torch.bool:
        if target.shape != scores.shape:
            raise ValueError(
                f"target: expected similarity's shape {tuple(scores.shape)}, "
                f"got booleans of {tuple(target.shape)}"
            )
        if (without := ~target.any(dim=1)).any():
            raise ValueError(
                f"target: expected a relevant candidate for each query, got none for row {first_row(without)}"
            )
        return target
    if target.is_floating_point() or target.shape != (queries,):
        raise ValueError(
            f"target: expected column numbers ({queries},) or booleans {tuple(scores.shape)}, "
            f"got {target.dtype} {tuple(target.shape)}"
        )
    target = target.long()  # PyTorch cannot compare unsigned integers
    if (outside := (target < 0) | (target >= candidates)).any():
        row = first_row(outside)
        raise ValueError(
            f"target: expected columns 0 to {candidates - 1}, got {int(target[row])} in row {row}"
        )
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, target[:, None], True)


def first_row(flags: Tensor) -> int:
    """Return the number of the first row whose flag is true: (n,) booleans -> int."""
    return int(flags.nonzero()[0])
