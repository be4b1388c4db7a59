"""Finds the positions of files in a tar archive from its headers; all readers of shards use it.

Python's tarfile takes several times as long per header, and a data set in shards has millions of them. It
also treats a damaged header as the end of the archive.
"""

import os
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from imagebind.errors import MediaError
from imagebind.io.source import encodable

TAR_BLOCK = 512  # bytes: the size of a header; file contents are padded to a multiple of it
# The fields of a header (POSIX ustar).
NAME, SIZE, CHECKSUM, TYPE = slice(0, 100), slice(124, 136), slice(148, 156), slice(156, 157)
MAGIC, PREFIX = slice(257, 262), slice(345, 500)
USTAR = b"ustar"
GNU_MAGIC = slice(257, 265)
GNU = b"ustar  \0"  # GNU headers have times in the place of POSIX's prefix
REGULAR_FILES = (b"0", b"\0", b"7")
WITHOUT_CONTENT = (b"1", b"2", b"3", b"4", b"5", b"6")  # links, devices, folders: their size has no meaning
LONG_NAME, EXTENDED = b"L", (b"x", b"X")  # entries of GNU and POSIX with metadata of the next file
SPARSE = b"S"  # GNU: a file whose zeros are not stored
REAL_SIZE = slice(483, 495)  # of a sparse file
HAS_MAP, MAP_CONTINUES = slice(482, 483), slice(504, 505)  # whether a block of its map of contents follows
SPARSE_SIZES = ("GNU.sparse.realsize", "GNU.sparse.size")  # POSIX: metadata of a sparse file
MAX_METADATA_BYTES = 2**20  # ours; metadata are read into memory, and a path has at most a few KiB
BINARY_SIZE = 0x80  # GNU: the first bit marks a binary size, used for 8 GiB or more
EXPECTED_TAR = "a complete, uncompressed .tar"


class TarEntry(NamedTuple):
    """A file in an archive; `start` and `size` are in bytes.

    A sparse file states the size of its content as `sparse_size`, and its content cannot be read: a few bytes
    may state terabytes of zeros.
    """

    name: str
    start: int
    size: int
    sparse_size: int | None = None


def tar_entries(file: BinaryIO, archive: str) -> Iterator[TarEntry]:
    """Yield the regular files of an archive in order, without links, folders and other entries.

    The caller may read the file between entries.

    Raises:
        MediaError: the file is not a tar archive, is compressed or truncated, or has metadata of more than
            `MAX_METADATA_BYTES`; names the last file before the damage.
    """
    length = file.seek(0, os.SEEK_END)
    position, last, metadata = 0, "its start", dict[str, str]()  # `metadata` is that of the next file

    def damaged(reason: str) -> MediaError:
        got = f"a file that cannot be read after {last} ({reason})"
        return MediaError(encodable(archive), got=got, expected=EXPECTED_TAR)

    while True:
        file.seek(position)
        header = file.read(TAR_BLOCK)
        if position and (not header or not any(header)):
            return  # an archive ends with blocks of zeros, which some writers omit
        sizes = _sizes(header, metadata)
        if sizes is None:
            raise damaged(f"no header at byte {position:,}")
        size, sparse_size = sizes
        start, entry_type, name = position + TAR_BLOCK, header[TYPE], metadata.get("path") or _name(header)
        if entry_type == SPARSE:
            start += _map_size(header, file)
        if start + size > length:
            raise damaged(f"truncated in {encodable(name)}")
        if entry_type in (LONG_NAME, *EXTENDED):
            if size > MAX_METADATA_BYTES:
                raise damaged(f"{size:,} bytes of metadata, more than {MAX_METADATA_BYTES:,}")
            content = file.read(size)
            metadata |= {"path": _text(content)} if entry_type == LONG_NAME else _records(content)
        else:
            if entry_type in (*REGULAR_FILES, SPARSE) and not name.endswith("/"):  # a folder in old archives
                yield TarEntry(metadata.get("GNU.sparse.name", name), start, size, sparse_size)
            metadata, last = {}, encodable(name)
        position = start + -(-size // TAR_BLOCK) * TAR_BLOCK


def _sizes(header: bytes, metadata: dict[str, str]) -> tuple[int, int | None] | None:
    """Return the size of the content after a header and that of a sparse file; None if the header is invalid.

    A header is valid if its byte sum, with the checksum field read as spaces, equals the checksum.
    """
    if len(header) < TAR_BLOCK:
        return None
    try:
        checksum, size = _number(header[CHECKSUM]), int(metadata.get("size") or _number(header[SIZE]))
        sparse_size = next((int(metadata[name]) for name in SPARSE_SIZES if name in metadata), None)
        if header[TYPE] == SPARSE:
            sparse_size = _number(header[REAL_SIZE])
    except ValueError:
        return None
    if header[TYPE] in WITHOUT_CONTENT:
        size = 0
    is_valid = checksum == sum(header) - sum(header[CHECKSUM]) + 8 * ord(" ")
    # A negative size would cause an endless loop.
    return (size, sparse_size) if is_valid and size >= 0 else None


def _map_size(header: bytes, file: BinaryIO) -> int:
    """Return the size in bytes of a sparse file's map, which follows the header at the file's position."""
    size, continues = 0, any(header[HAS_MAP])
    while continues:
        size += TAR_BLOCK
        continues = any(file.read(TAR_BLOCK)[MAP_CONTINUES])
    return size


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
