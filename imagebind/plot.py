"""Plots of similarities, and of scores over time."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from imagebind.metrics import Matrix, as_numbers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from imagebind.applications.moments import Moment, ScoreCurve

CELL_INCHES = 0.55
MAX_LABEL_CHARACTERS = 28  # longer labels are shortened in the middle
TIMELINE_INCHES = (11, 3.6)
STREAM_STYLES = ("C0--", "C1-.", "C2:")  # differ without colour, too
MOMENT_COLOUR = "C4"
MAX_NUMBERED_CELLS = 400  # with more, the numbers would not be readable


def similarity_heatmap(similarity: Matrix, rows: Sequence[str], columns: Sequence[str]) -> "Figure":
    """Return a heat map of cosine similarities (n, m), with labels of its n rows and m columns.

    Cells show their numbers if there are at most `MAX_NUMBERED_CELLS`.

    Raises:
        ValueError: the matrix is empty or not numeric, or the numbers of labels do not match its shape.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    similarity = as_numbers(similarity, "heat map").detach().cpu().double().numpy()
    if similarity.shape != (len(rows), len(columns)):
        raise ValueError(
            f"heat map: expected labels for {similarity.shape}, got {len(rows)} and {len(columns)}"
        )
    if similarity.size == 0:
        raise ValueError(f"heat map: expected at least one row and column, got {similarity.shape}")
    width, height = (2.5 + CELL_INCHES * max(len(labels), 3) for labels in (columns, rows))
    figure = Figure(figsize=(width + 0.8, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    image = axes.imshow(similarity, cmap="viridis", aspect="auto")
    axes.set_xticks(range(len(columns)), [_short(label) for label in columns], rotation=40, ha="right")
    axes.set_yticks(range(len(rows)), [_short(label) for label in rows])
    if similarity.size <= MAX_NUMBERED_CELLS:
        middle = sum(image.get_clim()) / 2  # NaN is not counted
        for (row, column), cosine in np.ndenumerate(similarity):
            colour = "white" if cosine <= middle else "black"  # the cell of NaN is white
            axes.text(column, row, f"{cosine:.2f}", ha="center", va="center", color=colour, fontsize=8)
    figure.colorbar(image, label="cosine")
    return figure


def timeline(curve: "ScoreCurve", moments: Sequence["Moment"], *, title: str = "") -> "Figure":
    """Return a plot of scores over time: the streams, their mean, and the moments with their ranks."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    figure = Figure(figsize=TIMELINE_INCHES, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    if len(curve.streams) > 1:
        for (kind, scores), style in zip(curve.streams.items(), STREAM_STYLES, strict=False):
            axes.plot(curve.times, scores, style, linewidth=1, alpha=0.8, label=kind.value)
    label = "mean" if len(curve.streams) > 1 else next(iter(curve.streams)).value
    axes.plot(curve.times, curve.scores, color="black", linewidth=1.6, label=label)
    for rank, moment in enumerate(moments, start=1):
        axes.axvspan(moment.start, moment.end, color=MOMENT_COLOUR, alpha=0.35, linewidth=0)
        position = ((moment.start + moment.end) / 2, 1.0)
        axes.annotate(
            str(rank), position, xycoords=("data", "axes fraction"), ha="center", va="bottom", fontsize=9
        )
    axes.axhline(0, color="grey", linewidth=0.6)
    axes.margins(x=0)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: _clock(seconds)))
    axes.set_xlabel("time")
    axes.set_ylabel("score")
    axes.set_title(title, pad=16, parse_math=False)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    return figure


def _clock(seconds: float) -> str:
    """Return a time as minutes and seconds, or with hours: 1:05, 1:02:05."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _short(label: str) -> str:
    if len(label) <= MAX_LABEL_CHARACTERS:
        return label
    half = (MAX_LABEL_CHARACTERS - 1) // 2
    return f"{label[:half]}…{label[-half:]}"
