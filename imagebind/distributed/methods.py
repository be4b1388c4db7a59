"""How the items of a part become rows: vectors alone, or all that a crawl puts into an index."""

import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from imagebind.distributed.inputs import Item
from imagebind.distributed.output import read_lines
from imagebind.embedder import BATCH_SIZE, Embedder
from imagebind.intake.mapping import PathMapping
from imagebind.io.source import encodable
from imagebind.media.paths import path_text
from imagebind.modality import MediaKind
from imagebind.search.crawl.crawler import crawl
from imagebind.search.crawl.report import Failure, FileWarning
from imagebind.search.crawl.windows import HOP_SECONDS, WINDOW_SECONDS
from imagebind.search.index import Index
from imagebind.search.rows import IndexRow, to_arrow
from imagebind.vectors import VectorFile, rows_of


class Outcome(NamedTuple):
    """The result of an item: its rows, its failure, and warnings about it."""

    rows: Sequence[Any] = ()
    failure: Failure | None = None
    warnings: Sequence[FileWarning] = ()


class RowFile(Protocol):
    """A file of rows on its way to the disk."""

    def write(self, row: Any) -> None:
        """Add a row."""


class Method(Protocol):
    """How items become rows, and rows a file."""

    @property
    def options(self) -> Mapping[str, Any]:
        """What rows depend on, as JSON holds it."""

    def embed(self, embedder: Embedder, items: Iterable[Item]) -> Iterator[Outcome]:
        """What becomes of each item, in any order."""

    def file(self, path: Path, *, embed_dim: int) -> AbstractContextManager[RowFile]:
        """A Parquet file for the rows."""


@dataclass(frozen=True, kw_only=True)
class EmbedItems:
    """Rows as `imagebind.vectors` has them; the settings are those of `Embedder.encode_stream`."""

    modality: MediaKind | None = None
    clips: bool = False
    batch_size: int = BATCH_SIZE

    @property
    def options(self) -> Mapping[str, Any]:
        """See `Method`."""
        return {"modality": None if self.modality is None else self.modality.value, "clips": self.clips}

    def embed(self, embedder: Embedder, items: Iterable[Item]) -> Iterator[Outcome]:
        """See `Method`."""
        names: list[str] = []
        unread: list[Failure] = []

        def read() -> Iterator[Any]:
            for item in items:
                if item.error is not None:
                    unread.append(Failure.of(item.name, item.error))
                else:
                    names.append(item.name)
                    yield item.item

        stream = embedder.encode_stream(
            read(), modality=self.modality, batch_size=self.batch_size, clips=self.clips
        )
        with closing(stream):
            for result in stream:
                name = names[result.index]
                if result.error is not None:
                    yield Outcome(failure=Failure.of(name, result.error))
                else:
                    warnings = [FileWarning(path=name, warning=text) for text in result.warnings]
                    yield Outcome([row._replace(path=name) for row in rows_of(result)], warnings=warnings)
        yield from (Outcome(failure=failure) for failure in unread)

    def file(self, path: Path, *, embed_dim: int) -> AbstractContextManager[RowFile]:
        """See `Method`."""
        return VectorFile(path, embed_dim=embed_dim)


@dataclass(frozen=True, kw_only=True)
class CrawlFiles:
    """Rows of an index, as `crawl` makes them of files that lie on a disk.

    Args:
        roots: the folders whose files they are, to which patterns in `mappings` are relative.
    """

    roots: tuple[str, ...]
    mappings: tuple[PathMapping, ...] = ()
    window_seconds: float = WINDOW_SECONDS
    hop_seconds: float = HOP_SECONDS
    batch_size: int = BATCH_SIZE

    @property
    def options(self) -> Mapping[str, Any]:
        """See `Method`."""
        return {
            "roots": [encodable(root) for root in self.roots],
            "mappings": [str(mapping) for mapping in self.mappings],
            "window": self.window_seconds,
            "hop": self.hop_seconds,
        }

    def embed(self, embedder: Embedder, items: Iterable[Item]) -> Iterator[Outcome]:
        """See `Method`: the files are crawled into an index of their own, whose rows these are."""
        files = [item.item for item in items if isinstance(item.item, Path)]
        with tempfile.TemporaryDirectory(prefix="imagebind-") as folder:
            index = Index.open(Path(folder) / "index", embedder, create=True)
            errors = Path(folder) / "errors.jsonl"
            crawl(
                index,
                [file for file in files if file.exists()],  # others are for the next crawl to miss
                mappings=self._whole_mappings(),
                window_seconds=self.window_seconds,
                hop_seconds=self.hop_seconds,
                batch_size=self.batch_size,
                errors=errors,
            )
            rows = defaultdict(list)
            for hit in index.sample(len(index)):
                rows[hit.path].append(
                    IndexRow(**{each.name: getattr(hit, each.name) for each in fields(IndexRow)})
                )
            yield from map(Outcome, rows.values())
            if errors.exists():
                for line in read_lines(errors.read_bytes()):
                    if isinstance(line, Failure):
                        yield Outcome(failure=line)
                    else:
                        yield Outcome(warnings=[line])

    @contextmanager
    def file(self, path: Path, *, embed_dim: int) -> Iterator[RowFile]:
        """See `Method`."""
        from pyarrow import parquet

        rows = _Rows()
        yield rows
        parquet.write_table(to_arrow(rows.rows, embed_dim), path)

    def _whole_mappings(self) -> list[PathMapping]:
        """The same of whole paths, since a file that is crawled alone lies below no root."""
        whole = []
        for mapping in self.mappings:
            if mapping.glob.startswith("/"):
                whole.append(mapping)
                continue
            for root in map(Path, self.roots):
                top = path_text(root if root.is_dir() else root.parent).rstrip("/")
                whole.append(
                    PathMapping(glob=f"{top}/{mapping.glob}", kind=mapping.kind, options=mapping.options)
                )
        return whole


class _Rows:
    def __init__(self) -> None:
        self.rows: list[IndexRow] = []

    def write(self, row: IndexRow) -> None:
        self.rows.append(row)
