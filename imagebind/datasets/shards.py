"""WebDataset shards: tar files in which the files of a sample stand together, `key.jpg` beside `key.wav`.

Shards are read by position and not as streams: an index of where each file lies is made once, from the
headers. A sample can then be read alone, so that shards shuffle, are shared by ranks and workers, and are
resumed, exactly as other pairs are. They want to lie on a disk, not behind a network: reading is at random.
"""

import io
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from imagebind.datasets.pairs import LazyPairs, Pair
from imagebind.datasets.tar_index import tar_entries
from imagebind.errors import MediaError
from imagebind.modality import ModalityType

# What a sample's files may be named, the first that is there; WebDataset's usual ones.
VISION_ENDINGS = ("jpg", "jpeg", "png", "webp", "mp4", "webm", "mkv", "mov", "avi")
OTHER_ENDINGS = {
    ModalityType.TEXT: ("txt", "caption"),
    ModalityType.AUDIO: ("wav", "flac", "mp3", "ogg", "m4a", "mp4", "webm", "mkv", "mov"),
    ModalityType.DEPTH: ("depth.png", "depth.npy", "depth.tiff", "png", "npy", "npz", "tiff"),
    ModalityType.THERMAL: ("thermal.png", "thermal.jpg", "thermal.npy", "png", "npy", "tiff"),
    ModalityType.IMU: ("imu.csv", "imu.npy", "csv", "npy"),
}
SHOWN = 5  # incomplete samples that a warning names

logger = logging.getLogger(__name__)


class Place(NamedTuple):
    """Where a file lies in a shard."""

    ending: str
    start: int
    size: int


class Member(NamedTuple):
    """A sample of a shard."""

    shard: int
    key: str
    vision: Place
    other: Place


class ShardPairs(LazyPairs):
    """The pairs in shards, in their order; each has files that open when they are read.

        PairDataset(ShardPairs(sorted(Path("train").glob("*.tar")), "audio"), AlignedSound())

    Args:
        vision, other: endings of the two files, the first that is there; beside sound one file may be both, a
            video with its own.
        options: of the other, for all samples: {"sensor": "kinect_v2"}.

    Raises:
        MediaError: a shard that is no tar file, or is compressed, or cut short; or no pair in all of them.
    """

    def __init__(
        self,
        shards: Sequence[str | os.PathLike[str]],
        modality: ModalityType | str,
        *,
        vision: Sequence[str] = VISION_ENDINGS,
        other: Sequence[str] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.shards = [Path(shard) for shard in shards]
        self.modality = ModalityType(modality)
        self.options = dict(options or {})
        self.incomplete: list[str] = []  # samples that lack one of the two
        self._members: list[Member] = []
        endings = tuple(vision), tuple(OTHER_ENDINGS[self.modality] if other is None else other)
        for number, shard in enumerate(self.shards):
            for key, places in samples_of(shard):
                chosen = _choose(places, *endings, may_be_one=self.modality is ModalityType.AUDIO)
                if chosen is None:
                    self.incomplete.append(f"{shard.name}/{key}")
                else:
                    self._members.append(Member(number, key, *chosen))
        if not self._members:
            raise MediaError(
                ", ".join(map(str, self.shards[:SHOWN])) or "shards",
                got=f"no pair in {len(self.shards)} shards ({len(self.incomplete)} incomplete samples)",
                expected=f"samples with one of {', '.join(endings[0])} and one of {', '.join(endings[1])}",
            )
        if self.incomplete:
            some = ", ".join(self.incomplete[:SHOWN])
            logger.warning("%d samples lack vision or %s (%s, …)", len(self.incomplete), self.modality, some)

    def __len__(self) -> int:
        return len(self._members)

    def pair(self, index: int) -> Pair:
        """See `LazyPairs`."""
        member = self._members[index]
        other = self._open(member, member.other)
        one_file = member.vision == member.other
        return Pair(
            vision={ModalityType.VISION.value: other if one_file else self._open(member, member.vision)},
            other={self.modality.value: other, **self.options},
            modality=self.modality,
            name=f"{self.shards[member.shard].name}/{member.key}",
        )

    def _open(self, member: Member, place: Place) -> BinaryIO:
        shard = self.shards[member.shard]
        return open_stretch(shard, place.start, place.size, name=f"{shard}/{member.key}.{place.ending}")


def samples_of(shard: Path) -> Iterator[tuple[str, dict[str, Place]]]:
    """Each sample of a shard: its key, and where its files lie by their endings.

    As in WebDataset a key is a path up to the first dot of the file's name, and a sample's files follow each
    other. Only headers are read.

    Raises:
        MediaError: no tar file, or a compressed one, or one that is cut short.
    """
    key, places = None, dict[str, Place]()
    for entry in tar_entries(shard):
        folder, slash, name = entry.name.rpartition("/")
        stem, _, ending = name.partition(".")
        if f"{folder}{slash}{stem}" != key:
            if key is not None:
                yield key, places
            key, places = f"{folder}{slash}{stem}", {}
        places[ending.lower()] = Place(ending.lower(), entry.start, entry.size)
    if key is not None:
        yield key, places


def open_stretch(path: Path, start: int, size: int, *, name: str) -> BinaryIO:
    """A stretch of a file as a file of its own, opened when it is first read."""
    return io.BufferedReader(_Stretch(path, start, size, name))


class _Stretch(io.RawIOBase):
    def __init__(self, path: Path, start: int, size: int, name: str) -> None:
        self.name = name
        self._path, self._start, self._size = path, start, size
        self._position = 0
        self._file: BinaryIO | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"{self.name}: a position: expected 0 or more, got {base + offset}")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        if self._file is None:
            self._file = self._path.open("rb", buffering=0)
        view = memoryview(buffer).cast("B")
        count = max(min(len(view), self._size - self._position), 0)
        self._file.seek(self._start + self._position)
        read = self._file.readinto(view[:count]) or 0  # type: ignore[attr-defined]
        self._position += read
        return read

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        super().close()


def _choose(
    places: Mapping[str, Place], vision: Sequence[str], other: Sequence[str], *, may_be_one: bool
) -> tuple[Place, Place] | None:
    """The two files of a sample, two different ones where there are; else one that is both, if it may be."""
    first = [places[ending] for ending in vision if ending in places]
    second = [places[ending] for ending in other if ending in places]
    chosen = next(((one, two) for two in second for one in first if one != two), None)
    if chosen is None and may_be_one:
        chosen = next(((one, one) for one in second if one in first), None)
    return chosen
