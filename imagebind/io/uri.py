"""URIs of media and weights: `http` reads HTTP URLs, iopath all other schemes."""

import os
from functools import cache

from iopath.common.file_io import PathManager

OFFLINE_SWITCHES = ("IMAGEBIND_OFFLINE", "HF_HUB_OFFLINE")
HTTP_SCHEMES = ("http://", "https://")


def is_uri(text: str) -> bool:
    """Return whether a string has a scheme, as in `https://…` or `hf://…`, and so is not a local path."""
    return "://" in text


def is_http(uri: str) -> bool:
    """Return whether a URI is an HTTP URL; iopath would cache it forever, by a path without the host."""
    return uri.lower().startswith(HTTP_SCHEMES)


@cache
def path_manager() -> PathManager:
    """Return iopath's path manager for all other schemes; register handlers with it."""
    return PathManager()


def is_offline(offline: bool | None = None) -> bool:
    """Return whether the network must not be used: `offline`, or else by the `OFFLINE_SWITCHES` variables."""
    if offline is not None:
        return offline
    return any(os.environ.get(name, "").lower() in ("1", "true", "yes", "on") for name in OFFLINE_SWITCHES)
