"""What the page does when something is asked of it; knows no widget, and answers in HTML."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from imagebind.errors import ImageBindError, MediaError
from imagebind.modality import MediaKind
from imagebind.search.app import results
from imagebind.search.app.inputs import Intake, Part
from imagebind.search.app.labels import Labeller, bars
from imagebind.search.app.map import map_of
from imagebind.search.index import Index

MAX_HITS = 100
TIME = re.compile(r"(\d{1,6}:){0,2}\d{1,9}(\.\d+)?", re.ASCII)
TOY_MODEL = "imagebind_tiny"
GONE = "This item is no longer in the index."


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """A query: words with their weights, uploads with what they are taken for and their weights."""

    words: Sequence[tuple[str, float]] = ()
    parts: Sequence[tuple[Part, MediaKind | None, float]] = ()

    def pairs(self) -> tuple[list[tuple[Any, float]], str]:
        """What `Index.search` takes, and the same in words.

        Raises:
            MediaError: nothing is asked for, or an upload of which nobody said what it is.
        """
        items: list[tuple[str, Any, float]] = [
            (f"“{' '.join(text.split())}”", {"text": text}, weight)
            for text, weight in self.words
            if text.strip()
        ]
        for part, kind, weight in self.parts:
            if kind is None:
                names = " or ".join(map(str, part.vectors))
                raise MediaError(part.name, got=f"may be {names}", expected="a media type, chosen beside it")
            items.append((part.name, part.vectors[kind], weight))
        asked = [(name, item, weight) for name, item, weight in items if weight]
        if not asked:
            raise MediaError(
                "the query",
                got="weights that are all 0" if items else "empty",
                expected="words or a file to look for",
            )
        told = [f"{'−' if weight < 0 else '+'} {_weight(weight)}{name}" for name, _, weight in asked]
        return [(item, weight) for _, item, weight in asked], " ".join(told).removeprefix("+ ")


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Which items count, as filled in: `first` and `last` are times, in seconds or as 1:30."""

    kinds: Sequence[str] = ()
    path: str = ""
    first: str = ""
    last: str = ""
    top: int = 24

    @property
    def any(self) -> bool:
        """Whether they leave anything out."""
        return bool(self.kinds or self.path.strip() or self.first.strip() or self.last.strip())

    def options(self) -> dict[str, Any]:
        """Arguments of `Index.search`.

        Raises:
            MediaError: what is no time.
        """
        first, last = parse_time(self.first), parse_time(self.last)
        timed = first is not None or last is not None
        return {
            "k": self.top,
            "kinds": list(self.kinds) or None,
            "path": self.path.strip() or None,
            "between": (first or 0.0, math.inf if last is None else last) if timed else None,
        }


@dataclass(kw_only=True)
class Desk:
    """Answers for one index, shared by all who have the page open."""

    index: Index
    max_upload_mb: float
    intake: Intake = field(init=False)
    labeller: Labeller = field(init=False)

    def __post_init__(self) -> None:
        self.intake = Intake(self.index, max_upload_mb=self.max_upload_mb)
        self.labeller = Labeller(self.intake.embedder)

    def overview(self) -> tuple[str, dict[MediaKind, int]]:
        """The head of the page, and how many items there are of each kind."""
        try:
            stats = self.index.stats()
        except ImageBindError as error:
            return self.refused(error), {}
        kinds = dict(stats.kinds)
        is_toy = stats.space.model == TOY_MODEL
        return results.overview(kinds, files=stats.files, uri=self.index.uri, toy=is_toy), kinds

    def welcome(self) -> str:
        """What stands where hits will be."""
        hint = "Type words or add a file, or both: they are added up. A negative weight takes something away."
        try:
            is_empty = len(self.index) == 0
        except ImageBindError:  # which `overview` tells, above it
            is_empty = False
        shown = (
            results.empty_index(self.index.uri)
            if is_empty
            else results.notice("What are you looking for?", advice=hint)
        )
        return f'<div class="welcome">{shown}</div>'

    def take(self, paths: Sequence[str], *, room: int) -> tuple[list[Part], str]:
        """Uploads as parts of a query, and what to say of those that cannot be: all are deleted."""
        parts: list[Part] = []
        problems = []
        for path in map(Path, paths):
            if len(parts) == room:
                path.unlink(missing_ok=True)
                full = f"No room for {path.name}."
                problems.append(results.notice(full, advice="Remove a file first.", alarm=True))
                continue
            try:
                parts.append(self.intake.take(path))
            except ImageBindError as error:
                problems.append(self.refused(error, advice="Drop another file."))
        return parts, "".join(problems)

    def search(self, asked: Asked, filters: Filters) -> str:
        """Hits for a query."""
        try:
            pairs, told = asked.pairs()
            return self._hits(pairs, filters, told=told)
        except (ImageBindError, ValueError) as error:  # such as a sum that is nothing
            return self.refused(error)

    def like(self, id: str, filters: Filters) -> str:
        """Hits near one of the index's own items, which is left out."""
        try:
            hit = self.index.get(id)
            if hit is None or hit.vector is None:
                return results.notice(GONE, advice="Search again.", alarm=True)
            told = f"more like {hit.path.rpartition('/')[2]}"
            return self._hits(hit.vector, filters, told=told, without=id)
        except (ImageBindError, ValueError) as error:
            return self.refused(error)

    def map(self) -> str:
        """The map of the index."""
        try:
            return map_of(self.index) or (
                results.notice("A map needs at least two items.", advice="Put more into the index.")
                if len(self.index)
                else results.empty_index(self.index.uri)
            )
        except ImageBindError as error:
            return self.refused(error)

    def item(self, id: str) -> str:
        """The card of one item."""
        try:
            hit = self.index.get(id)
        except ImageBindError as error:
            return self.refused(error)
        if hit is None:
            return results.notice(GONE, advice="Leave the map and open it again.", alarm=True)
        return results.one(hit)

    def label(self, part: Part | None, kind: MediaKind | None, labels: str) -> str:
        """Which labels suit an upload."""
        if part is None:
            return results.notice("Nothing to label yet.", advice="Drop a file first.")
        if kind is None:
            return results.notice(f"{part.name} can be several things.", advice="Say which, beside it.")
        try:
            return bars(self.labeller(part.vectors[kind], kind, labels))
        except (ImageBindError, ValueError) as error:
            return self.refused(error)

    def refused(self, error: Exception, *, advice: str = "") -> str:
        """An error of ours, in its own words."""
        return results.notice(str(error), advice=advice, alarm=True)

    def _hits(self, query: Any, filters: Filters, *, told: str, without: str | None = None) -> str:
        options = filters.options()
        if without is not None:
            options["k"] += 1
        hits = self.index.search(query, **options)
        hits = [hit for hit in hits if hit.id != without][: filters.top]
        if hits:
            return results.found(hits, of=told)
        if not len(self.index):
            return results.empty_index(self.index.uri)
        return results.nothing_found(filtered=filters.any)


def parse_time(text: str) -> float | None:
    """Seconds, from 90, 1:30 or 0:01:30.5; None from nothing.

    Raises:
        MediaError: something else.
    """
    if not text.strip():
        return None
    if not TIME.fullmatch(text.strip()):
        raise MediaError("the time", got=repr(text.strip()), expected="seconds, as 90, or minutes, as 1:30")
    seconds = 0.0
    for part in text.split(":"):
        seconds = 60 * seconds + float(part)
    return seconds


def _weight(weight: float) -> str:
    return "" if abs(weight) == 1 else f"{np.format_float_positional(abs(weight), precision=2, trim='-')} × "
