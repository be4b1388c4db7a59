"""Embed and write one part: its items, failures and warnings."""

import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from imagebind.distributed.inputs import InputPart, Item
from imagebind.distributed.output import Output
from imagebind.embedder import BATCH_SIZE, Embedder
from imagebind.errors import ImageBindError, MediaError
from imagebind.failures import Failure, FileWarning
from imagebind.intake.files import is_not_media
from imagebind.modality import MediaKind
from imagebind.search.crawl.embed import FileRows
from imagebind.vectors import ROWS_PER_GROUP, rows_of, vector_table

MAX_ITEM_DEATHS = 2  # worker deaths after which an item fails; a single death may have another reason
MAX_TRIES = 20  # per part in one run, enough for several items at which workers die
REPORTED_FAILURES = 10  # returned for each part; all are written


@dataclass(frozen=True, kw_only=True)
class PartDone:
    """The numbers of embedded items, failures and warnings of a written part, and its first failures.

    `not_media` counts, by suffix, files found in folders that are not media.
    """

    number: int
    embedded: int
    failed: int
    failures: tuple[Failure, ...] = ()
    warnings: int = 0
    not_media: Counter[str] = field(default_factory=Counter)


class Method(Protocol):
    """Turns items into rows, and rows into a table."""

    @property
    def options(self) -> Mapping[str, Any]:
        """The options that rows depend on, as JSON values."""

    def embed(self, embedder: Embedder, items: Iterable[Item]) -> Iterator[FileRows]:
        """Yield the result of each item, in any order."""

    def table(self, rows: Sequence[Any], embed_dim: int) -> Any:
        """Return a pyarrow table of rows."""


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

    def embed(self, embedder: Embedder, items: Iterable[Item]) -> Iterator[FileRows]:
        """See `Method`."""
        given: list[Item] = []
        unread: list[FileRows] = []

        def read() -> Iterator[Any]:
            for item in items:
                if item.error is not None:
                    unread.append(self._not_embedded(item, item.error))
                else:
                    given.append(item)
                    yield item.item

        stream = embedder.encode_stream(
            read(), modality=self.modality, batch_size=self.batch_size, clips=self.clips
        )
        with closing(stream):
            for result in stream:
                name = given[result.index].name
                if result.error is not None:
                    yield self._not_embedded(given[result.index], result.error)
                else:
                    warnings = [FileWarning(path=name, warning=text) for text in result.warnings]
                    rows = [row._replace(path=name) for row in rows_of(result)]
                    yield FileRows(path=name, rows=rows, warnings=warnings)
        yield from unread

    def _not_embedded(self, item: Item, error: Exception) -> FileRows:
        """Return the failure of an item, or a result without rows and failures if it is not media."""
        if item.in_folder and self.modality is None and is_not_media(error, Path(item.name)):
            return FileRows(path=item.name)
        return FileRows.failed(item.name, error)

    def table(self, rows: Sequence[Any], embed_dim: int) -> Any:
        """See `Method`."""
        return vector_table(rows, embed_dim)


class WorkerDiedError(ImageBindError):
    """Workers died at a part `MAX_TRIES` times."""


class PartAttempt:
    """One attempt to embed a part, with notes about earlier attempts in the output folder.

    A worker may die at an item because of a decoder's crash or lack of memory. The part is then embedded one
    item at a time, with a note of the current item, and an item at which workers die repeatedly fails.
    """

    def __init__(self, output: Output, number: int, *, run: str) -> None:
        """Start an attempt.

        Args:
            run: the id of the run. Attempts of other runs are not counted, since those runs may have been
                interrupted for other reasons; deaths that they have already recorded are.

        Raises:
            WorkerDiedError: there were `MAX_TRIES` attempts in this run.
        """
        self._output = output
        self._number = number
        before: dict[str, Any] = json.loads(output.noted(number) or "{}")
        is_same_run = before.get("run") == run
        self._run = run
        self._tries = before["tries"] + 1 if is_same_run else 1
        self._deaths = Counter({int(position): count for position, count in before.get("deaths", {}).items()})
        if is_same_run and before["at"] is not None:
            self._deaths[before["at"]] += 1
        if self._tries > MAX_TRIES:
            raise WorkerDiedError(
                f"{output.uri}, part {number}: {MAX_TRIES} workers died at it; give each worker more memory, "
                "or start fewer; finished parts are kept, and the same command resumes"
            )
        self._note(None)

    @property
    def is_careful(self) -> bool:
        """Whether items are embedded one at a time."""
        return self._tries > 1 or bool(self._deaths)

    def embed(self, embedder: Embedder, items: Iterable[Item], method: Method) -> Iterator[FileRows]:
        """Yield the result of each item, in any order."""
        if not self.is_careful:
            yield from method.embed(embedder, items)
            return
        for position, item in enumerate(items):
            if self._deaths[position] >= MAX_ITEM_DEATHS:
                error = MediaError(
                    item.name,
                    got=f"one at which {self._deaths[position]} workers died",
                    expected="an item that can be decoded in the memory of a worker",
                )
                yield FileRows.failed(item.name, error)
                continue
            self._note(position)
            yield from method.embed(embedder, [item])

    def end(self) -> None:
        """Delete the note after the part is written."""
        self._output.note(self._number, None)

    def _note(self, position: int | None) -> None:
        note = {"run": self._run, "tries": self._tries, "at": position, "deaths": self._deaths}
        self._output.note(self._number, json.dumps(note))


def embed_part(
    embedder: Embedder, number: int, part: InputPart, output: Output, method: Method, attempt: PartAttempt
) -> PartDone:
    """Embed a part, write it to the output, and return its counts.

    Raises:
        OSError: the output cannot be written.
    """
    from pyarrow import parquet

    rows: list[Any] = []
    failures: list[Failure] = []
    warnings: list[FileWarning] = []
    embedded = 0
    not_media: Counter[str] = Counter()
    content = io.BytesIO()
    with parquet.ParquetWriter(content, method.table([], embedder.embed_dim).schema) as file:
        for result in attempt.embed(embedder, part.items(), method):
            failures += result.failures
            warnings += result.warnings
            embedded += bool(result.rows)
            if not result.rows and not result.failures:
                not_media[Path(result.path).suffix.lower()] += 1
            rows += result.rows
            if len(rows) >= ROWS_PER_GROUP:
                file.write_table(method.table(rows, embedder.embed_dim))
                rows = []
        file.write_table(method.table(rows, embedder.embed_dim))
    output.write(number, content.getvalue(), failures, warnings)
    attempt.end()
    return PartDone(
        number=number,
        embedded=embedded,
        failed=len(failures),
        failures=tuple(failures[:REPORTED_FAILURES]),
        warnings=len(warnings),
        not_media=not_media,
    )
