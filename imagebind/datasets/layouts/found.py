"""The result of a reader for training, and helpers that the readers share."""

import logging
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from imagebind.datasets.pairs import Pair
from imagebind.errors import MediaError, MissingMediaError

MAX_NAMED_FILES = 5  # missing files named in a warning or an error

logger = logging.getLogger(__name__)


class Found(NamedTuple):
    """Pairs whose files all exist, and the missing files."""

    pairs: list[Pair]
    missing: list[str]


def found_pairs(layout: str, root: object, pairs: list[Pair], missing: Sequence[str]) -> Found:
    """Return pairs and missing files, and log the number of missing files.

    Raises:
        MissingMediaError: there are no pairs.
    """
    some = ", ".join(missing[:MAX_NAMED_FILES]) + (", …" if len(missing) > MAX_NAMED_FILES else "")
    if not pairs:
        raise MissingMediaError(
            str(root),
            got=f"none, and {len(missing):,} files missing" + (f" ({some})" if missing else ""),
            expected=f"pairs in the folders of {layout} as published",
        )
    if missing:
        logger.warning("%s: %d pairs, %d files missing (%s)", layout, len(pairs), len(missing), some)
    return Found(pairs, list(missing))


def folder_at(path: str | os.PathLike[str], content: str = "") -> Path:
    """Return the path of an existing folder.

    Args:
        content: a description of the folder's content, for errors.

    Raises:
        MissingMediaError: the folder does not exist, or is a file.
    """
    folder = Path(path)
    if not folder.is_dir():
        hint = f"it should contain {content}" if content else ""
        if folder.is_file():
            raise MissingMediaError(str(folder), got="a file", expected="a folder", hint=hint)
        raise MissingMediaError(str(folder), got="no such folder", hint=hint)
    return folder


def file_below(root: Path, names: Sequence[str]) -> Path:
    """Return the first file of a list of names that exists below a folder.

    Raises:
        MissingMediaError: none exists.
    """
    for name in names:
        if (root / name).is_file():
            return root / name
    hint = f"also tried {', '.join(names[1:])}" if len(names) > 1 else ""
    raise MissingMediaError(str(root / names[0]), got="no such file", hint=hint)


def first_file(folder: Path, pattern: str) -> Path | None:
    """Return the first file in a folder by name that matches a pattern, or None."""
    return min(folder.glob(pattern), default=None)


def files_by_stem(folder: Path) -> dict[str, Path]:
    """Return all files below a folder by name without the last suffix; the first one if names repeat."""
    stems: dict[str, Path] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        stems.setdefault(path.stem, path)
    return stems


def seconds_in(text: str | None, item: str) -> float:
    """Parse a number of seconds in a table.

    Raises:
        MediaError: the text is not a finite number.
    """
    try:
        seconds = float(text or "")
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise MediaError(item, got=repr(text), expected="a number of seconds")
    return seconds


def check_span(start: float, end: float, item: str) -> None:
    """Raise a MediaError unless 0 <= start < end."""
    if not 0 <= start < end:
        raise MediaError(
            item, got=f"one from {start:g} to {end:g} s", expected="a clip with 0 <= start < end"
        )
