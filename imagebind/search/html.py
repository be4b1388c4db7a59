"""Hits as HTML: a page in one file that needs nothing but the media it links to, and the cards that it shows.

Every text from outside, names of files above all, is escaped here.
"""

import base64
import math
import re
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

from imagebind.modality import MediaKind
from imagebind.search.rows import Hit

CARDS_CSS = Path(__file__).with_name("cards.css")
SNIPPET = 240  # characters of a text that a card shows

KIND_NAMES = {
    MediaKind.IMAGE: "picture",
    MediaKind.VIDEO: "video",
    MediaKind.TEXT: "text",
    MediaKind.AUDIO: "sound",
    MediaKind.DEPTH: "depth",
    MediaKind.THERMAL: "thermal",
    MediaKind.IMU: "motion",
}


def hits_page(hits: Sequence[Hit], *, title: str) -> str:
    """A page of hits, best first: pictures, scores and times in it, files linked to where they are.

    Needs no network. Sounds and videos play at the time of the hit, as long as their files are there.
    """
    found = "1 hit" if len(hits) == 1 else f"{len(hits)} hits"
    body = cards(hits, file_link) if hits else "<p>Nothing found; try fewer or other filters.</p>"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>
{CARDS_CSS.read_text(encoding="utf-8")}</style>
</head>
<body class="hits-page">
<h1><bdi>{escape(title)}</bdi></h1>
<p class="hits-about">{found}. The score says by how many standard deviations a hit is nearer than its kind
is; it compares across kinds, which cosines do not.</p>
{body}
</body>
</html>
"""


def cards(
    hits: Sequence[Hit], link: Callable[[Hit], str | None], *, actions: Callable[[Hit], str] = lambda _: ""
) -> str:
    """A list of cards.

    Args:
        link: where a hit's file can be had; None if it has none.
        actions: more HTML for the foot of a card.
    """
    return '<ol class="hits">' + "".join(card(hit, link(hit), actions=actions(hit)) for hit in hits) + "</ol>"


def card(hit: Hit, link: str | None, *, actions: str = "") -> str:
    """One hit: how it looks, what and where it is, both scores, and a player at its time."""
    kind = KIND_NAMES[hit.kind]
    folder, _, name = hit.path.rpartition("/")
    if hit.kind is MediaKind.TEXT and not folder:
        name = "text"  # given as it is; its words are shown
    time = f'<span class="hit-time">{seconds(hit)}</span>' if seconds(hit) else ""
    opened = f'<a href="{escape(link)}" target="_blank" rel="noopener">Open file</a>' if link else ""
    return (
        f'<li class="hit" data-kind="{hit.kind}">'
        f"{_picture(hit, link)}"
        f'<p class="hit-facts"><span class="kind kind-{hit.kind}">{kind}</span>{time}</p>'
        f'<p class="hit-name" title="{escape(hit.path)}"><bdi>{_breakable(name)}</bdi>'
        f'<span class="hit-folder"><bdi>{escape(_end_of(folder))}</bdi></span></p>'
        f"{_sound(hit, link)}{_scores(hit)}"
        f'<p class="hit-actions">{actions}{opened}</p></li>'
    )


def file_link(hit: Hit) -> str | None:
    """Where a hit's file is on this machine, as a link."""
    return hit.file.as_uri() if has_file(hit) else None


def has_file(hit: Hit) -> bool:
    """Whether a hit is of a file with a whole path, and not of a text or an array that was handed over.

    A text that was handed over has its words for a path; they may look like one.
    """
    handed_over = hit.kind is MediaKind.TEXT and "text" in hit.metadata and not hit.mtime_ns
    return not handed_over and Path(hit.path).is_absolute()


def seconds(hit: Hit) -> str:
    """The time of a hit in words; nothing for what has none."""
    if hit.start is None or hit.end is None:
        return ""
    if hit.end < 0.1:
        return f"{hit.start:.2f}–{hit.end:.2f} s"
    unit = " s" if hit.end < 60 else ""
    return f"{_clock(hit.start)}–{_clock(hit.end)}{unit}"


def media_fragment(hit: Hit) -> str:
    """What makes a player play just the time of a hit: #t=3,5."""
    return "" if hit.start is None or hit.end is None else f"#t={hit.start:.2f},{hit.end:.2f}"


def data_uri(jpeg: bytes) -> str:
    """A JPEG inside a page."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()


def _picture(hit: Hit, link: str | None) -> str:
    poster = data_uri(hit.thumbnail) if hit.thumbnail else ""
    label = escape(f"{KIND_NAMES[hit.kind]} {hit.path.rpartition('/')[2]}")
    if hit.kind is MediaKind.VIDEO and link:
        return (
            f'<video class="hit-picture" controls preload="none" playsinline aria-label="{label}" '
            f'poster="{poster}" src="{escape(link + media_fragment(hit))}"></video>'
        )
    text = hit.metadata.get("text")
    if hit.kind is MediaKind.TEXT and isinstance(text, str):
        shown = text if len(text) <= SNIPPET else text[: SNIPPET - 1] + "…"
        return f'<blockquote class="hit-picture hit-text"><bdi>{escape(shown)}</bdi></blockquote>'
    if not poster:
        return f'<div class="hit-picture hit-none kind-{hit.kind}" aria-hidden="true"></div>'
    return f'<img class="hit-picture" src="{poster}" alt="{label}">'


def _sound(hit: Hit, link: str | None) -> str:
    if hit.kind is not MediaKind.AUDIO or not link:
        return ""
    label = escape(f"sound {hit.path.rpartition('/')[2]}")
    source = escape(link + media_fragment(hit))
    return f'<audio controls preload="none" aria-label="{label}" src="{source}"></audio>'


def _scores(hit: Hit) -> str:
    if math.isnan(hit.cosine):  # nothing was asked
        return ""
    return (
        f'<dl class="hit-scores"><div><dt>score</dt><dd>{hit.score:.2f}</dd></div>'
        f"<div><dt>cosine</dt><dd>{hit.cosine:.3f}</dd></div></dl>"
    )


def _breakable(name: str) -> str:
    """A file's name as HTML that breaks between words where it has to, rather than in one."""
    return re.sub("(?<=[_-])|(?=[.])", "<wbr>", escape(name))


def _clock(time: float) -> str:
    minutes, rest = divmod(round(time, 1), 60)
    return f"{minutes:.0f}:{rest:04.1f}" if minutes else f"{rest:.1f}"


def _end_of(folder: str, *, parts: int = 2) -> str:
    """The last folders of a path: what tells files of one name apart."""
    return "/".join(folder.split("/")[-parts:])
