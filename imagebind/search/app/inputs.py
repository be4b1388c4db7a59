"""What is dropped on the page: embedded at once, so that no upload has to be kept."""

import ctypes
import sys
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from imagebind.errors import AmbiguousMediaError, MediaError
from imagebind.intake.requests import identify
from imagebind.io.source import DEFAULT_LIMITS, Limits
from imagebind.modality import MediaKind
from imagebind.search.index import Index
from imagebind.search.thumbnails import thumbnails

MEGABYTE = 2**20
RECENT = 64  # uploads whose vectors are kept for a moment
USUAL_PIXELS, PIXELS_PER_BYTE = 24_000_000, 64  # of images; a file with more pixels has to have more bytes
USUAL_SECONDS, MIN_BYTE_RATE = (
    600.0,
    500,
)  # of audio and IMU; speech at its lowest rate has 750 bytes a second
GUARDS = 64  # locks for paths: so many that few of them have to share one

_TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None  # glibc has it

# What else a file of a kind may be meant as, when the page's user says so.
_ALSO = {
    MediaKind.IMAGE: (MediaKind.THERMAL,),  # a camera's 8-bit picture of heat looks like any other
    MediaKind.VIDEO: (MediaKind.AUDIO,),  # its sound
}
_UNTOLD = (MediaKind.DEPTH, MediaKind.THERMAL, MediaKind.IMU)  # 16-bit grey pictures, and arrays


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """One upload, as far as a search needs it.

    `vectors` (e,) for each kind that it can be taken for, the likeliest first. `kind` is what it is taken
    for; None where nothing but its user can tell.
    """

    name: str
    vectors: Mapping[MediaKind, np.ndarray]
    pictures: Mapping[MediaKind, bytes | None]
    kind: MediaKind | None

    @property
    def picture(self) -> bytes | None:
        """A small JPEG of what it is taken for."""
        return None if self.kind is None else self.pictures[self.kind]


class Intake:
    """Turns uploads into parts of a query to an index."""

    def __init__(self, index: Index, *, max_upload_mb: float) -> None:
        if index.embedder is None:
            raise ValueError(f"{index.uri}: expected an index opened with an embedder")
        self.index = index
        self.embedder = index.embedder
        self.max_bytes = int(max_upload_mb * MEGABYTE)
        self._recent: OrderedDict[Path, Part | MediaError] = OrderedDict()
        self._guards = tuple(threading.Lock() for _ in range(GUARDS))

    def take(self, path: Path) -> Part:
        """Embed an upload and delete it, whatever comes of it.

        The same file dropped twice lies at one path: whoever comes second gets what was made of it before.

        Raises:
            MediaError: too large, or nothing that can be embedded; names the file without its folder.
            SpaceMismatchError: the index's vectors of such media come from another transform.
        """
        with self._guards[hash(path) % GUARDS]:
            if not path.exists() and path in self._recent:
                outcome = self._recent[path]
            else:
                outcome = self._outcome(path)
                self._recent[path] = outcome
                if len(self._recent) > RECENT:
                    self._recent.popitem(last=False)
        if isinstance(outcome, MediaError):
            raise outcome
        return outcome

    def _outcome(self, path: Path) -> Part | MediaError:
        try:
            size = path.stat().st_size
            if size > self.max_bytes:
                raise MediaError(
                    path.name, got=_megabytes(size), expected=f"at most {_megabytes(self.max_bytes)}"
                )
            return self._embed(path)
        except MediaError as error:
            return type(error)(
                path.name, got=error.got.replace(str(path), path.name), expected=error.expected
            )
        except FileNotFoundError:
            return MediaError(path.name, got="gone from the server", expected="to be dropped here again")
        finally:
            path.unlink(missing_ok=True)
            give_back_memory()

    def _embed(self, path: Path) -> Part:
        told: MediaKind | None = None
        kinds: tuple[MediaKind, ...] = _UNTOLD
        try:
            told = identify(path).kind
            kinds = (told, *_ALSO.get(told, ()))
        except AmbiguousMediaError:
            pass
        limits = limits_of(path.stat().st_size)
        errors: list[Exception] = []
        vectors: dict[MediaKind, np.ndarray] = {}
        pictures: dict[MediaKind, bytes | None] = {}
        for kind in kinds:
            self.index.check([kind])
            options = {} if kind is MediaKind.TEXT else {"limits": limits}
            (result,) = self.embedder.encode_stream([{kind.value: path, **options}], inspect=thumbnails)
            if result.vector is not None:
                vectors[kind], pictures[kind] = result.vector, _middle(result.inspected)
            elif result.error is not None:
                errors.append(result.error)
                if kind is told:
                    break
        if not vectors:
            raise errors[0]
        taken_for = told or (next(iter(vectors)) if len(vectors) == 1 else None)
        return Part(name=path.name, vectors=vectors, pictures=pictures, kind=taken_for)


def limits_of(size: int) -> Limits:
    """Return what an upload of so many bytes may cost: as much as real recordings of that size hold."""
    pixels, seconds = max(USUAL_PIXELS, PIXELS_PER_BYTE * size), max(USUAL_SECONDS, size / MIN_BYTE_RATE)
    return Limits(
        max_pixels=min(DEFAULT_LIMITS.max_pixels, pixels),
        max_seconds=min(DEFAULT_LIMITS.max_seconds, seconds),
    )


def give_back_memory() -> None:
    """Give the memory of what was decoded back to the system.

    The C library keeps freed memory, in one pool for each thread: 0.7 GB after a few large images.
    """
    if _TRIM is not None:
        _TRIM(0)


def _middle(pictures: Any) -> bytes | None:
    return pictures[len(pictures) // 2]


def _megabytes(size: int) -> str:
    return f"{size / MEGABYTE:,.3g} MB"
