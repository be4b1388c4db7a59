"""Index folders with many workers: they embed new and changed files before a crawl handles the rest."""

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from imagebind.distributed.job import EmbedJob, prepare_files
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
from imagebind.search.crawl.indexed_files import is_unchanged
from imagebind.search.crawl.windows import HOP_SECONDS, WINDOW_SECONDS
from imagebind.search.index import Index
from imagebind.search.lock import writer_lock

EXAMINE_THREADS = 8  # threads that detect the media types of files
Engine = Callable[[EmbedJob], Iterator[PartDone]]
Progress = Callable[[int, int], None]  # the number of finished parts, and of all parts


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
    """Embed the new and changed files under some roots by an engine, and add them to an index.

    Returns the number of files given to the engine.

        crawl_ahead(index, ["/shared/media"], lambda job: embed(job, load))
        crawl(index, ["/shared/media"], prune=True)

    The crawl that follows does not embed these files. It reports the failures, and prunes missing files. A
    moved file is embedded again, while a crawl alone would recognise it by its content.

    The same call resumes after it was killed: it first adds the parts that were finished.

    Args:
        engine: runs a job, as `ray_engine.embed`. Its workers reach the files by the same paths.
        folder: for the parts until they are in the index, which workers must reach; by default beside the
            index. It is deleted at the end.
        partitions: the approximate number of parts.
        mappings, window_seconds, hop_seconds, batch_size: as for `crawl`.
        progress: called with the number of finished parts.

    Raises:
        MediaError: a root does not exist.
        IndexBusyError: another process is writing to the index.
        ImageBindError: as the engine, and as `add_partitions`.
    """
    whole_roots = check_roots(roots)
    output_folder = f"{index.uri.rstrip('/')}.partitions" if folder is None else os.fspath(folder)
    output = Output(output_folder)
    method = CrawlFiles(
        roots=tuple(map(str, whole_roots)),
        mappings=tuple(mappings),
        window_seconds=window_seconds,
        hop_seconds=hop_seconds,
        batch_size=batch_size,
    )
    own = [Path(uri) for uri in (index.uri, output_folder) if not is_uri(uri)]
    with writer_lock(index.uri):
        _add_finished_parts(index, output)
        files = _changed(index, discover(whole_roots, without=own), mappings)
        if not files:
            return 0
        job = prepare_files(files, output_folder, method=method, partitions=partitions)
        for done, _ in enumerate(engine(job), start=1):
            if progress is not None:
                progress(done, len(job.parts))
        _add_finished_parts(index, output)
    return len(files)


def _changed(
    index: Index, found: Iterator[FoundFile | MediaError], mappings: Sequence[PathMapping]
) -> list[str]:
    """Return media files that the index lacks, or has with another size, modification time or media type."""
    indexed = index.files()
    new = (
        file
        for file in found
        if not isinstance(file, MediaError)  # the crawl will report it
        and not ((state := indexed.get(path_text(file.path))) and is_unchanged(file, state, mappings))
    )
    examined = in_threads(partial(_is_media, mappings=mappings), new, workers=EXAMINE_THREADS)
    return [str(file.path) for file, is_media in examined if is_media.result()]


def _is_media(found: FoundFile, mappings: Sequence[PathMapping]) -> bool:
    """Whether a file is media, even if it is ambiguous or damaged."""
    try:
        kind_of(found, mappings)
    except NotMediaError:
        return False
    except MediaError:  # the crawl will report it
        pass
    return True


def _add_finished_parts(index: Index, output: Output) -> None:
    """Add finished parts to the index, and delete them."""
    if output.manifest() is not None:
        add_parts(index, output, is_whole=False)
        output.remove()
