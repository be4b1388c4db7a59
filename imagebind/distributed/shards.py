"""Read the files of a WebDataset shard, a tar archive, in order, from a disk or an object store."""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import BinaryIO, NamedTuple

from imagebind.datasets.tar_index import EXPECTED_TAR, TarEntry, tar_entries
from imagebind.errors import MediaError
from imagebind.io.source import encodable, open_path
from imagebind.modality import MediaKind, ModalityType

MAX_ITEM_BYTES = 2**30  # our limit, since an item of a shard or table is read into memory
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
    """A file of a shard; `kind` is the media type, or vision, that its ending states, if it does.

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
    with open_path(shard) as file:
        try:
            for entry in tar_entries(file, shard):
                if _is_media(entry.name):
                    yield _read_member(file, entry)
        except OSError as error:
            got = f"a file that cannot be read ({error})"
            raise MediaError(encodable(shard), got=got, expected=EXPECTED_TAR) from error


def _read_member(file: BinaryIO, entry: TarEntry) -> Member:
    """Read a file, or refuse it if it is sparse or larger than `MAX_ITEM_BYTES`."""
    kind = _stated_kind(entry.name)
    if entry.sparse_size is not None:
        return Member(entry.name, kind, b"", f"a sparse file of {entry.sparse_size:,} bytes")
    if entry.size > MAX_ITEM_BYTES:
        return Member(entry.name, kind, b"", f"{entry.size:,} bytes")
    file.seek(entry.start)
    return Member(entry.name, kind, file.read(entry.size))


def _is_media(name: str) -> bool:
    path = PurePosixPath(name)
    is_hidden = path.name.startswith((".", "__")) or name.startswith("__")
    return not is_hidden and path.suffix.lower()[1:] not in NOT_MEDIA_ENDINGS


def _stated_kind(name: str) -> str | None:
    """Return the media type that an ending, all after the first dot, states: depth for `0001.depth.png`."""
    words = PurePosixPath(name).name.lower().split(".")[1:]
    return next((_KIND_BY_ENDING[word] for word in words if word in _KIND_BY_ENDING), None)
