"""Draw a map of an index: a sample of its vectors projected to their first two principal components.

The mean of each media type is subtracted first. Media types are separate clusters in the embedding space,
whatever their content, and would form islands on the map. In an index of 480 items of the toy world, the
items of one scene have a median rank of 94 among each other's neighbours on the map, 117 without centring,
and 240 by chance.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from imagebind.modality import MediaKind
from imagebind.search.app import results
from imagebind.search.html import CARD_TEXT_CHARACTERS, kind_name, seconds
from imagebind.search.index import Index
from imagebind.search.rows import TEXT_KEY, Hit

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
    _, axes = np.linalg.eigh(centred.T @ centred)  # (e, e), by increasing variance
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
    named = [
        {"id": hit.id, "kind": hit.kind, "label": _label(hit), "thumbnail": hit.thumbnail, "x": x, "y": y}
        for hit, (x, y) in zip(hits, points.tolist(), strict=True)
    ]
    counts = Counter(hit.kind for hit in hits)
    return results.map_chart(named, counts, share=share, width=MAP_WIDTH, height=MAP_HEIGHT)


def _label(hit: Hit) -> str:
    text = hit.metadata.get(TEXT_KEY)
    name = text if hit.kind is MediaKind.TEXT and isinstance(text, str) else hit.path.rpartition("/")[2]
    return " ".join(filter(None, [f"{kind_name(hit.kind)}: {name[:CARD_TEXT_CHARACTERS]}", seconds(hit)]))
