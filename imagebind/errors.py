"""The errors of this library. Each names the item, what was seen in it, and what is wanted."""

from importlib import import_module
from typing import Any


class ImageBindError(Exception):
    """Anything this library refuses, for whoever wants to catch it all."""


class MediaError(ImageBindError, ValueError):
    """One item that cannot become a tensor: a file, an array, a string."""

    def __init__(self, item: str, *, seen: str, wanted: str) -> None:
        super().__init__(f"{item}: {seen}; wants {wanted}")
        self.item = item
        self.seen = seen
        self.wanted = wanted

    def __reduce__(self) -> tuple:  # keyword-only arguments would not survive a worker process otherwise
        return _rebuild, (type(self), self.item, self.seen, self.wanted)


class AmbiguousMediaError(MediaError):
    """A file that could be of more than one modality; the message says how to tell which."""


class CheckpointError(ImageBindError):
    """A weights file that is missing, cut short, foreign or of another shape."""


class MissingExtraError(ImageBindError, ImportError):
    """An optional dependency that is not installed; the message has the install line."""

    def __init__(self, package: str, *, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs {package}: pip install 'imagebind[{extra}]'")
        self.package = package
        self.extra = extra
        self.purpose = purpose

    def __reduce__(self) -> tuple:
        return _rebuild_extra, (self.package, self.extra, self.purpose)


def import_extra(package: str, *, extra: str, purpose: str) -> Any:
    """An optional package, imported where it is used.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise MissingExtraError(package, extra=extra, purpose=purpose) from error


def _rebuild(kind: type[MediaError], item: str, seen: str, wanted: str) -> MediaError:
    return kind(item, seen=seen, wanted=wanted)


def _rebuild_extra(package: str, extra: str, purpose: str) -> MissingExtraError:
    return MissingExtraError(package, extra=extra, purpose=purpose)
