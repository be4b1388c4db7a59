"""What an index holds: a row for each vector, with where in which file it comes from."""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from imagebind.media.paths import text_path
from imagebind.modality import MediaKind, ModalityType

Metadata = Mapping[str, str | int | float | bool]

TEXT, UNREAD = "text", "unread"  # metadata of ours: how a text begins; what of a video could not be read
UNIT_TOLERANCE = 1e-3  # of a vector's length: half precision rounds by less


def new_id() -> str:
    """A name for a row that no other row has."""
    return uuid.uuid4().hex


@dataclass(frozen=True, kw_only=True, eq=False)
class IndexRow:
    """One vector (e,), float32 and of unit length, and what it is of.

    `path` is text, see `path_text`. `start` and `end` are seconds, None for what has no time. `content_hash`,
    `size` in bytes and `mtime_ns` are the file's when it was read. `metadata` is flat. `thumbnail` is a
    small JPEG.
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
    """What an index knows of a file: whether it is the one that was read, and what it gave."""

    content_hash: str
    size: int
    mtime_ns: int
    kinds: frozenset[MediaKind]


@dataclass(frozen=True, kw_only=True, eq=False)
class Hit:
    """A row that was found.

    `cosine` is what the vectors say, `score` what compares across kinds: how many deviations the cosine is
    above what this query has with that kind of item. Both are NaN where nothing was asked.
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
        """The trunk that its vector comes from."""
        return self.kind.modality

    @property
    def file(self) -> Path:
        """Where it is on this machine."""
        return text_path(self.path)


def schema(embed_dim: int) -> pa.Schema:
    """The table's columns, for vectors of `embed_dim` numbers."""
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


SHOWN = ("id", "path", "kind", "start", "end", "content_hash", "size", "mtime_ns", "metadata", "thumbnail")


def to_arrow(rows: Sequence[IndexRow], embed_dim: int) -> pa.Table:
    """Rows as the table takes them.

    Raises:
        ValueError: a vector that is not (e,), not finite or not of unit length; names its path.
    """
    for row in rows:
        if row.vector.shape != (embed_dim,):
            raise ValueError(f"{row.path}: expected a vector ({embed_dim},), got {row.vector.shape}")
        length = float(np.linalg.norm(row.vector))
        if not abs(length - 1) <= UNIT_TOLERANCE:  # also where it is NaN
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


def to_columns(columns: Mapping[str, Any], embed_dim: int) -> pa.Table:
    """Some of the table's columns, as it takes them."""
    whole = schema(embed_dim)
    return pa.table(columns, schema=pa.schema([whole.field(name) for name in columns]))


def metadata_text(metadata: Metadata) -> str:
    """Flat metadata as the table has it, in one form for one content.

    Raises:
        ValueError: a value that is no text, number or truth.
    """
    for name, value in metadata.items():
        if not isinstance(value, str | int | float | bool):
            raise ValueError(
                f"metadata {name!r}: expected text, a number or true or false, got a {type(value).__name__}"
            )
    return json.dumps(dict(metadata), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def to_hit(record: Mapping[str, Any], *, cosine: float = float("nan"), score: float = float("nan")) -> Hit:
    """A row of the table as what was found."""
    vector = record.get("vector")
    return Hit(
        **{name: record[name] for name in SHOWN if name not in ("kind", "metadata")},
        kind=MediaKind(record["kind"]),
        metadata=json.loads(record["metadata"]),
        cosine=cosine,
        score=score,
        vector=None if vector is None else np.asarray(vector, dtype=np.float32),
    )
