"""A file before it is embedded: what it is, what its bytes are, and which requests it makes."""

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
from imagebind.search.rows import TEXT, Metadata

HASH_BYTES = 16
READ_BYTES = 2**20
HANDFUL = 32  # files that are examined in one go
AHEAD = 2  # handfuls a thread that are examined before their turn
SNIPPET_CHARACTERS = 300  # of a text, shown where another file has its picture
SNIPPET_BYTES = 4 * SNIPPET_CHARACTERS

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Examined:
    """What a file is, its options as its user said, a hash of its bytes, and what to keep of it in words."""

    found: FoundFile
    kind: MediaKind
    options: Mapping[str, Any] = field(default_factory=dict)
    content_hash: str
    metadata: Metadata = field(default_factory=dict)


def examine(found: FoundFile, mappings: Sequence[PathMapping]) -> Examined:
    """Look into a file: the first bytes tell its kind unless a mapping does, and all of them are hashed.

    Raises:
        NotMediaError: it is none of the kinds.
        AmbiguousMediaError: it could be of several, and no mapping says which; the message has what to say.
        MediaError: it cannot be read.
    """
    return examine_as(found, *kind_of(found, mappings))


def examine_as(found: FoundFile, kind: MediaKind, options: Mapping[str, Any]) -> Examined:
    """The same of a file whose kind is known."""
    try:
        content_hash = hash_of(found.path)
        metadata = {TEXT: snippet(found.path)} if kind is MediaKind.TEXT else {}
    except OSError as error:
        raise MediaError(
            name_of(found.path), got=f"cannot be read ({error.strerror})", expected="a file that can be read"
        ) from error
    return Examined(found=found, kind=kind, options=options, content_hash=content_hash, metadata=metadata)


def hash_of(path: Path) -> str:
    """BLAKE2b of a file's bytes, 16 bytes of it in hexadecimal."""
    digest = hashlib.blake2b(digest_size=HASH_BYTES)
    with path.open("rb", buffering=0) as file:
        while block := file.read(READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def snippet(path: Path) -> str:
    """How a text begins, in one line."""
    with path.open("rb") as file:
        start = file.read(SNIPPET_BYTES).decode("utf-8-sig", errors="ignore")
    return encodable(" ".join(start.split())[:SNIPPET_CHARACTERS])


def in_threads(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int
) -> Iterator[tuple[Item, "Future[Result]"]]:
    """Each item with what a function makes of it, in order.

    Items go into threads by the handful: to hand one over takes as long as to look into a small file.
    """
    left = iter(items)
    waiting: deque[Future[list[tuple[Item, Future[Result]]]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="imagebind-examine") as pool:
        try:
            while handful := list(islice(left, HANDFUL)):
                waiting.append(pool.submit(_each, function, handful))
                if len(waiting) > AHEAD * workers:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _each(function: Callable[[Item], Result], items: Iterable[Item]) -> list[tuple[Item, "Future[Result]"]]:
    return [(item, _outcome(function, item)) for item in items]


def _outcome(function: Callable[[Item], Result], item: Item) -> "Future[Result]":
    outcome: Future[Result] = Future()
    try:
        outcome.set_result(function(item))
    except Exception as error:
        outcome.set_exception(error)
    return outcome
