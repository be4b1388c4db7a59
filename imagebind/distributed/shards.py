"""Read the files of a WebDataset shard, a tar archive, in order, from a disk or an object store."""

import tarfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

from imagebind.errors import MediaError
from imagebind.io.source import encodable, open_path
from imagebind.modality import MediaKind, ModalityType

MAX_ITEM_BYTES = 2**30  # ours: an item of a shard or table is read into memory
EXPECTED_SHARD = "a whole .tar, not compressed"
TEXT_ENDINGS = ("caption", "transcript")  # common in WebDataset shards, besides .txt
# Endings that WebDataset's decoders treat as labels, numbers and Python objects.
NOT_MEDIA_ENDINGS = frozenset(
    (
        *("json", "jsn", "jsonl", "cls", "cls2", "class", "count", "index", "inx", "id"),
        *("pyd", "pickle", "pth", "ten", "tb", "mp", "msgpack", "msg", "cbor"),
    )
)
_KIND_BY_ENDING = {name: name for name in (*map(str, MediaKind), ModalityType.VISION.value)} | dict.fromkeys(
    TEXT_ENDINGS, MediaKind.TEXT.value
)


class Member(NamedTuple):
    """A file of a shard; `kind` is the media type that its ending states, if it does.

    A `refusal` is the reason why `content` was not read.
    """

    name: str
    kind: str | None
    content: bytes
    refusal: str = ""


def shard_members(shard: str) -> Iterator[Member]:
    """Yield the media files of a shard in order, without labels, metadata and hidden files.

    An ending may state the media type of an ambiguous file: `0001.depth.png`, `0001.thermal.tiff`,
    `0001.imu.npy`. Otherwise it is detected by the content.

    Raises:
        MediaError: the shard is not an uncompressed tar archive, or it is damaged or truncated; files before
            the damage have been yielded.
    """
    last = "its start"
    with open_path(shard) as file:
        try:
            with tarfile.open(fileobj=file, mode="r:") as archive:
                end = 0
                for member in archive:
                    end = _end(member)
                    if member.isreg() and _is_media(member.name):
                        yield _read_member(archive, member)
                    last = encodable(member.name)
            # tarfile treats a damaged header as the end of the archive, like zeros.
            file.seek(end)
            if any(file.read(tarfile.BLOCKSIZE)):
                raise tarfile.ReadError(f"no header at byte {end:,}")
        # tarfile raises many types: OverflowError for a damaged pax header, ValueError...
        except (tarfile.TarError, OSError, ValueError, ArithmeticError, EOFError, RecursionError) as error:
            raise MediaError(
                encodable(shard), got=f"cannot be read after {last} ({error})", expected=EXPECTED_SHARD
            ) from error


def _read_member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Member:
    """Read a file, or refuse it if it is sparse or larger than `MAX_ITEM_BYTES`."""
    kind = _stated_kind(member.name)
    if member.issparse():  # a few bytes may state terabytes of zeros
        return Member(member.name, kind, b"", f"a sparse file of {member.size:,} bytes")
    if member.size > MAX_ITEM_BYTES:
        return Member(member.name, kind, b"", f"{member.size:,} bytes")
    content = archive.extractfile(member)
    return Member(member.name, kind, b"" if content is None else content.read(MAX_ITEM_BYTES))


def _end(member: tarfile.TarInfo) -> int:
    """Return the offset of the next header."""
    length = member.size if member.isreg() else 0
    return member.offset_data + -(-length // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def _is_media(name: str) -> bool:
    path = PurePosixPath(name)
    is_hidden = path.name.startswith((".", "__")) or name.startswith("__")
    return not is_hidden and path.suffix.lower()[1:] not in NOT_MEDIA_ENDINGS


def _stated_kind(name: str) -> str | None:
    """Return the media type in an ending, all after the first dot: `scene/0001.depth.png` is depth."""
    words = PurePosixPath(name).name.lower().split(".")[1:]
    return next((_KIND_BY_ENDING[word] for word in words if word in _KIND_BY_ENDING), None)
