"""Determine the media type and the hash of files in threads, before they are embedded."""

import hashlib
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from imagebind.errors import MediaError
from imagebind.io.source import encodable, name_of
from imagebind.media.discover import FoundFile
from imagebind.modality import MediaKind

HASH_BYTES = 16
HASH_CHUNK_BYTES = 2**20
EXAMINE_BATCH = 32  # files examined per batch
EXAMINE_BATCHES_AHEAD = 2  # batches examined ahead, per thread
SNIPPET_CHARACTERS = 300  # of a text file, shown in place of a thumbnail
SNIPPET_BYTES = 4 * SNIPPET_CHARACTERS

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True, slots=True)
class ExaminedFile:
    """A file with its media type, and the user's options for its transform.

    `content_hash` is empty if `examine` did not need it.
    """

    found: FoundFile
    kind: MediaKind
    options: Mapping[str, Any] = field(default_factory=dict)
    content_hash: str = ""


KindAndOptions = tuple[MediaKind, Mapping[str, Any]]


def examine(found: FoundFile, kind_and_options: KindAndOptions, sizes: Container[int]) -> ExaminedFile:
    """Return a file whose media type is known, with a hash of its content if its size is among `sizes`.

    `sizes` are those of indexed files: the index cannot have the bytes of a file of another size.

    Raises:
        MediaError: the file cannot be read.
    """
    kind, options = kind_and_options
    content_hash = hash_of(found.path) if found.size in sizes else ""
    return ExaminedFile(found=found, kind=kind, options=options, content_hash=content_hash)


def hash_of(path: Path) -> str:
    """Return the 16-byte BLAKE2b hash of a file's content in hexadecimal.

    Raises:
        MediaError: the file cannot be read.
    """
    digest = hashlib.blake2b(digest_size=HASH_BYTES)
    try:
        with path.open("rb", buffering=0) as file:
            while block := file.read(HASH_CHUNK_BYTES):
                digest.update(block)
    except OSError as error:
        raise MediaError(name_of(path), got=f"cannot be read ({error.strerror})") from error
    return digest.hexdigest()


def snippet(path: Path) -> str:
    """Return the beginning of a text file in one line."""
    with path.open("rb") as file:
        start = file.read(SNIPPET_BYTES).decode("utf-8-sig", errors="ignore")
    return encodable(" ".join(start.split())[:SNIPPET_CHARACTERS])


def in_threads(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int
) -> Iterator[tuple[Item, "Future[Result]"]]:
    """Yield each item with the future of its result, in order.

    Threads receive items in batches, since submitting an item takes as long as examining a small file.
    """
    remaining = iter(items)
    waiting: deque[Future[list[tuple[Item, Future[Result]]]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="imagebind-examine") as pool:
        try:
            while batch := list(islice(remaining, EXAMINE_BATCH)):
                waiting.append(pool.submit(_apply_to_each, function, batch))
                if len(waiting) > EXAMINE_BATCHES_AHEAD * workers:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _apply_to_each(
    function: Callable[[Item], Result], items: Iterable[Item]
) -> list[tuple[Item, "Future[Result]"]]:
    return [(item, _completed(function, item)) for item in items]


def _completed(function: Callable[[Item], Result], item: Item) -> "Future[Result]":
    future: Future[Result] = Future()
    try:
        future.set_result(function(item))
    except Exception as error:
        future.set_exception(error)
    return future
