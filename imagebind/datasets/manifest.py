"""Pairs from a table of files: CSV, JSON lines or parquet.

One column is `vision`, each further one is named after a modality; a cell is a path, relative to the
manifest's folder, or a URI, or in the column `text` the text itself. A row with several modalities gives a
pair with each; an empty cell gives none. Beside them may stand:

- `name`: what to call the row in reports;
- `start` and `end`: the stretch of the vision that counts, in seconds;
- `offset`: what to add to a time of the vision for the time of the other;
- options of an item, as `depth.sensor`, `depth.focal`, `audio.channel`, `imu.rate`, `thermal.low`.

    vision,depth,depth.sensor,text
    0001.jpg,0001.png,kinect_v2,a chair by a window
"""

import csv
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from imagebind.datasets.pairs import Pair
from imagebind.errors import MediaError
from imagebind.io.uri import is_uri
from imagebind.modality import ModalityType

VISION = ModalityType.VISION.value
OTHERS = tuple(modality.value for modality in ModalityType if modality is not ModalityType.VISION)
NUMBERS = ("start", "end", "offset")
NAME = "name"
FILE_OPTIONS = ("focal",)  # options that may be a file, an intrinsics.txt

Row = Mapping[str, Any]


def read_pairs(manifest: str | os.PathLike[str]) -> list[Pair]:
    """The pairs of a manifest, `.csv`, `.jsonl` or `.parquet`, in its order; see the module for its columns.

    Whether the files are there is not looked at: one that isn't is a broken pair when it is read.

    Raises:
        MediaError: a manifest that cannot be read, a column that means nothing here, or a cell that cannot
            be; names the row.
    """
    path = Path(manifest)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise MediaError(str(path), got=f"a file named {path.suffix!r}", expected=", ".join(READERS))
    try:
        rows = list(reader(path))
    except (OSError, UnicodeDecodeError, ValueError, csv.Error) as error:  # pyarrow's and json's are of these
        raise MediaError(str(path), got=f"cannot be read ({error})", expected="a whole manifest") from error
    pairs = [pair for place, row in rows for pair in _pairs_of(row, path.parent, f"{path}, {place}")]
    if not pairs:
        raise MediaError(
            str(path),
            got=f"{len(rows):,} rows without a pair",
            expected=f"a column {VISION} and one or more of {', '.join(OTHERS)}",
        )
    return pairs


def _csv_rows(path: Path) -> Iterator[tuple[str, Row]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        for row in reader:
            yield f"line {reader.line_num}", row


def _jsonl_rows(path: Path) -> Iterator[tuple[str, Row]]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ValueError(f"line {number} is no JSON object")
                yield f"line {number}", row


def _parquet_rows(path: Path) -> Iterator[tuple[str, Row]]:
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path) as file:
        number = 0
        for batch in file.iter_batches():
            for row in batch.to_pylist():
                yield f"row {number}", row
                number += 1


READERS: dict[str, Callable[[Path], Iterator[tuple[str, Row]]]] = {
    ".csv": _csv_rows,
    ".jsonl": _jsonl_rows,
    ".parquet": _parquet_rows,
}


def _pairs_of(row: Row, folder: Path, place: str) -> Iterator[Pair]:
    cells = {key: value for key, value in row.items() if not _is_empty(value)}
    unknown = sorted(str(key) for key in row if not _is_known(key))
    if unknown:
        known = f"{VISION}, {', '.join(OTHERS)}, {NAME}, {', '.join(NUMBERS)}, or an option as depth.sensor"
        raise MediaError(place, got=f"columns {', '.join(unknown)}", expected=known)
    others = [key for key in OTHERS if key in cells]
    if not others:
        return
    if VISION not in cells:
        raise MediaError(place, got="no vision", expected=f"a picture or video beside {', '.join(others)}")
    numbers = {key: _number(cells[key], key, place) for key in NUMBERS if key in cells}
    if ("start" in numbers) != ("end" in numbers):
        raise MediaError(place, got="one of start and end", expected="both or neither")
    span = (numbers["start"], numbers["end"]) if "start" in numbers else None
    name = str(cells.get(NAME) or f"{place} ({cells[VISION]})")
    for key in others:
        try:
            yield Pair(
                vision=_item(VISION, cells, folder),
                other=_item(key, cells, folder),
                modality=ModalityType(key),
                name=name,
                span=span,
                offset=numbers.get("offset", 0.0),
            )
        except ValueError as error:
            raise MediaError(place, got=str(error), expected="a pair that can be") from error


def _item(key: str, cells: Row, folder: Path) -> dict[str, Any]:
    """A cell and its options, as `identify` takes them."""
    is_text = key == ModalityType.TEXT.value
    item = {key: str(cells[key]) if is_text else _located(str(cells[key]), folder)}
    for column, value in cells.items():
        kind, _, option = column.partition(".")
        if kind == key and option:
            value = _plain(value)
            is_file = option in FILE_OPTIONS and isinstance(value, str)
            item[option] = _located(value, folder) if is_file else value
    return item


def _located(cell: str, folder: Path) -> str:
    return cell if is_uri(cell) else str(folder / cell)


def _plain(value: Any) -> Any:
    """A number where a cell of text is one."""
    if not isinstance(value, str):
        return value
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def _number(value: Any, key: str, place: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise MediaError(place, got=f"{key} {value!r}", expected="a number of seconds")
    return number


def _is_empty(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _is_known(key: Any) -> bool:
    if not isinstance(key, str):  # cells beyond a CSV's header
        return False
    kind, _, option = key.partition(".")
    return key in (VISION, *OTHERS, NAME, *NUMBERS) or (kind in (VISION, *OTHERS) and bool(option))
