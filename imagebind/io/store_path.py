"""Paths of files and folders in stores, and lists of their files."""

import os
import re
import stat
from contextlib import suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path, PosixPath
from typing import Any, BinaryIO

from imagebind.errors import MediaError
from imagebind.io.http import open_url
from imagebind.io.source import encodable, reason_of
from imagebind.io.uri import (
    OFFLINE_MESSAGE,
    OfflineError,
    file_system,
    is_http,
    is_offline,
    is_uri,
    open_uri,
    os_errors,
    without_file_scheme,
)

# Each of fsspec's file systems has its own name for the time of modification.
_TIME_NAMES = ("mtime", "LastModified", "last_modified", "updated", "created")
_EMPTY_PART = "\0"  # stands for an empty part of a URI, because `Path` drops empty parts


class StorePath(PosixPath):
    """A file or folder by URI, with the methods of `Path` that reading media needs; `str` is the URI.

    `as_path` creates it. As in any path, slashes at the end are dropped.
    """

    def __str__(self) -> str:
        path = super().__str__().replace(f"/{_EMPTY_PART}", "/").removeprefix(_EMPTY_PART)
        if path.endswith(":") and "/" not in path:  # the root of a store
            return f"{path}//"
        scheme, separator, rest = path.partition(":/")
        return f"{scheme}://{rest}" if separator else path

    def absolute(self) -> "StorePath":
        """Return the path itself."""
        return self

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Return the type, size and modification time; size or time is 0 if the store does not state it."""
        uri = str(self)
        with os_errors(uri):
            if is_http(uri):
                info = _http_info(uri)
            else:
                system, path = file_system(uri)
                info = system.info(path)
            modified = _nanoseconds(next((info[name] for name in _TIME_NAMES if info.get(name)), 0))
        file_type = stat.S_IFDIR if info["type"] == "directory" else stat.S_IFREG
        times = (0, modified // 10**9, 0)
        return os.stat_result(
            (file_type, 0, 0, 1, 0, 0, info["size"] or 0, *times), {"st_mtime_ns": modified}
        )

    def is_dir(self) -> bool:
        """Return whether it is a folder."""
        try:
            return stat.S_ISDIR(self.stat().st_mode)
        except OSError:
            return False

    def open(self, mode: str = "rb", buffering: int = -1) -> BinaryIO:  # type: ignore[override]
        """Open the file for reading; the only mode is `rb`."""
        return open_uri(str(self))


def as_path(path: str | os.PathLike[str]) -> Path:
    """Return a path or URI as a path object."""
    text = without_file_scheme(os.fspath(path))
    if not is_uri(text):
        return Path(text)
    parts = text.rstrip("/").replace("://", ":/", 1)
    return StorePath(re.sub("(?<=/)(?=/)", _EMPTY_PART, parts))


def files_below(uri: str) -> list[str]:
    """Return the URIs of all files below a folder, sorted, without hidden ones; for anything else, `uri`.

    Raises:
        MediaError: the store cannot be reached.
    """
    if is_http(uri):
        return [uri]
    try:
        with os_errors(uri):
            system, path = file_system(uri)
            system.invalidate_cache()
            if not system.isdir(path):
                return [uri]
            below = sorted(name[len(path) :].removeprefix("/") for name in system.find(path))
    except OSError as error:
        raise store_error(uri, error) from error
    folder = uri.rstrip("/")
    start = f"{folder}/" if is_uri(folder) else f"{folder}//"  # without its slashes, a root is no URI
    return [f"{start}{name}" for name in below if not any(part.startswith(".") for part in name.split("/"))]


def store_error(uri: str, error: OSError) -> MediaError:
    """Return the error of a store that cannot be opened."""
    return MediaError(
        encodable(uri),
        got=f"one that cannot be opened ({reason_of(error)})",
        expected="a path, or a URI such as s3://bucket/name or gs://bucket/name",
    )


def _http_info(uri: str) -> dict[str, Any]:
    if is_offline():
        raise OfflineError(OFFLINE_MESSAGE)
    with open_url(uri) as response:
        length, modified = (response.headers.get(name) for name in ("Content-Length", "Last-Modified"))
    info: dict[str, Any] = {"type": "file", "size": int(length) if length and length.isdecimal() else 0}
    with suppress(ValueError, OverflowError):  # no header, or one that is not a date
        info["mtime"] = parsedate_to_datetime(modified or "")
    return info


def _nanoseconds(modified: datetime | str | float) -> int:
    if isinstance(modified, str):
        modified = datetime.fromisoformat(modified.replace("Z", "+00:00"))
    return round((modified.timestamp() if isinstance(modified, datetime) else modified) * 1e9)
