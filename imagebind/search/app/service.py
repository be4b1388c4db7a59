"""Answer the page's requests with HTML, independent of the server."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from imagebind.errors import ImageBindError, MediaError
from imagebind.modality import MediaKind
from imagebind.search.app import results
from imagebind.search.app.detector import ImageDetector
from imagebind.search.app.inputs import Upload, UploadEmbedder, UploadFile
from imagebind.search.app.labels import UploadClassifier
from imagebind.search.app.map import map_of
from imagebind.search.index import Index

MAX_HITS = 100
# Seconds, minutes:seconds or hours:minutes:seconds; after a colon less than 60.
TIME_PATTERN = re.compile(r"(\d{1,9}|\d{1,6}(:[0-5]?\d){1,2})(\.\d+)?", re.ASCII)
TOY_MODEL = "imagebind_tiny"
ITEM_GONE = "This item is no longer in the index."


@dataclass(frozen=True, kw_only=True, eq=False)
class PageQuery:
    """A query: texts with their weights, and uploads with their media types and weights."""

    texts: Sequence[tuple[str, float]] = ()
    uploads: Sequence[tuple[Upload, MediaKind | None, float]] = ()

    def pairs(self) -> tuple[list[tuple[Any, float]], str]:
        """Return the (item, weight) pairs for `Index.search`, and a description of the query.

        Raises:
            MediaError: the query is empty, all weights are 0, or the media type of an upload is not chosen.
            ValueError: an upload's vector is zero or not finite.
        """
        items: list[tuple[str, Any, float]] = [
            (f"“{' '.join(text.split())}”", {"text": text}, weight)
            for text, weight in self.texts
            if text.strip()
        ]
        for upload, kind, weight in self.uploads:
            items.append((upload.name, upload.vector(kind), weight))
        weighted = [(name, item, weight) for name, item, weight in items if weight]
        if not weighted:
            raise MediaError(
                "the query",
                got="weights that are all 0" if items else "none",
                expected="a weight other than 0" if items else "a text or a file",
            )
        terms = [f"{'−' if weight < 0 else '+'} {_weight(weight)}{name}" for name, _, weight in weighted]
        return [(item, weight) for _, item, weight in weighted], " ".join(terms).removeprefix("+ ")


@dataclass(frozen=True, kw_only=True)
class Filters:
    """The filters of a search as entered.

    `kinds` are names of media types; `first` and `last` are times, in seconds or as 1:30; `top` is the number
    of hits.
    """

    kinds: Sequence[str] = ()
    path: str = ""
    first: str = ""
    last: str = ""
    top: int = 24

    @property
    def any(self) -> bool:
        """Whether any filter is set."""
        return bool(self.kinds or self.path.strip() or self.first.strip() or self.last.strip())

    def options(self) -> dict[str, Any]:
        """Return the arguments for `Index.search`.

        Raises:
            MediaError: a time cannot be parsed, or the first is after the last.
        """
        first, last = parse_time(self.first), parse_time(self.last)
        if first is not None and last is not None and first > last:
            raise MediaError(
                "the times", got=f"{self.first} and {self.last}", expected="From time before To time"
            )
        timed = first is not None or last is not None
        return {
            "k": min(max(self.top, 1), MAX_HITS),
            "kinds": list(self.kinds) or None,
            "path": self.path.strip() or None,
            "between": (first or 0.0, math.inf if last is None else last) if timed else None,
        }


@dataclass(kw_only=True)
class PageService:
    """Answers requests for one index. It keeps no state of a browser."""

    index: Index
    embed_upload: UploadEmbedder = field(init=False)
    classifier: UploadClassifier = field(init=False)
    detector: ImageDetector = field(init=False)

    def __post_init__(self) -> None:
        self.embed_upload = UploadEmbedder(self.index)
        self.classifier = UploadClassifier(self.embed_upload.embedder)
        self.detector = ImageDetector(embedder=self.embed_upload.embedder)

    def overview(self) -> tuple[str, dict[MediaKind, int]]:
        """Return the head of the page, and the number of items of each media type."""
        try:
            stats = self.index.stats()
        except ImageBindError as error:
            return results.error_notice(error), {}
        kinds = dict(stats.kinds)
        is_toy = stats.space.model == TOY_MODEL
        return results.overview(kinds, files=stats.files, uri=self.index.uri, toy=is_toy), kinds

    def welcome(self) -> str:
        """Return the notice shown before the first search."""
        hint = (
            "Enter a text, add files, or both: the query is their weighted sum. A negative weight subtracts."
        )
        try:
            is_empty = len(self.index) == 0
        except ImageBindError:  # `overview` shows the error
            is_empty = False
        if is_empty:
            return results.empty_index(self.index.uri)
        return results.notice("What are you looking for?", advice=hint)

    def search(self, query: PageQuery, filters: Filters) -> str:
        """Return the hits for a query.

        Raises:
            MediaError: a media type of the filters is unknown.
        """
        self._check_kinds(filters)
        try:
            pairs, description = query.pairs()
            return self._hits(pairs, filters, description=description)
        except (ImageBindError, ValueError) as error:  # for example a weighted sum that is zero
            return results.error_notice(error)

    def like(self, id: str, filters: Filters) -> str:
        """Return the hits nearest to an item of the index, without the item itself.

        Raises:
            MediaError: a media type of the filters is unknown.
        """
        self._check_kinds(filters)
        try:
            hit = self.index.get(id)
            if hit is None or hit.vector is None:
                return results.notice(ITEM_GONE, advice="Search again.", alarm=True)
            description = f"items similar to {hit.path.rpartition('/')[2]}"
            return self._hits(hit.vector, filters, description=description, without=id)
        except (ImageBindError, ValueError) as error:
            return results.error_notice(error)

    def map(self) -> str:
        """Return the map of the index."""
        try:
            return map_of(self.index) or (
                results.notice("A map needs at least two items.", advice="Add more items to the index.")
                if len(self.index)
                else results.empty_index(self.index.uri)
            )
        except ImageBindError as error:
            return results.error_notice(error)

    def item(self, id: str) -> str:
        """Return the card of one item."""
        try:
            hit = self.index.get(id)
        except ImageBindError as error:
            return results.error_notice(error)
        if hit is None:
            return results.notice(ITEM_GONE, advice="Leave the map and open it again.", alarm=True)
        return results.one(hit)

    def label(self, upload: Upload | None, kind: MediaKind | None, labels: str) -> str:
        """Return a table of labels for an upload, the most probable first."""
        if upload is None:
            return results.notice("No file to label yet.", advice="Drop a file first.")
        if kind is None:
            return results.notice(f"{upload.name} is ambiguous.", advice="Choose its media type beside it.")
        try:
            return results.label_table(self.classifier(upload.vector(kind), kind, labels))
        except (ImageBindError, ValueError) as error:
            return results.error_notice(error)

    def detect(self, file: UploadFile) -> str:
        """Return an image with the boxes of its detections; `ImageDetector` describes the file's format."""
        try:
            return results.detected(self.detector(file))
        except (ImageBindError, ValueError) as error:
            return results.error_notice(error)

    def _check_kinds(self, filters: Filters) -> None:
        if {*filters.kinds} <= {kind.value for kind in MediaKind}:
            return
        try:
            self.index.kinds_named(filters.kinds)  # knows the modalities of packs too
        except ValueError as error:
            raise MediaError(str(error)) from error

    def _hits(self, query: Any, filters: Filters, *, description: str, without: str | None = None) -> str:
        options = filters.options()
        count = options["k"]
        if without is not None:
            options["k"] += 1
        hits = self.index.search(query, **options)
        hits = [hit for hit in hits if hit.id != without][:count]
        if hits:
            return results.found(hits, query=description)
        if not len(self.index):
            return results.empty_index(self.index.uri)
        return results.nothing_found(filtered=filters.any)


def parse_time(text: str) -> float | None:
    """Return the seconds of a time such as 90, 1:30 or 0:01:30.5; None for empty text.

    Raises:
        MediaError: the text is not a time.
    """
    if not text.strip():
        return None
    if not TIME_PATTERN.fullmatch(text.strip()):
        raise MediaError(
            "the time",
            got=repr(text.strip()),
            expected="seconds (90), 1:30 or 0:01:30, with less than 60 after a colon",
        )
    seconds = 0.0
    for part in text.split(":"):
        seconds = 60 * seconds + float(part)
    return seconds


def _weight(weight: float) -> str:
    return "" if abs(weight) == 1 else f"{np.format_float_positional(abs(weight), precision=2, trim='-')} × "
