"""The write lock of an index: two crawls at a time would add the same files twice."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imagebind.io.local_copy import home_path
from imagebind.io.uri import is_uri
from imagebind.search.store import SearchIndexError, store_errors

LOCK_NAME = ".writer.lock"


class IndexBusyError(SearchIndexError):
    """Another process or thread is writing to the index; the message names the index and the process."""


@contextmanager
def writer_lock(uri: str | os.PathLike[str]) -> Iterator[None]:
    """Acquire the index's write lock without waiting.

    The operating system releases the lock when the process ends, even if it is killed. For an index
    opened by its path the lock is a file in its folder, so it excludes all processes that share the folder;
    on a network file system, only if it supports file locks across machines. For a URI it is a file in the
    user's cache folder, named after the URI: it excludes writers of the same user on the same machine with
    the same spelling of the URI, but not those of other users and machines. Two concurrent crawls leave an
    index readable, but may add a file twice.

    Raises:
        IndexBusyError: another process, or another thread of this one, holds the lock.
        SearchIndexError: the lock file cannot be written, for example in a read-only folder.
    """
    from filelock import FileLock, Timeout

    uri = os.fspath(uri)
    with store_errors(uri, "written to"):
        path = lock_path(uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        pid_file = path.with_suffix(".pid")  # a second file: some versions of filelock truncate the lock file
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise IndexBusyError(
                f"{uri}: {_writer_name(pid_file)} is writing to it; wait until it has ended"
            ) from error
    try:
        with store_errors(uri, "written to"):
            pid_file.write_text(str(os.getpid()))
        yield
    finally:
        lock.release()


def lock_path(uri: str) -> Path:
    """Return the path of an index's lock file."""
    if not is_uri(uri):
        return Path(uri) / LOCK_NAME
    cache = home_path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    return cache / "imagebind" / "locks" / f"{hashlib.blake2b(uri.encode(), digest_size=16).hexdigest()}.lock"


def _writer_name(pid_file: Path) -> str:
    try:
        return f"process {int(pid_file.read_text())}"
    except (OSError, ValueError):  # not written yet
        return "another process"
