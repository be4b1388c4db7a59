"""Index folders of media files; a later crawl embeds only files that are new or have changed.

    crawl(index, ["~/media"], mappings=[parse_mapping("depth/**.png=depth:kinect_v1")])

The index identifies a file by its path. A file with the same size and modification time is not opened,
unless a mapping gives it another media type; otherwise a hash of its bytes tells whether it has changed. If a
file is missing and a new file has the same bytes, the file has moved: its rows keep their vectors and ids.
All rows of a file are written in one commit, so a crawl that is killed leaves each file whole or absent, and
the next crawl resumes from there.
"""

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from functools import partial
from pathlib import Path

from imagebind.embedder import BATCH_SIZE
from imagebind.errors import AmbiguousMediaError, MediaError
from imagebind.failures import ErrorFile, Failure, error_file
from imagebind.intake.files import NotMediaError, kind_of
from imagebind.intake.mapping import PathMapping
from imagebind.io.source import name_of
from imagebind.io.uri import is_uri
from imagebind.media.discover import FoundFile, check_roots, discover, stat_file
from imagebind.media.paths import path_text
from imagebind.modality import MediaKind
from imagebind.search.crawl.embed import FileEmbedder, FileRows, embed_files
from imagebind.search.crawl.examine import ExaminedFile, KindAndOptions, examine, hash_of, in_threads
from imagebind.search.crawl.indexed_files import IndexedFiles, is_unchanged, main_kind
from imagebind.search.crawl.report import KEPT_FAILURES, CrawlReport, FileCount, FileOutcome, Progress
from imagebind.search.crawl.writer import Writer
from imagebind.search.index import Index
from imagebind.search.lock import writer_lock
from imagebind.search.rows import FileState
from imagebind.windows import HOP_SECONDS, WINDOW_SECONDS

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
    embed: FileEmbedder = embed_files,
) -> CrawlReport:
    """Bring an index up to date with folders and files, and return a report.

    A file that fails is reported by each crawl, and its earlier rows stay; all other files are indexed. A
    video whose audio fails is reported once; its video rows are indexed, with the metadata `unread`: "audio".
    Files that are not media are only counted. Changed windows or mapping options do not affect files that
    are already indexed; a changed media type does.

    Args:
        index: opened with an embedder.
        mappings: media types of files whose content is ambiguous; the first that matches a file counts.
        prune: delete the rows of files under the roots that no longer exist or are no longer media.
        window_seconds, hop_seconds: for long recordings, see `windows`.
        ask: called with the first ambiguous file of each folder; returns the media type and options of all
            ambiguous files in the folder. Without it, or if it returns None, they fail.
        progress: called after each file.
        errors: file for failures and warnings, one JSON line each; created only if there are any. An earlier
            file is deleted.
        embed: turns files into rows, by default in this process; `distributed.crawl` has another.

    Raises:
        MediaError: a root does not exist.
        IndexBusyError: another process is writing to the index.
        SearchIndexError: the index cannot be written, for example on a full disk; committed rows stay.
        SpaceMismatchError: the embedder's vectors are in another space than the index's.
        ValueError: the index has no embedder, or the windows are invalid.
        OSError: `errors` cannot be written.
    """
    if index.embedder is None:
        raise ValueError(f"{index.uri}: expected an index opened with an embedder, got one without")
    absolute_roots = check_roots(roots)
    embed_all = partial(
        embed,
        embedder=index.embedder,
        window_seconds=window_seconds,
        hop_seconds=hop_seconds,
        batch_size=batch_size,
    )
    workers = max(index.embedder.num_workers // 2, 1)  # examining costs less than decoding
    excluded = [Path(index.uri)] if not is_uri(index.uri) else []
    excluded += [] if errors is None else [errors]
    with (
        writer_lock(index.uri),
        error_file(errors) as log,
        FileCount(absolute_roots, excluded, progress) as count,
    ):
        index.roots(absolute_roots)
        run = _Crawl(index, embed_all, mappings, ask, count, log, workers)
        run.index_files(discover(absolute_roots, without=excluded))
        run.retry_changed_files()
        run.handle_missing_files(absolute_roots, prune=prune)
        index.optimize()
        return run.report


class _Crawl:
    """The state of one crawl: the files in progress, and the file states that the index stores."""

    def __init__(
        self,
        index: Index,
        embed: Callable[[Iterable[ExaminedFile]], Generator[FileRows, None, None]],
        mappings: Sequence[PathMapping],
        ask: Ask | None,
        count: FileCount,
        log: ErrorFile,
        workers: int,
    ) -> None:
        self.index = index
        self.writer = Writer(index)
        self.embed = embed
        self.mappings = mappings
        self.ask = ask
        self.count = count
        self.log = log
        self.workers = workers
        self.report = CrawlReport()
        self.indexed = IndexedFiles(index.files())
        self.answers: dict[Path, KindAndOptions | None] = {}  # by folder
        self.no_longer_media: dict[str, FileState] = {}
        self.in_progress: dict[str, tuple[ExaminedFile, FileState | None]] = {}
        self.to_retry: list[FoundFile] = []
        self.is_last_try = False

    def index_files(self, files: Iterable[FoundFile | MediaError]) -> None:
        """Embed the files that need it, and commit all changes."""
        with closing(self.embed(self._to_embed(files))) as embedded:
            for file in embedded:
                self._collect(file)
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
            self._done(FileOutcome.REMOVED, main_kind(state.kinds))

    def _to_embed(self, files: Iterable[FoundFile | MediaError]) -> Iterator[ExaminedFile]:
        """Yield the files that need embedding; handle all other files here."""
        new = self._new_or_changed(files)
        for (found, state), examining in in_threads(self._examine, new, workers=self.workers):
            try:
                file = self._examined(found, examining)
            except NotMediaError:
                if state is not None and _has_other_bytes(found, state):
                    self.no_longer_media[path_text(found.path)] = state
                self.report.count_not_media(found.path.suffix.lower())
                self.count.tell(self.report)
            except MediaError as error:
                self._fail(found, state, Failure.of(path_text(found.path), error))
            else:
                if not self._is_indexed(file, state):
                    self.in_progress[path_text(found.path)] = file, state
                    yield file

    def _new_or_changed(
        self, files: Iterable[FoundFile | MediaError]
    ) -> Iterator[tuple[FoundFile, FileState | None]]:
        """Yield files that may need embedding, with their states in the index."""
        for found in files:
            if isinstance(found, MediaError):
                self._note(Failure.of(found.item, found))
                self._done(FileOutcome.FAILED, None)
                continue
            state = self.indexed.visit(path_text(found.path))
            if state is not None and is_unchanged(found, state, self.mappings):
                self._done(FileOutcome.UNCHANGED, main_kind(state.kinds))
            else:
                yield found, state

    def _examine(self, new: tuple[FoundFile, FileState | None]) -> ExaminedFile:
        """Examine a file, in a thread."""
        found, state = new
        assert self.index.embedder is not None
        try:
            kind_and_options = kind_of(found, self.mappings, bound=self.index.embedder.bound)
        except AmbiguousMediaError as error:
            pack = self.index.missing_pack(() if state is None else state.kinds)
            if pack is None:
                raise
            raise MediaError(error.item, got="none", expected=pack) from error
        return examine(found, kind_and_options, self.indexed.sizes)

    def _examined(self, found: FoundFile, examining: Future[ExaminedFile]) -> ExaminedFile:
        """Return the result of `_examine`, or with the answer of `ask` if the media type is ambiguous."""
        try:
            return examining.result()
        except AmbiguousMediaError as error:
            folder = found.path.parent
            if self.ask is not None and folder not in self.answers:
                self.answers[folder] = self.ask(found, error)
            answer = self.answers.get(folder)
            if answer is None:
                raise
            return examine(found, answer, self.indexed.sizes)

    def _is_indexed(self, examined: ExaminedFile, state: FileState | None) -> bool:
        """Whether the index has these bytes already, under this path or under one that no longer exists.

        If so, their rows get this path and modification time.
        """
        if not examined.content_hash:  # the index has no file of this size
            return False
        found, path = examined.found, path_text(examined.found.path)
        if state is not None:
            same = state.content_hash == examined.content_hash and examined.kind == main_kind(state.kinds)
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
            on_commit=lambda: self._done(outcome, kind),
        )

    def _collect(self, file: FileRows) -> None:
        """Write the rows of a file, unless it has failed, or has changed on disk meanwhile."""
        examined, state = self.in_progress.pop(file.path)
        found, kind = examined.found, examined.kind
        if file.failures and not file.rows:
            self._fail(found, state, file.failures[0], kind)
        elif not self._retry_if_changed(found, state):
            for failure in file.failures:  # the audio of a video; its video rows are kept
                self._note(failure)
            outcome = FileOutcome.ADDED if state is None else FileOutcome.CHANGED
            self.writer.put(
                file.path,
                file.rows,
                is_new=state is None,
                on_commit=lambda: self._count_written(file, outcome, kind),
            )

    def _retry_if_changed(self, found: FoundFile, state: FileState | None) -> bool:
        """Return whether a file has changed since it was found; if so, retry it once, then fail it."""
        now = stat_file(found.path, found.root)
        if now == found:
            return False
        if self.is_last_try:
            seen = (
                "one that changed twice while it was read"
                if isinstance(now, FoundFile)
                else "one that no longer exists"
            )
            error = MediaError(
                name_of(found.path), got=seen, expected="a file that does not change during the crawl"
            )
            self._note(Failure.of(path_text(found.path), error))
            self._done(FileOutcome.FAILED, None)
            return True
        self.to_retry.append(found)
        if state is not None:
            self.indexed.unvisit(path_text(found.path), state)
        return True

    def _count_written(self, file: FileRows, outcome: FileOutcome, kind: MediaKind) -> None:
        self.report.rows += len(file.rows)
        self.report.warned_files += bool(file.warnings)
        for warning in file.warnings:
            self.log.write(warning)
            if len(self.report.warnings) < KEPT_FAILURES:
                self.report.warnings.append(warning)
        self._done(outcome, kind)

    def _fail(
        self, found: FoundFile, state: FileState | None, failure: Failure, kind: MediaKind | None = None
    ) -> None:
        if not self._retry_if_changed(found, state):
            self._note(failure)
            self._done(FileOutcome.FAILED, kind)

    def _note(self, failure: Failure) -> None:
        self.log.write(failure)
        if len(self.report.failures) < KEPT_FAILURES:
            self.report.failures.append(failure)

    def _done(self, outcome: FileOutcome, kind: MediaKind | None) -> None:
        self.report.counts[outcome][kind] += 1
        self.count.tell(self.report)


def _has_other_bytes(found: FoundFile, state: FileState) -> bool:
    """Whether the bytes of a crawled file have changed. Rows added by a user have no hash to compare."""
    try:
        return bool(state.content_hash) and hash_of(found.path) != state.content_hash
    except MediaError:
        return False
