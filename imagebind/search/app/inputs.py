"""Embed uploads at once: the server keeps neither an upload nor its vectors."""

import ctypes
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, cast

import numpy as np

from imagebind.embedder import combine
from imagebind.errors import AmbiguousMediaError, MediaError
from imagebind.intake.requests import identify
from imagebind.io.source import DEFAULT_LIMITS, Limits
from imagebind.modality import MediaKind
from imagebind.search.html import data_uri
from imagebind.search.index import Index
from imagebind.search.thumbnails import thumbnails

UPLOAD_IN_MEMORY_BYTES = 2**18  # larger uploads go to the disk
FREE_PIXELS, PIXELS_PER_BYTE = 24_000_000, 64  # of images; more pixels are allowed only in larger files
FREE_SECONDS = 600.0  # of audio and IMU; longer recordings are allowed only in larger files
MIN_BYTE_RATE = 500  # bytes per second; speech codecs at their lowest rate, 6 kbit/s, have 750

# Only glibc has it.
_MALLOC_TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None

# Other media types that the user may choose for a file of the detected media type.
_ALTERNATIVE_KINDS = {
    MediaKind.IMAGE: (MediaKind.THERMAL,),  # 8-bit thermal images cannot be detected by their content
    MediaKind.VIDEO: (MediaKind.AUDIO,),
}


class UploadFile(tempfile.SpooledTemporaryFile):
    """A temporary file with the name of an upload. It has no path, so it never outlives the process."""

    name: str = ""

    def __init__(self, name: str) -> None:
        super().__init__(max_size=UPLOAD_IN_MEMORY_BYTES)
        self.name = name


@dataclass(frozen=True, kw_only=True, eq=False)
class Upload:
    """The vectors and thumbnails of an uploaded file. The browser keeps it and sends it with a query.

    `vectors` has a vector (e,) for each media type that the file may have, the most likely first. `kind` is
    the detected media type, or the only one that it can be; None if the user must choose. `thumbnails` are
    data URIs. `refusals` has the errors of the media types as which an ambiguous file cannot be read.
    """

    name: str
    vectors: Mapping[MediaKind, list[float]]
    kind: MediaKind | None
    thumbnails: Mapping[MediaKind, str | None] = field(default_factory=dict)
    refusals: Mapping[MediaKind, str] = field(default_factory=dict)

    def vector(self, kind: MediaKind | None) -> np.ndarray:
        """Return the unit vector (e,) of the file as one of its possible media types.

        Raises:
            MediaError: the user has not chosen one of them.
            ValueError: the browser sent a vector that is zero or not finite.
        """
        if kind is None or kind not in self.vectors:
            names = " or ".join(map(str, self.vectors))
            raise MediaError(self.name, got=f"the file may be {names}", hint="choose its media type")
        return combine([(np.array(self.vectors[kind]), 1.0)])


class UploadEmbedder:
    """Embeds uploads for searches of an index."""

    def __init__(self, index: Index) -> None:
        if index.embedder is None:
            raise ValueError(f"{index.uri}: expected an index opened with an embedder, got one without")
        self.index = index
        self.embedder = index.embedder

    def __call__(self, file: UploadFile) -> Upload:
        """Embed an upload.

        Raises:
            MediaError: it cannot be embedded.
            SpaceMismatchError: the index's vectors of its media type come from another transform.
        """
        try:
            return self._embed(file)
        finally:
            trim_memory()

    def _embed(self, file: UploadFile) -> Upload:
        content = cast(BinaryIO, file)
        size = content.seek(0, 2)
        detected: MediaKind | None = None
        try:
            detected = identify(content).kind
            kinds = (detected, *_ALTERNATIVE_KINDS.get(detected, ()))
        except AmbiguousMediaError as error:
            kinds = tuple(error.kinds)
        limits = limits_of(size)
        errors: dict[MediaKind, Exception] = {}
        vectors: dict[MediaKind, list[float]] = {}
        drawn: dict[MediaKind, str | None] = {}
        for kind in kinds:
            self.index.check([kind])
            options = {} if kind is MediaKind.TEXT else {"limits": limits}
            (result,) = self.embedder.encode_stream([{kind.value: content, **options}], inspect=thumbnails)
            if result.vector is not None:
                vectors[kind], drawn[kind] = result.vector.tolist(), _middle(result.inspected)
            elif result.error is not None:
                errors[kind] = result.error
                if kind is detected:
                    break
        if not vectors:
            raise errors[kinds[0]]
        return Upload(
            name=file.name,
            vectors=vectors,
            thumbnails=drawn,
            kind=detected or (next(iter(vectors)) if len(vectors) == 1 else None),
            refusals={kind: str(error) for kind, error in errors.items()} if detected is None else {},
        )


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
    if _MALLOC_TRIM is not None:
        _MALLOC_TRIM(0)


def _middle(jpegs: Any) -> str | None:
    jpeg = jpegs[len(jpegs) // 2]
    return None if jpeg is None else data_uri(jpeg)
