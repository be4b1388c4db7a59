"""The storage of an index: a LanceDB database with two tables, and its errors as `SearchIndexError`."""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from imagebind.errors import ImageBindError, import_extra
from imagebind.io.uri import is_uri
from imagebind.media.paths import path_text, text_path
from imagebind.search.filters import quoted
from imagebind.search.rows import schema

ITEMS_TABLE, ABOUT_TABLE = "items", "about"
ROOTS_KEY = "roots"  # in the table "about"
_ABOUT_SCHEMA = pa.schema([("key", pa.string()), ("value", pa.binary())])
READ_LATEST = timedelta(0)  # each read checks for commits by other processes


class SearchIndexError(ImageBindError):
    """An index does not exist, or cannot be read or written; the message names it and the reason."""


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
            SearchIndexError: it does not exist, or is not an index.
        """
        uri = os.fspath(uri)
        if not exists(uri):
            raise SearchIndexError(
                f"{uri}: no index found; expected one made by `imagebind index FOLDER --db {uri}`, "
                "or Index.open(…, embedder, create=True)"
            )
        with store_errors(uri, "opened"):
            return cls(uri, _connect(uri))

    @classmethod
    def create(cls, uri: str | os.PathLike[str], *, embed_dim: int, about: dict[str, bytes]) -> "Store":
        """Create an index; `about` is written first, since an index exists once it has the table `items`.

        Raises:
            SearchIndexError: it cannot be written, or the folder contains other files.
        """
        uri = os.fspath(uri)
        path = Path(uri)
        if not is_uri(uri) and path.exists():
            others = (
                sorted({each.name for each in path.iterdir()} - _OWN_NAMES) if path.is_dir() else [path.name]
            )
            if others:
                raise SearchIndexError(
                    f"{uri}: holds {others[0]!r}; expected a new folder, or one with an index"
                )
        with store_errors(uri, "made"):
            connection = _connect(uri)
            table = connection.create_table(ABOUT_TABLE, schema=_ABOUT_SCHEMA, exist_ok=True)
            for key, value in about.items():
                _set_about(table, key, value)
            connection.create_table(ITEMS_TABLE, schema=schema(embed_dim), exist_ok=True)
            return cls(uri, connection)

    def about(self, key: str) -> bytes | None:
        """Return the value of a key in the table `about`; None without one."""
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
    """Turn LanceDB's errors into `SearchIndexError`, which names the index."""
    try:
        yield
    except ImageBindError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise SearchIndexError(f"{uri}: cannot be {action} ({reason[:300]})") from error


def _set_about(table: Any, key: str, value: bytes) -> None:
    row = pa.table({"key": [key], "value": [value]}, schema=_ABOUT_SCHEMA)
    table.merge_insert("key").when_matched_update_all().when_not_matched_insert_all().execute(row)


def _connect(uri: str) -> Any:
    lancedb = import_extra("lancedb", extra="search", purpose="an index")
    return lancedb.connect(uri, read_consistency_interval=READ_LATEST)
