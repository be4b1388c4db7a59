"""Plots of results: confusion matrix, classes, few-shot curve, and histograms of similarities."""

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from imagebind.evaluation.result import Detail, Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Plot

SHOTS_SUFFIX = "-shot"
MAX_CONFUSION_CLASSES = 60  # of more, those with the most errors
MAX_LABEL_LETTERS = 32
MAX_BARS = 40  # the best and the worst classes, if there are more
HISTOGRAM_BINS = 60
MAX_OTHER_PAIRS = 200_000  # unmatched pairs in a histogram
DPI = 120
MATCHED_COLOUR, OTHER_COLOUR = "#1b7f79", "#b9bec6"


def plots_of(result: Result, folder: Path) -> list[str]:
    """Write the plots of a result as PNG files; return their names."""
    plots: dict[str, Plot] = {}
    if sum(name.endswith(SHOTS_SUFFIX) for name in result.figures) > 1:
        plots["shots"] = few_shot_curve(result)
    if result.detail is not None:
        plots["similarities"] = similarity_histogram(result.detail, result.title)
        if result.detail.labels and result.detail.target.ndim == 1:
            plots["confusion"] = confusion_matrix(result.detail, result.title)
    if result.per_class:
        plots["classes"] = class_bars(result)
    names = []
    for plot_name, plot in plots.items():
        name = f"{file_name(result.title)}-{plot_name}.png"
        plot.savefig(folder / name, dpi=DPI)
        names.append(name)
    return names


def file_name(title: str) -> str:
    """Return a title in letters, digits and hyphens: "ESC-50, clips=1" -> "esc-50-clips-1"."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def confusion_matrix(detail: Detail, title: str) -> "Plot":
    """Plot the shares of predicted classes by true class, in percent: rows sum to 100.

    Of many classes it shows those with the most errors; their rows can sum to less. Rows of classes without
    samples are empty.
    """
    count = len(detail.labels)
    cells = np.zeros((count, count))
    np.add.at(cells, (detail.target.numpy(), detail.scores.argmax(dim=1).numpy()), 1)
    samples = cells.sum(axis=1, keepdims=True)
    shown = _most_confused(cells)
    cells = np.where(samples > 0, 100 * cells / np.maximum(samples, 1), np.nan)[np.ix_(shown, shown)]
    labels = [_shortened(detail.labels[number]) for number in shown]
    size = min(max(4.0, 1.5 + 0.28 * len(shown)), 14.0)
    plot, axes = _axes(size + 1, size)
    image = axes.imshow(cells, cmap="viridis", vmin=0, vmax=100)
    axes.set_xticks(range(len(shown)), labels, rotation=90, fontsize=7)
    axes.set_yticks(range(len(shown)), labels, fontsize=7)
    some = "" if len(shown) == count else f"\nthe {len(shown)} of {count:,} classes with the most errors"
    axes.set(xlabel="predicted class", ylabel="true class", title=f"{title}: confusion matrix{some}")
    plot.colorbar(image, label="% of the true class", shrink=0.8)
    return plot


def _most_confused(cells: np.ndarray) -> list[int]:
    """Return the numbers of all classes or, of many, of those with the most errors, in order.

    A wrong sample is an error of its true and of its predicted class.
    """
    if len(cells) <= MAX_CONFUSION_CLASSES:
        return [*range(len(cells))]
    wrong = cells * (1 - np.eye(len(cells)))
    errors = wrong.sum(axis=0) + wrong.sum(axis=1)
    # Of classes with equal errors, those with the most samples come first.
    order = np.lexsort((-cells.sum(axis=1), -errors))
    return sorted(order[:MAX_CONFUSION_CLASSES].tolist())


def _shortened(label: str) -> str:
    return label if len(label) <= MAX_LABEL_LETTERS else f"{label[: MAX_LABEL_LETTERS - 1].rstrip()}…"


def class_bars(result: Result) -> "Plot":
    """Plot the figure of each class, the best first; of many classes only the best and the worst."""
    ordered = sorted(result.per_class.items(), key=lambda each: -each[1][1])
    is_cut = len(ordered) > MAX_BARS
    shown = [*ordered[: MAX_BARS // 2], *ordered[-MAX_BARS // 2 :]] if is_cut else ordered
    plot, axes = _axes(7, 1.2 + 0.22 * len(shown))
    positions = range(len(shown))
    axes.barh(positions, [value for _, (_, value) in shown], color=MATCHED_COLOUR)
    axes.set_yticks(positions, [f"{_shortened(label)} ({count})" for label, (count, _) in shown], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.margins(y=0.01)
    unit = "average precision" if result.metric == "mAP" else "accuracy"
    some = f", best and worst {MAX_BARS // 2}" if is_cut else ""
    axes.set(xlabel=f"{unit} in %", title=f"{result.title}: classes (samples){some}")
    return plot


def few_shot_curve(result: Result) -> "Plot":
    """Plot the accuracy by the number of examples of each class, with intervals and chance."""
    points = [
        (int(name.removesuffix(SHOTS_SUFFIX)), figure)
        for name, figure in result.figures.items()
        if name.endswith(SHOTS_SUFFIX)
    ]
    plot, axes = _axes(6, 4)
    shots, values = [k for k, _ in points], [figure.value for _, figure in points]
    axes.plot(shots, values, marker="o", color=MATCHED_COLOUR, label="measured")
    lows = [figure.value if figure.low is None else figure.low for _, figure in points]
    highs = [figure.value if figure.high is None else figure.high for _, figure in points]
    axes.fill_between(shots, lows, highs, alpha=0.2, color=MATCHED_COLOUR, linewidth=0)
    if points[0][1].chance is not None:
        axes.axhline(points[0][1].chance, linestyle="--", color=OTHER_COLOUR, label="chance")
    axes.set_xscale("log", base=2)
    axes.set_xticks(shots, [str(k) for k in shots])
    axes.set_ylim(0, 100)
    axes.set(xlabel="examples of each class", ylabel="top-1 accuracy in %", title=result.title)
    axes.legend()
    return plot


def similarity_histogram(detail: Detail, title: str) -> "Plot":
    """Plot histograms of the cosine similarities of matched pairs and of all other pairs.

    At most `MAX_OTHER_PAIRS` of the others are used.
    """
    matched, scores = detail.target, detail.scores.float()
    if matched.ndim == 1:
        matched = matched[:, None] == torch.arange(scores.shape[1])
    others = scores[~matched]
    others = others[:: max(1, math.ceil(len(others) / MAX_OTHER_PAIRS))]
    plot, axes = _axes(7, 4)
    highest = float(scores.max()) + 1e-6  # bins have a width even if all scores are equal
    edges = np.linspace(float(scores.min()), highest, HISTOGRAM_BINS + 1)
    axes.hist(others.numpy(), bins=edges, density=True, color=OTHER_COLOUR, label="other pairs")
    axes.hist(
        scores[matched].numpy(),
        bins=edges,
        density=True,
        color=MATCHED_COLOUR,
        alpha=0.7,
        label="matched pairs",
    )
    axes.set(xlabel="cosine similarity", ylabel="density", title=f"{title}: similarities")
    axes.legend(loc="upper left")  # finding the best position takes seconds
    return plot


def _axes(width: float, height: float) -> tuple["Plot", Any]:
    """Return a figure of a size in inches, and its axes; pyplot's global state is not used."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    plot = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(plot)
    return plot, plot.add_subplot()
