"""An index crawled by many workers: they embed what is new, and the crawl after them deals with the rest."""

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from imagebind.distributed.job import Job, prepare_files
from imagebind.distributed.methods import CrawlFiles
from imagebind.distributed.output import Output
from imagebind.distributed.to_index import add_parts
from imagebind.distributed.worker import PartDone
from imagebind.embedder import BATCH_SIZE
from imagebind.errors import MediaError
from imagebind.intake.files import NotMediaError, kind_of
from imagebind.intake.mapping import PathMapping
from imagebind.io.uri import is_uri
from imagebind.media.discover import FoundFile, check_roots, discover
from imagebind.media.paths import path_text
from imagebind.search.crawl.examine import in_threads
from imagebind.search.crawl.known import is_unchanged
from imagebind.search.crawl.windows import HOP_SECONDS, WINDOW_SECONDS
from imagebind.search.index import Index
from imagebind.search.lock import writer_lock

LOOKING = 8  # files that are opened at once to see whether they are media

Engine = Callable[[Job], Iterator[PartDone]]
Progress = Callable[[int, int], None]  # parts that are done, of how many


def crawl_ahead(
    index: Index,
    roots: Sequence[str | os.PathLike[str]],
    engine: Engine,
    *,
    folder: str | os.PathLike[str] | None = None,
    mappings: Sequence[PathMapping] = (),
    window_seconds: float = WINDOW_SECONDS,
    hop_seconds: float = HOP_SECONDS,
    batch_size: int = BATCH_SIZE,
    partitions: int | None = None,
    progress: Progress | None = None,
) -> int:
    """Put into an index what a crawl of these folders would find new or changed, embedded by an engine.

    Returns how many files the engine was given.

        crawl_ahead(index, ["/shared/media"], lambda job: embed(job, load))
        crawl(index, ["/shared/media"], prune=True)

    The crawl after it has no such file to open. It reports what failed, and drops what is gone. A file that
    moved is embedded again, where the crawl alone would have known it by its content.

    After it was killed the same call goes on: parts that were done are added first.

    Args:
        engine: does a job, as `ray_engine.embed`. Its workers reach the files by the same paths.
        folder: for parts until they are in the index, which workers reach too; by default beside the index.
            It is taken away in the end.
        partitions: into about how many parts.
        mappings, window_seconds, hop_seconds, batch_size: as `crawl` takes them.
        progress: called with the number of parts that are done.

    Raises:
        MediaError: a root that is not there.
        IndexBusyError: another process is writing to the index.
        ImageBindError: as the engine, and as `add_partitions`.
    """
    whole_roots = check_roots(roots)
    place = f"{index.uri.rstrip('/')}.partitions" if folder is None else os.fspath(folder)
    output = Output(place)
    method = CrawlFiles(
        roots=tuple(map(str, whole_roots)),
        mappings=tuple(mappings),
        window_seconds=window_seconds,
        hop_seconds=hop_seconds,
        batch_size=batch_size,
    )
    own = [Path(uri) for uri in (index.uri, place) if not is_uri(uri)]
    with writer_lock(index.uri):
        _settle(index, output)
        files = _changed(index, discover(whole_roots, without=own), mappings)
        if not files:
            return 0
        job = prepare_files(files, place, method=method, partitions=partitions)
        for done, _ in enumerate(engine(job), start=1):
            if progress is not None:
                progress(done, len(job.parts))
        _settle(index, output)
    return len(files)


def _changed(
    index: Index, found: Iterator[FoundFile | MediaError], mappings: Sequence[PathMapping]
) -> list[str]:
    """Media that the index lacks, or has with another size, time of change or kind."""
    known = index.files()
    new = (
        file
        for file in found
        if not isinstance(file, MediaError)  # which the crawl will report
        and not ((state := known.get(path_text(file.path))) and is_unchanged(file, state, mappings))
    )
    looked = in_threads(partial(_is_media, mappings=mappings), new, workers=LOOKING)
    return [str(file.path) for file, is_media in looked if is_media.result()]


def _is_media(found: FoundFile, mappings: Sequence[PathMapping]) -> bool:
    """Whether a file is one of the kinds, or was meant to be."""
    try:
        kind_of(found, mappings)
    except NotMediaError:
        return False
    except MediaError:  # which the crawl will report
        pass
    return True


def _settle(index: Index, output: Output) -> None:
    """Bring the parts that are there into the index, and take them away."""
    if output.manifest() is not None:
        add_parts(index, output, is_whole=False)
        output.remove()
