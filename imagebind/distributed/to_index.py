"""Vectors in parts, as an engine leaves them, into an index."""

import hashlib
import json
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
from imagebind.modality import MediaKind, ModalityType
from imagebind.search.index import Index
from imagebind.search.lock import writer_lock
from imagebind.search.rows import IndexRow

COMMIT_ROWS = 4096  # 16 MB of the released model's vectors
ID_BYTES = 16
_SURROGATE = re.compile(r"\\udc([89a-f][0-9a-f])")  # how an output writes a byte of a name that is not UTF-8


def add_partitions(
    index: Index,
    folder: str | os.PathLike[str],
    *,
    is_whole: bool = True,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Put all vectors of an engine's output into an index; returns how many rows are of it now.

    Rows of its paths that the index has from before are replaced. So doing it again, or going on with it
    after it was killed, puts nothing in twice.

    Args:
        is_whole: refuse an output of which parts are missing.
        progress: called with the number of rows after each commit.

    Raises:
        ImageBindError: no engine's output is there, or one of which parts are missing.
        SpaceMismatchError: its vectors are of another space than the index's.
        IndexBusyError: another process is writing to the index.
        SearchIndexError: it cannot be written to; what was committed stays.
    """
    output = Output(folder)
    with writer_lock(index.uri):
        return add_parts(index, output, is_whole=is_whole, progress=progress)


def add_parts(
    index: Index, output: Output, *, is_whole: bool, progress: Callable[[int], None] | None = None
) -> int:
    """`add_partitions` for who holds the index's lock."""
    manifest = output.manifest()
    if manifest is None:
        raise ImageBindError(
            f"{output.uri}: no output of an engine; expected one of `imagebind embed --engine ray`"
        )
    missing = len(manifest.parts) - len(output.done())
    if missing and is_whole:
        raise ImageBindError(
            f"{output.uri}: {missing} of {len(manifest.parts)} parts are not done; "
            "finish that run first, with the same command"
        )
    space = output.space()
    if space is not None:
        index.space.check(space, what=index.uri)
    added = 0
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
    """Rows of some thousand, all of a path together."""
    parts = Counter(
        path for number in output.done() for path in set(output.read(number, ["path"])["path"].to_pylist())
    )
    pending: list[IndexRow] = []
    scattered: list[IndexRow] = []
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
    if "id" in record:  # a crawl's
        others = {
            "vector": vector,
            "kind": MediaKind(record["kind"]),
            "metadata": json.loads(record["metadata"]),
        }
        return IndexRow(**{**record, **others})
    kind = _kind(record)
    path, start, end = _whole(record["path"], base), record["start"], record["end"]
    of = repr((path, kind.value, start, end)).encode() + vector.tobytes()
    id = hashlib.blake2b(of, digest_size=ID_BYTES).hexdigest()  # the same whenever it is added
    return IndexRow(path=path, kind=kind, start=start, end=end, vector=vector, id=id)


def _kind(record: Mapping[str, Any]) -> MediaKind:
    """A picture has no time, a video has."""
    if record["modality"] != ModalityType.VISION.value:
        return MediaKind(record["modality"])
    return MediaKind.IMAGE if record["start"] is None else MediaKind.VIDEO


def _whole(path: str, base: str) -> str:
    path = _SURROGATE.sub(r"\\x\1", path)
    return path if is_uri(path) else path_text(absolute_path(Path(base, path)))
