"""Moments in an index: parts of recordings that fit a query, joined from the windows that the index stores.

    for hit in search_moments(index, "a dog barks", top=5):
        print(hit.path, hit.start, hit.end, hit.score)

Windows that overlap the best window of a file, one after the other, belong to its moment while their score is
at least half of the best. Other windows that overlap the moment are left out.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from imagebind.applications.moments import EDGE_SHARE, TOP_MOMENTS
from imagebind.modality import MediaKind, stored_kind
from imagebind.query import to_query
from imagebind.search.index import Index
from imagebind.search.rows import Hit, Metadata

RECORDED_KINDS = (MediaKind.VIDEO, MediaKind.AUDIO, MediaKind.IMU)
WINDOWS_PER_MOMENT = 20  # fetched at first
FETCH_GROWTH = 4  # if they give too few moments, fetch this many times as many


def search_moments(
    index: Index,
    query: Any,
    top: int = TOP_MOMENTS,
    *,
    kinds: Iterable[MediaKind | str] | None = None,
    path: str | None = None,
    between: tuple[float, float] | None = None,
    metadata: Metadata | None = None,
    per_file: int | None = None,
) -> list[Hit]:
    """Return the best moments of the recordings in an index: hits whose times are those of the moment.

    A hit is the best window of its moment. The other arguments are those of `Index.search`.

    Args:
        top: the largest number of moments.
        kinds: some of video, audio and IMU, by default all.
        per_file: the largest number of moments of one file.

    Raises:
        MediaError, SearchIndexError, SpaceMismatchError: as `Index.search`.
        ValueError: as `Index.search`, or a media type has no time.
    """
    wanted = RECORDED_KINDS if kinds is None else tuple(stored_kind(str(kind)) for kind in kinds)
    if not {*wanted} <= {*RECORDED_KINDS}:
        raise ValueError(f"moments: expected some of {', '.join(RECORDED_KINDS)}, got {', '.join(wanted)}")
    combined = to_query(query, index.embedder, embed_dim=index.embed_dim)
    index.check(combined.kinds)
    count = top * WINDOWS_PER_MOMENT
    while True:
        hits = index.search(
            combined.vector, count, kinds=wanted, path=path, between=between, metadata=metadata
        )
        found = joined(hits, per_file=per_file)
        if len(found) >= top or len(hits) < count:
            return found[:top]
        count *= FETCH_GROWTH


def joined(hits: Iterable[Hit], *, per_file: int | None = None) -> list[Hit]:
    """Return the moments of windows, best first, at most `per_file` of one file."""
    by_path: dict[str, list[Hit]] = defaultdict(list)
    for hit in sorted(hits, key=lambda each: -each.score):
        if hit.start is not None and hit.end is not None:
            by_path[hit.path].append(hit)
    found = [moment for windows in by_path.values() for moment in _moments_of(windows)[:per_file]]
    return sorted(found, key=lambda each: -each.score)


def _moments_of(windows: Sequence[Hit]) -> list[Hit]:
    """Return the moments of one file's windows, which are sorted by score."""
    found = []
    rest = list(windows)
    while rest:
        best, good = rest[0], [hit for hit in rest if hit.score >= EDGE_SHARE * rest[0].score]
        start, end = _times(best)
        for hit in sorted(good, key=lambda each: -_times(each)[1]):  # backwards
            if _times(hit)[0] < start < _times(hit)[1]:
                start = _times(hit)[0]
        for hit in sorted(good, key=lambda each: _times(each)[0]):  # forwards
            if _times(hit)[0] < end < _times(hit)[1]:
                end = _times(hit)[1]
        found.append(replace(best, start=start, end=end))
        rest = [hit for hit in rest[1:] if _times(hit)[1] <= start or _times(hit)[0] >= end]
    return found


def _times(hit: Hit) -> tuple[float, float]:
    assert hit.start is not None and hit.end is not None
    return hit.start, hit.end
