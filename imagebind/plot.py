"""Plots of similarities."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CELL_INCHES = 0.55
MAX_LABEL_CHARACTERS = 28  # longer labels are shortened in the middle
MAX_NUMBERED_CELLS = 400  # with more, the numbers would not be readable


def similarity_heatmap(similarity: np.ndarray, rows: Sequence[str], columns: Sequence[str]) -> "Figure":
    """Return a heat map of cosine similarities (n, m) with their numbers, and n and m labels.

    Raises:
        ValueError: the numbers of labels do not match the shape.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if similarity.shape != (len(rows), len(columns)):
        raise ValueError(f"expected labels for {similarity.shape}, got {len(rows)} and {len(columns)}")
    width, height = (2.5 + CELL_INCHES * max(len(labels), 3) for labels in (columns, rows))
    figure = Figure(figsize=(width + 0.8, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    image = axes.imshow(similarity, cmap="viridis", aspect="auto")
    axes.set_xticks(range(len(columns)), [_short(label) for label in columns], rotation=40, ha="right")
    axes.set_yticks(range(len(rows)), [_short(label) for label in rows])
    if similarity.size <= MAX_NUMBERED_CELLS:
        middle = (similarity.min() + similarity.max()) / 2
        for (row, column), cosine in np.ndenumerate(similarity):
            colour = "black" if cosine > middle else "white"
            axes.text(column, row, f"{cosine:.2f}", ha="center", va="center", color=colour, fontsize=8)
    figure.colorbar(image, label="cosine")
    return figure


def _short(label: str) -> str:
    if len(label) <= MAX_LABEL_CHARACTERS:
        return label
    half = (MAX_LABEL_CHARACTERS - 1) // 2
    return f"{label[:half]}…{label[-half:]}"
