"""Tests of plots: similarities, shots, many classes, long names, and classes without samples."""

import numpy as np
import pytest
import torch

from imagebind.evaluation.plots import (
    MAX_CONFUSION_CLASSES,
    class_bars,
    confusion_matrix,
    few_shot_curve,
    similarity_histogram,
)
from imagebind.evaluation.result import Detail, Figure, Result


def detail(predicted: list[int], target: list[int], count: int) -> Detail:
    scores = torch.nn.functional.one_hot(torch.tensor(predicted), count).float()
    labels = [f"class {number} with a name that is longer than any axis" for number in range(count)]
    return Detail(scores=scores, target=torch.tensor(target), labels=labels)


def cells_and_labels(plot):
    axes = plot.axes[0]
    return np.ma.filled(axes.images[0].get_array(), np.nan), [
        each.get_text() for each in axes.get_yticklabels()
    ]


def test_a_confusion_matrix_of_few_classes_shows_all_and_leaves_classes_without_samples_empty():
    cells, labels = cells_and_labels(confusion_matrix(detail([0, 1, 0, 0], [0, 1, 1, 0], 3), "Three"))
    assert cells[0].tolist() == [100, 0, 0] and cells[1].tolist() == [50, 50, 0] and np.isnan(cells[2]).all()
    assert labels[0] == "class 0 with a name that is lon…" and len(labels) == 3


def test_a_confusion_matrix_of_many_classes_shows_those_with_the_most_errors():
    count = 1000
    target = [number for number in range(count) for _ in range(2)]
    predicted = [each if each % 50 else (each + 7) % count for each in target]  # 20 classes are wrong
    plot = confusion_matrix(detail(predicted, target, count), "Many")
    cells, labels = cells_and_labels(plot)
    assert cells.shape == (MAX_CONFUSION_CLASSES, MAX_CONFUSION_CLASSES) and len(labels) == len(cells)
    shown = [int(label.split()[1]) for label in labels]
    assert set(range(0, count, 50)) | {each + 7 for each in range(0, count, 50)} <= set(shown)
    assert cells[shown.index(50), shown.index(57)] == 100 and cells[shown.index(57), shown.index(57)] == 100
    assert "the 60 of 1,000 classes with the most errors" in plot.axes[0].get_title()


def result_with(**fields) -> Result:
    fixed = {"benchmark": "many", "title": "Many", "model": "m", "samples": 100, "protocol_name": "paper"}
    usual = {"figures": {"top1": Figure(value=50)}, "metric": "top1", "protocol": {}}
    return Result(**{**fixed, **usual, **fields})


@pytest.mark.parametrize("is_matrix", [False, True])
def test_the_histogram_separates_matched_pairs_from_all_others(is_matrix):
    scores = torch.full((6, 3), 0.1)
    target = torch.arange(6) % 3
    scores[torch.arange(6), target] = 0.8
    mask = target[:, None] == torch.arange(3)
    plot = similarity_histogram(Detail(scores=scores, target=mask if is_matrix else target), "Three")
    (axes,) = plot.axes
    others, matched = axes.containers
    width = others[0].get_width()
    assert sum(bar.get_height() * width for bar in others) == pytest.approx(1)  # densities
    assert others[0].get_height() * width == pytest.approx(1) and others[0].get_x() == pytest.approx(
        0.1, abs=1e-3
    )
    assert matched[-1].get_height() * width == pytest.approx(1)
    assert matched[-1].get_x() + width == pytest.approx(0.8, abs=1e-3)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["other pairs", "matched pairs"]


def test_the_curve_of_few_shots_has_a_point_for_each_number_of_examples_and_chance():
    figures = {
        f"{k}-shot": Figure(value=value, low=value - 5, high=value + 5, chance=12.5)
        for k, value in ((1, 40.0), (2, 55.0), (8, 80.0))
    }
    (axes,) = few_shot_curve(result_with(figures=figures, metric="8-shot")).axes
    measured, chance = axes.get_lines()
    assert measured.get_xdata().tolist() == [1, 2, 8] and measured.get_ydata().tolist() == [40, 55, 80]
    assert [*chance.get_ydata()] == [12.5, 12.5]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "8"]


def test_bars_of_many_classes_show_the_best_and_the_worst_with_short_names():
    names = [f"a class with a name that is too long, {number}" for number in range(100)]
    result = result_with(per_class={name: (1, float(number)) for number, name in enumerate(names)})
    axes = class_bars(result).axes[0]
    values = [bar.get_width() for bar in axes.patches]
    assert len(values) == 40 and values[0] == 99 and values[-1] == 0
    assert all(len(each.get_text()) < 40 for each in axes.get_yticklabels())
