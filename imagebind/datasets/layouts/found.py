"""What a reader of a layout gives back, and what readers share."""

import csv
import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from imagebind.datasets.pairs import Pair
from imagebind.errors import MediaError

SHOWN = 5  # missing files that a warning or an error names

logger = logging.getLogger(__name__)


class Found(NamedTuple):
    """Pairs whose files are all there, and the files that were looked for and are not."""

    pairs: list[Pair]
    missing: list[str]


def found(layout: str, root: object, pairs: list[Pair], missing: Sequence[str]) -> Found:
    """Count what is missing in the log.

    Raises:
        MediaError: there is not one pair.
    """
    some = ", ".join(missing[:SHOWN])
    if not pairs:
        raise MediaError(
            str(root),
            got=f"no pair, and {len(missing):,} files missing" + (f" ({some}, …)" if missing else ""),
            expected=f"the folders of {layout} as it is published",
        )
    if missing:
        logger.warning("%s: %d pairs, %d files missing (%s, …)", layout, len(pairs), len(missing), some)
    return Found(pairs, list(missing))


def folder_at(path: str | os.PathLike[str]) -> Path:
    """A folder that is there.

    Raises:
        MediaError: it isn't.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise MediaError(str(folder), got="no such folder", expected="a folder")
    return folder


def files_by_stem(folder: Path) -> dict[str, Path]:
    """All files in a folder and below, by name without the last suffix; of several, the first."""
    stems: dict[str, Path] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        stems.setdefault(path.stem, path)
    return stems


def table_at(path: str | os.PathLike[str], columns: Sequence[str]) -> Iterable[dict[str, str]]:
    """The rows of a CSV with a header.

    Raises:
        MediaError: no such file, or a column missing.
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


def seconds_in(text: str | None, place: str) -> float:
    """A number of seconds in a table.

    Raises:
        MediaError: it is none.
    """
    try:
        return float(text or "")
    except ValueError as error:
        raise MediaError(place, got=f"{text!r} as seconds", expected="a number") from error
