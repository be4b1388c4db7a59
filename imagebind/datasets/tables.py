"""Reads tables, lists and JSON in UTF-8 or UTF-16; tables are CSV with commas, semicolons or tabs."""

import csv
import io
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from imagebind.errors import MediaError, MissingMediaError
from imagebind.media.imu_text import UTF16_MARKS, separator_line

DELIMITERS = (",", ";", "\t")
ENCODINGS = "text in UTF-8, or in UTF-16 with a byte order mark"
HEADER_CHARACTERS = 100_000  # fewer than the csv module allows in a cell
StrPath = str | os.PathLike[str]


def text_at(path: StrPath, expected: str = "a text file") -> str:
    r"""Return the text of a file in UTF-8, or UTF-16 with a byte order mark; all ends of line become "\n".

    Args:
        expected: a description of the file, for errors.

    Raises:
        MediaError: the file does not exist, cannot be read, or is not text in one of these encodings.
    """
    content = _bytes_at(path, expected)
    try:
        text = content.decode("utf-16" if content.startswith(UTF16_MARKS) else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise MediaError(
            f"{path}, line {line}", got=f"a character that is not {error.encoding}", expected=ENCODINGS
        ) from error
    if "\0" in text:
        raise MediaError(str(path), got="NUL characters", expected=ENCODINGS)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def lines_at(path: StrPath, expected: str = "a text file") -> list[str]:
    """Return the lines of a text file that are not blank, without the space around them.

    Raises:
        MediaError: as for `text_at`.
    """
    return [line for _, line in numbered_lines(path, expected)]


def numbered_lines(path: StrPath, expected: str = "a text file") -> list[tuple[int, str]]:
    """Return the lines as `lines_at` does, each with its number in the file.

    Raises:
        MediaError: as for `text_at`.
    """
    lines = enumerate(text_at(path, expected).split("\n"), start=1)
    return [(number, line.strip()) for number, line in lines if line.strip()]


def numbered_cells(path: StrPath, expected: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of each line of a CSV without a header, and the number of the line.

    Blank lines and lines that start with # are left out. A cell has no line break.

    Raises:
        MediaError: as for `text_at`, or a line is not a row of CSV.
    """
    for number, line in numbered_lines(path, expected):
        if not line.startswith("#"):
            try:
                yield number, next(csv.reader([line], skipinitialspace=True))
            except csv.Error as error:
                raise _invalid_row(path, number, error) from error


def table_at(path: StrPath, columns: Sequence[str]) -> list[dict[str, str]]:
    """Return the rows of a CSV with a header, without line numbers; see `numbered_rows`."""
    return [row for _, row in numbered_rows(path, columns)]


def numbered_rows(path: StrPath, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """Return the rows of a CSV with a header, each with the number of its last line; empty rows are left out.

    The delimiter is the one that splits the header into the columns: a comma, a semicolon or a tab; a first
    line such as sep=| states another. Cells that contain the delimiter, quotes or line breaks are quoted.
    Missing cells at the end of a row are "". Columns without a name at the end are left out.

    Raises:
        MediaError: the file cannot be read or lacks a column, a row has a value beyond the header's columns
            or cannot be read, or a quote is not closed.
    """
    text = text_at(path, f"a CSV with {', '.join(columns)}" if columns else "a CSV with a header")
    first, _, rest = text.partition("\n")
    separator = separator_line(first)
    skipped = 0 if separator is None else 1
    text = text if separator is None else rest
    delimiters = DELIMITERS if separator is None else (separator,)
    delimiter = max(delimiters, key=lambda each: _fit(text, each, columns))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows: list[tuple[int, dict[str, str]]] = []
    cells: list[str] = []
    try:
        header = [name.strip() for name in next(reader, [])]
        num_columns = len(header)
        while header and not header[-1]:  # of empty columns, which spreadsheets write
            header.pop()
        if missing := [column for column in columns if column not in header]:
            raise MediaError(
                str(path),
                got=", ".join(header) or "no header",
                expected=f"{', '.join(missing)} among the columns",
            )
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            line = reader.line_num + skipped
            if any(cell.strip() for cell in cells[num_columns:]):
                raise MediaError(
                    f"{path}, line {line}",
                    got=f"{len(cells)}",
                    expected=f"{num_columns} cells ({', '.join(header)})",
                    hint=f"quote a cell that contains {delimiter!r}",
                )
            rows.append((line, {**dict.fromkeys(header, ""), **dict(zip(header, cells, strict=False))}))
    except csv.Error as error:
        raise _invalid_row(path, reader.line_num + skipped, error) from error
    # A quote that is not closed makes the rest of the file one cell of the last row.
    if any("\n" in cell for cell in cells) and text.count('"') % 2:
        lines = max(cell.count("\n") for cell in cells)
        raise MediaError(
            str(path),
            got=f"a quote in the last {lines:,} lines that is not closed",
            expected="closed quotes",
        )
    return rows


def json_at(path: StrPath, expected: str) -> Any:
    """Return the content of a JSON file in UTF-8 or UTF-16.

    Raises:
        MediaError: the file does not exist, cannot be read, or is not JSON.
    """
    try:
        return json.loads(_bytes_at(path, expected))
    except MediaError:  # is a ValueError
        raise
    except (ValueError, RecursionError) as error:
        raise MediaError(str(path), got=f"a file that cannot be read ({error})", expected=expected) from error


def _invalid_row(path: StrPath, line: int, error: csv.Error) -> MediaError:
    got = f"one that cannot be read ({error})"
    return MediaError(f"{path}, line {line}", got=got, expected="a row of CSV")


def _fit(text: str, delimiter: str, columns: Sequence[str]) -> tuple[int, int]:
    """Return the number of required columns and of all cells in the header, split by a delimiter."""
    first = text[:HEADER_CHARACTERS].partition("\n")[0]
    header = [name.strip() for name in next(csv.reader([first], delimiter=delimiter), [])]
    return sum(column in header for column in columns), len(header)


def _bytes_at(path: StrPath, expected: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError as error:
        raise MissingMediaError(str(path), got="no such file", hint=f"it should be {expected}") from error
    except OSError as error:
        raise MediaError(
            str(path), got=f"a file that cannot be read ({error.strerror})", expected=expected
        ) from error
