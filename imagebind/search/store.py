"""Where an index lives: a database of LanceDB with two tables, and its errors in our words."""

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

ITEMS, ABOUT = "items", "about"
ROOTS = "roots"  # a key of what is said about an index
_ABOUT_SCHEMA = pa.schema([("key", pa.string()), ("value", pa.binary())])
EVERY_READ = timedelta(0)  # looks for what other processes have written


class SearchIndexError(ImageBindError):
    """An index that is not there, cannot be read, or cannot be written to; names it and why."""


class Store:
    """The tables of one index: `items`, a row a vector, and `about`, what is true of all of them."""

    def __init__(self, uri: str, connection: Any) -> None:
        self.uri = uri
        self._connection = connection
        self.items = connection.open_table(ITEMS)
        self._about = connection.open_table(ABOUT)

    @classmethod
    def open(cls, uri: str | os.PathLike[str]) -> "Store":
        """Open an index that is there.

        Raises:
            SearchIndexError: it is not, or is something else.
        """
        uri = os.fspath(uri)
        if not exists(uri):
            raise SearchIndexError(
                f"{uri}: no index is there; expected one made by `imagebind index FOLDER --db {uri}`, "
                "or Index.open(…, embedder, create=True)"
            )
        with named(uri, "opened"):
            return cls(uri, _connect(uri))

    @classmethod
    def create(cls, uri: str | os.PathLike[str], *, embed_dim: int, about: dict[str, bytes]) -> "Store":
        """Make an index. `about` is said before there is the table whose presence makes it one.

        Raises:
            SearchIndexError: it cannot be written there, or a folder with other things is there.
        """
        uri = os.fspath(uri)
        path = Path(uri)
        if not is_uri(uri) and path.exists():
            others = sorted({each.name for each in path.iterdir()} - _OWN) if path.is_dir() else [path.name]
            if others:
                raise SearchIndexError(
                    f"{uri}: holds {others[0]!r}; expected a new folder, or one with an index"
                )
        with named(uri, "made"):
            connection = _connect(uri)
            table = connection.create_table(ABOUT, schema=_ABOUT_SCHEMA, exist_ok=True)
            for key, value in about.items():
                _say(table, key, value)
            connection.create_table(ITEMS, schema=schema(embed_dim), exist_ok=True)
            return cls(uri, connection)

    def about(self, key: str) -> bytes | None:
        """What was said of the whole index under this name."""
        with named(self.uri, "read"):
            found = self._about.search().where(f"key = {quoted(key)}").limit(1).to_list()
        return found[0]["value"] if found else None

    def say(self, key: str, value: bytes) -> None:
        """Say something of the whole index, in one commit."""
        with named(self.uri, "written to"):
            _say(self._about, key, value)

    def roots(self, new: Iterable[Path] = ()) -> list[Path]:
        """Return the roots of all crawls, with `new` ones, which are written."""
        before = json.loads(self.about(ROOTS) or b"[]")
        now = sorted({*before, *map(path_text, new)})
        if now != before:
            self.say(ROOTS, json.dumps(now).encode())
        return [text_path(root) for root in now]

    def size(self) -> int | None:
        """Bytes on disk; None where it is elsewhere."""
        if is_uri(self.uri):
            return None
        found = 0
        for folder, _, names in os.walk(self.uri):
            for name in names:
                try:
                    found += os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH118
                except FileNotFoundError:  # compacted away meanwhile
                    continue
        return found

    def tidy(self, *, keep: timedelta) -> None:
        """Write small fragments together, bring indices up to date, and drop versions older than `keep`."""
        with named(self.uri, "written to"):
            self.items.optimize(cleanup_older_than=keep)
            self._about.optimize(cleanup_older_than=keep)


_OWN = {f"{ITEMS}.lance", f"{ABOUT}.lance", ".writer.lock", ".writer.pid"}


def exists(uri: str | os.PathLike[str]) -> bool:
    """Whether an index is there."""
    uri = os.fspath(uri)
    if not is_uri(uri):
        return any((Path(uri) / f"{ITEMS}.lance" / "_versions").glob("*.manifest"))
    with named(uri, "opened"):
        return ITEMS in _connect(uri).list_tables().tables


@contextmanager
def named(uri: str, tried: str) -> Iterator[None]:
    """LanceDB's errors, with the index they are about."""
    try:
        yield
    except ImageBindError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise SearchIndexError(f"{uri}: cannot be {tried} ({reason[:300]})") from error


def _say(table: Any, key: str, value: bytes) -> None:
    row = pa.table({"key": [key], "value": [value]}, schema=_ABOUT_SCHEMA)
    table.merge_insert("key").when_matched_update_all().when_not_matched_insert_all().execute(row)


def _connect(uri: str) -> Any:
    lancedb = import_extra("lancedb", extra="search", purpose="an index")
    return lancedb.connect(uri, read_consistency_interval=EVERY_READ)
