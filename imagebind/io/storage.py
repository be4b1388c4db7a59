"""Read and write small files on disk or in an object store, by path or URI: s3://bucket/folder."""

import io
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from imagebind.io.atomic import TEMPORARY_NAME, replacing
from imagebind.io.store_path import store_error
from imagebind.io.uri import file_system, is_uri, without_file_scheme

MAX_PARALLEL_FETCHES = 8  # threads per call of `map_in_threads`

In = TypeVar("In")
Out = TypeVar("Out")


class NamedBytes(io.BytesIO):
    """A file's content in memory with its name, which media type detection needs for plain text."""

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name


class Storage:
    """A folder of small files that are written atomically.

    It calls fsspec itself, because iopath cannot delete folders, and lists names without saying which are
    files.
    """

    def __init__(self, uri: str | os.PathLike[str]) -> None:
        """Refer to a folder; it is created by the first write.

        Raises:
            MediaError: the URI is an HTTP URL, its scheme is unknown or needs another package, or the store
                does not answer.
        """
        self.uri = os.fspath(uri)
        self._is_on_disk = not is_uri(without_file_scheme(self.uri))
        try:
            self._system, self._root = file_system(self.uri)
        except OSError as error:
            raise store_error(self.uri, error) from error

    def read(self, name: str) -> bytes | None:
        """Return a file's content, or None if there is no such file."""
        try:
            return self._system.cat_file(self._path_of(name))
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        """Write or replace a file.

        On disk it has a temporary name until it is complete; object stores show only complete files.

        Raises:
            OSError: it cannot be written.
        """
        if self._is_on_disk:
            path = Path(self._path_of(name))
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary:
                temporary.write_bytes(content)
        else:
            self._system.pipe_file(self._path_of(name), content)

    def delete(self, name: str) -> None:
        """Delete a file, if it exists."""
        with suppress(FileNotFoundError):
            self._system.rm_file(self._path_of(name))

    def remove(self, *, last: str) -> None:
        """Delete the folder and its content; the file `last` is deleted after all others."""
        others = [entry["name"] for entry in self._list("") if _base_name(entry) != last]
        if others:
            self._system.rm(others, recursive=True)
        self.delete(last)
        with suppress(FileNotFoundError):  # in an object store an empty folder does not exist
            self._system.rm(self._root, recursive=True)

    def names(self, folder: str = "") -> set[str]:
        """Return the names of the complete files directly in a subfolder, or in this folder."""
        names = (_base_name(entry) for entry in self._list(folder) if entry["type"] == "file")
        return {name for name in names if not TEMPORARY_NAME.fullmatch(name)}

    def sweep(self, folder: str = "") -> None:
        """Delete the temporary files that killed writers left in a subfolder, or in this folder.

        Call it when no writer is running.
        """
        for entry in self._list(folder):
            if entry["type"] == "file" and TEMPORARY_NAME.fullmatch(_base_name(entry)):
                self._system.rm_file(entry["name"])

    def _list(self, folder: str) -> list[dict[str, Any]]:
        self._system.invalidate_cache()  # other processes write, too
        try:
            return self._system.ls(self._path_of(folder), detail=True)
        except FileNotFoundError:
            return []

    def _path_of(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root


def map_in_threads(function: Callable[[In], Out], items: Iterable[In]) -> Iterator[Out]:
    """Yield the function's result of each item, in order; threads compute some results ahead."""
    with ThreadPoolExecutor(MAX_PARALLEL_FETCHES, thread_name_prefix="imagebind-fetch") as pool:
        waiting: deque[Future[Out]] = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > MAX_PARALLEL_FETCHES:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _base_name(entry: dict[str, Any]) -> str:
    return entry["name"].rpartition("/")[2]
