"""The rows of an index: a vector with its file, its time in the file, and its metadata."""

import json
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from imagebind.batching import Embedding
from imagebind.intake.requests import Request
from imagebind.io.uri import is_uri
from imagebind.media.discover import absolute_path
from imagebind.media.paths import path_text, text_path
from imagebind.modality import MediaKind, ModalityType, stored_kind

Metadata = Mapping[str, str | int | float | bool]

TEXT_KEY = "text"  # metadata written by the index: a text, or the beginning of a text file
UNREAD_KEY = "unread"  # metadata written by the crawl: the media type in a video that could not be read
UNIT_TOLERANCE = 1e-3  # of a vector's length: half precision rounds by less


def new_id() -> str:
    """Return a unique id for a row."""
    return uuid.uuid4().hex


@dataclass(frozen=True, kw_only=True, eq=False)
class IndexRow:
    """A unit vector (e,) in float32, and the item that it was computed from.

    `path` is the file's path as text, see `path_text`, or the name of an item without a file. `start` and
    `end` are seconds, None for media without time. `metadata` is flat. Only a crawl sets the others:
    `content_hash`, `size` in bytes and `mtime_ns` are the file's when it was read; `thumbnail` is a JPEG.
    """

    path: str
    kind: MediaKind
    vector: np.ndarray
    start: float | None = None
    end: float | None = None
    content_hash: str = ""
    size: int = 0
    mtime_ns: int = 0
    metadata: Metadata = field(default_factory=dict)
    thumbnail: bytes | None = None
    id: str = field(default_factory=new_id)


@dataclass(frozen=True, kw_only=True)
class FileState:
    """The state of a file when it was indexed, and the media types of its rows."""

    content_hash: str
    size: int
    mtime_ns: int
    kinds: frozenset[MediaKind]


@dataclass(frozen=True, kw_only=True, eq=False)
class Hit:
    """A row of an index, such as one found by a search.

    `cosine` is the cosine similarity of query and row. `score` is comparable across media types: the number
    of standard deviations by which the cosine exceeds the query's mean cosine with that media type. Both are
    NaN in rows from `Index.get` and `Index.sample`, which have no query; only those rows have a `vector`.
    """

    id: str
    path: str
    kind: MediaKind
    start: float | None
    end: float | None
    metadata: dict[str, Any]
    thumbnail: bytes | None
    content_hash: str
    size: int
    mtime_ns: int
    cosine: float = float("nan")
    score: float = float("nan")
    vector: np.ndarray | None = None

    @property
    def modality(self) -> ModalityType:
        """The modality of the trunk that computed the vector."""
        return self.kind.modality

    @property
    def file(self) -> Path:
        """The path of the hit's file."""
        return text_path(self.path)


def row_of(result: Embedding, item: Any, metadata: Metadata) -> IndexRow:
    """Return the row of an embedded item; a file's path is absolute."""
    assert result.vector is not None and result.kind is not None
    payload = item.payload if isinstance(item, Request) else item
    if isinstance(payload, Mapping):
        payload = next(iter(payload.values()))
    is_path = isinstance(payload, os.PathLike) or (
        isinstance(payload, str) and result.kind is not MediaKind.TEXT and not is_uri(payload)
    )
    path = path_text(absolute_path(payload)) if is_path else result.name
    start = min((span[0] for span in result.spans), default=None)
    end = max((span[1] for span in result.spans), default=None)
    if result.kind is MediaKind.TEXT and isinstance(payload, str):
        metadata = {TEXT_KEY: payload, **metadata}
    return IndexRow(
        path=path, kind=result.kind, vector=result.vector, start=start, end=end, metadata=metadata
    )


def schema(embed_dim: int) -> pa.Schema:
    """Return the schema of the table of rows, for vectors of length `embed_dim`."""
    return pa.schema(
        [
            ("id", pa.string()),
            ("path", pa.string()),
            ("kind", pa.string()),
            ("start", pa.float64()),
            ("end", pa.float64()),
            ("vector", pa.list_(pa.float32(), embed_dim)),
            ("content_hash", pa.string()),
            ("size", pa.int64()),
            ("mtime_ns", pa.int64()),
            ("metadata", pa.string()),
            ("thumbnail", pa.binary()),
        ]
    )


HIT_COLUMNS = (
    "id",
    "path",
    "kind",
    "start",
    "end",
    "content_hash",
    "size",
    "mtime_ns",
    "metadata",
    "thumbnail",
)


def to_arrow(rows: Sequence[IndexRow], embed_dim: int) -> pa.Table:
    """Convert rows to an Arrow table with the index's schema.

    Raises:
        ValueError: a vector does not have the shape (e,) or unit length, or a metadata value is not a string,
            number or boolean.
    """
    for row in rows:
        if row.vector.shape != (embed_dim,):
            raise ValueError(f"{row.path}: expected a vector ({embed_dim},), got {row.vector.shape}")
        length = float(np.linalg.norm(row.vector))
        if not abs(length - 1) <= UNIT_TOLERANCE:  # also true of NaN
            raise ValueError(f"{row.path}: expected a vector of unit length, got one of length {length:g}")
    columns: dict[str, Any] = {
        name: [getattr(row, name) for row in rows]
        for name in ("id", "path", "start", "end", "content_hash", "size", "mtime_ns", "thumbnail")
    }
    vectors = np.array([row.vector for row in rows], dtype=np.float32).ravel()
    columns["kind"] = [row.kind.value for row in rows]
    columns["metadata"] = [metadata_text(row.metadata) for row in rows]
    columns["vector"] = pa.FixedSizeListArray.from_arrays(pa.array(vectors, pa.float32()), embed_dim)
    return pa.table(columns, schema=schema(embed_dim))


def from_arrow(table: pa.Table) -> list[IndexRow]:
    """Return the rows of a table from `to_arrow`."""
    return [
        IndexRow(
            **{
                **record,
                "kind": stored_kind(record["kind"]),
                "vector": np.asarray(record["vector"], dtype=np.float32),
                "metadata": json.loads(record["metadata"]),
            }
        )
        for record in table.to_pylist()
    ]


def to_columns(columns: Mapping[str, Any], embed_dim: int) -> pa.Table:
    """Convert some columns to an Arrow table with their types in the index."""
    whole = schema(embed_dim)
    return pa.table(columns, schema=pa.schema([whole.field(name) for name in columns]))


def metadata_text(metadata: Metadata) -> str:
    """Return flat metadata as JSON in a canonical form, which the order of names does not affect.

    1, 1.0 and True, which are equal in Python, have different texts.

    Raises:
        ValueError: a value is not a string, a number or a boolean.
    """
    for name, value in metadata.items():
        if not isinstance(value, str | int | float | bool):
            raise ValueError(
                f"metadata {name!r}: expected a string, number or boolean, got a {type(value).__name__}"
            )
    return json.dumps(dict(metadata), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def to_hit(record: Mapping[str, Any], *, cosine: float = float("nan"), score: float = float("nan")) -> Hit:
    """Turn a record of the table into a hit."""
    vector = record.get("vector")
    return Hit(
        **{name: record[name] for name in HIT_COLUMNS if name not in ("kind", "metadata")},
        kind=stored_kind(record["kind"]),
        metadata=json.loads(record["metadata"]),
        cosine=cosine,
        score=score,
        vector=None if vector is None else np.asarray(vector, dtype=np.float32),
    )
