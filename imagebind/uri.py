"""The one opener of URIs, for media and for weights alike."""

from functools import cache

from iopath.common.file_io import HTTPURLHandler, PathManager


def is_uri(text: str) -> bool:
    """Whether a string names a scheme, as in `https://…` or `hf://…`, and so is no local path."""
    return "://" in text


@cache
def path_manager() -> PathManager:
    """iopath's opener, with the handlers that need no account; more can be registered with it."""
    manager = PathManager()
    manager.register_handler(HTTPURLHandler())
    return manager
