"""Figures of a benchmark from similarities: accuracy, mean average precision and recall, with intervals."""

from collections.abc import Sequence

import torch
from torch import Tensor

from imagebind.datasets.labelled import LabelledItem
from imagebind.evaluation.bootstrap import interval, mean_interval
from imagebind.evaluation.result import Figure
from imagebind.metrics import average_precision, mean_average_precision, median_of_ranks, target_ranks

RECALL_KS = (1, 5, 10)
TOP_KS = (1, 5)
MAP_RESAMPLES = 100  # a mean average precision of AudioSet takes a second


def accuracy_figures(scores: Tensor, target: Tensor, items: Sequence[LabelledItem]) -> dict[str, Figure]:
    """Return top-1 accuracy, and top-5 of more than five classes: (n, c), (n,) class numbers.

    With folds, the accuracy is the mean over the folds, as for ESC-50; the interval ignores them.
    """
    ranks = target_ranks(scores, target)
    folds = folds_of(items)
    figures = {}
    for k in TOP_KS:
        if k > 1 and k >= scores.shape[1]:
            continue
        is_correct = (ranks <= k).double()
        value = mean_over_folds(is_correct, folds)
        low, high = mean_interval(is_correct)
        figures[f"top{k}"] = percent(value, low, high, chance=k / scores.shape[1])
    return figures


def folds_of(items: Sequence[LabelledItem]) -> Tensor:
    """Return the folds of items, -1 without a fold: (n,)."""
    return torch.tensor([-1 if item.fold is None else item.fold for item in items])


def mean_over_folds(values: Tensor, folds: Tensor) -> float:
    """Return the mean over the folds of the mean within each fold: (n,), (n,)."""
    return torch.stack([values[folds == fold].mean() for fold in folds.unique()]).mean().item()


def multi_label_figures(scores: Tensor, target: Tensor) -> dict[str, Figure]:
    """Return the mean average precision over classes: (n, c), (n, c) booleans."""

    def resampled_map(drawn: Tensor) -> float:
        return mean_average_precision(scores[drawn], target[drawn])

    low, high = interval(resampled_map, len(scores), resamples=MAP_RESAMPLES)
    chance = target.double().mean(dim=0)[target.any(dim=0)].mean().item()
    return {"mAP": percent(mean_average_precision(scores, target), low, high, chance=chance)}


def per_class(scores: Tensor, target: Tensor, labels: Sequence[str]) -> dict[str, tuple[int, float]]:
    """Return, for each class with samples, their number, and its accuracy or average precision in percent."""
    if target.ndim == 2:
        precisions = average_precision(scores, target)
        counts = target.sum(dim=0)
        return {
            label: (int(counts[number]), 100 * precisions[number].item())
            for number, label in enumerate(labels)
            if counts[number]
        }
    is_correct = target_ranks(scores, target) == 1
    return {
        label: (int(is_member.sum()), 100 * is_correct[is_member].double().mean().item())
        for number, label in enumerate(labels)
        if (is_member := target == number).any()
    }


def recall_figures(similarity: Tensor, target: Tensor) -> dict[str, Figure]:
    """Return recall at 1, 5 and 10 and the median rank of queries, and of candidates as queries ("back_").

    `target` (q, n) is true for relevant candidates. Candidates without a query are not used as queries.
    """
    figures = {}
    has_query = target.any(dim=0)
    for prefix, matrix, relevant in (
        ("", similarity, target),
        ("back_", similarity.T[has_query], target.T[has_query]),
    ):
        ranks = target_ranks(matrix, relevant)
        for k in RECALL_KS:
            is_found = (ranks <= k).double()
            low, high = mean_interval(is_found)
            chance = chance_of_recall(relevant.sum(dim=1), relevant.shape[1], k)
            figures[f"{prefix}R@{k}"] = percent(is_found.mean().item(), low, high, chance=chance)
        figures[f"{prefix}median_rank"] = Figure(value=median_of_ranks(ranks))
    return figures


def chance_of_recall(relevant: Tensor, candidates: int, k: int) -> float:
    """Return the recall of a random order, by the number of relevant candidates of each query: (q,)."""
    miss = torch.ones(len(relevant), dtype=torch.float64)
    for drawn in range(min(k, candidates)):
        miss *= (candidates - relevant - drawn).clamp(min=0) / (candidates - drawn)
    return (1 - miss).mean().item()


def percent(value: float, low: float, high: float, *, chance: float) -> Figure:
    """Return a `Figure` in percent from values between 0 and 1."""
    return Figure(value=100 * value, low=100 * low, high=100 * high, chance=100 * chance)
