"""The report of a crawl: file counts, and the first failures and warnings."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from threading import Event, Thread

from imagebind.failures import Failure, FileWarning
from imagebind.media.discover import discover
from imagebind.modality import MediaKind

KEPT_FAILURES = 1000  # failures, and as many warnings, that a report keeps; the error file has all
KEPT_SUFFIXES = 100  # suffixes of files that are not media; further ones are counted together, as “…”


class FileOutcome(str, Enum):
    """The result of a crawl for one file."""

    ADDED = "added"
    UNCHANGED = "unchanged"
    MOVED = "moved"
    CHANGED = "changed"
    REMOVED = "removed"
    FAILED = "failed"


@dataclass(kw_only=True)
class CrawlReport:
    """The progress and the result of a crawl.

    `counts` has the number of files by outcome and media type (None if it is unknown), `rows` the number of
    rows written. `not_media` counts files that are not media by suffix; `gone` counts indexed files that no
    longer exist or are no longer media, and were not pruned. `failures` and `warnings` hold the first
    thousand each; `warned_files` counts the files with warnings.
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


Progress = Callable[[CrawlReport, int | None], None]  # the report, and the number of files once it is known


class FileCount:
    """Counts the files under the roots in a thread during the crawl, for its progress."""

    def __init__(self, roots: Sequence[Path], excluded: Sequence[Path], progress: Progress | None) -> None:
        self._files = discover(roots, without=excluded)
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
