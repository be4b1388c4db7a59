"""Where the files lie in a tar archive, told by its headers alone.

Python's tarfile takes several times as long for a header, of which a data set in shards has millions.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from imagebind.errors import MediaError

BLOCK = 512  # bytes: a header is one, a file's content is padded to a whole number of them
# Where a header (POSIX ustar) has its fields.
NAME, SIZE, CHECKSUM, KIND = slice(0, 100), slice(124, 136), slice(148, 156), slice(156, 157)
MAGIC, PREFIX = slice(257, 262), slice(345, 500)
USTAR = b"ustar"
GNU_MARK = slice(257, 265)
GNU = b"ustar  \0"  # which has times where POSIX has the prefix
FILES = (b"0", b"\0", b"7")
LONG_NAME, EXTENDED = b"L", b"x"  # GNU's and POSIX's way to say more of the file that follows
MAX_NOTE = 2**20  # bytes of such a note
BINARY_SIZE = 0x80  # GNU: a size of 8 GiB or more in binary, marked by its first bit
EXPECTED = "a whole .tar, not compressed"


class Entry(NamedTuple):
    """A file in an archive."""

    name: str
    start: int
    size: int


def tar_entries(path: Path) -> Iterator[Entry]:
    """Each regular file of an archive, in its order; links, folders and the like are passed over.

    Raises:
        MediaError: no tar archive, or a compressed one, or one that is cut short.
    """
    try:
        with path.open("rb", buffering=0) as file:
            yield from _entries(file, file.seek(0, os.SEEK_END), str(path))
    except OSError as error:
        raise MediaError(str(path), got=f"cannot be read ({error})", expected=EXPECTED) from error


def _entries(file: BinaryIO, length: int, archive: str) -> Iterator[Entry]:
    position, said = 0, dict[str, str]()  # what a note says of the next file
    while True:
        file.seek(position)
        header = file.read(BLOCK)
        if position and (not header or not any(header)):
            return  # a block of zeros, which some writers leave out
        size = _size_in(header, said.get("size"))
        if size is None:
            raise MediaError(
                archive, got=f"cannot be read: no header at byte {position:,}", expected=EXPECTED
            )
        start, kind = position + BLOCK, header[KIND]
        if start + size > length:
            raise MediaError(
                archive, got=f"cut short in {said.get('path') or _name(header)}", expected=EXPECTED
            )
        if kind in (LONG_NAME, EXTENDED) and size <= MAX_NOTE:
            note = file.read(size)
            said |= {"path": _text(note)} if kind == LONG_NAME else _records(note)
        else:
            if kind in FILES:
                yield Entry(said.get("path") or _name(header), start, size)
            said = {}
        position = start + -(-size // BLOCK) * BLOCK


def _size_in(header: bytes, said: str | None) -> int | None:
    """How long the content is that follows a header; None if it is no header.

    The bytes of one, those of the checksum as spaces, sum up to the checksum.
    """
    if len(header) < BLOCK:
        return None
    try:
        stated, size = _number(header[CHECKSUM]), int(said or _number(header[SIZE]))
    except ValueError:
        return None
    is_whole = stated == sum(header) - sum(header[CHECKSUM]) + 8 * ord(" ")
    return size if is_whole and size >= 0 else None  # a negative one would lead back here


def _number(field: bytes) -> int:
    if field[0] & BINARY_SIZE:
        return int.from_bytes(bytes([field[0] & ~BINARY_SIZE]) + field[1:], "big")
    return int(field.strip(b" \0") or b"0", base=8)


def _name(header: bytes) -> str:
    name, prefix = _text(header[NAME]), ""
    if header[MAGIC] == USTAR and header[GNU_MARK] != GNU:
        prefix = _text(header[PREFIX])
    return f"{prefix}/{name}" if prefix else name


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", errors="surrogateescape")


def _records(note: bytes) -> dict[str, str]:
    """POSIX's note: records of "length key=value\\n", the length that of all of the record."""
    records: dict[str, str] = {}
    while note:
        digits, _, _ = note.partition(b" ")
        if not digits.isdigit() or not len(digits) < int(digits) <= len(note):
            break
        key, _, value = note[len(digits) + 1 : int(digits) - 1].partition(b"=")
        records[key.decode("utf-8", errors="replace")] = value.decode("utf-8", errors="surrogateescape")
        note = note[int(digits) :]
    return records
