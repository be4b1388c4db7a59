"""The files of a WebDataset shard, a tar archive read from front to back, from a disk or an object store."""

import tarfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

from imagebind.errors import MediaError
from imagebind.io.source import encodable
from imagebind.io.storage import open_at_random
from imagebind.modality import MediaKind, ModalityType

MAX_ITEM_BYTES = 2**30  # ours: an item of a shard or table is in memory as a whole
EXPECTED = "a whole .tar, not compressed"
TEXTS = ("caption", "transcript")  # what WebDataset's users call texts besides .txt
# Endings that WebDataset's decoders take for labels, numbers and Python objects.
NO_MEDIA = frozenset(
    (
        *("json", "jsn", "jsonl", "cls", "cls2", "class", "count", "index", "inx", "id"),
        *("pyd", "pickle", "pth", "ten", "tb", "mp", "msgpack", "msg", "cbor"),
    )
)
_SAID = {name: name for name in (*map(str, MediaKind), ModalityType.VISION.value)} | dict.fromkeys(
    TEXTS, MediaKind.TEXT.value
)


class Member(NamedTuple):
    """A file of a shard; `kind` is what its ending says that it is, if it says so.

    Instead of a `content` it may have a `refusal`.
    """

    name: str
    kind: str | None
    content: bytes
    refusal: str = ""


def shard_members(shard: str) -> Iterator[Member]:
    """The media in a shard, in its order; labels, metadata and hidden files are left out.

    An ending may say what a file is that could be two things: `0001.depth.png`, `0001.thermal.tiff`,
    `0001.imu.npy`. Otherwise it is what its content is.

    Raises:
        MediaError: no tar archive, or a compressed one, or one that is damaged or cut short; all that stands
            before the damage has come out then.
    """
    last = "its start"
    with open_at_random(shard) as file:
        try:
            with tarfile.open(fileobj=file, mode="r:") as archive:
                end = 0
                for member in archive:
                    end = _end(member)
                    if member.isreg() and _is_media(member.name):
                        yield _read_member(archive, member)
                    last = encodable(member.name)
            # A header that is damaged ends an archive for tarfile just as zeros do.
            file.seek(end)
            if any(file.read(tarfile.BLOCKSIZE)):
                raise tarfile.ReadError(f"no header at byte {end:,}")
        # tarfile lets many kinds through: OverflowError for a damaged pax header, ValueError...
        except (tarfile.TarError, OSError, ValueError, ArithmeticError, EOFError, RecursionError) as error:
            raise MediaError(
                encodable(shard), got=f"cannot be read after {last} ({error})", expected=EXPECTED
            ) from error


def _read_member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Member:
    """A file's content; of a sparse one, or one above `MAX_ITEM_BYTES`, why it is not read."""
    kind = _kind_said(member.name)
    if member.issparse():  # a few bytes may state terabytes of zeros
        return Member(member.name, kind, b"", f"a sparse file of {member.size:,} bytes")
    if member.size > MAX_ITEM_BYTES:
        return Member(member.name, kind, b"", f"{member.size:,} bytes")
    content = archive.extractfile(member)
    return Member(member.name, kind, b"" if content is None else content.read(MAX_ITEM_BYTES))


def _end(member: tarfile.TarInfo) -> int:
    """Where the next header stands."""
    length = member.size if member.isreg() else 0
    return member.offset_data + -(-length // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def _is_media(name: str) -> bool:
    path = PurePosixPath(name)
    is_hidden = path.name.startswith((".", "__")) or name.startswith("__")
    return not is_hidden and path.suffix.lower()[1:] not in NO_MEDIA


def _kind_said(name: str) -> str | None:
    """What the ending says, which is all after the first dot: `scene/0001.depth.png` is depth."""
    words = PurePosixPath(name).name.lower().split(".")[1:]
    return next((_SAID[word] for word in words if word in _SAID), None)
