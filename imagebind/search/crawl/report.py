"""What became of the files of a crawl: counted while it runs, and every failure in a file."""

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

KEPT_FAILURES = 1000  # and as many warnings, that a report keeps to sum up; the error file has all
KEPT_SUFFIXES = 100


_MAP = re.compile(r"--map '([^']*)=")


class Outcome(str, Enum):
    """What became of a file."""

    ADDED = "added"
    UNCHANGED = "unchanged"
    MOVED = "moved"
    CHANGED = "changed"
    REMOVED = "removed"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A file or folder that is not in the index, or not all of it, and why."""

    path: str
    error: str
    kind: str  # of error

    @classmethod
    def of(cls, path: str, error: Exception) -> "Failure":
        """Make one from what was raised."""
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
    """What a crawl has done so far.

    `counts` are files, by what they are (None: nobody could tell); `rows` were written. `not_media` counts
    files that are none of the kinds, by the ends of their names; `gone` are files of the index that are no
    longer there, and stay in it. `failures` and `warnings` hold the first thousand.
    `warned_files` counts the files with warnings.
    """

    counts: dict[Outcome, Counter[MediaKind | None]] = field(
        default_factory=lambda: {outcome: Counter() for outcome in Outcome}
    )
    rows: int = 0
    gone: int = 0
    not_media: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    warnings: list[FileWarning] = field(default_factory=list)
    warned_files: int = 0
    began: float = field(default_factory=time.monotonic)

    def total(self, outcome: Outcome) -> int:
        """How many files had this outcome."""
        return self.counts[outcome].total()

    @property
    def seen(self) -> int:
        """How many files of the folders are dealt with."""
        counted = sum(self.total(outcome) for outcome in Outcome if outcome is not Outcome.REMOVED)
        return counted + self.not_media.total()

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self.began

    def leave_out(self, suffix: str) -> None:
        """Count a file that is no media."""
        known = suffix in self.not_media or len(self.not_media) < KEPT_SUFFIXES
        self.not_media[suffix if known else "…"] += 1


def grouped(failures: Sequence[Failure]) -> list[str]:
    """Return failures in words, one for all files with one reason.

    Where files need to be told by `--map`, the pattern given takes in all of them.
    """
    groups: defaultdict[str, list[Failure]] = defaultdict(list)
    for failure in failures:
        reason = _reason(failure)
        suffix = Path(failure.path).suffix if _MAP.search(reason) else ""
        groups[_MAP.sub("--map '=", reason) + suffix].append(failure)
    return [_in_words(group) for group in groups.values()]


def _reason(failure: Failure) -> str:
    return failure.error.removeprefix(f"{failure.path}: ")


def _in_words(group: Sequence[Failure]) -> str:
    first = group[0]
    if len(group) == 1:
        return first.error
    reason = _reason(first)
    patterns = {pattern for failure in group for pattern in _MAP.findall(failure.error)}
    if len(patterns) > 1:
        path = Path(first.path)
        is_one_folder = all(Path(failure.path).parent == path.parent for failure in group)
        wide = f"**/{path.parent.name}/*{path.suffix}" if is_one_folder else f"**/*{path.suffix}"
        reason = _MAP.sub(lambda _: f"--map '{wide}=", reason)
    return f"{first.path} and {len(group) - 1} more: {reason}"


Progress = Callable[[CrawlReport, int | None], None]  # what is done, and of how many files once that is known


class ErrorFile:
    """Failures and warnings as JSON lines, written as they come. The first one creates the file."""

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
        """No more comes."""
        if self._file is not None:
            self._file.close()


@contextmanager
def error_file(path: Path | None) -> Iterator[ErrorFile]:
    """Remove an earlier crawl's error file and yield a new one; without a path it writes nothing."""
    if path is not None:
        path.unlink(missing_ok=True)
    file = ErrorFile(path)
    try:
        yield file
    finally:
        file.close()


class FileCount:
    """How many files there are, counted beside the crawl for whoever watches its progress."""

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
        """Say how far it is."""
        if self._progress is not None:
            self._progress(report, self._total)

    def _walk(self) -> None:
        count = 0
        for _ in self._files:
            if self._stop.is_set():
                return
            count += 1
        self._total = count
