"""The crawl: folders of media into an index, again later only what has changed since.

    crawl(index, ["~/media"], mappings=[parse_mapping("depth/**.png=depth:kinect_v1")])

A file is known by its path. One of the same size and time of change is not opened; else its bytes tell
whether it has changed. One that is gone while another of the same bytes has come has moved: it keeps its
vectors and ids. All rows of a file are written in one commit, so a crawl that is killed has every file whole
or not at all, and the next one goes on from there.
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
from imagebind.intake.files import NotMediaError
from imagebind.intake.mapping import PathMapping
from imagebind.intake.requests import Request
from imagebind.io.source import foreign_errors_of, name_of
from imagebind.io.uri import is_uri
from imagebind.media.discover import FoundFile, check_roots, discover, stat_file
from imagebind.media.paths import path_text
from imagebind.modality import MediaKind
from imagebind.search.crawl.examine import Examined, examine, examine_as, hash_of, in_threads
from imagebind.search.crawl.job import Job
from imagebind.search.crawl.known import Known, is_unchanged, main_kind
from imagebind.search.crawl.report import (
    KEPT_FAILURES,
    CrawlReport,
    ErrorFile,
    Failure,
    FileCount,
    FileWarning,
    Outcome,
    Progress,
    error_file,
)
from imagebind.search.crawl.windows import HOP_SECONDS, WINDOW_SECONDS, Windows
from imagebind.search.crawl.writer import Writer
from imagebind.search.index import Index
from imagebind.search.lock import writer_lock
from imagebind.search.rows import UNREAD, FileState
from imagebind.search.thumbnails import thumbnails

logger = logging.getLogger(__name__)

Answer = tuple[MediaKind, Mapping[str, Any]]


class Planned(NamedTuple):
    """A file's requests, and the warnings from planning them."""

    requests: list[Request]
    warnings: list[str]


Looked = tuple[Examined, Planned | MediaError | None]  # a file, and its requests or error
Ask = Callable[[FoundFile, AmbiguousMediaError], Answer | None]


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
    """Bring an index up to date with folders and files.

    A file that fails is reported, each time, and what the index had of it stays; all others are done. A video
    whose sound fails is reported once, and has its pictures, whose metadata say `unread`: "audio". Files that
    are no media are counted. Other windows, or other options of a mapping, change nothing of what is indexed
    already; another kind does.

    Args:
        index: opened with an embedder.
        mappings: what files are whose content does not tell; the first that speaks of a file counts.
        prune: take out files below the roots that are no longer there.
        window_seconds, hop_seconds: of long recordings, see `windows`.
        ask: says what a file is that could be several things, once a folder; None leaves it a failure.
        progress: called when something is done with a file.
        errors: file for failures and warnings, one JSON line each; not created without any.

    Raises:
        MediaError: a root that is not there.
        IndexBusyError: another process is writing to the index.
        SearchIndexError: it cannot be written to, as on a full disk; what was committed stays.
        SpaceMismatchError: the embedder's vectors are of another space than the index's.
    """
    if index.embedder is None:
        raise ValueError(f"{index.uri}: expected an index opened with an embedder")
    whole_roots = check_roots(roots)
    windows = Windows(index.embedder, window_seconds=window_seconds, hop_seconds=hop_seconds)
    own = [Path(index.uri)] if not is_uri(index.uri) else []
    own += [] if errors is None else [errors]
    with writer_lock(index.uri), error_file(errors) as log, FileCount(whole_roots, own, progress) as count:
        index.roots(whole_roots)
        run = _Crawl(index, windows, mappings, ask, count, log, batch_size)
        run.take(discover(whole_roots, without=own))
        run.take_again()
        run.settle(whole_roots, prune=prune)
        index.optimize()
        return run.report


class _Crawl:
    """One crawl's state: no more of it than is under way, besides what the index knows of its files."""

    def __init__(
        self,
        index: Index,
        windows: Windows,
        mappings: Sequence[PathMapping],
        ask: Ask | None,
        count: FileCount,
        log: ErrorFile,
        batch_size: int,
    ) -> None:
        self.index = index
        self.writer = Writer(index)
        self.windows = windows
        self.mappings = mappings
        self.ask = ask
        self.count = count
        self.log = log
        self.batch_size = batch_size
        self.report = CrawlReport()
        self.known = Known(index.files())
        self.answers: dict[Path, Answer | None] = {}  # by folder
        self.no_media: dict[str, FileState] = {}
        self.again: list[FoundFile] = []
        self.is_last_try = False
        self.in_flight: deque[tuple[Job, MediaKind]] = deque()

    def take(self, files: Iterable[FoundFile | MediaError]) -> None:
        """Do all that is to be done with some files, up to their commit."""
        stream = self.windows.embedder.encode_stream(
            self._requests(files), batch_size=self.batch_size, clips=True, inspect=thumbnails
        )
        with closing(stream):
            for result in stream:
                self._collect(result)
        self.writer.flush()

    def take_again(self) -> None:
        """Try those once more that changed while they were read."""
        self.is_last_try = True
        looked = [stat_file(found.path, found.root) for found in self.again]
        self.take([found for found in looked if found is not None])

    def settle(self, roots: Sequence[Path], *, prune: bool) -> None:
        """Deal with what the index has below the roots and is no longer there, or no longer media."""
        gone = self.known.gone(roots) | self.no_media
        if not prune:
            self.report.gone = len(gone)
            return
        self.index.delete(paths=gone)
        for state in gone.values():
            self._done(Outcome.REMOVED, main_kind(state))

    def _requests(self, files: Iterable[FoundFile | MediaError]) -> Iterator[Request]:
        """What the model is to embed."""
        for job in self._jobs(files):
            for request in job.requests:
                if request.kind not in job.failed:
                    job.waiting += 1
                    self.in_flight.append((job, request.kind))
                    yield request
            job.is_asked_for = True
            if job.is_complete:
                self._finish(job)

    def _jobs(self, files: Iterable[FoundFile | MediaError]) -> Iterator[Job]:
        """Files that are to be embedded; all others are dealt with here."""
        workers = max(self.windows.embedder.num_workers // 2, 1)  # to look into files is the lesser work
        new = self._new(files)
        for (found, state), examining in in_threads(self._examine, new, workers=workers):
            try:
                examined, planned = self._examined(found, examining)
            except NotMediaError:
                if state is not None and _is_other(found, state):
                    self.no_media[path_text(found.path)] = state
                self.report.leave_out(found.path.suffix.lower())
                self.count.tell(self.report)
            except MediaError as error:
                self._fail(found, state, error)
            else:
                if not self._is_settled(examined, state):
                    planned = planned or self._planned(examined)
                    if isinstance(planned, MediaError):
                        self._fail(found, state, planned, examined.kind)
                    else:
                        warnings = dict.fromkeys(planned.warnings)
                        yield Job(
                            examined=examined, state=state, requests=planned.requests, warnings=warnings
                        )

    def _new(self, files: Iterable[FoundFile | MediaError]) -> Iterator[tuple[FoundFile, FileState | None]]:
        """Files that may have to be embedded, and what the index has of them."""
        for found in files:
            if isinstance(found, MediaError):
                self._note(found.item, found)
                self._done(Outcome.FAILED, None)
                continue
            state = self.known.meet(path_text(found.path))
            if state is not None and is_unchanged(found, state, self.mappings):
                self._done(Outcome.UNCHANGED, main_kind(state))
            else:
                yield found, state

    def _examine(self, new: tuple[FoundFile, FileState | None]) -> Looked:
        """In a thread: what a file is, and what is to be embedded of it unless the index may have it."""
        examined = examine(new[0], self.mappings)
        return examined, None if self.known.has_bytes(examined.content_hash) else self._planned(examined)

    def _planned(self, examined: Examined) -> Planned | MediaError:
        try:
            path = examined.found.path
            # Exception: whatever a damaged file brings out, it must not end a crawl
            with collect_warnings() as warnings, foreign_errors_of(name_of(path), kinds=(Exception,)):
                requests = list(self.windows.requests(path, examined.kind, examined.options))
            for warning in warnings:
                logger.warning("%s: %s", name_of(path), warning)
            return Planned(requests, warnings)
        except MediaError as error:
            return error

    def _examined(self, found: FoundFile, examining: Future[Looked]) -> Looked:
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

    def _is_settled(self, examined: Examined, state: FileState | None) -> bool:
        """Whether the index has these bytes already, by this name or by one that is gone."""
        found, path = examined.found, path_text(examined.found.path)
        if state is not None:
            same = state.content_hash == examined.content_hash and examined.kind is main_kind(state)
            if same:
                self._move(path, found, Outcome.UNCHANGED, examined.kind)
            return same
        before = self.known.move(examined)
        if before is not None:
            self._move(before, found, Outcome.MOVED, examined.kind)
        return before is not None

    def _move(self, before: str, found: FoundFile, outcome: Outcome, kind: MediaKind) -> None:
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

    def _finish(self, job: Job) -> None:
        """All of a file is there: is it what is still on the disk?"""
        kind = job.examined.kind
        if kind in job.failed:
            self._fail(job.examined.found, job.state, job.failed[kind], kind)
        elif not self._is_put_off(job.examined.found, job.state):
            rows = job.rows
            for failed, error in job.failed.items():  # a video's sound: its pictures stand, and say so
                self._note(job.path, error)
                rows = [replace(row, metadata={**row.metadata, UNREAD: failed.value}) for row in rows]
            is_new = job.state is None
            self.writer.put(job.path, rows, is_new=is_new, written=lambda: self._written(job))

    def _is_put_off(self, found: FoundFile, state: FileState | None) -> bool:
        """Whether a file is another by now than it was when it was found; then it is tried once more."""
        now = stat_file(found.path, found.root)
        if now == found:
            return False
        if self.is_last_try:
            seen = "changes while it is read, twice in a row" if isinstance(now, FoundFile) else "is gone"
            error = MediaError(name_of(found.path), got=seen, expected="a file that stays for a moment")
            self._note(path_text(found.path), error)
            self._done(Outcome.FAILED, None)
            return True
        self.again.append(found)
        if state is not None:
            self.known.put_back(path_text(found.path), state)
        return True

    def _written(self, job: Job) -> None:
        self.report.rows += len(job.rows)
        self._warn(job)
        self._done(Outcome.ADDED if job.state is None else Outcome.CHANGED, job.examined.kind)

    def _fail(
        self, found: FoundFile, state: FileState | None, error: Exception, kind: MediaKind | None = None
    ) -> None:
        if self._is_put_off(found, state):
            return
        self._note(path_text(found.path), error)
        self._done(Outcome.FAILED, kind)

    def _note(self, path: str, error: Exception) -> None:
        failure = Failure.of(path, error)
        self.log.write(failure)
        if len(self.report.failures) < KEPT_FAILURES:
            self.report.failures.append(failure)

    def _warn(self, job: Job) -> None:
        self.report.warned_files += bool(job.warnings)
        for text in job.warnings:
            warning = FileWarning(path=job.path, warning=text)
            self.log.write(warning)
            if len(self.report.warnings) < KEPT_FAILURES:
                self.report.warnings.append(warning)

    def _done(self, outcome: Outcome, kind: MediaKind | None) -> None:
        self.report.counts[outcome][kind] += 1
        self.count.tell(self.report)


def _is_other(found: FoundFile, state: FileState) -> bool:
    """Whether a file that a crawl has read has other bytes by now. What a user added it never read."""
    try:
        return bool(state.content_hash) and hash_of(found.path) != state.content_hash
    except OSError:
        return False
