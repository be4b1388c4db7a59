"""Embed the files of a crawl with many workers.

    on_ray = on_engine(lambda job: embed(job, load), working_folder(index.uri))
    crawl(index, ["/shared/media"], embed=on_ray)

The crawl finds and identifies the files, and writes the index; the workers only embed.
"""

from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import sep
from typing import Any

from imagebind.distributed.inputs import Inputs, Item, part_size
from imagebind.distributed.job import EmbedJob, begin
from imagebind.distributed.output import Output
from imagebind.distributed.worker import PartDone
from imagebind.embedder import BATCH_SIZE, Embedder
from imagebind.failures import Failure, FileWarning
from imagebind.media.paths import path_text
from imagebind.search.crawl.embed import FileEmbedder, FileRows, embed_files
from imagebind.search.crawl.examine import ExaminedFile
from imagebind.search.crawl.indexed_files import main_kind
from imagebind.search.rows import IndexRow, from_arrow, to_arrow
from imagebind.space import Space
from imagebind.windows import HOP_SECONDS, WINDOW_SECONDS

DELETE_FOLDER = "delete the folder to embed its files again"

Engine = Callable[[EmbedJob], Iterable[PartDone]]


@dataclass(frozen=True)
class ExaminedPart:
    """Files whose media types are known."""

    files: tuple[ExaminedFile, ...]

    @property
    def name(self) -> str:
        """See `InputPart`."""
        return " … ".join(dict.fromkeys(path_text(self.files[index].found.path) for index in (0, -1)))

    def items(self) -> Iterator[Item]:
        """See `InputPart`."""
        return (Item(path_text(file.found.path), file) for file in self.files)


@dataclass(frozen=True, kw_only=True)
class EmbedFiles:
    """Embeds the files of an `ExaminedPart` into the rows of an index, by `embed_files`."""

    window_seconds: float = WINDOW_SECONDS
    hop_seconds: float = HOP_SECONDS
    batch_size: int = BATCH_SIZE

    @property
    def options(self) -> Mapping[str, Any]:
        """See `Method`."""
        return {"window": self.window_seconds, "hop": self.hop_seconds}

    def embed(self, embedder: Embedder, items: Iterable[Item]) -> Iterator[FileRows]:
        """See `Method`."""
        return embed_files(
            (item.item for item in items),
            embedder,
            window_seconds=self.window_seconds,
            hop_seconds=self.hop_seconds,
            batch_size=self.batch_size,
        )

    def table(self, rows: Sequence[Any], embed_dim: int) -> Any:
        """See `Method`."""
        return to_arrow(rows, embed_dim)


def working_folder(uri: str) -> str:
    """Return the folder for parts beside an index; a crawl leaves it out since its name starts with a dot."""
    parent, slash, name = uri.rstrip("/").rpartition("/")
    return f"{parent}{slash}.{name}.partitions"


def prepare_files(
    files: Sequence[ExaminedFile], output: Output, *, method: EmbedFiles, partitions: int | None = None
) -> EmbedJob:
    """Divide files into parts, and start an output for them or resume it; see `job.prepare`."""
    size = part_size(len(files), partitions)
    parts = [ExaminedPart(tuple(files[start : start + size])) for start in range(0, len(files), size)]
    return begin(output, Inputs([*parts], []), method, weights="", partitions=partitions, base=sep)


def on_engine(engine: Engine, folder: str, *, partitions: int | None = None) -> FileEmbedder:
    """Return a function that embeds the files of a crawl by an engine.

    It yields the rows of each part when the part is written. After a crawl was killed, the next one first
    yields the rows of the finished parts.

    Args:
        engine: runs a job, as `ray_engine.embed`. Its workers reach the files by the same paths.
        folder: contains the parts until they are in the index, and is deleted at the end, see
            `working_folder`. Every worker must be able to reach it.
        partitions: the approximate number of parts.
    """

    def embed(
        files: Iterable[ExaminedFile],
        embedder: Embedder,
        *,
        window_seconds: float,
        hop_seconds: float,
        batch_size: int,
    ) -> Generator[FileRows, None, None]:
        space = Space.of(embedder)
        output = Output(folder, way_out=DELETE_FOLDER)
        waiting = {path_text(file.found.path): file for file in files}
        if output.manifest() is not None:
            output.claim(space)  # refuses vectors of another space
            for number in output.done():
                for path, result in _results(output, number).items():
                    if path in waiting and _is_current(result.rows, waiting[path]):
                        del waiting[path]
                        yield result
            output.remove()
        if waiting:
            method = EmbedFiles(window_seconds=window_seconds, hop_seconds=hop_seconds, batch_size=batch_size)
            job = prepare_files([*waiting.values()], output, method=method, partitions=partitions)
            output.claim(space)
            for part in engine(job):
                results = _results(output, part.number)
                for item in job.parts[part.number].items():
                    yield results.get(item.name, FileRows(path=item.name))
            output.remove()

    return embed


def _results(output: Output, number: int) -> dict[str, FileRows]:
    """Return the results of a finished part by path."""
    rows: defaultdict[str, list[IndexRow]] = defaultdict(list)
    failures: defaultdict[str, list[Failure]] = defaultdict(list)
    warnings: defaultdict[str, list[FileWarning]] = defaultdict(list)
    for row in from_arrow(output.read(number)):
        rows[row.path].append(row)
    failed, warned = output.reported(number)
    for failure in failed:
        failures[failure.path].append(failure)
    for warning in warned:
        warnings[warning.path].append(warning)
    return {
        path: FileRows(path=path, rows=rows[path], failures=failures[path], warnings=warnings[path])
        for path in [*rows, *failures]
    }


def _is_current(rows: Sequence[IndexRow], file: ExaminedFile) -> bool:
    """Whether rows were computed from a file as it is now. A failed file has none, and is tried again."""
    found = file.found
    same = all((row.size, row.mtime_ns) == (found.size, found.mtime_ns) for row in rows)
    return bool(rows) and same and main_kind({row.kind for row in rows}) == file.kind
