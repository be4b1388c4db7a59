"""Open URIs with iopath's path manager: HTTP URLs by `http`, all other schemes by fsspec."""

import errno
import io
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock
from iopath.common.file_io import NativePathHandler, PathHandler, PathManager

from imagebind.io.http import copy_body, open_url, validators
from imagebind.io.local_copy import CacheDir, copy_path, update_copy

OFFLINE_SWITCHES = ("IMAGEBIND_OFFLINE", "HF_HUB_OFFLINE")
OFFLINE_MESSAGE = f"the network is switched off by {' or '.join(OFFLINE_SWITCHES)}"
HTTP_SCHEMES = ("http://", "https://")
FILE_SCHEME = "file://"
SCHEMES_WITHOUT_NETWORK = ("local", "memory")
IN_MEMORY_BYTES = 2**24  # larger downloads go to a temporary file


class OfflineError(OSError):
    """The network is needed and switched off."""


def is_uri(text: str) -> bool:
    """Return whether a string has a scheme, as in `https://…` or `hf://…`, and so is not a local path."""
    return "://" in text


def is_http(uri: str) -> bool:
    """Return whether a URI is an HTTP URL."""
    return uri.lower().startswith(HTTP_SCHEMES)


def without_file_scheme(path: str) -> str:
    """Return the path of a `file://` URI, which is not percent-decoded; any other string unchanged."""
    if not path.lower().startswith(FILE_SCHEME):
        return path
    path = path[len(FILE_SCHEME) :]
    return path.removeprefix("localhost") if path.startswith("localhost/") else path


def is_offline(offline: bool | None = None) -> bool:
    """Return `offline` if it is given, else whether a variable of `OFFLINE_SWITCHES` is set to true."""
    if offline is not None:
        return offline
    return any(os.environ.get(name, "").lower() in ("1", "true", "yes", "on") for name in OFFLINE_SWITCHES)


def open_uri(uri: str, *, max_bytes: int | None = None) -> BinaryIO:
    """Open a file by URI as a seekable binary file; the caller closes it.

    A file at an HTTP URL is downloaded; `max_bytes` limits its size.

    Raises:
        TooLargeError: an HTTP URL has more than `max_bytes`.
        OSError: the file cannot be opened, the scheme is unknown or needs a package that is not installed,
            or the network is needed and switched off (`OfflineError`).
    """
    options = {"max_bytes": max_bytes} if is_http(uri) else {}
    with os_errors(uri):
        return path_manager().open(_with_lower_scheme(uri), "rb", **options)


def local_copy(uri: str, *, cache_dir: CacheDir = None, offline: bool | None = None) -> Path:
    """Return the local path of a file or folder by URI; a remote one is copied to a cache.

    Each call checks the remote version and downloads again if it has changed or is not stated. Of a folder,
    only the files directly in it are copied. Offline, the cached copy is used without a check.

    Raises:
        OfflineError: the network is switched off, and there is no copy.
        OSError: it cannot be downloaded.
    """
    options = {"cache_dir": cache_dir, "offline": offline}
    given = {name: value for name, value in options.items() if value is not None}
    with os_errors(uri):
        return Path(path_manager().get_local_path(_with_lower_scheme(uri), **given))


def upload(path: Path, uri: str) -> None:
    """Write a local file to a URI; a store shows it once it is complete.

    Raises:
        OSError: it cannot be written.
    """
    with os_errors(uri):
        if is_http(uri):  # iopath's error has no text
            raise OSError("an HTTP server cannot be written to")
        path_manager().copy_from_local(str(path), _with_lower_scheme(uri), overwrite=True)


def file_system(uri: str, *, offline: bool | None = None) -> tuple[Any, str]:
    """Return fsspec's file system for a path or URI, and the path in that file system.

    URIs are not percent-decoded: names are used as they are in the store. Credentials are those that the
    store's own tools use.

    Raises:
        OfflineError: the network is needed and switched off, see `is_offline`.
        OSError: the URI is an HTTP URL, its scheme is unknown, its package is not installed, or the store
            cannot be reached.
    """
    # Imported here because it takes 0.1 s, and most files are on disk.
    from fsspec import get_filesystem_class
    from fsspec.implementations.local import LocalFileSystem

    uri = without_file_scheme(uri)
    if not is_uri(uri):
        return LocalFileSystem(), os.path.abspath(uri)  # noqa: PTH100 (resolve would follow links)
    if is_http(uri):
        raise OSError("an HTTP server cannot be listed or written to")
    uri = _with_lower_scheme(uri)
    scheme = uri.partition("://")[0]
    with os_errors(uri):
        if scheme not in SCHEMES_WITHOUT_NETWORK and is_offline(offline):
            raise OfflineError(OFFLINE_MESSAGE)
        # Not fsspec.url_to_fs, which takes "::" in a file's name for the end of a URI.
        of_scheme = get_filesystem_class(scheme)
        return of_scheme(**of_scheme._get_kwargs_from_urls(uri)), of_scheme._strip_protocol(uri)


@contextmanager
def os_errors(uri: str) -> Iterator[None]:
    """Convert the block's errors, whose classes differ between stores, to `OSError` with a `strerror`."""
    try:
        yield
    except FileNotFoundError as error:  # many stores' messages are only the name
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), uri) from error
    except OSError as error:
        error.strerror = error.strerror or str(error)
        raise
    except Exception as error:
        converted = OSError(f"{uri}: {error}")
        converted.strerror = str(error)
        raise converted from error


@cache
def path_manager() -> PathManager:
    """Return the path manager of this package, with which other handlers can be registered."""
    manager = PathManager()
    manager.register_handler(HttpHandler())
    manager.register_handler(FsspecHandler())
    return manager


class HttpHandler(PathHandler):
    """Opens HTTP URLs; iopath's own handler would cache them forever, by a path without the host."""

    def _get_supported_prefixes(self) -> list[str]:
        return list(HTTP_SCHEMES)

    def _open(
        self, path: str, mode: str = "rb", buffering: int = -1, *, max_bytes: int | None = None
    ) -> BinaryIO:
        """Download a file, to memory if it is small, else to a temporary file."""
        if is_offline():
            raise OfflineError(OFFLINE_MESSAGE)
        file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES)  # noqa: SIM115  # the caller closes it
        try:
            with open_url(path) as response:
                copy_body(response, file, max_bytes=max_bytes)  # type: ignore[arg-type]
        except BaseException:
            file.close()
            raise
        file.seek(0)
        return file  # type: ignore[return-value]

    def _get_local_path(
        self, path: str, force: bool = False, *, cache_dir: CacheDir = None, offline: bool | None = None
    ) -> str:
        copy = copy_path(path, cache_dir)
        if is_offline(offline):
            return _existing_copy(copy)
        with open_url(path) as response:

            def fetch(part: Path) -> None:
                with part.open("wb") as file:
                    copy_body(response, file)
                    os.fsync(file.fileno())

            update_copy(copy, validators(response), fetch)
        return str(copy)


class FsspecHandler(NativePathHandler):
    """Opens all other URIs with fsspec. As iopath's default handler it needs no list of schemes."""

    def _open(self, path: str, mode: str = "rb", buffering: int = -1) -> BinaryIO:
        system, name = file_system(path)
        file = system.open(name, mode)
        if isinstance(file, io.BytesIO):
            return io.BytesIO(file.getvalue())  # fsspec's memory files share one position between all readers
        return file

    def _get_local_path(
        self, path: str, force: bool = False, *, cache_dir: CacheDir = None, offline: bool | None = None
    ) -> str:
        if not is_uri(on_disk := without_file_scheme(path)):
            return on_disk
        copy = copy_path(path, cache_dir)
        if is_offline(offline):
            return _existing_copy(copy)
        system, root = file_system(path, offline=False)
        system.invalidate_cache()
        files: Mapping[str, Any] = system.find(root, maxdepth=1, detail=True)  # of a file, the file itself
        if not files:
            raise FileNotFoundError(path)

        def fetch(part: Path) -> None:
            for name in files:
                target = part if name == root else part / name.rpartition("/")[2]
                target.parent.mkdir(exist_ok=True)
                system.get_file(name, str(target))

        copy.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(copy.with_name(copy.name + ".lock")):  # replacing a folder takes several steps
            update_copy(copy, json.loads(json.dumps(files, default=str)), fetch)
        return str(copy)

    def _copy_from_local(self, local_path: str, dst_path: str, overwrite: bool = False) -> bool:
        system, name = file_system(dst_path)
        system.put_file(local_path, name)
        return True


def _with_lower_scheme(uri: str) -> str:
    scheme, separator, rest = uri.partition("://")
    return f"{scheme.lower()}://{rest}" if separator else uri


def _existing_copy(copy: Path) -> str:
    if not copy.exists():
        raise OfflineError(
            "no local copy, and the network is switched off "
            f"(offline=True or one of {', '.join(OFFLINE_SWITCHES)})"
        )
    return str(copy)
