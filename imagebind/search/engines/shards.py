"""The files of a WebDataset shard, a tar archive read from front to back, from a disk or an object store."""

import tarfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

from imagebind.errors import MediaError
from imagebind.modality import MediaKind, ModalityType
from imagebind.search.engines.storage import open_at_random
from imagebind.transforms.source import encodable

WANTED = "a whole .tar, not compressed"
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
    """A file of a shard; `kind` is what its ending says that it is, if it says so."""

    name: str
    kind: str | None
    content: bytes


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
                    content = archive.extractfile(member) if member.isreg() else None
                    if content is not None and _is_media(member.name):
                        yield Member(member.name, _kind_said(member.name), content.read())
                    last = encodable(member.name)
            # A header that is damaged ends an archive for tarfile just as zeros do.
            file.seek(end)
            if any(file.read(tarfile.BLOCKSIZE)):
                raise tarfile.ReadError(f"no header at byte {end:,}")
        except (tarfile.TarError, OSError) as error:
            raise MediaError(
                encodable(shard), seen=f"cannot be read after {last} ({error})", wanted=WANTED
            ) from error


def _end(member: tarfile.TarInfo) -> int:
    """Where the next header stands."""
    length = member.size if member.isreg() else 0
    return member.offset_data + -(-length // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def _is_media(name: str) -> bool:
    path = PurePosixPath(name)
    is_hidden = path.name.startswith((".", "__")) or path.parts[0].startswith("__")
    return not is_hidden and path.suffix.lower()[1:] not in NO_MEDIA


def _kind_said(name: str) -> str | None:
    """What the ending says, which is all after the first dot: `scene/0001.depth.png` is depth."""
    words = PurePosixPath(name).name.lower().split(".")[1:]
    return next((_SAID[word] for word in words if word in _SAID), None)
