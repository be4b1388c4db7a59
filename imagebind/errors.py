"""The errors of this library. Each names the item, what was seen in it, and what is wanted."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from errno import ENOENT
from importlib import import_module
from typing import Any

logger = logging.getLogger(__name__)


class ImageBindError(Exception):
    """Anything this library refuses, for whoever wants to catch it all."""


class MediaError(ImageBindError, ValueError):
    """One item that cannot become a tensor: a file, an array, a string."""

    def __init__(self, item: str, *, seen: str = "", wanted: str = "") -> None:
        """Name all three. A DataLoader makes its worker's error again from the whole message alone."""
        super().__init__(f"{item}: {seen}; wants {wanted}" if seen else item)
        self.item = item
        self.seen = seen
        self.wanted = wanted

    def __reduce__(self) -> tuple:  # keyword-only arguments would not survive a worker process otherwise
        return _rebuild, (type(self), self.item, self.seen, self.wanted)


class UnreadableMediaError(MediaError, OSError):
    """A file that cannot be opened, or an image that cannot be decoded: also an `OSError`, as Pillow's."""

    def __init__(self, item: str, *, seen: str = "", wanted: str = "") -> None:
        super().__init__(item, seen=seen, wanted=wanted)
        self.filename = item
        self.strerror = seen

    __str__ = BaseException.__str__  # OSError's leaves out what is expected


class MissingMediaError(UnreadableMediaError, FileNotFoundError):
    """A file that does not exist."""

    errno = ENOENT


class AmbiguousMediaError(MediaError):
    """A file that could be of more than one modality; the message says how to tell which."""


class CompanionMediaError(MediaError):
    """A file that is read together with another one, such as a gyroscope's beside an accelerometer's."""


class CheckpointError(ImageBindError):
    """A weights file that is missing, cut short, foreign or of another shape."""


class MissingExtraError(ImageBindError, ImportError):
    """An optional dependency that is not installed; the message has the install line."""

    def __init__(self, package: str, *, extra: str = "", purpose: str = "") -> None:
        super().__init__(f"{purpose} needs {package}: pip install 'imagebind[{extra}]'" if extra else package)
        self.package = package
        self.extra = extra
        self.purpose = purpose

    def __reduce__(self) -> tuple:
        return _rebuild_extra, (self.package, self.extra, self.purpose)


class MissingHeicError(MissingExtraError, MediaError):
    """A HEIC image, while pillow-heif is not installed. Concerns one item, so others are still read."""

    package, extra, purpose = "pillow-heif", "heic", "reading HEIC images"
    __reduce__ = MediaError.__reduce__

    def __init__(self, item: str, *, seen: str = "", wanted: str = "") -> None:
        MediaError.__init__(self, item, seen=seen, wanted=wanted)


def import_extra(package: str, *, extra: str, purpose: str) -> Any:
    """An optional package, imported where it is used.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise MissingExtraError(package, extra=extra, purpose=purpose) from error


_collected_warnings: ContextVar[list[str] | None] = ContextVar("collected_warnings", default=None)


def warn_of(item: str, message: str) -> None:
    """Report a doubt about an item that is read nevertheless, such as a damaged second of an hour.

    The message is collected where `collect_warnings` is active, and logged elsewhere.
    """
    collected = _collected_warnings.get()
    if collected is None:
        logger.warning("%s: %s", item, message)
    elif message not in collected:
        collected.append(message)


@contextmanager
def collect_warnings() -> Iterator[list[str]]:
    """Collect the messages of `warn_of` in this thread instead of logging them."""
    messages: list[str] = []
    token = _collected_warnings.set(messages)
    try:
        yield messages
    finally:
        _collected_warnings.reset(token)


def _rebuild(kind: type[MediaError], item: str, seen: str, wanted: str) -> MediaError:
    return kind(item, seen=seen, wanted=wanted)


def _rebuild_extra(package: str, extra: str, purpose: str) -> MissingExtraError:
    return MissingExtraError(package, extra=extra, purpose=purpose)
