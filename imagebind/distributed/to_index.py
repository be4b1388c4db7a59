"""Add the vectors of an engine's output folder to an index."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from imagebind.distributed.output import Output
from imagebind.errors import ImageBindError
from imagebind.io.uri import is_uri
from imagebind.media.discover import absolute_path
from imagebind.media.paths import path_text
from imagebind.modality import MediaKind, ModalityType, stored_kind
from imagebind.search.index import Index
from imagebind.search.lock import writer_lock
from imagebind.search.rows import IndexRow

COMMIT_ROWS = 4096  # 16 MB of the released model's vectors
ID_BYTES = 16
_SURROGATE = re.compile(r"\\udc([89a-f][0-9a-f])")  # an escaped byte that is not UTF-8


def add_partitions(
    index: Index,
    folder: str | os.PathLike[str],
    *,
    is_whole: bool = True,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Add all vectors of an engine's output to an index, and return their number.

    Earlier rows of the same paths are replaced, so repeating or resuming the call adds no row twice.

    Args:
        is_whole: refuse an output with missing parts.
        progress: called with the number of rows after each commit.

    Raises:
        ImageBindError: the folder is not an engine's output, or parts are missing.
        SpaceMismatchError: its vectors are in another space than the index's.
        IndexBusyError: another process is writing to the index.
        SearchIndexError: the index cannot be written; committed rows stay.
    """
    output = Output(folder)
    manifest = output.manifest()
    if manifest is None:
        raise ImageBindError(
            f"{output.uri}: expected an output of `imagebind embed --engine ray`, got no manifest"
        )
    missing = len(manifest.parts) - len(output.done())
    if missing and is_whole:
        raise ImageBindError(
            f"{output.uri}: {missing} of {len(manifest.parts)} parts are missing; "
            "resume that run first, with the same command"
        )
    space = output.space()
    added = 0
    with writer_lock(index.uri):
        if space is not None:
            index.space.check(space, owner=index.uri)
        known = index.files().keys()
        for rows in _batches(output, manifest.base):
            paths = {row.path for row in rows}
            if known.isdisjoint(paths):
                index.add_rows(rows)
            else:
                index.replace_paths(paths, rows)
            added += len(rows)
            if progress is not None:
                progress(added)
    return added


def _batches(output: Output, base: str) -> Iterator[list[IndexRow]]:
    """Yield batches of at least `COMMIT_ROWS` rows if there are as many, with all rows of a path in one."""
    parts = Counter(
        path for number in output.done() for path in set(output.read(number, ["path"])["path"].to_pylist())
    )
    pending: list[IndexRow] = []
    scattered: list[IndexRow] = []  # rows of paths in several parts, committed last
    for number in output.done():
        for record in output.read(number).to_pylist():
            row = _row(record, base)
            (scattered if parts[record["path"]] > 1 else pending).append(row)
        if len(pending) >= COMMIT_ROWS:
            yield pending
            pending = []
    if pending or scattered:
        yield pending + scattered


def _row(record: Mapping[str, Any], base: str) -> IndexRow:
    vector = np.asarray(record["vector"], dtype=np.float32)
    kind = _kind(record)
    path, start, end = _index_path(record["path"], base), record["start"], record["end"]
    identity = repr((path, kind.value, start, end)).encode() + vector.tobytes()
    id = hashlib.blake2b(identity, digest_size=ID_BYTES).hexdigest()  # the same each time it is added
    return IndexRow(path=path, kind=kind, start=start, end=end, vector=vector, id=id)


def _kind(record: Mapping[str, Any]) -> MediaKind:
    """Return the media type of a record; of the modality vision, only a video has a time."""
    if record["modality"] != ModalityType.VISION.value:
        return stored_kind(record["modality"])
    return MediaKind.IMAGE if record["start"] is None else MediaKind.VIDEO


def _index_path(path: str, base: str) -> str:
    path = _SURROGATE.sub(r"\\x\1", path)
    return path if is_uri(path) else path_text(absolute_path(Path(base, path)))
