"""A file on its way into the index: what is to be embedded of it, and the rows that came of it so far."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from imagebind.batching import Embedding
from imagebind.intake.requests import Request
from imagebind.media.paths import path_text
from imagebind.modality import MediaKind
from imagebind.search.crawl.examine import Examined
from imagebind.search.rows import FileState, IndexRow


@dataclass(eq=False, kw_only=True)
class Job:
    """A file and its requests; `state` is what the index has of it.

    `failed` has an error for each kind of which something failed, as the sound of a video may. `waiting`
    counts requests that are on their way.
    """

    examined: Examined
    state: FileState | None
    requests: Sequence[Request]
    rows: list[IndexRow] = field(default_factory=list)
    failed: dict[MediaKind, Exception] = field(default_factory=dict)
    warnings: dict[str, None] = field(default_factory=dict)  # each once, in the order of arrival
    waiting: int = 0
    is_asked_for: bool = False  # all its requests are on their way, or done

    @property
    def path(self) -> str:
        """The file's path as the index has it."""
        return path_text(self.examined.found.path)

    @property
    def is_complete(self) -> bool:
        """Whether nothing more comes of it."""
        return self.is_asked_for and not self.waiting

    def collect(self, kind: MediaKind, result: Embedding) -> None:
        """Take what became of one of its requests."""
        self.waiting -= 1
        self.warnings.update(dict.fromkeys(result.warnings))
        if result.error is not None:
            self.failed.setdefault(kind, result.error)
        if kind in self.failed:
            self.rows = [row for row in self.rows if row.kind is not kind]
        else:
            self.rows += self._rows(result)

    def _rows(self, result: Embedding) -> list[IndexRow]:
        """A row for each span of a recording, one for anything else."""
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
