"""A map of an index: a sample of its vectors in two dimensions, by their principal components.

Each kind's vectors are taken about their own mean. Kinds lie apart in the space, for no reason of what is in
them, and would fall into islands: in an index of 480 items of the toy world the items of one scene have a
median rank of 94 among each other's neighbours on the map, 117 without, and by chance 240.
"""

from collections import Counter
from collections.abc import Sequence
from html import escape

import numpy as np

from imagebind.modality import MediaKind
from imagebind.search.html import CARD_TEXT_CHARACTERS, KIND_NAMES, seconds
from imagebind.search.index import Index
from imagebind.search.rows import Hit

MAP_POINTS = 2000  # points: more could not be told apart, and each is an element of the page
MIN_OF_KIND = 8  # fewer say nothing about their mean, and are taken about that of all
WIDTH, HEIGHT, MARGIN = 1000, 700, 24  # units of the drawing


def project(vectors: np.ndarray, kinds: Sequence[MediaKind]) -> np.ndarray:
    """Places on a map, near where vectors are: (n, e) and their kinds -> (n, 2), which fill -1 to 1."""
    centred = vectors - vectors.mean(axis=0)
    of_kind = np.array([kind.value for kind in kinds])
    for kind, count in Counter(of_kind.tolist()).items():
        if count >= MIN_OF_KIND:
            rows = of_kind == kind
            centred[rows] -= centred[rows].mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)  # (e, e), the largest last
    places = centred @ axes[:, :-3:-1]  # (n, e) @ (e, 2)
    places -= (places.min(axis=0) + places.max(axis=0)) / 2
    return places / max(float(np.abs(places).max()), 1e-12)


def map_of(index: Index) -> str:
    """The map as HTML: a drawing whose points the page's script brings to life, and a legend.

    Nothing for an index with fewer than two items.
    """
    hits = [hit for hit in index.sample(MAP_POINTS) if hit.vector is not None]
    if len(hits) < 2:
        return ""
    places = project(np.stack([hit.vector for hit in hits]), [hit.kind for hit in hits])  # type: ignore[misc]
    scale = np.array([WIDTH, HEIGHT]) / 2
    points = scale + places * (scale - MARGIN)  # (n, 2)
    count, whole = len(hits), len(index)
    share = f"All {whole:,} items" if count >= whole else f"{count:,} of {whole:,} items, drawn at random"
    circles = "".join(
        _circle(number, hit, *point)
        for number, (hit, point) in enumerate(zip(hits, points.tolist(), strict=True))
    )
    return (
        f'<p class="status">{share}. What is near is alike. To see an item choose its point, by '
        "pointing or with the arrow keys and Enter.</p>"
        f"{_legend(Counter(hit.kind for hit in hits))}"
        '<div class="map"><svg class="map-points" role="listbox" aria-label="Map of the index" tabindex="0" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}">{circles}</svg><div class="map-tip" hidden></div></div>'
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
    return f'<div class="legend" role="group" aria-label="Kinds shown on the map">{entries}</div>'
