"""The storage of an index: a LanceDB database with two tables, and its errors as `SearchIndexError`.

Changes of many rows take few SQL queries and commits.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from imagebind.errors import ImageBindError, import_extra
from imagebind.io.uri import is_uri
from imagebind.media.paths import path_text, text_path
from imagebind.search.filters import in_list, quoted
from imagebind.search.rows import TEXT_KEY, UNREAD_KEY, schema, to_columns

ITEMS_TABLE, ABOUT_TABLE = "items", "about"
ROOTS_KEY = "roots"  # in the table "about"
_ABOUT_SCHEMA = pa.schema([("key", pa.string()), ("value", pa.binary())])
READ_LATEST = timedelta(0)  # each read checks for commits by other processes
VALUES_PER_CONDITION = 500  # in one SQL condition
SAMPLE_TRIES = 5  # since another process may renumber the rows between listing and reading them


class SearchIndexError(ImageBindError):
    """An index does not exist, cannot be read or written, or needs a pack; the message has the reason."""


class Store:
    """The tables of one index: `items` with a row for each vector, and `about` with facts about the index."""

    def __init__(self, uri: str, connection: Any) -> None:
        self.uri = uri
        self._connection = connection
        self.items = connection.open_table(ITEMS_TABLE)
        self._about = connection.open_table(ABOUT_TABLE)

    @classmethod
    def open(cls, uri: str | os.PathLike[str]) -> "Store":
        """Open an existing index.

        Raises:
            SearchIndexError: it does not exist, or cannot be opened.
        """
        uri = os.fspath(uri)
        if not exists(uri):
            raise SearchIndexError(
                f"{uri}: no index found; create one with `imagebind index FOLDER --db {uri}`, "
                "or Index.open(…, embedder, create=True)"
            )
        with store_errors(uri, "opened"):
            return cls(uri, _connect(uri))

    @classmethod
    def create(cls, uri: str | os.PathLike[str], *, embed_dim: int, about: dict[str, bytes]) -> "Store":
        """Create an index; `about` is written first, since an index exists once it has the table `items`.

        Raises:
            SearchIndexError: it cannot be written, the folder contains other files, or the path is a file.
        """
        uri = os.fspath(uri)
        path = Path(uri)
        if not is_uri(uri) and path.exists():
            others = sorted({each.name for each in path.iterdir()} - _OWN_NAMES) if path.is_dir() else []
            if others or not path.is_dir():
                found = f"one with {others[0]!r}" if others else "a file"
                raise SearchIndexError(f"{uri}: expected a new folder, or one with an index, got {found}")
        with store_errors(uri, "created"):
            connection = _connect(uri)
            table = connection.create_table(ABOUT_TABLE, schema=_ABOUT_SCHEMA, exist_ok=True)
            for key, value in about.items():
                _set_about(table, key, value)
            connection.create_table(ITEMS_TABLE, schema=schema(embed_dim), exist_ok=True)
            return cls(uri, connection)

    def about(self, key: str) -> bytes | None:
        """Return the value of a key in the table `about`; None if it has none."""
        with store_errors(self.uri, "read"):
            found = self._about.search().where(f"key = {quoted(key)}").limit(1).to_list()
        return found[0]["value"] if found else None

    def set_about(self, key: str, value: bytes) -> None:
        """Set the value of a key in the table `about`, in one commit."""
        with store_errors(self.uri, "written to"):
            _set_about(self._about, key, value)

    def roots(self, new: Iterable[Path] = ()) -> list[Path]:
        """Store `new` roots, and return the roots of all crawls."""
        before = json.loads(self.about(ROOTS_KEY) or b"[]")
        merged = sorted({*before, *map(path_text, new)})
        if merged != before:
            self.set_about(ROOTS_KEY, json.dumps(merged).encode())
        return [text_path(root) for root in merged]

    @property
    def embed_dim(self) -> int:
        """The length of a vector."""
        return self.items.schema.field("vector").type.list_size

    def replace(self, paths: Sequence[str], table: pa.Table) -> None:
        """Replace the rows of some paths by those of a table, in one commit."""
        with store_errors(self.uri, "written to"):
            (
                self.items.merge_insert("id")
                .when_not_matched_insert_all()
                .when_not_matched_by_source_delete(in_list("path", paths))
                .execute(table)
            )

    def delete(self, column: str, values: Sequence[str]) -> int:
        """Delete the rows that have one of these values in a column, and return their number."""
        with store_errors(self.uri, "written to"):
            return sum(self.items.delete(each).num_deleted_rows for each in _conditions(column, values))

    def move_paths(self, moves: Mapping[str, tuple[str, int]]) -> None:
        """Update the paths and modification times of rows: {old path: (new path, mtime_ns)}."""
        with store_errors(self.uri, "written to"):
            for condition in _conditions("path", list(moves)):
                rows = self.items.search().select(["id", "path"]).where(condition).to_arrow()
                if not len(rows):
                    continue
                updated = [moves[path] for path in rows["path"].to_pylist()]
                columns = {
                    "id": rows["id"],
                    "path": [path for path, _ in updated],
                    "mtime_ns": [mtime_ns for _, mtime_ns in updated],
                }
                table = to_columns(columns, self.embed_dim)
                self.items.merge_insert("id").when_matched_update_all().execute(table)

    def user_metadata(self, paths: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the metadata that users gave the rows of each path, merged by path."""
        merged: dict[str, dict[str, Any]] = {}
        with store_errors(self.uri, "read"):
            for condition in _conditions("path", paths):
                search = self.items.search().select(["path", "metadata"])
                for record in search.where(f"metadata <> '{{}}' AND {condition}").to_list():
                    merged.setdefault(record["path"], {}).update(json.loads(record["metadata"]))
        own = (TEXT_KEY, UNREAD_KEY)
        return {path: {k: v for k, v in each.items() if k not in own} for path, each in merged.items()}

    def sample(self, n: int, condition: str | None, *, seed: int) -> list[dict[str, Any]]:
        """Return `n` random rows that match a condition, or all if there are fewer."""
        records: list[dict[str, Any]] = []
        with store_errors(self.uri, "read"):
            for _ in range(SAMPLE_TRIES):
                scan = self.items.search().with_row_id(True).select(["kind"])
                ids = (scan if condition is None else scan.where(condition)).to_arrow()["_rowid"].to_numpy()
                if len(ids) > n:
                    ids = np.random.default_rng(seed).choice(ids, n, replace=False)
                records = self.items.take_row_ids(sorted(ids.tolist())).to_list() if len(ids) else []
                if len(records) == len(ids):
                    break  # otherwise another process has renumbered the rows meanwhile
        return records

    def size(self) -> int | None:
        """Return the size on disk in bytes; None in an object store."""
        if is_uri(self.uri):
            return None
        total = 0
        for folder, _, names in os.walk(self.uri):
            for name in names:
                try:
                    total += os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH118
                except FileNotFoundError:  # deleted by a compaction meanwhile
                    continue
        return total

    def compact(self, *, keep: timedelta) -> None:
        """Merge small fragments, update the indices, and delete versions older than `keep`."""
        with store_errors(self.uri, "written to"):
            self.items.optimize(cleanup_older_than=keep)
            self._about.optimize(cleanup_older_than=keep)


_OWN_NAMES = {f"{ITEMS_TABLE}.lance", f"{ABOUT_TABLE}.lance", ".writer.lock", ".writer.pid"}


def exists(uri: str | os.PathLike[str]) -> bool:
    """Whether an index exists at a path or URI."""
    uri = os.fspath(uri)
    if not is_uri(uri):
        return any((Path(uri) / f"{ITEMS_TABLE}.lance" / "_versions").glob("*.manifest"))
    with store_errors(uri, "opened"):
        return ITEMS_TABLE in _connect(uri).list_tables().tables


@contextmanager
def store_errors(uri: str, action: str) -> Iterator[None]:
    """Turn errors of LanceDB and the operating system into `SearchIndexError`, which names the index."""
    try:
        yield
    except ImageBindError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise SearchIndexError(f"{uri}: cannot be {action} ({reason[:300]})") from error


def _conditions(column: str, values: Sequence[str]) -> Iterator[str]:
    for start in range(0, len(values), VALUES_PER_CONDITION):
        yield in_list(column, values[start : start + VALUES_PER_CONDITION])


def _set_about(table: Any, key: str, value: bytes) -> None:
    row = pa.table({"key": [key], "value": [value]}, schema=_ABOUT_SCHEMA)
    table.merge_insert("key").when_matched_update_all().when_not_matched_insert_all().execute(row)


def _connect(uri: str) -> Any:
    lancedb = import_extra("lancedb", extra="search", purpose="an index")
    return lancedb.connect(uri, read_consistency_interval=READ_LATEST)
