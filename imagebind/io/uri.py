"""URIs, of media and of weights alike: HTTP is read by `http`, every other scheme iopath's."""

import os
from functools import cache

from iopath.common.file_io import PathManager

OFFLINE_SWITCHES = ("IMAGEBIND_OFFLINE", "HF_HUB_OFFLINE")
HTTP_SCHEMES = ("http://", "https://")


def is_uri(text: str) -> bool:
    """Whether a string names a scheme, as in `https://…` or `hf://…`, and so is no local path."""
    return "://" in text


def is_http(uri: str) -> bool:
    """Whether a URI is one of the web; iopath's handler would keep its file for good, whatever the host."""
    return uri.lower().startswith(HTTP_SCHEMES)


@cache
def path_manager() -> PathManager:
    """iopath's opener of all other schemes; handlers are registered with it."""
    return PathManager()


def is_offline(offline: bool | None = None) -> bool:
    """Whether the network is not to be used: `offline`, or else `$IMAGEBIND_OFFLINE` or `$HF_HUB_OFFLINE`."""
    if offline is not None:
        return offline
    return any(os.environ.get(name, "").lower() in ("1", "true", "yes", "on") for name in OFFLINE_SWITCHES)
