"""Open media from paths, URIs, bytes or open files, with size limits."""

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from imagebind.errors import (
    ImageBindError,
    MediaError,
    MissingMediaError,
    UnknownMediaError,
    UnreadableMediaError,
)
from imagebind.io.http import TooLargeError
from imagebind.io.uri import is_uri, open_uri

Source = str | os.PathLike[str] | bytes | BinaryIO


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits on media files, since a hostile file of a few bytes can decode to gigabytes."""

    max_bytes: int = 4 * 2**30  # of the file itself
    max_pixels: int = 100_000_000  # of one image, frame or array, checked before decoding
    max_seconds: float = 12 * 3600.0  # of audio or IMU recordings; in windows, also of videos of few frames


DEFAULT_LIMITS = Limits()


def is_source(item: object) -> bool:
    """Return whether `open_source` accepts an item; a str is a path or a URI here."""
    return isinstance(item, (str, os.PathLike, bytes, bytearray, memoryview)) or hasattr(item, "read")


def name_of(source: object) -> str:
    """Return an item's name for messages: its path or file name, else its type or size.

    The name can always be printed and stored: see `encodable`.
    """
    if isinstance(source, (str, os.PathLike)):
        return encodable(os.fsdecode(source)) or "''"
    if isinstance(source, (bytes, bytearray, memoryview)):
        return f"<{memoryview(source).nbytes} bytes>"
    name = getattr(source, "name", None) or getattr(source, "filename", None)
    if name and isinstance(name, (str, os.PathLike)):  # Pillow's name of an image from memory is ""
        return encodable(os.fsdecode(name))
    shape = getattr(source, "shape", None)
    return f"<{type(source).__name__}>" if shape is None else f"<{type(source).__name__} {tuple(shape)}>"


def is_unnamed(name: str) -> bool:
    """Return whether a name from `name_of` has only the type or size of an item: "<ndarray (3, 4)>"."""
    return name.startswith("<")


def shortened(text: str, characters: int) -> str:
    """Return a text; if it is longer than a number of characters, its beginning with an ellipsis."""
    return text if len(text) <= characters else text[: characters - 1] + "…"


def encodable(text: str) -> str:
    """Return text that UTF-8 can encode; lone surrogates, from non-UTF-8 file names, become `\\udcff`."""
    return text.encode("utf-8", errors="backslashreplace").decode("utf-8")


@contextmanager
def open_source(source: Source, *, limits: Limits = DEFAULT_LIMITS) -> Iterator[BinaryIO]:
    """Open a path, URI, bytes or file object as a seekable binary file at its start.

    A file object that was passed in stays open, at an unspecified position.

    Raises:
        UnreadableMediaError: missing (`MissingMediaError`), a folder, pipe or device, or not readable.
        MediaError: empty, larger than `limits.max_bytes`, or a file object that cannot seek or is not binary.
    """
    name = name_of(source)
    if isinstance(source, (bytes, bytearray, memoryview)):
        file: BinaryIO = io.BytesIO(bytes(source))  # also of a view that is not contiguous
    elif isinstance(source, (str, os.PathLike)):
        file = open_path(os.fsdecode(source), max_bytes=limits.max_bytes)
    else:
        file = source
    try:
        size = _size_from_start(file, name)
        if size == 0:
            raise UnknownMediaError(name, got="an empty file", expected="a file with content")
        if size > limits.max_bytes:
            raise MediaError(
                name, got=f"{size:,} bytes", expected=f"at most {limits.max_bytes:,} bytes (max_bytes)"
            )
        yield file
    finally:
        if file is not source:
            file.close()


def open_path(path: str, *, max_bytes: int | None = None) -> BinaryIO:
    """Open a file by path or URI as a seekable binary file; the caller closes it.

    Raises:
        UnreadableMediaError: missing (`MissingMediaError`), a folder, pipe or device, or not readable.
        MediaError: a download is larger than `max_bytes`.
    """
    try:
        if is_uri(path):
            return open_uri(path, max_bytes=max_bytes)
        mode = Path(path).stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # opening a pipe may block forever
            raise OSError("a pipe, socket or device")
        return Path(path).open("rb")
    except TooLargeError as error:
        expected = f"at most {max_bytes:,} bytes (max_bytes)"
        raise MediaError(name_of(path), got=str(error), expected=expected) from error
    except (OSError, ValueError) as error:
        error_type = MissingMediaError if isinstance(error, FileNotFoundError) else UnreadableMediaError
        is_missing = isinstance(error, FileNotFoundError) and not is_uri(path)
        got = "no such file" if is_missing else f"cannot be opened ({reason_of(error)})"
        raise error_type(name_of(path), got=got) from error


@contextmanager
def foreign_errors_of(
    name: str, *, error_types: tuple[type[Exception], ...] = (OSError, EOFError)
) -> Iterator[None]:
    """Convert errors of other libraries in the block to a `MediaError` that names the item.

    Raises:
        MediaError: the block raised one of `error_types`, or any error of PyAV.
    """
    try:
        yield
    except ImageBindError:
        raise
    except Exception as error:
        if not isinstance(error, error_types) and not type(error).__module__.startswith("av."):
            raise
        raise MediaError(
            name,
            got=f"one that cannot be read ({type(error).__name__}: {reason_of(error)})",
            expected="an undamaged file",
        ) from error


def _size_from_start(file: BinaryIO, name: str) -> int:
    try:
        file.seek(0, os.SEEK_END)
        size = file.tell()
        file.seek(0)
        no_bytes = file.read(0)
    except Exception as error:  # a user's file object may raise anything
        raise MediaError(
            name,
            got=f"one that cannot ({reason_of(error)})",
            expected="an open file that can be read from any position, or its bytes",
        ) from error
    if not isinstance(no_bytes, bytes):
        raise MediaError(name, got="one opened as text", expected="a file opened in binary mode, 'rb'")
    return size


def reason_of(error: Exception) -> str:
    """Return the message of an error, without the number and file name of an `OSError`."""
    return getattr(error, "strerror", None) or encodable(str(error)) or type(error).__name__
