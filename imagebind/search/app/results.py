"""Render the page and its results with Jinja, which escapes all text."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from imagebind.errors import UnknownMediaError
from imagebind.io.source import shortened
from imagebind.modality import MediaKind, kinds_in_order
from imagebind.search.app.detector import DetectedBoxes
from imagebind.search.html import SCORE_MEANING, card, cards, data_uri, has_file, kind_name
from imagebind.search.rows import Hit
from imagebind.zeroshot import LabelScore

MAX_QUERY_CHARACTERS = 200  # of the description of a query above its hits
PLURALS = {
    MediaKind.IMAGE: "images",
    MediaKind.VIDEO: "videos",
    MediaKind.TEXT: "texts",
    MediaKind.AUDIO: "audio items",
    MediaKind.DEPTH: "depth images",
    MediaKind.THERMAL: "thermal images",
    MediaKind.IMU: "IMU recordings",
}

_environment = Environment(
    loader=PackageLoader("imagebind.search.app"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=StrictUndefined,
)


def render(template: str, **values: Any) -> str:
    """Return a template of the folder `templates` with its values."""
    return _environment.get_template(template).render(**values)


def page(*, overview: str, welcome: str, kinds: Sequence[MediaKind], **values: Any) -> str:
    """Return the page, before the first search."""
    return render(
        "page.html",
        overview=Markup(overview),
        welcome=Markup(welcome),
        kinds=[(kind.value, _plural(kind)) for kind in kinds],
        kind_names={kind.value: kind_name(kind) for kind in MediaKind},
        **values,
    )


def found(hits: Sequence[Hit], *, query: str) -> str:
    """Return the cards of the hits for a query."""
    shown = Markup(cards(hits, media_link, actions=more_button))
    return render(
        "found.html",
        count=len(hits),
        query=shortened(query, MAX_QUERY_CHARACTERS),
        score_meaning=SCORE_MEANING,
        cards=shown,
    )


def one(hit: Hit) -> str:
    """Return the card of one item."""
    shown = Markup(card(hit, media_link(hit), actions=more_button(hit)))
    return Markup('<ol class="hits hits-one">{}</ol>').format(shown)


def media_link(hit: Hit) -> str | None:
    """Return the URL of a hit's file, relative to the page; None if it has no file."""
    return f"media/{quote(hit.id, safe='')}" if has_file(hit) else None


def more_button(hit: Hit) -> str:
    """Return the button that searches for similar items; `page.js` handles its clicks."""
    return Markup(
        '<button type="button" data-like="{}" aria-label="More like this: {}">More like this</button>'
    ).format(hit.id, hit.path.rpartition("/")[2])


def notice(text: str, *, advice: str = "", alarm: bool = False) -> str:
    """Return a message with advice on what to do next."""
    return render("notice.html", text=text, advice=advice, alarm=alarm)


def error_notice(error: Exception) -> str:
    """Return the message of an error as a notice."""
    return notice(message_of(error), alarm=True)


def message_of(error: Exception) -> str:
    """Return an error's message, without a hint on Python and the command line."""
    message = str(error)
    if isinstance(error, UnknownMediaError) and error.hint:
        return message.removesuffix(f"; {error.hint}")
    return message


def nothing_found(*, filtered: bool) -> str:
    """Return the notice for a search without hits in an index that is not empty."""
    if filtered:
        return notice("No hits.", advice="Remove or widen a filter: see Filters.")
    return notice("No hits.", advice="Try another text or another file.")


def empty_index(uri: str) -> str:
    """Return the notice for an empty index."""
    return render("empty.html", uri=uri)


def overview(kinds: Mapping[MediaKind, int], *, files: int, uri: str, toy: bool) -> str:
    """Return the head of the page: the index's name and its number of items; each window counts as one."""
    counts = [
        f"{kinds[kind]:,} {_plural(kind) if kinds[kind] != 1 else kind_name(kind)}"
        for kind in kinds_in_order(kinds)
        if kinds[kind]
    ]
    total = f", from {files:,} file{'s' if files != 1 else ''}"
    content = ", ".join(counts) + total if counts else "no items yet"
    return render("overview.html", name=short_name(uri), content=content, toy=toy)


def _plural(kind: MediaKind) -> str:
    return PLURALS.get(kind, f"{kind} items")  # else the modality of a pack


def short_name(uri: str) -> str:
    """Return the last part of an index's path or URI."""
    return uri.rstrip("/").rpartition("/")[2]


def label_table(scores: Sequence[LabelScore]) -> str:
    """Return the labels of an upload as a table with bars."""
    return render("labels.html", scores=scores)


def detected(boxes: DetectedBoxes) -> str:
    """Return an image with its detections, and their table."""
    advice = "Lower the minimum score, or try another query." if not boxes.rows else ""
    shown = render("detected.html", name=boxes.name, image=data_uri(boxes.jpeg), rows=boxes.rows)
    return shown if boxes.rows else notice("Nothing found.", advice=advice) + shown


def map_chart(points: Sequence[Mapping[str, Any]], counts: Counter[MediaKind], **values: Any) -> str:
    """Return the map as an SVG with a legend; `map.js` handles its events."""
    legend = [(kind.value, kind_name(kind), counts[kind]) for kind in kinds_in_order(counts)]
    return render("map.html", points=points, legend=legend, **values)
