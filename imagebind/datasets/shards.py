"""Reads WebDataset shards: tar files with a sample's files next to each other, `key.jpg` and `key.wav`.

Shards are read with random access, not as streams: an index of all files is built once from the tar headers.
So shards shuffle, split between ranks and workers, and resume exactly like other pairs. Keep them on a local
disk, because random access is slow over a network.
"""

import io
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from imagebind.datasets.pairs import LazyPairs, Pair
from imagebind.datasets.tar_index import EXPECTED_TAR, TarEntry, tar_entries
from imagebind.errors import MediaError
from imagebind.modality import ModalityType

# Endings of a sample's files in order of preference, as usual in WebDataset.
VISION_ENDINGS = ("jpg", "jpeg", "png", "webp", "mp4", "webm", "mkv", "mov", "avi")
OTHER_ENDINGS = {
    ModalityType.TEXT: ("txt", "caption"),
    ModalityType.AUDIO: ("wav", "flac", "mp3", "ogg", "m4a", "mp4", "webm", "mkv", "mov"),
    ModalityType.DEPTH: ("depth.png", "depth.npy", "depth.tiff", "png", "npy", "npz", "tiff"),
    ModalityType.THERMAL: ("thermal.png", "thermal.jpg", "thermal.npy", "png", "npy", "tiff"),
    ModalityType.IMU: ("imu.csv", "imu.npy", "csv", "npy"),
}
MAX_NAMED_SAMPLES = 5  # incomplete samples named in a warning, and shards named in an error

logger = logging.getLogger(__name__)


class TarSpan(NamedTuple):
    """The position of a file in a shard, in bytes."""

    ending: str
    start: int
    size: int


class ShardSample(NamedTuple):
    """The number of a shard, and the key and the two files of a sample in it."""

    shard: int
    key: str
    vision: TarSpan
    other: TarSpan


class ShardPairs(LazyPairs):
    """The pairs in shards, in order. Files are opened when they are read.

        PairDataset(ShardPairs(sorted(Path("train").glob("*.tar")), "audio"), AlignedAudio())

    Args:
        vision, other: endings of the two files in order of preference; with audio one video file may be both.
        options: options of every item that is not vision: {"sensor": "kinect_v2"}.

    Raises:
        MediaError: a shard is missing, not a tar file, compressed or truncated; or no shard has a pair.
        ValueError: the modality is unknown, or vision.
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
        if self.modality is ModalityType.VISION:
            raise ValueError("modality: expected another modality than vision, got vision")
        self.options = dict(options or {})
        self.incomplete: list[str] = []  # samples that lack one of the two files
        self._samples: list[ShardSample] = []
        endings = tuple(vision), tuple(OTHER_ENDINGS[self.modality] if other is None else other)
        for number, shard in enumerate(self.shards):
            for key, files in shard_samples(shard):
                chosen = _choose(files, *endings, may_be_one=self.modality is ModalityType.AUDIO)
                if chosen is None:
                    self.incomplete.append(f"{shard.name}/{key}")
                else:
                    self._samples.append(ShardSample(number, key, *chosen))
        if not self._samples:
            raise MediaError(
                ", ".join(map(str, self.shards[:MAX_NAMED_SAMPLES])) or "shards",
                got=f"no pair in {len(self.shards)} shards ({len(self.incomplete)} incomplete samples)",
                expected=f"samples with one of {', '.join(endings[0])} and one of {', '.join(endings[1])}",
            )
        if self.incomplete:
            more = ", …" if len(self.incomplete) > MAX_NAMED_SAMPLES else ""
            some = ", ".join(self.incomplete[:MAX_NAMED_SAMPLES]) + more
            logger.warning("%d samples lack vision or %s (%s)", len(self.incomplete), self.modality, some)

    def __len__(self) -> int:
        return len(self._samples)

    def pair(self, index: int) -> Pair:
        """See `LazyPairs`."""
        sample = self._samples[index]
        other = self._open(sample, sample.other)
        is_one_file = sample.vision == sample.other
        return Pair(
            vision={ModalityType.VISION.value: other if is_one_file else self._open(sample, sample.vision)},
            other={self.modality.value: other, **self.options},
            modality=self.modality,
            name=f"{self.shards[sample.shard].name}/{sample.key}",
        )

    def _open(self, sample: ShardSample, file: TarSpan) -> BinaryIO:
        shard = self.shards[sample.shard]
        return open_file_part(shard, file.start, file.size, name=f"{shard}/{sample.key}.{file.ending}")


def shard_samples(shard: Path) -> Iterator[tuple[str, dict[str, TarSpan]]]:
    """Yield the key of each sample in a shard, and the positions of its files by ending.

    As in WebDataset, a key is a path up to the first dot of the file name, and a sample's files follow each
    other. The contents of the files are not read.

    Raises:
        MediaError: the shard is missing, not a tar file, compressed or truncated.
    """
    key, files = None, dict[str, TarSpan]()
    for entry in _entries(shard):
        folder, slash, name = entry.name.rpartition("/")
        stem, _, ending = name.partition(".")
        if f"{folder}{slash}{stem}" != key:
            if key is not None:
                yield key, files
            key, files = f"{folder}{slash}{stem}", {}
        files[ending.lower()] = TarSpan(ending.lower(), entry.start, entry.size)
    if key is not None:
        yield key, files


def _entries(shard: Path) -> Iterator[TarEntry]:
    """Yield the files of a shard, except for sparse ones."""
    try:
        with shard.open("rb", buffering=0) as file:
            yield from (entry for entry in tar_entries(file, str(shard)) if entry.sparse_size is None)
    except OSError as error:
        raise MediaError(
            str(shard), got=f"a file that cannot be read ({error})", expected=EXPECTED_TAR
        ) from error


def open_file_part(path: Path, start: int, size: int, *, name: str) -> BinaryIO:
    """Return a part of a file as a binary file, opened when it is first read."""
    return io.BufferedReader(_FilePart(path, start, size, name))


class _FilePart(io.RawIOBase):
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
            raise ValueError(f"{self.name}: position: expected 0 or more, got {base + offset}")
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
    files: Mapping[str, TarSpan], vision: Sequence[str], other: Sequence[str], *, may_be_one: bool
) -> tuple[TarSpan, TarSpan] | None:
    """Return two different files of a sample, or one for both if that is allowed; None if it lacks them."""
    first = [files[ending] for ending in vision if ending in files]
    second = [files[ending] for ending in other if ending in files]
    chosen = next(((one, two) for two in second for one in first if one != two), None)
    if chosen is None and may_be_one:
        chosen = next(((one, one) for one in second if one in first), None)
    return chosen
