"""Embeddings to a file, row by row as they come: Parquet, JSON lines, or numpy's npz."""

import contextlib
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Protocol

import numpy as np

from imagebind.batching import Embedding

ROWS_A_GROUP = 4096  # of a Parquet file, 16 MB of 1024-d vectors


class Row(NamedTuple):
    """One vector and where it comes from. Times are seconds, None for what has no time."""

    path: str
    modality: str
    start: float | None
    end: float | None
    vector: np.ndarray  # (e,) float32


def rows_of(embedding: Embedding) -> Iterator[Row]:
    """An item's row, or one a clip where it has vectors of clips.

    Raises:
        ValueError: an embedding that failed.
    """
    if embedding.vector is None or embedding.modality is None:
        raise ValueError(f"{embedding.name} has no vector: {embedding.error}")
    modality = embedding.modality.value
    if embedding.clips is not None:
        for (start, end), vector in zip(embedding.spans, embedding.clips, strict=True):
            yield Row(embedding.name, modality, start, end, vector)
    elif embedding.spans:
        start = min(span[0] for span in embedding.spans)
        end = max(span[1] for span in embedding.spans)
        yield Row(embedding.name, modality, start, end, embedding.vector)
    else:
        yield Row(embedding.name, modality, None, None, embedding.vector)


def check_suffix(path: Path) -> None:
    """Refuse a file name that no format has.

    Raises:
        ValueError: names those there are.
    """
    if path.suffix.lower() not in _WRITERS:
        raise ValueError(f"{path}: expected a name that ends in {', '.join(_WRITERS)}")


class _Writer(Protocol):
    def write(self, rows: list[Row]) -> None: ...

    def close(self) -> None: ...


class VectorFile:
    """A file of rows that has its name only once it is whole. A context manager."""

    def __init__(self, path: str | os.PathLike[str], *, embed_dim: int) -> None:
        """Start a file whose suffix says the format: `.parquet`, `.jsonl` or `.npz`.

        Raises:
            ValueError: another suffix.
            OSError: it cannot be written there.
        """
        self.path = Path(path)
        check_suffix(self.path)
        writer = _WRITERS[self.path.suffix.lower()]
        self._temporary = self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex}.tmp")
        self._writer: _Writer = writer(self._temporary, embed_dim)
        self._rows: list[Row] = []
        self._is_kept = True

    def __enter__(self) -> "VectorFile":
        return self

    def write(self, row: Row) -> None:
        """Add a row."""
        self._rows.append(row)
        if len(self._rows) == ROWS_A_GROUP:
            self._flush()

    def discard(self) -> None:
        """Leave nothing of it in the end; a file that was there before stays."""
        self._is_kept = False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and self._is_kept:
                self._flush()
                self._writer.close()
                self._temporary.replace(self.path)
            else:
                with contextlib.suppress(Exception):  # the error that came first is the one to be seen
                    self._writer.close()
        finally:
            self._temporary.unlink(missing_ok=True)

    def _flush(self) -> None:
        self._writer.write(self._rows)
        self._rows = []


class _Parquet:
    def __init__(self, path: Path, embed_dim: int) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        self._schema = pa.schema(
            [
                ("path", pa.string()),
                ("modality", pa.string()),
                ("start", pa.float64()),
                ("end", pa.float64()),
                ("vector", pa.list_(pa.float32(), embed_dim)),
            ]
        )
        self._file = parquet.ParquetWriter(path, self._schema)

    def write(self, rows: list[Row]) -> None:
        import pyarrow as pa

        columns = zip(*rows, strict=True) if rows else [()] * len(Row._fields)
        named = dict(zip(Row._fields, map(list, columns), strict=True))
        self._file.write_table(pa.table(named, schema=self._schema))

    def close(self) -> None:
        self._file.close()


class _JsonLines:
    def __init__(self, path: Path, embed_dim: int) -> None:
        self._file = path.open("w", encoding="utf-8")

    def write(self, rows: list[Row]) -> None:
        for row in rows:
            # nine digits bring every float32 back exactly
            vector = [float(f"{number:.9g}") for number in row.vector.tolist()]
            self._file.write(json.dumps(row._asdict() | {"vector": vector}, ensure_ascii=False) + "\n")

    def close(self) -> None:
        self._file.close()


class _Npz:
    """Arrays by column; times are NaN where there are none. All rows are in memory until the end."""

    def __init__(self, path: Path, embed_dim: int) -> None:
        self._path = path
        self._embed_dim = embed_dim
        self._rows: list[Row] = []

    def write(self, rows: list[Row]) -> None:
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
