"""Decode the text of a table and split it into lines and cells."""

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator
from typing import BinaryIO

from imagebind.errors import MediaError

HEAD_LINES = 400  # examined for metadata, header and first rows
HEAD_CHARACTERS = 2**18
ENCODING_BYTES = 2**16  # examined for the encoding
MAX_LINE_CHARACTERS = 2**20
IMU_DELIMITERS = ("\t", ";", ",", " ")  # in order of preference; " " stands for any run of spaces and tabs
COMMENT_SIGNS = ("#", "//", "%")
MAX_CHECKED_CELLS = 64  # of a line; enough to tell a row of numbers from other text
BLANK_CELLS = frozenset({"", "nan", "null", "na", "n/a", "none", "-", "--"})  # a missing value
UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

Line = tuple[int, str]  # number from 1, and text without the line end
LineSplitter = Callable[[str], list[str]]

_STATED_DELIMITER = re.compile(r'\s*"?sep=(.*?)"?\s*', re.IGNORECASE)


def text_lines(data: bytes | BinaryIO, *, name: str) -> Iterator[Line]:
    """Yield the lines of UTF-8, UTF-16 with a byte order mark (Excel), or Latin-1 (old spreadsheets' "m/s²").

    Raises:
        MediaError: the data are binary, or a line has `MAX_LINE_CHARACTERS` characters.
    """
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    start = file.read(ENCODING_BYTES)
    file.seek(0)
    encoding = encoding_of(start)
    if encoding is None:
        raise MediaError(name, got="binary data", expected="a table in text, or an .npy")
    text = io.TextIOWrapper(file, encoding=encoding, errors="replace", newline=None)
    number = 0
    try:
        while line := text.readline(MAX_LINE_CHARACTERS):
            number += 1
            if len(line) == MAX_LINE_CHARACTERS and not line.endswith("\n"):
                raise MediaError(
                    name,
                    got=f"at least {MAX_LINE_CHARACTERS:,} characters in line {number}",
                    expected="a table with shorter lines",
                )
            yield number, line.rstrip("\n")
    finally:
        text.detach()  # leave the file open; the caller closes it


def encoding_of(start: bytes) -> str | None:
    """Return the encoding of a text by its first bytes; None for binary data."""
    if start.startswith(UTF16_MARKS):
        return "utf-16"
    if b"\0" in start:
        return None
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8-sig"


def separator_line(line: str) -> str | None:
    r"""Return the delimiter named by Excel's `sep=;` or Shimmer's `"sep=\t"`; None for other lines."""
    match = _STATED_DELIMITER.fullmatch(line[:MAX_LINE_CHARACTERS])
    if match is None:
        return None
    named = match[1] or ("\t" if "\t" in line else "")
    return "\t" if named == "\\t" else named[:1] or ","


def splitter(delimiter: str) -> LineSplitter:
    """Return a function that splits a line at a delimiter, except within quotes."""

    def split(line: str) -> list[str]:
        if '"' not in line:
            return line.split() if delimiter == " " else line.split(delimiter)
        try:
            cells = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
        except (csv.Error, ValueError):  # a cell of more than 131,072 characters; a quote as delimiter
            return line.split(delimiter)
        return [cell for cell in cells if cell] if delimiter == " " else cells

    return split


def without_comment_sign(line: str) -> str | None:
    """Return the text after a leading `#`, `//` or `%`; None for other lines."""
    text = line.lstrip()
    for sign in COMMENT_SIGNS:
        if text.startswith(sign):
            return text[len(sign) :]
    return None


def number_in(cell: str) -> float | None:
    """Parse a number with a decimal point or comma; NaN for a blank cell; None for other text."""
    text = cell.strip().strip('"').strip()
    if text.lower() in BLANK_CELLS:
        return float("nan")
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return float(text.replace(",", ".")) if text.count(",") == 1 and "." not in text else None
    except ValueError:
        return None


def is_row(cells: list[str]) -> bool:
    """Whether at least three cells are numbers, and not more cells are text than numbers."""
    numbers = [number_in(cell) for cell in cells[:MAX_CHECKED_CELLS]]
    known = sum(number == number for number in numbers if number is not None)
    return known >= 3 and known >= sum(number is None for number in numbers)
