"""Figures and intervals of matrices whose results are known."""

import pytest
import torch

from imagebind.datasets.labelled import LabelledItem
from imagebind.evaluation.bootstrap import mean_interval
from imagebind.evaluation.scoring import (
    accuracy_figures,
    chance_of_recall,
    multi_label_figures,
    per_class,
    recall_figures,
)


def items(*folds: int | None) -> list[LabelledItem]:
    return [LabelledItem(item="", name="", labels=(0,), fold=fold) for fold in folds]


def test_accuracy_counts_a_tie_as_a_miss():
    scores = torch.tensor([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]])
    figures = accuracy_figures(scores, torch.tensor([0, 0, 0]), items(None, None, None))
    assert figures["top1"].value == pytest.approx(100 / 3) and figures["top1"].chance == 50
    assert "top5" not in figures  # of two classes


def test_accuracy_is_the_mean_over_folds_of_any_size():
    scores = torch.eye(6)[torch.tensor([0, 1, 2, 3, 4, 0])]
    target = torch.tensor([0, 1, 2, 3, 4, 5])
    figures = accuracy_figures(scores, target, items(1, 1, 1, 1, 1, 2))
    assert figures["top1"].value == pytest.approx(50)  # 100 and 0


def test_mean_average_precision_leaves_out_classes_without_samples():
    scores = torch.tensor([[0.9, 0.1, 0.3], [0.8, 0.7, 0.2], [0.1, 0.6, 0.9]])
    target = torch.tensor([[True, False, False], [False, True, False], [True, False, False]])
    figures = multi_label_figures(scores, target)
    assert figures["mAP"].value == pytest.approx(100 * ((1 + 2 / 3) / 2 + 1) / 2)
    assert figures["mAP"].chance == pytest.approx(100 * (2 / 3 + 1 / 3) / 2)
    assert set(per_class(scores, target, ["a", "b", "c"])) == {"a", "b"}


def test_recall_of_captions_counts_each_and_works_in_both_directions():
    # Two items with two captions each; the second caption of the first item is closer to the second item.
    similarity = torch.tensor([[0.9, 0.1], [0.2, 0.4], [0.1, 0.8], [0.3, 0.7]])
    target = torch.tensor([[True, False], [True, False], [False, True], [False, True]])
    figures = recall_figures(similarity, target)
    assert figures["R@1"].value == 75 and figures["back_R@1"].value == 100
    assert figures["median_rank"].value == 1 and figures["R@1"].chance == 50
    assert figures["back_R@1"].chance == 50  # two of four captions are correct


def test_a_candidate_without_a_query_is_a_distractor_and_no_query():
    similarity = torch.tensor([[0.5, 0.9]])
    figures = recall_figures(similarity, torch.tensor([[True, False]]))
    assert figures["R@1"].value == 0 and figures["R@5"].value == 100 and figures["back_R@1"].value == 100


@pytest.mark.parametrize(
    ("relevant", "candidates", "k", "expected"),
    [(1, 100, 1, 0.01), (1, 100, 10, 0.1), (5, 10, 1, 0.5), (2, 4, 2, 1 - 2 / 4 * 1 / 3), (3, 3, 5, 1)],
)
def test_the_chance_level_of_recall_is_that_of_a_random_order(relevant, candidates, k, expected):
    assert chance_of_recall(torch.tensor([relevant]), candidates, k) == pytest.approx(expected)


def test_a_bootstrap_interval_is_that_of_the_binomial_distribution():
    values = (torch.arange(400) % 4 == 0).double()  # a mean of 0.25 has a standard deviation of 0.0217
    low, high = mean_interval(values)
    assert low == pytest.approx(0.25 - 1.96 * 0.0217, abs=0.006)
    assert high == pytest.approx(0.25 + 1.96 * 0.0217, abs=0.006)
    assert mean_interval(values) == (low, high)
    assert mean_interval(torch.ones(10)) == (1, 1)
