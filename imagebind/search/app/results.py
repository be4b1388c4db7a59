"""What the page says: the hits of a search as cards, and in words what to do where there are none."""

from collections.abc import Mapping, Sequence
from html import escape
from urllib.parse import quote

from imagebind.modality import MediaKind
from imagebind.search.html import KIND_NAMES, card, cards, data_uri, has_file
from imagebind.search.rows import Hit

PLURALS = {
    MediaKind.IMAGE: "pictures",
    MediaKind.VIDEO: "videos",
    MediaKind.TEXT: "texts",
    MediaKind.AUDIO: "sounds",
    MediaKind.DEPTH: "depth pictures",
    MediaKind.THERMAL: "thermal pictures",
    MediaKind.IMU: "motion recordings",
}
TOY_WORLD = (
    "This index was made with the small model that comes with the package. It knows its toy world of "
    "coloured shapes only: of real pictures and sounds expect nothing."
)


def media_link(hit: Hit) -> str | None:
    """Where the page gets a hit's file: by its id, relative to the page."""
    return f"media/{quote(hit.id, safe='')}" if has_file(hit) else None


def found(hits: Sequence[Hit], *, of: str) -> str:
    """Cards of the hits for what was asked."""
    count = "1 hit" if len(hits) == 1 else f"{len(hits)} hits"
    return (
        f'<p class="status" role="status">{count} for <bdi>{escape(of)}</bdi></p>'
        f"{cards(hits, media_link, actions=more_button)}"
    )


def one(hit: Hit) -> str:
    """The card of one item."""
    return f'<ol class="hits hits-one">{card(hit, media_link(hit), actions=more_button(hit))}</ol>'


def more_button(hit: Hit) -> str:
    """The button that asks for more like this; the page's script listens to it."""
    name = escape(hit.path.rpartition("/")[2])
    return (
        f'<button type="button" data-like="{escape(hit.id)}" '
        f'aria-label="More like this: {name}">More like this</button>'
    )


def notice(text: str, *, advice: str = "", alarm: bool = False) -> str:
    """What went another way than hoped, and what to do next."""
    how = 'class="notice notice-alarm" role="alert"' if alarm else 'class="notice" role="status"'
    more = f" <span>{escape(advice)}</span>" if advice else ""
    return f"<div {how}><strong>{escape(text)}</strong>{more}</div>"


def nothing_found(*, filtered: bool) -> str:
    """A search without a hit in an index that has something in it."""
    if filtered:
        return notice("No hits.", advice="Take away a filter, or widen it: see Filters.")
    return notice("No hits.", advice="Try other words or another file.")


def empty_index(uri: str) -> str:
    """An index with nothing in it."""
    return (
        '<div class="notice" role="status"><strong>This index is empty.</strong> <span>Put something in it, '
        "then search again; the page can stay open:</span>"
        f"<code>imagebind index FOLDER --db {escape(uri)}</code></div>"
    )


def overview(kinds: Mapping[MediaKind, int], *, files: int, uri: str, toy: bool) -> str:
    """The head of the page: which index this is and what is in it; a recording's windows count each."""
    counts = [
        f"{kinds[kind]:,} {PLURALS[kind] if kinds[kind] != 1 else KIND_NAMES[kind]}"
        for kind in MediaKind
        if kinds.get(kind)
    ]
    of = f", of {files:,} file{'s' if files != 1 else ''}"
    inside = ", ".join(counts) + of if counts else "nothing in it yet"
    warning = f'<p class="toy">{escape(TOY_WORLD)}</p>' if toy else ""
    return f"<h1>Search <bdi>{escape(short_name(uri))}</bdi></h1><p>{inside}.</p>{warning}"


def short_name(uri: str) -> str:
    """The last part of where an index is."""
    return uri.rstrip("/").rpartition("/")[2]


def part_head(name: str, kind: MediaKind | None, picture: bytes | None) -> str:
    """An upload: how it looks, and its name."""
    look = (
        f'<img class="part-picture" src="{data_uri(picture)}" alt="">'
        if picture
        else f'<span class="part-picture hit-none kind-{kind or "any"}" aria-hidden="true"></span>'
    )
    told = KIND_NAMES[kind] if kind else "which of several things?"
    return f'<div class="part-look">{look}<span><bdi>{escape(name)}</bdi><small>{told}</small></span></div>'
