"""Read and write files on disk or in an object store with pyarrow, by path or URI: s3://bucket/folder."""

import io
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from imagebind.errors import MediaError
from imagebind.io.atomic import TEMPORARY_NAME, replacing
from imagebind.io.source import encodable
from imagebind.io.uri import is_uri

CACHED_FILE_SYSTEMS = 64  # one per bucket; finding a bucket's region takes a round trip
READ_BUFFER_BYTES = 8 * 2**20  # per request to an object store
MAX_PARALLEL_FETCHES = 8  # threads per call of `map_in_threads`
READABLE_FILE = "a readable file"

In = TypeVar("In")
Out = TypeVar("Out")


class NamedBytes(io.BytesIO):
    """A file's content in memory with its name, which media type detection needs for plain text."""

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name


class Storage:
    """A folder of small files that are written atomically."""

    def __init__(self, uri: str | os.PathLike[str]) -> None:
        """Refer to a folder; it is created by the first write.

        Raises:
            MediaError: pyarrow does not know the URI's scheme, or the store does not answer.
        """
        self.uri = os.fspath(uri)
        self._system, self._root = open_file_system(self.uri)

    def read(self, name: str) -> bytes | None:
        """Return a file's content, or None if there is no such file."""
        try:
            with self._system.open_input_stream(self._path_of(name)) as file:
                return file.read()
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        """Write or replace a file.

        On disk it has a temporary name until it is complete; object stores show only complete files.

        Raises:
            OSError: it cannot be written.
        """
        from pyarrow.fs import LocalFileSystem

        if isinstance(self._system, LocalFileSystem):
            path = Path(self._path_of(name))
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary:
                temporary.write_bytes(content)
        else:
            with self._system.open_output_stream(self._path_of(name)) as file:
                file.write(content)

    def delete(self, name: str) -> None:
        """Delete a file, if it exists."""
        if self._system.get_file_info(self._path_of(name)).is_file:
            self._system.delete_file(self._path_of(name))

    def remove(self, *, last: str) -> None:
        """Delete the folder and its content; the file `last` is deleted after all others."""
        from pyarrow.fs import FileType

        found = self._list("")
        for info in found:
            if info.type is FileType.Directory:
                self._system.delete_dir(info.path)
        files = [info.path for info in found if info.is_file and info.base_name != last]
        list(map_in_threads(self._system.delete_file, files))
        self.delete(last)
        self._system.delete_dir(self._root)

    def names(self, folder: str = "") -> set[str]:
        """Return the names of the complete files directly in a subfolder, or in this folder."""
        names = (info.base_name for info in self._list(folder) if info.is_file)
        return {name for name in names if not TEMPORARY_NAME.fullmatch(name)}

    def sweep(self, folder: str = "") -> None:
        """Delete unfinished files of killed writers."""
        for info in self._list(folder):
            if info.is_file and TEMPORARY_NAME.fullmatch(info.base_name):
                self._system.delete_file(info.path)

    def _list(self, folder: str) -> list[Any]:
        from pyarrow.fs import FileSelector

        return self._system.get_file_info(FileSelector(self._path_of(folder), allow_not_found=True))

    def _path_of(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root


def open_file_system(uri: str) -> tuple[Any, str]:
    """Return pyarrow's file system for a path or URI, and the path in that file system.

    URIs are not percent-decoded: names are used as they are in the bucket.

    Raises:
        MediaError: pyarrow does not know the URI's scheme, or the store cannot be reached.
    """
    if not is_uri(uri):
        return _local(), os.path.abspath(uri)  # noqa: PTH100 (resolve would follow links)
    scheme, _, rest = uri.partition("://")
    bucket, _, path = rest.partition("/")
    try:
        system, base = _system_of(f"{scheme}://{bucket}{'' if bucket else '/'}")
    except (OSError, ValueError) as error:
        raise MediaError(
            encodable(uri),
            got=f"cannot be opened ({error})",
            expected="a path, or a URI for pyarrow, such as s3://bucket/name or gs://bucket/name",
        ) from error
    return system, f"{base.rstrip('/')}/{path.rstrip('/')}"


def files_below(uri: str) -> list[str]:
    """Return the URIs of all files below a folder, sorted, without hidden ones; or a file's own URI.

    Raises:
        MediaError: the store cannot be reached.
    """
    from pyarrow.fs import FileSelector, FileType

    system, path = open_file_system(uri)
    if system.get_file_info(path).type is not FileType.Directory:
        return [uri]
    found = system.get_file_info(FileSelector(path, recursive=True))
    below = sorted(info.path[len(path) + 1 :] for info in found if info.is_file)
    return [
        f"{uri.rstrip('/')}/{name}"
        for name in below
        if not any(part.startswith(".") for part in name.split("/"))
    ]


def read_all(uri: str) -> NamedBytes:
    """Read a whole file in a store.

    Raises:
        MediaError: the file cannot be read.
    """
    system, path = open_file_system(uri)
    try:
        with system.open_input_stream(path) as file:
            return NamedBytes(file.read(), encodable(uri))
    except OSError as error:
        raise MediaError(encodable(uri), got=f"cannot be opened ({error})", expected=READABLE_FILE) from error


def open_at_random(uri: str) -> BinaryIO:
    """Open a file by path or URI as a buffered, seekable file; the caller closes it.

    Raises:
        MediaError: the file cannot be opened.
    """
    try:
        if not is_uri(uri):
            return Path(uri).open("rb")  # pyarrow rejects names that are not UTF-8
        system, path = open_file_system(uri)
        return io.BufferedReader(system.open_input_file(path), READ_BUFFER_BYTES)
    except OSError as error:
        raise MediaError(encodable(uri), got=f"cannot be opened ({error})", expected=READABLE_FILE) from error


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


@lru_cache(maxsize=CACHED_FILE_SYSTEMS)
def _system_of(uri: str) -> tuple[Any, str]:
    from pyarrow.fs import FileSystem

    return FileSystem.from_uri(uri)


def _local() -> Any:
    from pyarrow.fs import LocalFileSystem

    return LocalFileSystem()
