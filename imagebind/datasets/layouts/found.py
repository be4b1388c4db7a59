"""The result of a layout reader, and helpers that the readers share."""

import csv
import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from imagebind.datasets.pairs import Pair
from imagebind.errors import MediaError

MAX_NAMED_FILES = 5  # missing files named in a warning or an error

logger = logging.getLogger(__name__)


class Found(NamedTuple):
    """Pairs whose files all exist, and the missing files."""

    pairs: list[Pair]
    missing: list[str]


def found(layout: str, root: object, pairs: list[Pair], missing: Sequence[str]) -> Found:
    """Return pairs and missing files, and log the number of missing files.

    Raises:
        MediaError: there are no pairs.
    """
    some = ", ".join(missing[:MAX_NAMED_FILES])
    if not pairs:
        raise MediaError(
            str(root),
            got=f"no pair, and {len(missing):,} files missing" + (f" ({some}, …)" if missing else ""),
            expected=f"the folders of {layout} as published",
        )
    if missing:
        logger.warning("%s: %d pairs, %d files missing (%s, …)", layout, len(pairs), len(missing), some)
    return Found(pairs, list(missing))


def folder_at(path: str | os.PathLike[str]) -> Path:
    """Return the path of an existing folder.

    Raises:
        MediaError: the folder does not exist.
    """
    folder = Path(path)
    if not folder.is_dir():
        got = "a file" if folder.is_file() else "no such folder"
        raise MediaError(str(folder), got=got, expected="a folder")
    return folder


def file_below(root: Path, names: Sequence[str]) -> Path:
    """Return the first of some files below a folder that exists.

    Raises:
        MediaError: none exists.
    """
    for name in names:
        if (root / name).is_file():
            return root / name
    expected = names[0] if len(names) == 1 else f"one of {', '.join(names)}"
    raise MediaError(str(root / names[0]), got="no such file", expected=expected)


def lines_at(path: Path) -> list[str]:
    """Return the lines of a text file that are not blank, without the space around them.

    Raises:
        MediaError: the file cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise MediaError(str(path), got=f"cannot be read ({error})", expected="a text file") from error
    return [line.strip() for line in lines if line.strip()]


def files_by_stem(folder: Path) -> dict[str, Path]:
    """Return all files below a folder by name without the last suffix; the first one if names repeat."""
    stems: dict[str, Path] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        stems.setdefault(path.stem, path)
    return stems


def table_at(path: str | os.PathLike[str], columns: Sequence[str]) -> Iterable[dict[str, str]]:
    """Return the rows of a CSV with a header.

    Raises:
        MediaError: the file cannot be read, or lacks a column.
    """
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            header = reader.fieldnames or []
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MediaError(str(path), got=f"cannot be read ({error})", expected="a CSV file") from error
    missing = [column for column in columns if column not in header]
    if missing:
        raise MediaError(
            str(path), got=f"columns {', '.join(header)}", expected=f"{', '.join(missing)} among them"
        )
    return rows


def seconds_in(text: str | None, item: str) -> float:
    """Parse a number of seconds in a table.

    Raises:
        MediaError: the text is not a number.
    """
    try:
        return float(text or "")
    except ValueError as error:
        raise MediaError(item, got=f"{text!r} as seconds", expected="a number") from error
