"""Index folders of media files; a later crawl embeds only files that are new or have changed.

    crawl(index, ["~/media"], mappings=[parse_mapping("depth/**.png=depth:kinect_v1")])

The index identifies a file by its path. A file with the same size and modification time is not opened;
otherwise a hash of its bytes tells whether it has changed. If a file is missing and a new file has the same
bytes, the file has moved: its rows keep their vectors and ids. All rows of a file are written in one commit,
so a crawl that is killed leaves each file whole or absent, and the next crawl resumes from there.
"""

import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from imagebind.batching import Embedding
from imagebind.embedder import BATCH_SIZE
from imagebind.errors import AmbiguousMediaError, MediaError, collect_warnings
from imagebind.failures import ErrorFile, Failure, FileWarning, error_file
from imagebind.intake.files import NotMediaError
from imagebind.intake.mapping import PathMapping
from imagebind.intake.requests import Request
from imagebind.io.source import foreign_errors_of, name_of
from imagebind.io.uri import is_uri
from imagebind.media.discover import FoundFile, check_roots, discover, stat_file
from imagebind.media.paths import path_text
from imagebind.modality import MediaKind
from imagebind.search.crawl.examine import ExaminedFile, examine, examine_as, hash_of, in_threads
from imagebind.search.crawl.indexed_files import IndexedFiles, is_unchanged, main_kind
from imagebind.search.crawl.job import FileJob
from imagebind.search.crawl.report import KEPT_FAILURES, CrawlReport, FileCount, FileOutcome, Progress
from imagebind.search.crawl.windows import HOP_SECONDS, WINDOW_SECONDS, WindowPlanner
from imagebind.search.crawl.writer import Writer
from imagebind.search.index import Index
from imagebind.search.lock import writer_lock
from imagebind.search.rows import UNREAD_KEY, FileState
from imagebind.search.thumbnails import thumbnails

logger = logging.getLogger(__name__)

KindAndOptions = tuple[MediaKind, Mapping[str, Any]]


class PlannedRequests(NamedTuple):
    """The requests of a file, and the warnings raised while planning them."""

    requests: list[Request]
    warnings: list[str]


Examination = tuple[ExaminedFile, PlannedRequests | MediaError | None]  # None: not planned yet
Ask = Callable[[FoundFile, AmbiguousMediaError], KindAndOptions | None]


def crawl(
    index: Index,
    roots: Sequence[str | os.PathLike[str]],
    *,
    mappings: Sequence[PathMapping] = (),
    prune: bool = False,
    window_seconds: float = WINDOW_SECONDS,
    hop_seconds: float = HOP_SECONDS,
    batch_size: int = BATCH_SIZE,
    ask: Ask | None = None,
    progress: Progress | None = None,
    errors: Path | None = None,
) -> CrawlReport:
    """Bring an index up to date with folders and files, and return a report.

    A file that fails is reported by each crawl, and its earlier rows stay; all other files are indexed. A
    video whose audio fails is reported once; its video rows are indexed, with the metadata `unread`: "audio".
    Files that are not media are only counted. Changed windows or mapping options do not affect files that
    are already indexed; a changed media type does.

    Args:
        index: opened with an embedder.
        mappings: media types of files whose content is ambiguous; the first that matches a file counts.
        prune: delete the rows of files under the roots that no longer exist.
        window_seconds, hop_seconds: for long recordings, see `windows`.
        ask: returns the media type of an ambiguous file, called once per folder; without it, or if it
            returns None, the file fails.
        progress: called after each file.
        errors: file for failures and warnings, one JSON line each; created only if there are any.

    Raises:
        MediaError: a root does not exist.
        IndexBusyError: another process is writing to the index.
        SearchIndexError: the index cannot be written, for example on a full disk; committed rows stay.
        SpaceMismatchError: the embedder's vectors are in another space than the index's.
    """
    if index.embedder is None:
        raise ValueError(f"{index.uri}: expected an index opened with an embedder")
    whole_roots = check_roots(roots)
    planner = WindowPlanner(index.embedder, window_seconds=window_seconds, hop_seconds=hop_seconds)
    own = [Path(index.uri)] if not is_uri(index.uri) else []
    own += [] if errors is None else [errors]
    with writer_lock(index.uri), error_file(errors) as log, FileCount(whole_roots, own, progress) as count:
        index.roots(whole_roots)
        run = _Crawl(index, planner, mappings, ask, count, log, batch_size)
        run.index_files(discover(whole_roots, without=own))
        run.retry_changed_files()
        run.handle_missing_files(whole_roots, prune=prune)
        index.optimize()
        return run.report


class _Crawl:
    """The state of one crawl: the files in progress, and the file states that the index stores."""

    def __init__(
        self,
        index: Index,
        planner: WindowPlanner,
        mappings: Sequence[PathMapping],
        ask: Ask | None,
        count: FileCount,
        log: ErrorFile,
        batch_size: int,
    ) -> None:
        self.index = index
        self.writer = Writer(index)
        self.planner = planner
        self.mappings = mappings
        self.ask = ask
        self.count = count
        self.log = log
        self.batch_size = batch_size
        self.report = CrawlReport()
        self.indexed = IndexedFiles(index.files())
        self.answers: dict[Path, KindAndOptions | None] = {}  # by folder
        self.no_longer_media: dict[str, FileState] = {}
        self.to_retry: list[FoundFile] = []
        self.is_last_try = False
        self.in_flight: deque[tuple[FileJob, MediaKind]] = deque()

    def index_files(self, files: Iterable[FoundFile | MediaError]) -> None:
        """Embed the files that need it, and commit all changes."""
        stream = self.planner.embedder.encode_stream(
            self._requests(files), batch_size=self.batch_size, clips=True, inspect=thumbnails
        )
        with closing(stream):
            for result in stream:
                self._collect(result)
        self.writer.flush()

    def retry_changed_files(self) -> None:
        """Index the files again that changed while they were read."""
        self.is_last_try = True
        files = [stat_file(found.path, found.root) for found in self.to_retry]
        self.index_files([found for found in files if found is not None])

    def handle_missing_files(self, roots: Sequence[Path], *, prune: bool) -> None:
        """Count or delete indexed files under the roots that no longer exist or are no longer media."""
        gone = self.indexed.missing(roots) | self.no_longer_media
        if not prune:
            self.report.gone = len(gone)
            return
        self.index.delete(paths=gone)
        for state in gone.values():
            self._done(FileOutcome.REMOVED, main_kind(state))

    def _requests(self, files: Iterable[FoundFile | MediaError]) -> Iterator[Request]:
        """Yield the requests of all files that need embedding, and keep track of their jobs."""
        for job in self._jobs(files):
            for request in job.requests:
                if request.kind not in job.failed:
                    job.waiting += 1
                    self.in_flight.append((job, request.kind))
                    yield request
            job.is_submitted = True
            if job.is_complete:
                self._finish(job)

    def _jobs(self, files: Iterable[FoundFile | MediaError]) -> Iterator[FileJob]:
        """Yield a job for each file that needs embedding; handle all other files here."""
        workers = max(self.planner.embedder.num_workers // 2, 1)  # examining costs less than decoding
        new = self._new_or_changed(files)
        for (found, state), examining in in_threads(self._examine, new, workers=workers):
            try:
                examined, planned = self._examined(found, examining)
            except NotMediaError:
                if state is not None and _has_other_bytes(found, state):
                    self.no_longer_media[path_text(found.path)] = state
                self.report.count_not_media(found.path.suffix.lower())
                self.count.tell(self.report)
            except MediaError as error:
                self._fail(found, state, error)
            else:
                if not self._is_indexed(examined, state):
                    planned = planned or self._plan(examined)
                    if isinstance(planned, MediaError):
                        self._fail(found, state, planned, examined.kind)
                    else:
                        warnings = dict.fromkeys(planned.warnings)
                        yield FileJob(
                            examined=examined, state=state, requests=planned.requests, warnings=warnings
                        )

    def _new_or_changed(
        self, files: Iterable[FoundFile | MediaError]
    ) -> Iterator[tuple[FoundFile, FileState | None]]:
        """Yield files that may need embedding, with their states in the index."""
        for found in files:
            if isinstance(found, MediaError):
                self._note(found.item, found)
                self._done(FileOutcome.FAILED, None)
                continue
            state = self.indexed.visit(path_text(found.path))
            if state is not None and is_unchanged(found, state, self.mappings):
                self._done(FileOutcome.UNCHANGED, main_kind(state))
            else:
                yield found, state

    def _examine(self, new: tuple[FoundFile, FileState | None]) -> Examination:
        """Examine a file in a thread, and plan its requests unless the index may have its bytes."""
        examined = examine(new[0], self.mappings)
        return examined, None if self.indexed.has_bytes(examined.content_hash) else self._plan(examined)

    def _plan(self, examined: ExaminedFile) -> PlannedRequests | MediaError:
        try:
            path = examined.found.path
            # Exception: a damaged file may raise any type, and must not end the crawl
            with collect_warnings() as warnings, foreign_errors_of(name_of(path), kinds=(Exception,)):
                requests = list(self.planner.requests(path, examined.kind, examined.options))
            for warning in warnings:
                logger.warning("%s: %s", name_of(path), warning)
            return PlannedRequests(requests, warnings)
        except MediaError as error:
            return error

    def _examined(self, found: FoundFile, examining: Future[Examination]) -> Examination:
        try:
            return examining.result()
        except AmbiguousMediaError as error:
            folder = found.path.parent
            if self.ask is not None and folder not in self.answers:
                self.answers[folder] = self.ask(found, error)
            answer = self.answers.get(folder)
            if answer is None:
                raise
            return examine_as(found, *answer), None

    def _is_indexed(self, examined: ExaminedFile, state: FileState | None) -> bool:
        """Whether the index has these bytes already, under this path or under one that no longer exists."""
        found, path = examined.found, path_text(examined.found.path)
        if state is not None:
            same = state.content_hash == examined.content_hash and examined.kind is main_kind(state)
            if same:
                self._move(path, found, FileOutcome.UNCHANGED, examined.kind)
            return same
        before = self.indexed.visit_moved(examined)
        if before is not None:
            self._move(before, found, FileOutcome.MOVED, examined.kind)
        return before is not None

    def _move(self, before: str, found: FoundFile, outcome: FileOutcome, kind: MediaKind) -> None:
        self.writer.move(
            before,
            path_text(found.path),
            mtime_ns=found.mtime_ns,
            written=lambda: self._done(outcome, kind),
        )

    def _collect(self, result: Embedding) -> None:
        job, kind = self.in_flight.popleft()
        job.collect(kind, result)
        if job.is_complete:
            self._finish(job)

    def _finish(self, job: FileJob) -> None:
        """Write the rows of a file whose requests are all done, unless it changed on disk meanwhile."""
        kind = job.examined.kind
        if kind in job.failed:
            self._fail(job.examined.found, job.state, job.failed[kind], kind)
        elif not self._is_put_off(job.examined.found, job.state):
            rows = job.rows
            for failed, error in job.failed.items():  # the audio of a video; its video rows are kept
                self._note(job.path, error)
                rows = [replace(row, metadata={**row.metadata, UNREAD_KEY: failed.value}) for row in rows]
            is_new = job.state is None
            self.writer.put(job.path, rows, is_new=is_new, written=lambda: self._written(job))

    def _is_put_off(self, found: FoundFile, state: FileState | None) -> bool:
        """Whether a file has changed since it was found; it is then retried once, and after that fails."""
        now = stat_file(found.path, found.root)
        if now == found:
            return False
        if self.is_last_try:
            seen = (
                "a file that changed twice while it was read"
                if isinstance(now, FoundFile)
                else "no such file"
            )
            error = MediaError(
                name_of(found.path), got=seen, expected="a file that does not change during the crawl"
            )
            self._note(path_text(found.path), error)
            self._done(FileOutcome.FAILED, None)
            return True
        self.to_retry.append(found)
        if state is not None:
            self.indexed.unvisit(path_text(found.path), state)
        return True

    def _written(self, job: FileJob) -> None:
        self.report.rows += len(job.rows)
        self._warn(job)
        self._done(FileOutcome.ADDED if job.state is None else FileOutcome.CHANGED, job.examined.kind)

    def _fail(
        self, found: FoundFile, state: FileState | None, error: Exception, kind: MediaKind | None = None
    ) -> None:
        if self._is_put_off(found, state):
            return
        self._note(path_text(found.path), error)
        self._done(FileOutcome.FAILED, kind)

    def _note(self, path: str, error: Exception) -> None:
        failure = Failure.of(path, error)
        self.log.write(failure)
        if len(self.report.failures) < KEPT_FAILURES:
            self.report.failures.append(failure)

    def _warn(self, job: FileJob) -> None:
        self.report.warned_files += bool(job.warnings)
        for text in job.warnings:
            warning = FileWarning(path=job.path, warning=text)
            self.log.write(warning)
            if len(self.report.warnings) < KEPT_FAILURES:
                self.report.warnings.append(warning)

    def _done(self, outcome: FileOutcome, kind: MediaKind | None) -> None:
        self.report.counts[outcome][kind] += 1
        self.count.tell(self.report)


def _has_other_bytes(found: FoundFile, state: FileState) -> bool:
    """Whether the bytes of a crawled file have changed. Rows added by a user have no hash to compare."""
    try:
        return bool(state.content_hash) and hash_of(found.path) != state.content_hash
    except OSError:
        return False
