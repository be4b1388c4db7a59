"""Write embeddings to a file row by row: Parquet, JSON lines, or numpy's npz."""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from errno import EISDIR
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Protocol

import numpy as np

from imagebind.batching import Embedding
from imagebind.io.atomic import flush_to_disk, temporary_beside
from imagebind.io.store_path import StorePath, as_path
from imagebind.io.uri import file_system, upload

ROWS_PER_GROUP = 4096  # of a Parquet row group; 16 MB of 1024-d vectors


class VectorRow(NamedTuple):
    """One vector with its source. Times are seconds, or None for items without time."""

    path: str
    modality: str
    start: float | None
    end: float | None
    vector: np.ndarray  # (e,) float32


def rows_of(embedding: Embedding) -> Iterator[VectorRow]:
    """Yield an item's row, or one row per clip if it has clip vectors.

    Raises:
        ValueError: the embedding failed.
    """
    if embedding.vector is None or embedding.modality is None:
        raise ValueError(f"{embedding.name}: has no vector ({embedding.error})")
    modality = embedding.modality.value
    if embedding.clips is not None:
        for (start, end), vector in zip(embedding.spans, embedding.clips, strict=True):
            yield VectorRow(embedding.name, modality, start, end, vector)
    elif embedding.spans:
        start = min(span[0] for span in embedding.spans)
        end = max(span[1] for span in embedding.spans)
        yield VectorRow(embedding.name, modality, start, end, embedding.vector)
    else:
        yield VectorRow(embedding.name, modality, None, None, embedding.vector)


def check_suffix(path: str | os.PathLike[str]) -> None:
    """Check that a file name has the suffix of a supported format.

    Raises:
        ValueError: another suffix; the message lists the supported ones.
    """
    if Path(path).suffix.lower() not in _WRITERS:
        raise ValueError(f"{path}: expected a name that ends in {', '.join(_WRITERS)}")


class _RowWriter(Protocol):
    def write(self, rows: list[VectorRow]) -> None: ...

    def close(self) -> None: ...


class VectorFile:
    """A file of rows that gets its name only when it is complete. A context manager."""

    def __init__(self, path: str | os.PathLike[str], *, embed_dim: int) -> None:
        """Create a file in the format of its suffix: `.parquet`, `.jsonl` or `.npz`.

        Args:
            path: a path or URI. A file at a URI is uploaded once it is complete.

        Raises:
            ValueError: another suffix.
            OSError: the path is a folder, or the file cannot be written.
        """
        check_suffix(path)
        self.path = as_path(path)
        writer = _WRITERS[self.path.suffix.lower()]
        self._embed_dim = embed_dim
        beside = self.path
        if isinstance(self.path, StorePath):
            file_system(str(self.path))  # fails before anything is embedded
            beside = Path(tempfile.gettempdir(), self.path.name)
        elif self.path.is_dir():
            raise IsADirectoryError(EISDIR, "expected a file, got a folder", str(path))
        self._temporary = temporary_beside(beside)
        self._writer: _RowWriter = writer(self._temporary, embed_dim)
        self._rows: list[VectorRow] = []
        self._keep = True

    def __enter__(self) -> "VectorFile":
        return self

    def write(self, row: VectorRow) -> None:
        """Add a row.

        Raises:
            ValueError: the vector has another width.
        """
        if row.vector.shape != (self._embed_dim,):
            raise ValueError(
                f"{row.path}: expected a vector ({self._embed_dim},), got {tuple(row.vector.shape)}"
            )
        self._rows.append(row)
        if len(self._rows) == ROWS_PER_GROUP:
            self._flush()

    def discard(self) -> None:
        """Do not keep the new file; an existing one is unchanged."""
        self._keep = False

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error_type is None and self._keep:
                self._flush()
                self._writer.close()
                if isinstance(self.path, StorePath):
                    upload(self._temporary, str(self.path))
                else:
                    flush_to_disk(self._temporary)
                    self._temporary.replace(self.path)
            else:
                with contextlib.suppress(Exception):  # keep the first error
                    self._writer.close()
        finally:
            self._temporary.unlink(missing_ok=True)

    def _flush(self) -> None:
        self._writer.write(self._rows)
        self._rows = []


def vector_table(rows: Sequence[VectorRow], embed_dim: int) -> Any:
    """Return a pyarrow table of rows."""
    import pyarrow as pa

    schema = pa.schema(
        [
            ("path", pa.string()),
            ("modality", pa.string()),
            ("start", pa.float64()),
            ("end", pa.float64()),
            ("vector", pa.list_(pa.float32(), embed_dim)),
        ]
    )
    columns = zip(*rows, strict=True) if rows else [()] * len(VectorRow._fields)
    return pa.table(dict(zip(VectorRow._fields, map(list, columns), strict=True)), schema=schema)


class _Parquet:
    def __init__(self, path: Path, embed_dim: int) -> None:
        from pyarrow import parquet

        self._embed_dim = embed_dim
        self._file = parquet.ParquetWriter(path, vector_table([], embed_dim).schema)

    def write(self, rows: list[VectorRow]) -> None:
        self._file.write_table(vector_table(rows, self._embed_dim))

    def close(self) -> None:
        self._file.close()


class _JsonLines:
    def __init__(self, path: Path, embed_dim: int) -> None:
        self._file = path.open("w", encoding="utf-8")

    def write(self, rows: list[VectorRow]) -> None:
        for row in rows:
            # nine digits represent every float32 exactly
            vector = [float(f"{number:.9g}") for number in row.vector.tolist()]
            self._file.write(json.dumps(row._asdict() | {"vector": vector}, ensure_ascii=False) + "\n")

    def close(self) -> None:
        self._file.close()


class _Npz:
    """One array per column; missing times are NaN. All rows are kept in memory until `close`."""

    def __init__(self, path: Path, embed_dim: int) -> None:
        self._path = path
        self._embed_dim = embed_dim
        self._rows: list[VectorRow] = []

    def write(self, rows: list[VectorRow]) -> None:
        self._rows += rows

    def close(self) -> None:
        none_as_nan = [[np.nan if t is None else t for t in (row.start, row.end)] for row in self._rows]
        spans = np.array(none_as_nan, dtype=np.float64).reshape(-1, 2)
        vectors = np.array([row.vector for row in self._rows], dtype=np.float32)
        with self._path.open("wb") as file:
            np.savez(
                file,
                path=np.array([row.path for row in self._rows], dtype=str),
                modality=np.array([row.modality for row in self._rows], dtype=str),
                start=spans[:, 0],
                end=spans[:, 1],
                vector=vectors.reshape(-1, self._embed_dim),
            )


_WRITERS: dict[str, type[_Parquet] | type[_JsonLines] | type[_Npz]] = {
    ".parquet": _Parquet,
    ".jsonl": _JsonLines,
    ".npz": _Npz,
}
