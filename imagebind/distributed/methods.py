"""Turn the items of a part into rows: vectors only, or the rows that a crawl adds to an index."""

import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from imagebind.distributed.inputs import Item
from imagebind.embedder import BATCH_SIZE, Embedder
from imagebind.failures import Failure, FileWarning, read_lines
from imagebind.intake.mapping import PathMapping
from imagebind.io.source import encodable
from imagebind.media.paths import path_text
from imagebind.modality import MediaKind
from imagebind.search.crawl.crawler import crawl
from imagebind.search.crawl.windows import HOP_SECONDS, WINDOW_SECONDS
from imagebind.search.index import Index
from imagebind.search.rows import IndexRow, to_arrow
from imagebind.vectors import VectorFile, rows_of


class ItemResult(NamedTuple):
    """The result of an item: its rows, its failure, and warnings about it."""

    rows: Sequence[Any] = ()
    failure: Failure | None = None
    warnings: Sequence[FileWarning] = ()


class RowFile(Protocol):
    """A file that rows are written to."""

    def write(self, row: Any) -> None:
        """Add a row."""


class Method(Protocol):
    """How items become rows, and rows a file."""

    @property
    def options(self) -> Mapping[str, Any]:
        """The options that rows depend on, as JSON values."""

    def embed(self, embedder: Embedder, items: Iterable[Item]) -> Iterator[ItemResult]:
        """Yield the result of each item, in any order."""

    def file(self, path: Path, *, embed_dim: int) -> AbstractContextManager[RowFile]:
        """Return a Parquet file for the rows."""


@dataclass(frozen=True, kw_only=True)
class EmbedItems:
    """Embeds items into rows of `imagebind.vectors`, with the settings of `Embedder.encode_stream`."""

    modality: MediaKind | None = None
    clips: bool = False
    batch_size: int = BATCH_SIZE

    @property
    def options(self) -> Mapping[str, Any]:
        """See `Method`."""
        return {"modality": None if self.modality is None else self.modality.value, "clips": self.clips}

    def embed(self, embedder: Embedder, items: Iterable[Item]) -> Iterator[ItemResult]:
        """See `Method`."""
        names: list[str] = []
        read_failures: list[Failure] = []

        def read() -> Iterator[Any]:
            for item in items:
                if item.error is not None:
                    read_failures.append(Failure.of(item.name, item.error))
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
                    yield ItemResult(failure=Failure.of(name, result.error))
                else:
                    warnings = [FileWarning(path=name, warning=text) for text in result.warnings]
                    yield ItemResult([row._replace(path=name) for row in rows_of(result)], warnings=warnings)
        yield from (ItemResult(failure=failure) for failure in read_failures)

    def file(self, path: Path, *, embed_dim: int) -> AbstractContextManager[RowFile]:
        """See `Method`."""
        return VectorFile(path, embed_dim=embed_dim)


@dataclass(frozen=True, kw_only=True)
class CrawlFiles:
    """Crawls files on disk, and returns the rows that `crawl` would add to an index.

    Args:
        roots: the folders of the files; patterns in `mappings` are relative to them.
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

    def embed(self, embedder: Embedder, items: Iterable[Item]) -> Iterator[ItemResult]:
        """See `Method`. The files are crawled into a temporary index, whose rows are returned."""
        files = [item.item for item in items if isinstance(item.item, Path)]
        with tempfile.TemporaryDirectory(prefix="imagebind-") as folder:
            index = Index.open(Path(folder) / "index", embedder, create=True)
            errors = Path(folder) / "errors.jsonl"
            crawl(
                index,
                [file for file in files if file.exists()],  # the next crawl handles missing files
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
            yield from map(ItemResult, rows.values())
            if errors.exists():
                for line in read_lines(errors.read_bytes()):
                    if isinstance(line, Failure):
                        yield ItemResult(failure=line)
                    else:
                        yield ItemResult(warnings=[line])

    @contextmanager
    def file(self, path: Path, *, embed_dim: int) -> Iterator[RowFile]:
        """See `Method`."""
        from pyarrow import parquet

        rows = _Rows()
        yield rows
        parquet.write_table(to_arrow(rows.rows, embed_dim), path)

    def _whole_mappings(self) -> list[PathMapping]:
        """Return the mappings with absolute patterns, since a file that is crawled alone is under no root."""
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
