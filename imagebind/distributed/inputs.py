"""Divide inputs into parts: files, rows of Parquet files that contain media, and WebDataset shards.

The division depends on the inputs only, so that a run which was killed can be resumed part by part.
"""

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, groupby
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

from imagebind.distributed.shards import MAX_ITEM_BYTES, Member, shard_members
from imagebind.errors import MediaError
from imagebind.intake.files import expand
from imagebind.io.source import encodable, open_path, open_source
from imagebind.io.storage import NamedBytes, map_in_threads
from imagebind.io.store_path import files_below
from imagebind.io.uri import is_uri
from imagebind.modality import MediaKind, ModalityType

PART_ITEMS = 512  # by default; a run that is killed loses the unfinished part of each worker
PARQUET_SUFFIX, SHARD_SUFFIX = ".parquet", ".tar"
PATH_COLUMN, BYTES_COLUMN, MODALITY_COLUMN = "path", "bytes", "modality"
ROWS_PER_BATCH = 32  # rows of media in memory, at most
BATCH_BYTES = 256 * 2**20  # bytes of media in memory, unless one row has more
# Our limits: a row group that exceeds both the uncompressed size and the compression ratio is refused.
MIN_CHECKED_BYTES, MAX_COMPRESSION_RATIO = 64 * 2**20, 200
MAX_PATH_CHARACTERS = 2**15  # longer than the limit of any file system
MODALITIES = frozenset((*(kind.value for kind in MediaKind), ModalityType.VISION.value))


class Item(NamedTuple):
    """An item to embed: its name, and either an item for `Embedder.encode` or the error of reading it.

    `in_folder` is whether it is a file found in a folder, which need not be media.
    """

    name: str
    item: Any = None
    error: MediaError | None = None
    in_folder: bool = False


class InputPart(Protocol):
    """A part of the inputs, which one worker embeds and writes as one file."""

    @property
    def name(self) -> str:
        """A description of the part."""

    def items(self) -> Iterator[Item]:
        """Yield the items, always in the same order."""


class NamedFile(NamedTuple):
    """A file by path or URI, with its modality if it was stated."""

    path: str
    modality: str | None = None


@dataclass(frozen=True)
class FilesPart:
    """Files; relative paths are relative to `base`. The files `in_folders` were found in folders."""

    files: tuple[NamedFile, ...]
    base: str
    # Without repr: the digest of a part is of its repr.
    in_folders: frozenset[NamedFile] = field(default=frozenset(), repr=False)

    @property
    def name(self) -> str:
        """See `InputPart`."""
        first, last = self.files[0].path, self.files[-1].path
        return encodable(first if len(self.files) == 1 else f"{first} … {last}")

    def items(self) -> Iterator[Item]:
        """See `InputPart`. Files of an object store are fetched in advance."""
        if any(is_uri(file.path) for file in self.files):
            return map_in_threads(self._item, self.files)
        return map(self._item, self.files)

    def _item(self, file: NamedFile) -> Item:
        name, in_folder = encodable(file.path), file in self.in_folders
        try:
            source = _fetched(file.path) if is_uri(file.path) else Path(self.base, file.path)
            return Item(name, _with_modality(source, file.modality, name), in_folder=in_folder)
        except MediaError as error:
            return Item(name, error=error, in_folder=in_folder)


@dataclass(frozen=True)
class RowsPart:
    """Row groups of a Parquet file with a column `bytes`, and optional columns `path` and `modality`.

    A row's `path` is a name within the table, not a file: see `_inside`.
    """

    file: str
    groups: tuple[int, ...]
    first_row: int

    @property
    def name(self) -> str:
        """See `InputPart`."""
        return f"{_inside(self.file, None, self.first_row)} …"

    def items(self) -> Iterator[Item]:
        """See `InputPart`. Rows of a group that cannot be read are one item with an error."""
        first = self.first_row
        try:
            with open_path(self.file) as file:
                table = _table(file, self.file)
                for group in self.groups:
                    yield from self._group_items(table, group, first)
                    first += table.metadata.row_group(group).num_rows
        except Exception as error:  # damaged data raise many types
            yield _unreadable_rows(self.file, first, error)

    def _group_items(self, table: Any, group: int, number: int) -> Iterator[Item]:
        columns = [
            name for name in table.schema_arrow.names if name in (PATH_COLUMN, BYTES_COLUMN, MODALITY_COLUMN)
        ]
        try:
            for row in _rows(table, [group], columns, self.file):
                yield _row_item(row, _inside(self.file, row.get(PATH_COLUMN), number))
                number += 1
        except Exception as error:  # as above
            yield _unreadable_rows(self.file, number, error)


@dataclass(frozen=True)
class ShardPart:
    """A WebDataset shard: a tar file."""

    file: str

    @property
    def name(self) -> str:
        """See `InputPart`."""
        return encodable(self.file)

    def items(self) -> Iterator[Item]:
        """See `InputPart`. If the shard is damaged, the last item has the error."""
        try:
            for number, member in enumerate(shard_members(self.file)):
                yield _member_item(member, _inside(self.file, member.name, number))
        except MediaError as error:
            yield Item(self.name, error=error)


class Inputs(NamedTuple):
    """All parts of the inputs, and the failures of inputs that cannot be read."""

    parts: list[InputPart]
    failures: list[Item]


class _RowGroup(NamedTuple):
    file: str
    number: int
    first_row: int
    rows: int


def divide(sources: Iterable[str], *, base: str, partitions: int | None = None, without: str = "") -> Inputs:
    """Divide inputs into parts of `PART_ITEMS`, or into about `partitions` parts.

    Each shard is one part, and row groups are not divided. A file given twice by the same path and
    with the same modality is embedded once.

    Args:
        sources: paths and URIs of files and folders. A file ending in `.tar` is a shard. A file ending in
            `.parquet` has a column `bytes`, or a column `path` with URIs and paths relative to the file's
            folder; a column `modality` is optional.
        base: the folder of relative sources.
        without: a folder, by path or URI, whose files are left out.

    Raises:
        MediaError: a store cannot be reached.
        ValueError: `partitions` is less than 1.
    """
    files: dict[NamedFile, bool] = {}  # whether it was only found in a folder
    groups: list[_RowGroup] = []
    shards: list[InputPart] = []
    failures = []
    found: dict[str, bool] = {}
    for source in sources:
        for file, in_folder in _files_of(source, base):
            found[file] = in_folder and found.get(file, True)
    for file, in_folder in found.items():
        path = _absolute(file, base)
        if without and path.startswith(f"{_absolute(without, base).rstrip('/')}/"):
            continue
        if file.endswith(SHARD_SUFFIX):
            shards.append(ShardPart(path))
        elif file.endswith(PARQUET_SUFFIX):
            try:
                listed = _list_table(path)
            except MediaError as error:
                failures.append(Item(encodable(file), error=error))
            else:
                groups += [entry for entry in listed if isinstance(entry, _RowGroup)]
                files |= {entry: False for entry in listed if isinstance(entry, NamedFile)}
        else:
            files[NamedFile(file)] = in_folder and files.get(NamedFile(file), True)
    size = part_size(len(files) + sum(group.rows for group in groups), partitions)
    return Inputs([*_file_parts(files, base, size), *_row_parts(groups, size), *shards], failures)


def _files_of(source: str, base: str) -> Iterator[tuple[str, bool]]:
    """Yield the files of a source, and whether each was found in a folder."""
    if is_uri(source):
        yield from ((file, file != source) for file in files_below(source))
        return
    folder = Path(base, source)
    for path in expand([folder]):
        yield str(Path(source, path.relative_to(folder))), path != folder


def _fetched(uri: str) -> NamedBytes:
    with open_source(uri) as file:
        return NamedBytes(file.read(), encodable(uri))


def part_size(items: int, partitions: int | None) -> int:
    """Return the number of items in a part.

    Raises:
        ValueError: `partitions` is less than 1.
    """
    if partitions is not None and partitions < 1:
        raise ValueError(f"partitions: expected at least 1, got {partitions}")
    return PART_ITEMS if partitions is None else max(math.ceil(items / partitions), 1)


def _file_parts(files: Mapping[NamedFile, bool], base: str, size: int) -> Iterator[FilesPart]:
    listed = list(files)
    for start in range(0, len(files), size):
        part = tuple(listed[start : start + size])
        yield FilesPart(part, base, frozenset(file for file in part if files[file]))


def _row_parts(groups: Sequence[_RowGroup], size: int) -> Iterator[RowsPart]:
    for file, listed in groupby(groups, key=lambda group: group.file):
        taken: list[_RowGroup] = []
        for group in listed:
            if taken and sum(other.rows for other in taken) + group.rows > size:
                yield RowsPart(file, tuple(other.number for other in taken), taken[0].first_row)
                taken = []
            taken.append(group)
        yield RowsPart(file, tuple(other.number for other in taken), taken[0].first_row)


def _list_table(file: str) -> list[NamedFile | _RowGroup]:
    """Return the row groups of a Parquet file with a column `bytes`, or else the files that it names."""
    with open_path(file) as opened:
        table = _table(opened, file)
        names = table.schema_arrow.names
        if "vector" in names or not {PATH_COLUMN, BYTES_COLUMN} & set(names):
            raise MediaError(
                encodable(file),
                got="vectors" if "vector" in names else f"the columns {', '.join(names)}",
                expected=f"a table with a column {PATH_COLUMN!r} or {BYTES_COLUMN!r}, and optionally "
                f"{MODALITY_COLUMN!r}",
            )
        if BYTES_COLUMN in names:
            counts = [table.metadata.row_group(number).num_rows for number in range(table.num_row_groups)]
            first_rows = accumulate(counts, initial=0)
            groups = zip(range(len(counts)), first_rows, counts, strict=False)
            return [_RowGroup(file, *group) for group in groups if group[-1]]
        try:
            columns = [name for name in (PATH_COLUMN, MODALITY_COLUMN) if name in names]
            folder = file.rpartition("/")[0] if is_uri(file) else str(Path(file).parent)
            return [
                NamedFile(_below(folder, row[PATH_COLUMN]), _hashable(row.get(MODALITY_COLUMN)))
                for row in _rows(table, range(table.num_row_groups), columns, file)
            ]
        except MediaError:
            raise
        except (OSError, ValueError, ArithmeticError, MemoryError) as error:
            raise _unreadable(file, error) from error


def _absolute(path: str, base: str) -> str:
    return path if is_uri(path) else os.path.abspath(Path(base, path))  # noqa: PTH100 (keeps symbolic links)


def _hashable(modality: Any) -> str | None:
    """Return a modality from a table as text, which is hashable; `_with_modality` refuses other types."""
    return modality if modality is None or isinstance(modality, str) else repr(modality)[:80]


def _unreadable_rows(file: str, number: int, error: Exception) -> Item:
    """Return an item with the error for a row and the following rows of its group."""
    name = _inside(file, None, number)
    return Item(name, error=_unreadable(f"{name} and the following rows of its row group", error))


def _rows(
    table: Any, groups: Iterable[int], columns: Sequence[str], file: str
) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of some groups of a Parquet file, with at most `BATCH_BYTES` in memory.

    Rows may share a value that is stored once, so each row may have the uncompressed size of its group.

    Raises:
        MediaError: the uncompressed size of a group far exceeds its size in the file.
    """
    for number in groups:
        group = table.metadata.row_group(number)
        chunks = [group.column(position) for position in range(group.num_columns)]
        chunks = [chunk for chunk in chunks if chunk.path_in_schema.split(".")[0] in columns]
        stated = sum(chunk.total_uncompressed_size for chunk in chunks)
        stored = sum(chunk.total_compressed_size for chunk in chunks)
        if stated > max(MIN_CHECKED_BYTES, MAX_COMPRESSION_RATIO * stored):
            raise MediaError(
                encodable(file),
                got=f"{stated:,} bytes from {stored:,} in row group {number}",
                expected=f"at most {MAX_COMPRESSION_RATIO} times the compressed bytes of a row group",
            )
        size = max(min(ROWS_PER_BATCH, BATCH_BYTES // max(stated, 1)), 1)
        for batch in table.iter_batches(size, row_groups=[number], columns=list(columns)):
            yield from batch.to_pylist()


def _below(folder: str, path: Any) -> str:
    # An invalid path becomes one that does not exist, so that only its item fails.
    if not isinstance(path, str):
        return f"{folder}/<no path>" if path is None else f"{folder}/<{path!r:.80}>"
    if len(path) > MAX_PATH_CHARACTERS:
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
    return MediaError(
        encodable(name), got=f"one that cannot be read ({error})", expected="a whole Parquet file"
    )


def _inside(file: str, name: str | None, number: int) -> str:
    """Return the path of an item in a table or shard, by its name or number; it never names a file on disk.

    An index serves files by their paths, and names in a table are untrusted. So the path is always below the
    table or shard, which is a file and contains no others.
    """
    steps = str(name or "")[:MAX_PATH_CHARACTERS].replace("\0", "").split("/")
    below = "/".join(step for step in steps if step not in ("", ".", ".."))
    return encodable(f"{file}/{below or f'#{number}'}")


def _row_item(row: Mapping[str, Any], name: str) -> Item:
    try:
        content = row[BYTES_COLUMN]
        if content is None:
            raise MediaError(name, got="a row without bytes", expected="the bytes of a file")
        if not isinstance(content, bytes):
            raise MediaError(name, got=type(content).__name__, expected="binary data")
        if len(content) > MAX_ITEM_BYTES:
            raise _too_large(name, f"{len(content):,} bytes")
        return Item(name, _with_modality(NamedBytes(content, name), row.get(MODALITY_COLUMN), name))
    except MediaError as error:
        return Item(name, error=error)


def _member_item(member: Member, name: str) -> Item:
    try:
        if member.refusal:
            raise _too_large(name, member.refusal)
        return Item(name, _with_modality(NamedBytes(member.content, name), member.kind, name))
    except MediaError as error:
        return Item(name, error=error)


def _too_large(name: str, got: str) -> MediaError:
    return MediaError(name, got=got, expected=f"a file stored whole, of at most {MAX_ITEM_BYTES:,} bytes")


def _with_modality(source: Any, modality: Any, name: str) -> Any:
    """Return a source with its stated modality, as `Embedder.encode` takes it."""
    if modality is None:
        return source
    if not isinstance(modality, str) or modality not in MODALITIES:
        expected = f"one of {', '.join(sorted(MODALITIES))}"
        raise MediaError(name, got=f"{modality!r:.80}", expected=expected)
    return {modality: source}
