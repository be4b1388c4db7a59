"""Stores embeddings on disk, by the content of an item and the settings of the embedder.

Each folder has one SQLite file. The content of an item's file is hashed once, and again only if its size or
modification time changes. Every batch of vectors is committed, so an interrupted run continues where it
stopped. Several processes may write at the same time.
"""

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from imagebind.datasets.labelled import LazyItem
from imagebind.evaluation.result import EvaluationError

DATABASE_NAME = "embeddings.sqlite"
KEY_BYTES = 16
HASH_CHUNK_BYTES = 2**20
WRITE_WAIT_SECONDS = 60.0  # for another process that writes
QUERY_KEYS = 500  # keys per SELECT; SQLite allows 999
CREATE_TABLES = """
CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, size INTEGER, modified INTEGER, digest BLOB);
CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID;
"""


class EmbeddingCache:
    """Vectors of items in a folder; a context manager.

    Args:
        is_shared: whether all processes of `torchrun` use this folder.

    Raises:
        EvaluationError: the folder or its database cannot be read or written; also raised by the methods.
    """

    def __init__(self, folder: Path, *, is_shared: bool = True) -> None:
        self.is_shared = is_shared
        self._path = folder / DATABASE_NAME
        with self._named_errors(), ExitStack() as opened:
            folder.mkdir(parents=True, exist_ok=True)
            database = sqlite3.connect(self._path, timeout=WRITE_WAIT_SECONDS)
            self._database = opened.enter_context(closing(database))
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.executescript(CREATE_TABLES)
            rows = list(self._database.execute("SELECT path, size, modified, digest FROM files"))
            opened.pop_all()
        self._unsaved_paths: set[str] = set()  # paths whose digest is not stored yet
        self._digests: dict[str, tuple[int, int, bytes]] = {
            path: (size, modified, digest) for path, size, modified, digest in rows
        }

    def __enter__(self) -> "EmbeddingCache":
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def key(self, item: Any, settings: str) -> bytes:
        """Return the key of an item embedded with some settings, such as those of model and transform.

        Raises:
            OSError: a file of the item cannot be read.
            TypeError: the item has a value of a type without a hash.
        """
        digest = hashlib.blake2b(settings.encode(), digest_size=KEY_BYTES)
        self._hash_value(digest, item)
        return digest.digest()

    def vectors(self, keys: Sequence[bytes]) -> dict[bytes, np.ndarray]:
        """Return the stored vectors of these keys, (e,) float32 each; keys without a vector are left out."""
        found: dict[bytes, np.ndarray] = {}
        for start in range(0, len(keys), QUERY_KEYS):
            some = keys[start : start + QUERY_KEYS]
            marks = ",".join("?" * len(some))
            with self._named_errors():
                rows = self._database.execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", some)
                found.update((key, np.frombuffer(vector, dtype=np.float32)) for key, vector in rows)
        return found

    def store(self, vectors: Iterable[tuple[bytes, np.ndarray]]) -> None:
        """Store vectors and the file digests that are new, in one transaction."""
        with self._named_errors(), self._database:
            self._database.executemany(
                "INSERT OR IGNORE INTO vectors VALUES (?, ?)",
                [(key, vector.astype(np.float32).tobytes()) for key, vector in vectors],
            )
            self._database.executemany(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)",
                [(path, *self._digests[path]) for path in self._unsaved_paths],
            )
        self._unsaved_paths.clear()

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.ProgrammingError:  # a mistake in this package, such as a closed database
            raise
        except (OSError, sqlite3.Error) as error:
            is_damaged = type(error) is sqlite3.DatabaseError  # a subclass if it is locked or not writable
            raise EvaluationError(
                f"{self._path}: expected a database of embeddings, got one that cannot be used ({error}); "
                + ("delete it, or use another folder" if is_damaged else "use another folder")
            ) from error

    def _hash_value(self, digest: Any, value: Any) -> None:
        """Add a value to a hash, each part with its type and length, so that no two values look the same."""
        match value:
            case LazyItem():
                self._hash_value(digest, value.sources)
            case Path():
                _update(digest, "file", self._file_digest(value))
            case Mapping():
                _update(digest, "mapping", str(len(value)).encode())
                for name, each in value.items():
                    self._hash_value(digest, str(name))
                    self._hash_value(digest, each)
            case list() | tuple():
                _update(digest, "sequence", str(len(value)).encode())
                for each in value:
                    self._hash_value(digest, each)
            case np.ndarray():
                _update(digest, f"array {value.dtype} {value.shape}", np.ascontiguousarray(value).tobytes())
            case bytes():
                _update(digest, "bytes", value)
            case str() | int() | float() | bool() | None:
                _update(digest, type(value).__name__, repr(value).encode())
            case _:
                raise TypeError(
                    "item: expected a path, text, number, array, bytes, or a sequence or mapping of these, "
                    f"got a {type(value).__name__}"
                )

    def _file_digest(self, path: Path) -> bytes:
        file_stat = path.stat()
        name = str(path.absolute())
        known = self._digests.get(name)
        if known is not None and known[:2] == (file_stat.st_size, file_stat.st_mtime_ns):
            return known[2]
        digest = hashlib.blake2b(digest_size=KEY_BYTES)
        with path.open("rb") as file:
            while chunk := file.read(HASH_CHUNK_BYTES):
                digest.update(chunk)
        self._digests[name] = (file_stat.st_size, file_stat.st_mtime_ns, digest.digest())
        self._unsaved_paths.add(name)
        return digest.digest()


def _update(digest: Any, type_name: str, content: bytes) -> None:
    digest.update(f"{type_name} {len(content)}:".encode())
    digest.update(content)
