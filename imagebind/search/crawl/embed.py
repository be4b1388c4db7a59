"""Embed files: each becomes the rows that an index stores about it.

    for file in embed_files(examined, embedder):
        print(file.path, len(file.rows), file.failures)

A crawl calls `embed_files` by default, and writes the rows to the index.
"""

import logging
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

from imagebind.batching import Embedding
from imagebind.embedder import BATCH_SIZE, Embedder
from imagebind.errors import MediaError, collect_warnings
from imagebind.failures import Failure, FileWarning
from imagebind.intake.requests import Request
from imagebind.io.source import foreign_errors_of, name_of
from imagebind.media.paths import path_text
from imagebind.modality import MediaKind
from imagebind.search.crawl.examine import ExaminedFile, hash_of, in_threads, snippet
from imagebind.search.rows import TEXT_KEY, UNREAD_KEY, IndexRow
from imagebind.search.thumbnails import thumbnails
from imagebind.windows import HOP_SECONDS, WINDOW_SECONDS, WindowPlanner

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class FileRows:
    """The rows of a file or another named item, and the failures and warnings of embedding it.

    A file with failures has no rows, except a video whose audio failed: it has its video rows. A file without
    rows and failures is not media.
    """

    path: str
    rows: Sequence[Any] = ()
    failures: Sequence[Failure] = ()
    warnings: Sequence[FileWarning] = ()

    @classmethod
    def failed(cls, path: str, error: Exception) -> "FileRows":
        """Return the result of a file that has no rows because of an error."""
        return cls(path=path, failures=(Failure.of(path, error),))


class FileEmbedder(Protocol):
    """Turns files into rows, as `embed_files` in this process or `distributed.crawl` on a cluster."""

    def __call__(
        self,
        files: Iterable[ExaminedFile],
        embedder: Embedder,
        *,
        window_seconds: float,
        hop_seconds: float,
        batch_size: int,
    ) -> Generator[FileRows, None, None]: ...


def embed_files(
    files: Iterable[ExaminedFile],
    embedder: Embedder,
    *,
    window_seconds: float = WINDOW_SECONDS,
    hop_seconds: float = HOP_SECONDS,
    batch_size: int = BATCH_SIZE,
) -> Generator[FileRows, None, None]:
    """Yield the rows of each file, in any order and in bounded memory.

    Files share batches. Threads hash and open files in advance; `files` itself is read by this thread.
    """
    planner = WindowPlanner(embedder, window_seconds=window_seconds, hop_seconds=hop_seconds)
    jobs = _Jobs(planner)
    stream = planner.embedder.encode_stream(
        jobs.requests(files), batch_size=batch_size, clips=True, inspect=thumbnails
    )
    with closing(stream):
        for result in stream:
            jobs.collect(result)
            while jobs.done:
                yield jobs.done.popleft()
    yield from jobs.done


class _Plan(NamedTuple):
    """The requests of a file, the warnings from planning them, and the columns that its rows share."""

    requests: list[Request]
    warnings: list[str]
    columns: dict[str, Any]


@dataclass(eq=False, kw_only=True)
class _FileJob:
    """A file in progress: its rows so far, and the first error of each media type that failed.

    `waiting` counts requests without a result.
    """

    path: str
    kind: MediaKind
    columns: dict[str, Any]
    warnings: dict[str, None]  # an ordered set
    rows: list[IndexRow] = field(default_factory=list)
    failed: dict[MediaKind, Exception] = field(default_factory=dict)
    waiting: int = 0
    is_submitted: bool = False  # whether all requests have been submitted

    def collect(self, kind: MediaKind, result: Embedding) -> None:
        """Add the result of one request."""
        self.waiting -= 1
        self.warnings.update(dict.fromkeys(result.warnings))
        if result.error is not None:
            self.failed.setdefault(kind, result.error)
        if kind in self.failed:
            self.rows = [row for row in self.rows if row.kind != kind]
        else:
            self.rows += self._rows(result)

    def _rows(self, result: Embedding) -> list[IndexRow]:
        """Return one row for each span of a recording, or one row for other media."""
        assert result.kind is not None and result.vector is not None
        spans: Sequence[tuple[float | None, float | None]] = result.spans or [(None, None)]
        vectors = result.vector[None] if result.clips is None else result.clips
        return [
            IndexRow(
                path=self.path,
                kind=result.kind,
                vector=vector,
                start=start,
                end=end,
                thumbnail=thumbnail,
                **self.columns,
            )
            for (start, end), vector, thumbnail in zip(spans, vectors, result.inspected, strict=True)
        ]

    def result(self) -> FileRows:
        """Return the rows, failures and warnings. If a video's audio failed, the rows' metadata says so."""
        if self.kind in self.failed:
            return FileRows.failed(self.path, self.failed[self.kind])
        rows = self.rows
        for kind in self.failed:
            rows = [replace(row, metadata={**row.metadata, UNREAD_KEY: kind.value}) for row in rows]
        return FileRows(
            path=self.path,
            rows=rows,
            failures=[Failure.of(self.path, error) for error in self.failed.values()],
            warnings=[FileWarning(path=self.path, warning=text) for text in self.warnings],
        )


class _Jobs:
    """The files in progress, in the order of their requests, and the results not yet yielded."""

    def __init__(self, planner: WindowPlanner) -> None:
        self.planner = planner
        self.in_flight: deque[tuple[_FileJob, MediaKind]] = deque()
        self.done: deque[FileRows] = deque()

    def requests(self, files: Iterable[ExaminedFile]) -> Iterator[Request]:
        """Yield the requests of all files."""
        workers = max(self.planner.embedder.num_workers // 2, 1)  # planning costs less than decoding
        for file, planning in in_threads(self._plan, files, workers=workers):
            path = path_text(file.found.path)
            try:
                plan = planning.result()
            except MediaError as error:
                self.done.append(FileRows.failed(path, error))
                continue
            warnings = dict.fromkeys(plan.warnings)
            job = _FileJob(path=path, kind=file.kind, columns=plan.columns, warnings=warnings)
            for request in plan.requests:
                if request.kind not in job.failed:
                    job.waiting += 1
                    self.in_flight.append((job, request.kind))
                    yield request
            job.is_submitted = True
            self._finish_if_complete(job)

    def collect(self, result: Embedding) -> None:
        """Add the result of the next request."""
        job, kind = self.in_flight.popleft()
        job.collect(kind, result)
        self._finish_if_complete(job)

    def _finish_if_complete(self, job: _FileJob) -> None:
        if job.is_submitted and not job.waiting:
            self.done.append(job.result())

    def _plan(self, file: ExaminedFile) -> _Plan:
        """Hash a file and plan its requests, in a thread.

        Raises:
            MediaError: it cannot be read.
        """
        found = file.found
        # Exception: a damaged file may raise any type, and must not end the crawl
        with collect_warnings() as warnings, foreign_errors_of(name_of(found.path), error_types=(Exception,)):
            columns = {
                "content_hash": file.content_hash or hash_of(found.path),
                "size": found.size,
                "mtime_ns": found.mtime_ns,
                "metadata": {TEXT_KEY: snippet(found.path)} if file.kind is MediaKind.TEXT else {},
            }
            requests = list(self.planner.requests(found.path, file.kind, file.options))
        for warning in warnings:
            logger.warning("%s: %s", name_of(found.path), warning)
        return _Plan(requests, warnings, columns)
