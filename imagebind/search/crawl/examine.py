"""Detect a file's media type and hash its bytes before it is embedded."""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from imagebind.errors import MediaError
from imagebind.intake.files import kind_of
from imagebind.intake.mapping import PathMapping
from imagebind.io.source import encodable, name_of
from imagebind.media.discover import FoundFile
from imagebind.modality import MediaKind
from imagebind.search.rows import TEXT_KEY, Metadata

HASH_BYTES = 16
HASH_CHUNK_BYTES = 2**20
EXAMINE_BATCH = 32  # files examined per batch
EXAMINE_BATCHES_AHEAD = 2  # batches examined ahead, per thread
SNIPPET_CHARACTERS = 300  # of a text file, shown in place of a thumbnail
SNIPPET_BYTES = 4 * SNIPPET_CHARACTERS

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class ExaminedFile:
    """A file with its media type, the user's options for its transform, its hash and its metadata."""

    found: FoundFile
    kind: MediaKind
    options: Mapping[str, Any] = field(default_factory=dict)
    content_hash: str
    metadata: Metadata = field(default_factory=dict)


def examine(found: FoundFile, mappings: Sequence[PathMapping]) -> ExaminedFile:
    """Detect a file's media type, by a mapping or else by its first bytes, and hash its content.

    Raises:
        NotMediaError: the file has no supported media type.
        AmbiguousMediaError: it may have several, and no mapping matches; the message suggests one.
        MediaError: it cannot be read.
    """
    return examine_as(found, *kind_of(found, mappings))


def examine_as(found: FoundFile, kind: MediaKind, options: Mapping[str, Any]) -> ExaminedFile:
    """Examine a file whose media type is known."""
    try:
        content_hash = hash_of(found.path)
        metadata = {TEXT_KEY: snippet(found.path)} if kind is MediaKind.TEXT else {}
    except OSError as error:
        raise MediaError(
            name_of(found.path), got=f"cannot be read ({error.strerror})", expected="a file that can be read"
        ) from error
    return ExaminedFile(found=found, kind=kind, options=options, content_hash=content_hash, metadata=metadata)


def hash_of(path: Path) -> str:
    """Return the 16-byte BLAKE2b hash of a file's content in hexadecimal."""
    digest = hashlib.blake2b(digest_size=HASH_BYTES)
    with path.open("rb", buffering=0) as file:
        while block := file.read(HASH_CHUNK_BYTES):
            digest.update(block)
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
