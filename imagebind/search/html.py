"""Render hits as HTML: a self-contained page that links to the media files, and the cards on it."""

import base64
import math
import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from imagebind.errors import import_extra
from imagebind.io.source import shortened
from imagebind.modality import MediaKind
from imagebind.search.rows import TEXT_KEY, Hit

CARDS_CSS = Path(__file__).with_name("cards.css")
CARD_TEXT_CHARACTERS = 240  # shown of a text
SCORE_MEANING = (
    "The score is the number of standard deviations by which the cosine of a hit exceeds the query's mean "
    "cosine with its media type."
)
_BREAKS = re.compile("(?<=[_-])|(?=[.])")  # where a line break in a file name is allowed


def kind_name(kind: MediaKind) -> str:
    """Return the name of a media type as pages show it."""
    return "IMU" if kind is MediaKind.IMU else kind.value


def hits_page(hits: Sequence[Hit], *, title: str) -> str:
    """Return a page of hits, best first, with embedded thumbnails, scores, times and links to the files.

    It needs no network. Audio and video play at the time of the hit, as long as the files exist.

    Raises:
        MissingExtraError: Jinja is not installed.
    """
    css = _trusted(CARDS_CSS.read_text(encoding="utf-8"))
    return _render(
        "hits.html",
        title=title,
        css=css,
        count=len(hits),
        score_meaning=SCORE_MEANING,
        cards=cards(hits, file_link),
    )


def cards(
    hits: Sequence[Hit], link: Callable[[Hit], str | None], *, actions: Callable[[Hit], str] = lambda _: ""
) -> str:
    """Return a list of cards, as HTML that templates do not escape again.

    Args:
        link: returns the URL of a hit's file; None if it has no file.
        actions: returns additional HTML for the bottom of a card.
    """
    listed = "".join(card(hit, link(hit), actions=actions(hit)) for hit in hits)
    return _trusted(f'<ol class="hits">{listed}</ol>')


def card(hit: Hit, link: str | None, *, actions: str = "") -> str:
    """Return the card of a hit: thumbnail, media type, path, score, cosine, and a player at its time."""
    folder, _, name = hit.path.rpartition("/")
    kind = kind_name(hit.kind)
    return _render(
        "card.html",
        hit=hit,
        kind=kind,
        link=link,
        label=f"{kind} {name}",
        poster=data_uri(hit.thumbnail) if hit.thumbnail else "",
        player=f"{link}{media_fragment(hit)}",
        text=_shown_text(hit),
        time=seconds(hit),
        # A text that was added as a string has no file name; the card shows the text itself.
        name_parts=["text"] if hit.kind is MediaKind.TEXT and not folder else _BREAKS.split(name),
        folder=_end_of(folder),
        is_scored=not math.isnan(hit.cosine),  # else not from a query
        actions=_trusted(actions),
    )


def file_link(hit: Hit) -> str | None:
    """Return the file:// URL of a hit's file; None if it has no file."""
    return hit.file.as_uri() if has_file(hit) else None


def has_file(hit: Hit) -> bool:
    """Whether a hit comes from a file with an absolute path, not from a URI, a string or an array.

    A text that was added as a string is its own path, and may look like a file's path.
    """
    is_string = hit.kind is MediaKind.TEXT and TEXT_KEY in hit.metadata and not hit.mtime_ns
    return not is_string and Path(hit.path).is_absolute()


def seconds(hit: Hit) -> str:
    """Return the time of a hit as text; empty if it has no time."""
    if hit.start is None or hit.end is None:
        return ""
    if hit.end < 0.1:  # too short for one decimal
        return f"{hit.start:.2f}–{hit.end:.2f} s"
    unit = " s" if hit.end < 60 else ""
    return f"{_clock(hit.start)}–{_clock(hit.end)}{unit}"


def media_fragment(hit: Hit) -> str:
    """Return the URL fragment that limits a player to the time of a hit: #t=3,5."""
    return "" if hit.start is None or hit.end is None else f"#t={hit.start:.2f},{hit.end:.2f}"


def data_uri(jpeg: bytes) -> str:
    """Return a JPEG as a data URI."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()


def _shown_text(hit: Hit) -> str | None:
    """Return the beginning of a text; None for other media."""
    text = hit.metadata.get(TEXT_KEY)
    if hit.kind is not MediaKind.TEXT or not isinstance(text, str):
        return None
    return shortened(text, CARD_TEXT_CHARACTERS)


@cache
def _environment() -> Any:
    jinja2 = import_extra("jinja2", extra="search", purpose="a page of hits")
    return jinja2.Environment(
        loader=jinja2.PackageLoader("imagebind.search"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


def _render(template: str, **values: Any) -> str:
    """Return a template of the folder `templates` with its values, escaped unless they are `_trusted`."""
    return _trusted(_environment().get_template(template).render(**values))


def _trusted(html: str) -> str:
    from markupsafe import Markup

    return Markup(html)


def _clock(time: float) -> str:
    minutes, rest = divmod(round(time, 1), 60)
    return f"{minutes:.0f}:{rest:04.1f}" if minutes else f"{rest:.1f}"


def _end_of(folder: str, *, parts: int = 2) -> str:
    """Return the last folders of a path, which often distinguish files of the same name."""
    return "/".join(folder.split("/")[-parts:])
