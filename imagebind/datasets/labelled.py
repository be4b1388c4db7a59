"""Labelled items, and queries with their relevant candidates: the data of a benchmark.

A reader for evaluation in `imagebind.datasets.layouts` returns a `LabelledSet` or a `RetrievalSet`. The items
are loaded when they are embedded.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class LazyItem:
    """An item that `load` returns when it is needed, such as an array in a large file.

    Args:
        load: returns an item for `imagebind.intake.requests.identify`.
        sources: paths and values that identify the item; a path stands for the content of its file.
    """

    load: Callable[[], Any]
    sources: tuple[Path | str | int | float | None, ...]


@dataclass(frozen=True, kw_only=True)
class WeightedItems:
    """Items whose embeddings are added by weight, such as a video and its audio: [(item, weight), …]."""

    parts: tuple[tuple[Any, float], ...]


@dataclass(frozen=True, kw_only=True)
class NamedItem:
    """An item, a `LazyItem` or `WeightedItems`, and its name in reports."""

    item: Any
    name: str


@dataclass(frozen=True, kw_only=True)
class LabelledItem(NamedItem):
    """An item of one class or several.

    Args:
        labels: class numbers; one, except in multi-label data sets.
        fold: number of the item's fold, in data sets that are evaluated by folds.
    """

    labels: tuple[int, ...]
    fold: int | None = None


@dataclass(frozen=True, kw_only=True)
class ClassNames:
    """A class: its label in tables, and one or more names for prompts."""

    label: str
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class LabelledSet:
    """Items of known classes, listed files that were not found, and notes for reports.

    Args:
        damaged: error messages of items that cannot be used, for example because a file is damaged.
    """

    classes: Sequence[ClassNames]
    items: Sequence[LabelledItem]
    missing: Sequence[str] = ()
    damaged: Sequence[str] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class RetrievalSet:
    """Queries, candidates, the numbers of the relevant candidates of each query, and notes for reports.

    The other fields are those of a `LabelledSet`.
    """

    queries: Sequence[NamedItem]
    candidates: Sequence[NamedItem]
    relevant: Sequence[tuple[int, ...]]
    missing: Sequence[str] = ()
    damaged: Sequence[str] = ()
    notes: Sequence[str] = ()
