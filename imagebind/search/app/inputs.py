"""Embed uploads at once and delete them, so that the server keeps no upload."""

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
RECENT_UPLOADS = 64  # whose vectors are cached
FREE_PIXELS, PIXELS_PER_BYTE = 24_000_000, 64  # of images; more pixels are allowed only in larger files
FREE_SECONDS, MIN_BYTE_RATE = (
    600.0,
    500,
)  # of audio and IMU; speech at its lowest rate has 750 bytes a second
PATH_LOCKS = 64  # each path uses one by its hash, so few paths share a lock

_TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None  # glibc has it

# Other media types that the user may choose for a file of a media type.
_ALTERNATIVE_KINDS = {
    MediaKind.IMAGE: (MediaKind.THERMAL,),  # 8-bit thermal images cannot be detected by their content
    MediaKind.VIDEO: (MediaKind.AUDIO,),
}
_AMBIGUOUS_KINDS = (MediaKind.DEPTH, MediaKind.THERMAL, MediaKind.IMU)  # of 16-bit images, and arrays


@dataclass(frozen=True, kw_only=True, eq=False)
class Upload:
    """The vectors and thumbnails of an uploaded file.

    `vectors` has a vector (e,) for each media type that the file may have, the most likely first. `kind` is
    the detected media type; None if it is ambiguous and the user must choose.
    """

    name: str
    vectors: Mapping[MediaKind, np.ndarray]
    thumbnails: Mapping[MediaKind, bytes | None]
    kind: MediaKind | None

    @property
    def thumbnail(self) -> bytes | None:
        """A JPEG of the file as its detected media type."""
        return None if self.kind is None else self.thumbnails[self.kind]


class UploadEmbedder:
    """Embeds uploads for searches of an index."""

    def __init__(self, index: Index, *, max_upload_mb: float) -> None:
        if index.embedder is None:
            raise ValueError(f"{index.uri}: expected an index opened with an embedder")
        self.index = index
        self.embedder = index.embedder
        self.max_bytes = int(max_upload_mb * MEGABYTE)
        self._recent: OrderedDict[Path, Upload | MediaError] = OrderedDict()
        self._locks = tuple(threading.Lock() for _ in range(PATH_LOCKS))

    def take(self, path: Path) -> Upload:
        """Embed an upload and delete it, even if it fails.

        Gradio stores two uploads of the same file at one path, so the second returns the result of the first.

        Raises:
            MediaError: it is too large or cannot be embedded; the message has its name without the folder.
            SpaceMismatchError: the index's vectors of its media type come from another transform.
        """
        with self._locks[hash(path) % PATH_LOCKS]:
            if not path.exists() and path in self._recent:
                outcome = self._recent[path]
            else:
                outcome = self._outcome(path)
                self._recent[path] = outcome
                if len(self._recent) > RECENT_UPLOADS:
                    self._recent.popitem(last=False)
        if isinstance(outcome, MediaError):
            raise outcome
        return outcome

    def _outcome(self, path: Path) -> Upload | MediaError:
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
            return MediaError(path.name, got="a deleted upload", expected="a new upload of the file")
        finally:
            path.unlink(missing_ok=True)
            trim_memory()

    def _embed(self, path: Path) -> Upload:
        detected: MediaKind | None = None
        kinds: tuple[MediaKind, ...] = _AMBIGUOUS_KINDS
        try:
            detected = identify(path).kind
            kinds = (detected, *_ALTERNATIVE_KINDS.get(detected, ()))
        except AmbiguousMediaError:
            pass
        limits = limits_of(path.stat().st_size)
        errors: list[Exception] = []
        vectors: dict[MediaKind, np.ndarray] = {}
        drawn: dict[MediaKind, bytes | None] = {}
        for kind in kinds:
            self.index.check([kind])
            options = {} if kind is MediaKind.TEXT else {"limits": limits}
            (result,) = self.embedder.encode_stream([{kind.value: path, **options}], inspect=thumbnails)
            if result.vector is not None:
                vectors[kind], drawn[kind] = result.vector, _middle(result.inspected)
            elif result.error is not None:
                errors.append(result.error)
                if kind is detected:
                    break
        if not vectors:
            raise errors[0]
        kind_or_none = detected or (next(iter(vectors)) if len(vectors) == 1 else None)
        return Upload(name=path.name, vectors=vectors, thumbnails=drawn, kind=kind_or_none)


def limits_of(size: int) -> Limits:
    """Return decoding limits for an upload of `size` bytes: as much as real files of that size contain."""
    pixels, seconds = max(FREE_PIXELS, PIXELS_PER_BYTE * size), max(FREE_SECONDS, size / MIN_BYTE_RATE)
    return Limits(
        max_pixels=min(DEFAULT_LIMITS.max_pixels, pixels),
        max_seconds=min(DEFAULT_LIMITS.max_seconds, seconds),
    )


def trim_memory() -> None:
    """Return freed memory to the operating system.

    The C library keeps freed memory in a pool for each thread: 0.7 GB after a few large images.
    """
    if _TRIM is not None:
        _TRIM(0)


def _middle(jpegs: Any) -> bytes | None:
    return jpegs[len(jpegs) // 2]


def _megabytes(size: int) -> str:
    return f"{size / MEGABYTE:,.3g} MB"
