"""Folders and files on a disk or in an object store, by pyarrow: a path, or a URI such as s3://bucket/folder."""

import io
import os
import re
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from imagebind.errors import MediaError
from imagebind.io.source import encodable
from imagebind.io.uri import is_uri

SYSTEMS_KEPT = 64  # one a bucket; to ask where a bucket is takes a round trip
BUFFER_BYTES = 8 * 2**20  # fetched at once from a store
FETCHING = 8  # files of a store under way at once
EXPECTED = "a file that can be read"
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}\.tmp")  # a file that is being written

In = TypeVar("In")
Out = TypeVar("Out")


class NamedBytes(io.BytesIO):
    """A file's content with its name, by which plain text is told apart."""

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name


class Storage:
    """A folder of small files, each written whole or not at all."""

    def __init__(self, uri: str | os.PathLike[str]) -> None:
        """Name a folder, which is made when something is written.

        Raises:
            MediaError: a URI of a scheme that pyarrow does not know, or of a store that does not answer.
        """
        self.uri = os.fspath(uri)
        self._system, self._root = opened(self.uri)

    def read(self, name: str) -> bytes | None:
        """A file's content; None where it is not."""
        try:
            with self._system.open_input_stream(self._at(name)) as file:
                return file.read()
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        """Write a file, over one of the same name.

        On a disk it has another name until it is whole; in an object store it is there when all of it is.

        Raises:
            OSError: it cannot be written.
        """
        from pyarrow.fs import LocalFileSystem

        if isinstance(self._system, LocalFileSystem):
            self._write_aside(self._at(name), content)
        else:
            self._write_at(self._at(name), content)

    def _write_aside(self, place: str, content: bytes) -> None:
        folder, _, last = place.rpartition("/")
        aside = f"{folder}/.{last}.{uuid.uuid4().hex}.tmp"
        self._system.create_dir(folder)
        try:
            self._write_at(aside, content)
            self._system.move(aside, place)
        except BaseException:
            with suppress(OSError):
                self._system.delete_file(aside)
            raise

    def _write_at(self, place: str, content: bytes) -> None:
        with self._system.open_output_stream(place) as file:
            file.write(content)

    def delete(self, name: str) -> None:
        """Take a file away, if it is there."""
        if self._system.get_file_info(self._at(name)).is_file:
            self._system.delete_file(self._at(name))

    def remove(self, *, last: str) -> None:
        """Take the folder away, with all that is in it; a file `last` is there until all else is gone."""
        from pyarrow.fs import FileType

        found = self._found("")
        for info in found:
            if info.type is FileType.Directory:
                self._system.delete_dir(info.path)
        files = [info.path for info in found if info.is_file and info.base_name != last]
        list(ahead(self._system.delete_file, files))
        self.delete(last)
        self._system.delete_dir(self._root)

    def names(self, folder: str = "") -> set[str]:
        """The whole files of a folder in here, by name, without those in folders below it."""
        names = (info.base_name for info in self._found(folder) if info.is_file)
        return {name for name in names if not _TEMPORARY.fullmatch(name)}

    def sweep(self, folder: str = "") -> None:
        """Take away what killed writers left half written."""
        for info in self._found(folder):
            if info.is_file and _TEMPORARY.fullmatch(info.base_name):
                self._system.delete_file(info.path)

    def _found(self, folder: str) -> list[Any]:
        from pyarrow.fs import FileSelector

        return self._system.get_file_info(FileSelector(self._at(folder), allow_not_found=True))

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root


def opened(uri: str) -> tuple[Any, str]:
    """A file system of pyarrow, and what a path or URI is called in it.

    Nothing in a URI is decoded: a name is what it is in its bucket.

    Raises:
        MediaError: pyarrow has none for the scheme, or the store cannot be reached.
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
            expected="a path, or a URI that pyarrow opens, as s3://bucket/name or gs://bucket/name",
        ) from error
    return system, f"{base.rstrip('/')}/{path.rstrip('/')}"


def files_below(uri: str) -> list[str]:
    """The files of a folder in a store, as URIs by name, hidden ones left out; a file comes out itself.

    Raises:
        MediaError: the store cannot be reached.
    """
    from pyarrow.fs import FileSelector, FileType

    system, path = opened(uri)
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
    """All of a file in a store.

    Raises:
        MediaError: it cannot be read; names it.
    """
    system, path = opened(uri)
    try:
        with system.open_input_stream(path) as file:
            return NamedBytes(file.read(), encodable(uri))
    except OSError as error:
        raise MediaError(encodable(uri), got=f"cannot be opened ({error})", expected=EXPECTED) from error


def open_at_random(uri: str) -> BinaryIO:
    """A file by path or URI, buffered, to read and seek in; closed by whoever asked for it.

    Raises:
        MediaError: it cannot be opened; names it.
    """
    try:
        if not is_uri(uri):
            return Path(uri).open("rb")  # also of a name that is not UTF-8, which pyarrow refuses
        system, path = opened(uri)
        return io.BufferedReader(system.open_input_file(path), BUFFER_BYTES)
    except OSError as error:
        raise MediaError(encodable(uri), got=f"cannot be opened ({error})", expected=EXPECTED) from error


def ahead(function: Callable[[In], Out], items: Iterable[In]) -> Iterator[Out]:
    """A function of each item, in order, some of them at work in threads."""
    with ThreadPoolExecutor(FETCHING, thread_name_prefix="imagebind-fetch") as pool:
        waiting: deque[Future[Out]] = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > FETCHING:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


@lru_cache(maxsize=SYSTEMS_KEPT)
def _system_of(uri: str) -> tuple[Any, str]:
    from pyarrow.fs import FileSystem

    return FileSystem.from_uri(uri)


def _local() -> Any:
    from pyarrow.fs import LocalFileSystem

    return LocalFileSystem()
