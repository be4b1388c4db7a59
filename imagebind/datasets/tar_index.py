"""Finds the positions of files in a tar archive from its headers.

Python's tarfile takes several times as long per header, and a data set in shards has millions of them.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from imagebind.errors import MediaError

TAR_BLOCK = 512  # bytes: the size of a header; file contents are padded to a multiple of it
# The fields of a header (POSIX ustar).
NAME, SIZE, CHECKSUM, TYPE = slice(0, 100), slice(124, 136), slice(148, 156), slice(156, 157)
MAGIC, PREFIX = slice(257, 262), slice(345, 500)
USTAR = b"ustar"
GNU_MAGIC = slice(257, 265)
GNU = b"ustar  \0"  # GNU headers have times in the place of POSIX's prefix
REGULAR_FILES = (b"0", b"\0", b"7")
LONG_NAME, EXTENDED = b"L", b"x"  # entries of GNU and POSIX with metadata of the next file
MAX_METADATA_BYTES = 2**20
BINARY_SIZE = 0x80  # GNU: the first bit marks a binary size, used for 8 GiB or more
EXPECTED_TAR = "a complete .tar, not compressed"


class TarEntry(NamedTuple):
    """A file in an archive; `start` and `size` are in bytes."""

    name: str
    start: int
    size: int


def tar_entries(path: Path) -> Iterator[TarEntry]:
    """Yield the regular files of an archive in order, without links, folders and other entries.

    Raises:
        MediaError: the file is not a tar archive, or is compressed or truncated.
    """
    try:
        with path.open("rb", buffering=0) as file:
            yield from _entries(file, file.seek(0, os.SEEK_END), str(path))
    except OSError as error:
        raise MediaError(str(path), got=f"cannot be read ({error})", expected=EXPECTED_TAR) from error


def _entries(file: BinaryIO, length: int, archive: str) -> Iterator[TarEntry]:
    position, metadata = 0, dict[str, str]()  # `metadata` is that of the next file
    while True:
        file.seek(position)
        header = file.read(TAR_BLOCK)
        if position and (not header or not any(header)):
            return  # an archive ends with blocks of zeros, which some writers omit
        size = _size_in(header, metadata.get("size"))
        if size is None:
            raise MediaError(
                archive, got=f"cannot be read: no header at byte {position:,}", expected=EXPECTED_TAR
            )
        start, entry_type = position + TAR_BLOCK, header[TYPE]
        if start + size > length:
            name = metadata.get("path") or _name(header)
            raise MediaError(archive, got=f"truncated in {name}", expected=EXPECTED_TAR)
        if entry_type in (LONG_NAME, EXTENDED) and size <= MAX_METADATA_BYTES:
            content = file.read(size)
            metadata |= {"path": _text(content)} if entry_type == LONG_NAME else _records(content)
        else:
            if entry_type in REGULAR_FILES:
                yield TarEntry(metadata.get("path") or _name(header), start, size)
            metadata = {}
        position = start + -(-size // TAR_BLOCK) * TAR_BLOCK


def _size_in(header: bytes, metadata_size: str | None) -> int | None:
    """Return the size of the content after a header, or None if the header is invalid.

    A header is valid if its byte sum, with the checksum field read as spaces, equals the checksum.
    """
    if len(header) < TAR_BLOCK:
        return None
    try:
        checksum, size = _number(header[CHECKSUM]), int(metadata_size or _number(header[SIZE]))
    except ValueError:
        return None
    is_valid = checksum == sum(header) - sum(header[CHECKSUM]) + 8 * ord(" ")
    return size if is_valid and size >= 0 else None  # a negative size would cause an endless loop


def _number(field: bytes) -> int:
    if field[0] & BINARY_SIZE:
        return int.from_bytes(bytes([field[0] & ~BINARY_SIZE]) + field[1:], "big")
    return int(field.strip(b" \0") or b"0", base=8)


def _name(header: bytes) -> str:
    name, prefix = _text(header[NAME]), ""
    if header[MAGIC] == USTAR and header[GNU_MAGIC] != GNU:
        prefix = _text(header[PREFIX])
    return f"{prefix}/{name}" if prefix else name


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", errors="surrogateescape")


def _records(content: bytes) -> dict[str, str]:
    """Parse POSIX metadata: records "length key=value\\n", where length is that of the whole record."""
    records: dict[str, str] = {}
    while content:
        digits, _, _ = content.partition(b" ")
        if not digits.isdigit() or not len(digits) < int(digits) <= len(content):
            break
        key, _, value = content[len(digits) + 1 : int(digits) - 1].partition(b"=")
        records[key.decode("utf-8", errors="replace")] = value.decode("utf-8", errors="surrogateescape")
        content = content[int(digits) :]
    return records
