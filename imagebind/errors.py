"""The errors of this library. Each names the item, what was found and what was expected."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from errno import ENOENT
from importlib import import_module
from typing import Any

from imagebind.modality import MediaKind

logger = logging.getLogger(__name__)


class ImageBindError(Exception):
    """Base class of this library's errors."""


class MediaError(ImageBindError, ValueError):
    """One item that cannot become a tensor: a file, an array, a string."""

    def __init__(self, item: str, *, got: str = "", expected: str = "") -> None:
        """Name all three. A DataLoader makes its worker's error again from the whole message alone."""
        super().__init__(f"{item}: {got}; expected {expected}" if got else item)
        self.item = item
        self.got = got
        self.expected = expected

    @property
    def fields(self) -> dict[str, Any]:
        """The keyword arguments that it was made with."""
        return {"got": self.got, "expected": self.expected}

    def renamed(self, item: str) -> "MediaError":
        """Return the same error with another name of the item."""
        return type(self)(item, **self.fields)

    def __reduce__(self) -> tuple:  # keyword-only arguments would not survive a worker process otherwise
        return _rebuild, (type(self), self.item, self.fields)


class UnreadableMediaError(MediaError, OSError):
    """A file that cannot be opened, or an image that cannot be decoded: also an `OSError`, as Pillow's."""

    def __init__(self, item: str, *, got: str = "", expected: str = "") -> None:
        super().__init__(item, got=got, expected=expected)
        self.filename = item
        self.strerror = got

    __str__ = BaseException.__str__  # OSError's leaves out what is expected


class MissingMediaError(UnreadableMediaError, FileNotFoundError):
    """A file that does not exist."""

    errno = ENOENT


class UnknownMediaError(MediaError):
    """A file whose content has no known media type, in contrast to a damaged file of a known one."""


class AmbiguousMediaError(MediaError):
    """A file that may have more than one media type, `kinds`; the message says how to name the type."""

    def __init__(
        self, item: str, *, got: str = "", expected: str = "", kinds: tuple[MediaKind, ...] = ()
    ) -> None:
        super().__init__(item, got=got, expected=expected)
        self.kinds = kinds

    @property
    def fields(self) -> dict[str, Any]:
        """The keyword arguments that it was made with."""
        return {**super().fields, "kinds": self.kinds}


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

    def __init__(self, item: str, *, got: str = "", expected: str = "") -> None:
        MediaError.__init__(self, item, got=got, expected=expected)


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


def _rebuild(kind: type[MediaError], item: str, fields: dict[str, Any]) -> MediaError:
    return kind(item, **fields)


def _rebuild_extra(package: str, extra: str, purpose: str) -> MissingExtraError:
    return MissingExtraError(package, extra=extra, purpose=purpose)
