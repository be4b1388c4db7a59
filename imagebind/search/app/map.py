"""Draw a map of an index: a sample of its vectors projected to their first two principal components.

The mean of each media type is subtracted first. Media types are separate clusters in the embedding space,
whatever their content, and would form islands on the map. In an index of 480 items of the toy world, the
items of one scene have a median rank of 94 among each other's neighbours on the map, 117 without centring,
and 240 by chance.
"""

from collections import Counter
from collections.abc import Sequence
from html import escape

import numpy as np

from imagebind.modality import MediaKind
from imagebind.search.html import CARD_TEXT_CHARACTERS, KIND_NAMES, seconds
from imagebind.search.index import Index
from imagebind.search.rows import Hit

MAP_POINTS = 2000  # at most: more would overlap, and each is an element of the page
MIN_POINTS_PER_KIND = 8  # media types with fewer are centred by the mean of all
MAP_WIDTH, MAP_HEIGHT, MAP_MARGIN = 1000, 700, 24  # in SVG units


def project(vectors: np.ndarray, kinds: Sequence[MediaKind]) -> np.ndarray:
    """Project vectors (n, e) with their media types to positions (n, 2) between -1 and 1."""
    centred = vectors - vectors.mean(axis=0)
    of_kind = np.array([kind.value for kind in kinds])
    for kind, count in Counter(of_kind.tolist()).items():
        if count >= MIN_POINTS_PER_KIND:
            rows = of_kind == kind
            centred[rows] -= centred[rows].mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)  # (e, e), the largest last
    positions = centred @ axes[:, :-3:-1]  # (n, e) @ (e, 2)
    positions -= (positions.min(axis=0) + positions.max(axis=0)) / 2
    return positions / max(float(np.abs(positions).max()), 1e-12)


def map_of(index: Index) -> str:
    """Return the map as HTML, an SVG with a legend for `map.js`; empty for fewer than two items."""
    hits = [hit for hit in index.sample(MAP_POINTS) if hit.vector is not None]
    if len(hits) < 2:
        return ""
    positions = project(np.stack([hit.vector for hit in hits]), [hit.kind for hit in hits])  # type: ignore[misc]
    scale = np.array([MAP_WIDTH, MAP_HEIGHT]) / 2
    points = scale + positions * (scale - MAP_MARGIN)  # (n, 2)
    count, total = len(hits), len(index)
    share = f"All {total:,} items" if count >= total else f"{count:,} of {total:,} items, chosen at random"
    circles = "".join(
        _circle(number, hit, *point)
        for number, (hit, point) in enumerate(zip(hits, points.tolist(), strict=True))
    )
    return (
        f'<p class="status">{share}. Items close to each other are similar. Select a point to see its item, '
        "with the pointer or with the arrow keys and Enter.</p>"
        f"{_legend(Counter(hit.kind for hit in hits))}"
        '<div class="map"><svg class="map-points" role="listbox" aria-label="Map of the index" tabindex="0" '
        f'viewBox="0 0 {MAP_WIDTH} {MAP_HEIGHT}">{circles}</svg><div class="map-tip" hidden></div></div>'
    )


def _circle(number: int, hit: Hit, x: float, y: float) -> str:
    text = hit.metadata.get("text")
    name = text if hit.kind is MediaKind.TEXT and isinstance(text, str) else hit.path.rpartition("/")[2]
    label = " ".join(filter(None, [f"{KIND_NAMES[hit.kind]}: {name[:CARD_TEXT_CHARACTERS]}", seconds(hit)]))
    seen = ' data-seen="1"' if hit.thumbnail else ""
    return (
        f'<circle id="point-{number}" role="option" aria-label="{escape(label)}" class="kind-{hit.kind}" '
        f'data-id="{escape(hit.id)}" data-kind="{hit.kind}"{seen} cx="{x:.1f}" cy="{y:.1f}"></circle>'
    )


def _legend(counts: Counter[MediaKind]) -> str:
    entries = "".join(
        f'<button type="button" class="kind kind-{kind}" data-legend="{kind}" aria-pressed="true">'
        f"{KIND_NAMES[kind]} {counts[kind]:,}</button>"
        for kind in MediaKind
        if counts[kind]
    )
    return f'<div class="legend" role="group" aria-label="Media types shown on the map">{entries}</div>'
