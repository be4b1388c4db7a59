"""The report of a crawl: file counts, failures and warnings, and the file that lists all of them."""

import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from threading import Event, Thread
from typing import TextIO

from imagebind.io.source import encodable
from imagebind.media.discover import discover
from imagebind.modality import MediaKind

KEPT_FAILURES = 1000  # failures, and as many warnings, that a report keeps; the error file has all
KEPT_SUFFIXES = 100


_MAP_OPTION = re.compile(r"--map '([^']*)=")


class FileOutcome(str, Enum):
    """The result of a crawl for one file."""

    ADDED = "added"
    UNCHANGED = "unchanged"
    MOVED = "moved"
    CHANGED = "changed"
    REMOVED = "removed"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A file or folder that could not be indexed, or only in part, and the error."""

    path: str
    error: str
    kind: str  # name of the error's class

    @classmethod
    def of(cls, path: str, error: Exception) -> "Failure":
        """Make a failure from an exception."""
        return cls(path=path, error=encodable(str(error)), kind=type(error).__name__)

    @property
    def record(self) -> dict[str, str]:
        """The failure's fields as a JSON line contains them."""
        return {"path": self.path, "error": self.error, "kind": self.kind}


@dataclass(frozen=True, kw_only=True)
class FileWarning:
    """A warning about a file that is still read, such as a damaged part."""

    path: str
    warning: str

    @property
    def record(self) -> dict[str, str]:
        """The warning's fields as a JSON line contains them."""
        return {"path": self.path, "warning": self.warning, "kind": "Warning"}


@dataclass(kw_only=True)
class CrawlReport:
    """The progress and the result of a crawl.

    `counts` has the number of files by outcome and media type (None if it is unknown), `rows` the number of
    rows written. `not_media` counts files that are not media by suffix; `gone` counts indexed files that no
    longer exist and were not pruned. `failures` and `warnings` hold the first thousand each; `warned_files`
    counts the files with warnings.
    """

    counts: dict[FileOutcome, Counter[MediaKind | None]] = field(
        default_factory=lambda: {outcome: Counter() for outcome in FileOutcome}
    )
    rows: int = 0
    gone: int = 0
    not_media: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    warnings: list[FileWarning] = field(default_factory=list)
    warned_files: int = 0
    began: float = field(default_factory=time.monotonic)

    def total(self, outcome: FileOutcome) -> int:
        """Return the number of files with this outcome."""
        return self.counts[outcome].total()

    @property
    def seen(self) -> int:
        """The number of files under the roots that the crawl has handled."""
        counted = sum(self.total(outcome) for outcome in FileOutcome if outcome is not FileOutcome.REMOVED)
        return counted + self.not_media.total()

    @property
    def seconds(self) -> float:
        """Seconds since the crawl began."""
        return time.monotonic() - self.began

    def count_not_media(self, suffix: str) -> None:
        """Count a file that is not media."""
        known = suffix in self.not_media or len(self.not_media) < KEPT_SUFFIXES
        self.not_media[suffix if known else "…"] += 1


def grouped(failures: Sequence[Failure]) -> list[str]:
    """Return one message for each reason, naming one file and the number of others.

    If the message suggests a `--map` option, its pattern matches all files of the group.
    """
    groups: defaultdict[str, list[Failure]] = defaultdict(list)
    for failure in failures:
        reason = _reason(failure)
        suffix = Path(failure.path).suffix if _MAP_OPTION.search(reason) else ""
        groups[_MAP_OPTION.sub("--map '=", reason) + suffix].append(failure)
    return [_message(group) for group in groups.values()]


def _reason(failure: Failure) -> str:
    return failure.error.removeprefix(f"{failure.path}: ")


def _message(group: Sequence[Failure]) -> str:
    first = group[0]
    if len(group) == 1:
        return first.error
    reason = _reason(first)
    patterns = {pattern for failure in group for pattern in _MAP_OPTION.findall(failure.error)}
    if len(patterns) > 1:
        path = Path(first.path)
        is_one_folder = all(Path(failure.path).parent == path.parent for failure in group)
        pattern = f"**/{path.parent.name}/*{path.suffix}" if is_one_folder else f"**/*{path.suffix}"
        reason = _MAP_OPTION.sub(lambda _: f"--map '{pattern}=", reason)
    return f"{first.path} and {len(group) - 1} more: {reason}"


Progress = Callable[[CrawlReport, int | None], None]  # the report, and the number of files once it is known


class ErrorFile:
    """Writes failures and warnings as JSON lines at once. The first line creates the file."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._file: TextIO | None = None

    def write(self, line: Failure | FileWarning) -> None:
        """Add a line."""
        if self.path is None:
            return
        if self._file is None:
            self._file = self.path.open("w", encoding="utf-8")
        self._file.write(json.dumps(line.record, ensure_ascii=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


@contextmanager
def error_file(path: Path | None) -> Iterator[ErrorFile]:
    """Delete an earlier crawl's error file and yield a new one; without a path, nothing is written."""
    if path is not None:
        path.unlink(missing_ok=True)
    file = ErrorFile(path)
    try:
        yield file
    finally:
        file.close()


class FileCount:
    """Counts the files under the roots in a thread during the crawl, for its progress."""

    def __init__(self, roots: Sequence[Path], own: Sequence[Path], progress: Progress | None) -> None:
        self._files = discover(roots, without=own)
        self._progress = progress
        self._total: int | None = None
        self._stop = Event()

    def __enter__(self) -> "FileCount":
        if self._progress is not None:
            Thread(target=self._walk, name="imagebind-count", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()

    def tell(self, report: CrawlReport) -> None:
        """Call the progress callback."""
        if self._progress is not None:
            self._progress(report, self._total)

    def _walk(self) -> None:
        count = 0
        for _ in self._files:
            if self._stop.is_set():
                return
            count += 1
        self._total = count
