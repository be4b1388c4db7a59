"""Track a file while the crawl embeds it: its requests, and the rows made of them so far."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from imagebind.batching import Embedding
from imagebind.intake.requests import Request
from imagebind.media.paths import path_text
from imagebind.modality import MediaKind
from imagebind.search.crawl.examine import ExaminedFile
from imagebind.search.rows import FileState, IndexRow


@dataclass(eq=False, kw_only=True)
class FileJob:
    """A file and its requests; `state` is its earlier state in the index.

    `failed` has the first error of each media type that failed; a video's audio may fail alone. `waiting`
    counts requests that have no result yet.
    """

    examined: ExaminedFile
    state: FileState | None
    requests: Sequence[Request]
    rows: list[IndexRow] = field(default_factory=list)
    failed: dict[MediaKind, Exception] = field(default_factory=dict)
    warnings: dict[str, None] = field(default_factory=dict)  # an ordered set
    waiting: int = 0
    is_submitted: bool = False  # whether all requests have been submitted

    @property
    def path(self) -> str:
        """The file's path as the index stores it."""
        return path_text(self.examined.found.path)

    @property
    def is_complete(self) -> bool:
        """Whether all requests have their results."""
        return self.is_submitted and not self.waiting

    def collect(self, kind: MediaKind, result: Embedding) -> None:
        """Add the result of one request."""
        self.waiting -= 1
        self.warnings.update(dict.fromkeys(result.warnings))
        if result.error is not None:
            self.failed.setdefault(kind, result.error)
        if kind in self.failed:
            self.rows = [row for row in self.rows if row.kind is not kind]
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
                content_hash=self.examined.content_hash,
                size=self.examined.found.size,
                mtime_ns=self.examined.found.mtime_ns,
                metadata=self.examined.metadata,
                thumbnail=thumbnail,
            )
            for (start, end), vector, thumbnail in zip(spans, vectors, result.inspected, strict=True)
        ]
