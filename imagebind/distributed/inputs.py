"""What is to be embedded, cut into parts: files, rows of Parquet files that hold media, shards of WebDataset.

The cut follows from the inputs alone, so that a run which was killed is gone on with part by part.
"""

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

from imagebind.distributed.shards import MAX_ITEM_BYTES, Member, shard_members
from imagebind.errors import MediaError
from imagebind.io.source import encodable
from imagebind.io.storage import NamedBytes, files_below, map_in_threads, open_at_random, read_all
from imagebind.io.uri import is_uri
from imagebind.modality import MediaKind, ModalityType

PART_ITEMS = 512  # so much is lost, at most, of each worker's doing where a run is killed
PARQUET, SHARD = ".parquet", ".tar"
PATH, BYTES, MODALITY = "path", "bytes", "modality"  # columns
READ_ROWS = 32  # of media, at most, at once
READ_BYTES = 256 * 2**20  # of media at once, unless one row has more
# Ours: columns that state both more bytes and a larger ratio to their stored bytes are refused.
PLAIN_BYTES, MAX_RATIO = 64 * 2**20, 200
MAX_PATH = 2**15  # characters; longer than any file system has
MODALITIES = frozenset((*(kind.value for kind in MediaKind), ModalityType.VISION.value))


class Item(NamedTuple):
    """Something to embed: its name, and what `Embedder.encode` takes or the reason why there is nothing."""

    name: str
    item: Any = None
    error: MediaError | None = None


class Part(Protocol):
    """Some of the inputs, which one worker embeds and writes as one file."""

    @property
    def name(self) -> str:
        """What it is of, in words."""

    def items(self) -> Iterator[Item]:
        """What it consists of, always in the same order."""


class NamedFile(NamedTuple):
    """A file by path or URI, and what it is if somebody said so."""

    path: str
    modality: str | None = None


@dataclass(frozen=True)
class FilesPart:
    """Files; those of a relative path are below `base`."""

    files: tuple[NamedFile, ...]
    base: str

    @property
    def name(self) -> str:
        """See `Part`."""
        first, last = self.files[0].path, self.files[-1].path
        return encodable(first if len(self.files) == 1 else f"{first} … {last}")

    def items(self) -> Iterator[Item]:
        """See `Part`. Files of a store are fetched some ahead."""
        if any(is_uri(file.path) for file in self.files):
            return map_in_threads(self._item, self.files)
        return map(self._item, self.files)

    def _item(self, file: NamedFile) -> Item:
        name = encodable(file.path)
        try:
            source = read_all(file.path) if is_uri(file.path) else Path(self.base, file.path)
            return Item(name, _said(source, file.modality, name))
        except MediaError as error:
            return Item(name, error=error)


@dataclass(frozen=True)
class RowsPart:
    """Row groups of a Parquet file with a column of `bytes`, and perhaps of `path` and `modality`.

    What a row's `path` says is a name within the table, and no file: see `_inside`.
    """

    file: str
    groups: tuple[int, ...]
    first_row: int

    @property
    def name(self) -> str:
        """See `Part`."""
        return f"{_inside(self.file, None, self.first_row)} …"

    def items(self) -> Iterator[Item]:
        """See `Part`. Where rows of a group cannot be read on, that is one item, with an error."""
        first = self.first_row
        try:
            with open_at_random(self.file) as file:
                table = _table(file, self.file)
                for group in self.groups:
                    yield from self._group_items(table, group, first)
                    first += table.metadata.row_group(group).num_rows
        except Exception as error:  # damaged data raise many types
            yield _rest(self.file, first, error)

    def _group_items(self, table: Any, group: int, number: int) -> Iterator[Item]:
        columns = [name for name in table.schema_arrow.names if name in (PATH, BYTES, MODALITY)]
        try:
            for row in _rows(table, [group], columns, self.file):
                yield _row_item(row, _inside(self.file, row.get(PATH), number))
                number += 1
        except Exception as error:  # as above
            yield _rest(self.file, number, error)


@dataclass(frozen=True)
class ShardPart:
    """A WebDataset shard: a tar file."""

    file: str

    @property
    def name(self) -> str:
        """See `Part`."""
        return encodable(self.file)

    def items(self) -> Iterator[Item]:
        """See `Part`. A shard that is damaged is the last item itself, with an error."""
        try:
            for number, member in enumerate(shard_members(self.file)):
                yield _member_item(member, _inside(self.file, member.name, number))
        except MediaError as error:
            yield Item(self.name, error=error)


class Inputs(NamedTuple):
    """All that is to be done, and inputs of which nothing can be."""

    parts: list[Part]
    failures: list[Item]


class _RowGroup(NamedTuple):
    file: str
    number: int
    first_row: int
    rows: int


def cut(sources: Iterable[str], *, base: str, partitions: int | None = None, without: str = "") -> Inputs:
    """Look through inputs and cut them into parts of `PART_ITEMS`, or into about as many as are asked for.

    A shard is a part of its own, and row groups stay whole. The same file twice is one.

    Args:
        sources: paths and URIs of files; a URI may be a folder's. What ends in `.tar` is a shard. What ends
            in `.parquet` has a column `bytes`, or one of `path`: paths, relative to the file's folder, or
            URIs; and perhaps one of `modality`.
        base: the folder that relative sources are below.
        without: a folder, by path or URI, whose files are left out.

    Raises:
        MediaError: a store that cannot be reached.
    """
    files: dict[NamedFile, None] = {}
    groups: list[_RowGroup] = []
    shards: list[Part] = []
    failures = []
    found = (file for source in sources for file in (files_below(source) if is_uri(source) else [source]))
    for file in dict.fromkeys(found):
        whole = _whole(file, base)
        if without and whole.startswith(f"{_whole(without, base).rstrip('/')}/"):
            continue
        if file.endswith(SHARD):
            shards.append(ShardPart(whole))
        elif file.endswith(PARQUET):
            try:
                listed = _look_into(whole)
            except MediaError as error:
                failures.append(Item(encodable(file), error=error))
            else:
                groups += [entry for entry in listed if isinstance(entry, _RowGroup)]
                files |= dict.fromkeys(entry for entry in listed if isinstance(entry, NamedFile))
        else:
            files[NamedFile(file)] = None
    size = _part_size(len(files) + sum(group.rows for group in groups), partitions)
    return Inputs([*_file_parts(list(files), base, size), *_row_parts(groups, size), *shards], failures)


def cut_files(paths: Sequence[str], *, partitions: int | None = None) -> list[Part]:
    """Cut files by whole path into such parts; each is an item itself, whatever its name ends in."""
    return [*_file_parts([NamedFile(path) for path in paths], os.sep, _part_size(len(paths), partitions))]


def _part_size(items: int, partitions: int | None) -> int:
    return PART_ITEMS if partitions is None else max(math.ceil(items / partitions), 1)


def _file_parts(files: Sequence[NamedFile], base: str, size: int) -> Iterator[FilesPart]:
    for start in range(0, len(files), size):
        yield FilesPart(tuple(files[start : start + size]), base)


def _row_parts(groups: Sequence[_RowGroup], size: int) -> Iterator[RowsPart]:
    for file, listed in groupby(groups, key=lambda group: group.file):
        taken: list[_RowGroup] = []
        for group in listed:
            if taken and sum(other.rows for other in taken) + group.rows > size:
                yield RowsPart(file, tuple(other.number for other in taken), taken[0].first_row)
                taken = []
            taken.append(group)
        yield RowsPart(file, tuple(other.number for other in taken), taken[0].first_row)


def _look_into(file: str) -> list[NamedFile | _RowGroup]:
    """The files that a Parquet file names; where it has their bytes itself, its row groups."""
    with open_at_random(file) as opened:
        table = _table(opened, file)
        names = table.schema_arrow.names
        if "vector" in names or not {PATH, BYTES} & set(names):
            raise MediaError(
                encodable(file),
                got="a table of vectors" if "vector" in names else f"a table of {', '.join(names)}",
                expected=f"one of media, with a column {PATH!r} or {BYTES!r}, and perhaps {MODALITY!r}",
            )
        if BYTES in names:
            first_rows = [0]
            for number in range(table.num_row_groups):
                first_rows.append(first_rows[-1] + table.metadata.row_group(number).num_rows)
            return [
                _RowGroup(file, number, first, after - first)
                for number, (first, after) in enumerate(pairwise(first_rows))
                if after > first
            ]
        try:
            columns = [name for name in (PATH, MODALITY) if name in names]
            folder = file.rpartition("/")[0] if is_uri(file) else str(Path(file).parent)
            return [
                NamedFile(_below(folder, row[PATH]), _hashable(row.get(MODALITY)))
                for row in _rows(table, range(table.num_row_groups), columns, file)
            ]
        except MediaError:
            raise
        except (OSError, ValueError, ArithmeticError, MemoryError) as error:
            raise _unreadable(file, error) from error


def _whole(path: str, base: str) -> str:
    return path if is_uri(path) else os.path.abspath(Path(base, path))  # noqa: PTH100 (links stay)


def _hashable(modality: Any) -> str | None:
    """A modality as a file of a table has it; what is no text is refused as text later, with its file."""
    return modality if modality is None or isinstance(modality, str) else repr(modality)[:80]


def _rest(file: str, number: int, error: Exception) -> Item:
    """Rows of a group that cannot be read, from a number on."""
    name = _inside(file, None, number)
    return Item(name, error=_unreadable(f"{name} and what follows in its row group", error))


def _rows(
    table: Any, groups: Iterable[int], columns: Sequence[str], file: str
) -> Iterator[Mapping[str, Any]]:
    """Rows of some groups of a Parquet file, so many at once that they take at most `READ_BYTES`.

    Rows may share a value that is stored once, so each may be as large as all that its group states.

    Raises:
        MediaError: a group that states far more bytes than it has in the file.
    """
    for number in groups:
        group = table.metadata.row_group(number)
        chunks = [group.column(place) for place in range(group.num_columns)]
        chunks = [chunk for chunk in chunks if chunk.path_in_schema.split(".")[0] in columns]
        stated = sum(chunk.total_uncompressed_size for chunk in chunks)
        stored = sum(chunk.total_compressed_size for chunk in chunks)
        if stated > max(PLAIN_BYTES, MAX_RATIO * stored):
            raise MediaError(
                encodable(file),
                got=f"row group {number} of {stored:,} bytes that states {stated:,}",
                expected=f"at most {MAX_RATIO} times as many",
            )
        size = max(min(READ_ROWS, READ_BYTES // max(stated, 1)), 1)
        for batch in table.iter_batches(size, row_groups=[number], columns=list(columns)):
            yield from batch.to_pylist()


def _below(folder: str, path: Any) -> str:
    if not isinstance(path, str):
        return f"{folder}/<no path>" if path is None else f"{folder}/<{path!r:.80}>"  # will not be found
    if len(path) > MAX_PATH:
        return f"{folder}/<{len(path):,} characters>"
    if is_uri(path):
        return path
    return f"{folder}/{path}" if is_uri(folder) else str(Path(folder, path))


def _table(file: BinaryIO, name: str) -> Any:
    from pyarrow.parquet import ParquetFile

    try:
        return ParquetFile(file)
    except (OSError, ValueError) as error:
        raise _unreadable(name, error) from error


def _unreadable(name: str, error: Exception) -> MediaError:
    return MediaError(encodable(name), got=f"cannot be read ({error})", expected="a whole Parquet file")


def _inside(file: str, name: str | None, number: int) -> str:
    """What to call something in a table or shard, by its name or number: never as a file could be called.

    An index serves what has a file's path, and a name comes from whoever made the table. So nothing in it
    leads out: below a file there are no others.
    """
    steps = [
        step
        for step in str(name or "")[:MAX_PATH].replace("\0", "").split("/")
        if step not in ("", ".", "..")
    ]
    return encodable(f"{file}/{'/'.join(steps) or f'#{number}'}")


def _row_item(row: Mapping[str, Any], name: str) -> Item:
    try:
        content = row[BYTES]
        if content is None:
            raise MediaError(name, got="a row without bytes", expected="those of a file")
        if not isinstance(content, bytes):
            raise MediaError(name, got=f"{BYTES} of type {type(content).__name__}", expected="binary data")
        if len(content) > MAX_ITEM_BYTES:
            raise _too_large(name, f"{len(content):,} bytes")
        return Item(name, _said(NamedBytes(content, name), row.get(MODALITY), name))
    except MediaError as error:
        return Item(name, error=error)


def _member_item(member: Member, name: str) -> Item:
    try:
        if member.refusal:
            raise _too_large(name, member.refusal)
        return Item(name, _said(NamedBytes(member.content, name), member.kind, name))
    except MediaError as error:
        return Item(name, error=error)


def _too_large(name: str, got: str) -> MediaError:
    return MediaError(name, got=got, expected=f"a file stored whole, of at most {MAX_ITEM_BYTES:,} bytes")


def _said(source: Any, modality: Any, name: str) -> Any:
    """A source as what somebody said that it is."""
    if modality is None:
        return source
    if not isinstance(modality, str) or modality not in MODALITIES:
        expected = f"one of {', '.join(sorted(MODALITIES))}"
        raise MediaError(name, got=f"the modality {modality!r:.80}", expected=expected)
    return {modality: source}
