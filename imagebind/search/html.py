"""Render hits as HTML: a self-contained page that links to the media files, and the cards on it.

File names and all other text from outside are escaped here.
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
CARD_TEXT_CHARACTERS = 240  # shown of a text

KIND_NAMES = {kind: kind.value for kind in MediaKind} | {MediaKind.IMU: "IMU"}


def hits_page(hits: Sequence[Hit], *, title: str) -> str:
    """Return a page of hits, best first, with embedded thumbnails, scores, times and links to the files.

    It needs no network. Audio and video play at the time of the hit, as long as the files exist.
    """
    count = "1 hit" if len(hits) == 1 else f"{len(hits)} hits"
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
<p class="hits-about">{count}. The score is the number of standard deviations by which the cosine of a hit
exceeds the mean of its media type. Scores are comparable across media types; cosines are not.</p>
{body}
</body>
</html>
"""


def cards(
    hits: Sequence[Hit], link: Callable[[Hit], str | None], *, actions: Callable[[Hit], str] = lambda _: ""
) -> str:
    """Return a list of cards.

    Args:
        link: returns the URL of a hit's file; None if it has no file.
        actions: returns additional HTML for the bottom of a card.
    """
    return '<ol class="hits">' + "".join(card(hit, link(hit), actions=actions(hit)) for hit in hits) + "</ol>"


def card(hit: Hit, link: str | None, *, actions: str = "") -> str:
    """Return the card of a hit: thumbnail, media type, path, score, cosine, and a player at its time."""
    kind = KIND_NAMES[hit.kind]
    folder, _, name = hit.path.rpartition("/")
    if hit.kind is MediaKind.TEXT and not folder:
        name = "text"  # added as a string, which the card shows
    time = f'<span class="hit-time">{seconds(hit)}</span>' if seconds(hit) else ""
    file_anchor = f'<a href="{escape(link)}" target="_blank" rel="noopener">Open file</a>' if link else ""
    return (
        f'<li class="hit" data-kind="{hit.kind}">'
        f"{_preview(hit, link)}"
        f'<p class="hit-facts"><span class="kind kind-{hit.kind}">{kind}</span>{time}</p>'
        f'<p class="hit-name" title="{escape(hit.path)}"><bdi>{_breakable(name)}</bdi>'
        f'<span class="hit-folder"><bdi>{escape(_end_of(folder))}</bdi></span></p>'
        f"{_audio_player(hit, link)}{_scores(hit)}"
        f'<p class="hit-actions">{actions}{file_anchor}</p></li>'
    )


def file_link(hit: Hit) -> str | None:
    """Return the file:// URL of a hit's file; None if it has no file."""
    return hit.file.as_uri() if has_file(hit) else None


def has_file(hit: Hit) -> bool:
    """Whether a hit comes from a file with an absolute path, not from a string or an array.

    A text that was added as a string is its own path, and may look like a file's path.
    """
    is_string = hit.kind is MediaKind.TEXT and "text" in hit.metadata and not hit.mtime_ns
    return not is_string and Path(hit.path).is_absolute()


def seconds(hit: Hit) -> str:
    """Return the time of a hit as text; empty if it has no time."""
    if hit.start is None or hit.end is None:
        return ""
    if hit.end < 0.1:
        return f"{hit.start:.2f}–{hit.end:.2f} s"
    unit = " s" if hit.end < 60 else ""
    return f"{_clock(hit.start)}–{_clock(hit.end)}{unit}"


def media_fragment(hit: Hit) -> str:
    """Return the URL fragment that limits a player to the time of a hit: #t=3,5."""
    return "" if hit.start is None or hit.end is None else f"#t={hit.start:.2f},{hit.end:.2f}"


def data_uri(jpeg: bytes) -> str:
    """Return a JPEG as a data URI."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()


def _preview(hit: Hit, link: str | None) -> str:
    poster = data_uri(hit.thumbnail) if hit.thumbnail else ""
    label = escape(f"{KIND_NAMES[hit.kind]} {hit.path.rpartition('/')[2]}")
    if hit.kind is MediaKind.VIDEO and link:
        return (
            f'<video class="hit-picture" controls preload="none" playsinline aria-label="{label}" '
            f'poster="{poster}" src="{escape(link + media_fragment(hit))}"></video>'
        )
    text = hit.metadata.get("text")
    if hit.kind is MediaKind.TEXT and isinstance(text, str):
        shown = text if len(text) <= CARD_TEXT_CHARACTERS else text[: CARD_TEXT_CHARACTERS - 1] + "…"
        return f'<blockquote class="hit-picture hit-text"><bdi>{escape(shown)}</bdi></blockquote>'
    if not poster:
        return f'<div class="hit-picture hit-none kind-{hit.kind}" aria-hidden="true"></div>'
    return f'<img class="hit-picture" src="{poster}" alt="{label}">'


def _audio_player(hit: Hit, link: str | None) -> str:
    if hit.kind is not MediaKind.AUDIO or not link:
        return ""
    label = escape(f"audio {hit.path.rpartition('/')[2]}")
    source = escape(link + media_fragment(hit))
    return f'<audio controls preload="none" aria-label="{label}" src="{source}"></audio>'


def _scores(hit: Hit) -> str:
    if math.isnan(hit.cosine):  # not from a query
        return ""
    return (
        f'<dl class="hit-scores"><div><dt>score</dt><dd>{hit.score:.2f}</dd></div>'
        f"<div><dt>cosine</dt><dd>{hit.cosine:.3f}</dd></div></dl>"
    )


def _breakable(name: str) -> str:
    """Return a file name as HTML that may break between words."""
    return re.sub("(?<=[_-])|(?=[.])", "<wbr>", escape(name))


def _clock(time: float) -> str:
    minutes, rest = divmod(round(time, 1), 60)
    return f"{minutes:.0f}:{rest:04.1f}" if minutes else f"{rest:.1f}"


def _end_of(folder: str, *, parts: int = 2) -> str:
    """Return the last folders of a path, which distinguish files of the same name."""
    return "/".join(folder.split("/")[-parts:])
