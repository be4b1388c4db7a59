"""Pictures of similarities."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CELL_INCHES = 0.55
LONGEST_LABEL = 28  # characters; longer ones lose their middle
MOST_WRITTEN_CELLS = 400  # above which numbers would not be readable


def similarity_heatmap(similarity: np.ndarray, rows: Sequence[str], columns: Sequence[str]) -> "Figure":
    """A heat map of cosines with their numbers: (n, m) with n and m labels.

    Raises:
        ValueError: another number of labels than of rows or columns.
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
    if similarity.size <= MOST_WRITTEN_CELLS:
        middle = (similarity.min() + similarity.max()) / 2
        for (row, column), cosine in np.ndenumerate(similarity):
            ink = "black" if cosine > middle else "white"
            axes.text(column, row, f"{cosine:.2f}", ha="center", va="center", color=ink, fontsize=8)
    figure.colorbar(image, label="cosine")
    return figure


def _short(label: str) -> str:
    if len(label) <= LONGEST_LABEL:
        return label
    half = (LONGEST_LABEL - 1) // 2
    return f"{label[:half]}…{label[-half:]}"
