"""Render the page's results: hits as cards, and notices."""

from collections.abc import Mapping, Sequence
from html import escape
from urllib.parse import quote

from imagebind.modality import MediaKind
from imagebind.search.html import KIND_NAMES, card, cards, data_uri, has_file
from imagebind.search.rows import Hit

PLURALS = {
    MediaKind.IMAGE: "images",
    MediaKind.VIDEO: "videos",
    MediaKind.TEXT: "texts",
    MediaKind.AUDIO: "audio items",
    MediaKind.DEPTH: "depth images",
    MediaKind.THERMAL: "thermal images",
    MediaKind.IMU: "IMU recordings",
}
TOY_WORLD = (
    "This index was made with the small model in the package. It was trained on a toy world of coloured "
    "shapes only, and is of no use for real images and audio."
)


def media_link(hit: Hit) -> str | None:
    """Return the URL of a hit's file, relative to the page; None if it has no file."""
    return f"media/{quote(hit.id, safe='')}" if has_file(hit) else None


def found(hits: Sequence[Hit], *, query: str) -> str:
    """Return the cards of the hits for a query."""
    count = "1 hit" if len(hits) == 1 else f"{len(hits)} hits"
    return (
        f'<p class="status" role="status">{count} for <bdi>{escape(query)}</bdi></p>'
        f"{cards(hits, media_link, actions=more_button)}"
    )


def one(hit: Hit) -> str:
    """Return the card of one item."""
    return f'<ol class="hits hits-one">{card(hit, media_link(hit), actions=more_button(hit))}</ol>'


def more_button(hit: Hit) -> str:
    """Return the button that searches for similar items; `cards.js` handles its clicks."""
    name = escape(hit.path.rpartition("/")[2])
    return (
        f'<button type="button" data-like="{escape(hit.id)}" '
        f'aria-label="More like this: {name}">More like this</button>'
    )


def notice(text: str, *, advice: str = "", alarm: bool = False) -> str:
    """Return a message with advice on what to do next."""
    attributes = 'class="notice notice-alarm" role="alert"' if alarm else 'class="notice" role="status"'
    more = f" <span>{escape(advice)}</span>" if advice else ""
    return f"<div {attributes}><strong>{escape(text)}</strong>{more}</div>"


def nothing_found(*, filtered: bool) -> str:
    """Return the notice for a search without hits in an index that is not empty."""
    if filtered:
        return notice("No hits.", advice="Remove or widen a filter: see Filters.")
    return notice("No hits.", advice="Try another text or another file.")


def empty_index(uri: str) -> str:
    """Return the notice for an empty index."""
    return (
        '<div class="notice" role="status"><strong>This index is empty.</strong> <span>Add files to it, then '
        "search again; the page can stay open:</span>"
        f"<code>imagebind index FOLDER --db {escape(uri)}</code></div>"
    )


def overview(kinds: Mapping[MediaKind, int], *, files: int, uri: str, toy: bool) -> str:
    """Return the head of the page: the index's name and its number of items; each window counts as one."""
    counts = [
        f"{kinds[kind]:,} {PLURALS[kind] if kinds[kind] != 1 else KIND_NAMES[kind]}"
        for kind in MediaKind
        if kinds.get(kind)
    ]
    total = f", from {files:,} file{'s' if files != 1 else ''}"
    content = ", ".join(counts) + total if counts else "no items yet"
    warning = f'<p class="toy">{escape(TOY_WORLD)}</p>' if toy else ""
    return f"<h1>Search <bdi>{escape(short_name(uri))}</bdi></h1><p>{content}.</p>{warning}"


def short_name(uri: str) -> str:
    """Return the last part of an index's path or URI."""
    return uri.rstrip("/").rpartition("/")[2]


def upload_head(name: str, kind: MediaKind | None, thumbnail: bytes | None) -> str:
    """Return the thumbnail, name and media type of an upload."""
    preview = (
        f'<img class="part-picture" src="{data_uri(thumbnail)}" alt="">'
        if thumbnail
        else f'<span class="part-picture hit-none kind-{kind or "any"}" aria-hidden="true"></span>'
    )
    label = KIND_NAMES[kind] if kind else "ambiguous media type"
    return (
        f'<div class="part-look">{preview}<span><bdi>{escape(name)}</bdi><small>{label}</small></span></div>'
    )
