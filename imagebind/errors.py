"""The errors of this library. Messages have the item, the expected and the actual value, and a hint."""

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
    """An item (file, array, string) that cannot be converted to a tensor."""

    def __init__(self, item: str, *, got: str = "", expected: str = "", hint: str = "") -> None:
        """Compose the message. A DataLoader recreates a worker's error from its complete message alone.

        Args:
            item: name of the item, or the complete message.
            got: the found value, a noun phrase; without `expected`, a statement such as "no such file".
            expected: a noun phrase.
            hint: the way out, if there is one.
        """
        found = f"expected {expected}, got {got}" if expected else got
        super().__init__((f"{item}: {found}" if found else item) + (f"; {hint}" if hint else ""))
        self.item = item
        self.got = got
        self.expected = expected
        self.hint = hint

    @property
    def fields(self) -> dict[str, Any]:
        """The keyword arguments of the constructor."""
        return {"got": self.got, "expected": self.expected, "hint": self.hint}

    def renamed(self, item: str) -> "MediaError":
        """Return the same error for another item name."""
        return type(self)(item, **self.fields)

    def __reduce__(self) -> tuple:  # by default, pickling loses keyword-only arguments
        return _rebuild, (type(self), self.item, self.fields)


class UnreadableMediaError(MediaError, OSError):
    """A file that cannot be opened, or an image that cannot be decoded; an `OSError`, like Pillow's."""

    def __init__(self, item: str, *, got: str = "", expected: str = "", hint: str = "") -> None:
        super().__init__(item, got=got, expected=expected, hint=hint)
        self.filename = item
        self.strerror = got

    __str__ = BaseException.__str__  # OSError's omits the expected value and the hint


class MissingMediaError(UnreadableMediaError, FileNotFoundError):
    """A file that does not exist."""

    errno = ENOENT


class UnknownMediaError(MediaError):
    """A file without a known media type, in contrast to a damaged file of a known type."""


class AmbiguousMediaError(MediaError):
    """An item that may have several media types; the message says how to specify one.

    `kinds` are the possible types of a file; `pattern` is the path pattern in the message, for `--map`, if
    there is one.
    """

    def __init__(
        self,
        item: str,
        *,
        got: str = "",
        expected: str = "",
        hint: str = "",
        kinds: tuple[MediaKind, ...] = (),
        pattern: str = "",
    ) -> None:
        super().__init__(item, got=got, expected=expected, hint=hint)
        self.kinds = kinds
        self.pattern = pattern

    @property
    def fields(self) -> dict[str, Any]:
        """The keyword arguments of the constructor."""
        return {**super().fields, "kinds": self.kinds, "pattern": self.pattern}


class CompanionMediaError(MediaError):
    """A file that is read together with another one, such as gyroscope with accelerometer data."""


class CheckpointError(ImageBindError):
    """A checkpoint that cannot be found, downloaded, read or written, or does not fit the model."""


class MissingExtraError(ImageBindError, ImportError):
    """An optional dependency that is not installed or cannot be imported; the message has the way out."""

    def __init__(self, package: str, *, extra: str = "", purpose: str = "", reason: str = "") -> None:
        cause = f", whose import fails ({reason})" if reason else ""
        super().__init__(
            f"{purpose} needs {package}{cause}: pip install 'imagebind[{extra}]'" if extra else package
        )
        self.package = package
        self.extra = extra
        self.purpose = purpose
        self.reason = reason

    def __reduce__(self) -> tuple:
        return _rebuild_extra, (self.package, self.extra, self.purpose, self.reason)


class MissingHeicError(MissingExtraError, MediaError):
    """A HEIC image without pillow-heif installed. An error of one item, so that others are still read."""

    package, extra, purpose = "pillow-heif", "heic", "reading HEIC images"
    __reduce__ = MediaError.__reduce__

    def __init__(self, item: str, *, got: str = "", expected: str = "", hint: str = "") -> None:
        MediaError.__init__(self, item, got=got, expected=expected, hint=hint)


def import_extra(package: str, *, extra: str, purpose: str, attribute: str = "") -> Any:
    """Import and return an optional package, or an attribute of it that the package imports when first used.

    Raises:
        MissingExtraError: the package is not installed, or its import fails, for example because a package
            that it needs does not fit the version of PyTorch.
    """
    try:
        module = import_module(package)
        return getattr(module, attribute) if attribute else module
    except Exception as error:  # import runs code of the package and of those that it needs
        is_missing = isinstance(error, ModuleNotFoundError) and error.name in (package, package.split(".")[0])
        reason = "" if is_missing else f"{type(error).__name__}: {error}".strip().splitlines()[0]
        raise MissingExtraError(package, extra=extra, purpose=purpose, reason=reason) from error


_collected_warnings: ContextVar[list[str] | None] = ContextVar("collected_warnings", default=None)


def warn_of(item: str, message: str) -> None:
    """Warn about an item that can still be read, such as an audio file with a damaged second.

    The message is collected if `collect_warnings` is active, and logged otherwise.
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


def _rebuild(error_type: type[MediaError], item: str, fields: dict[str, Any]) -> MediaError:
    return error_type(item, **fields)


def _rebuild_extra(package: str, extra: str, purpose: str, reason: str) -> MissingExtraError:
    return MissingExtraError(package, extra=extra, purpose=purpose, reason=reason)
