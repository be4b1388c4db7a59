"""One writer at a time: two crawls of one index would each add the files that the other is adding."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imagebind.io.uri import is_uri
from imagebind.search.store import SearchIndexError, named

LOCK_NAME = ".writer.lock"


class IndexBusyError(SearchIndexError):
    """An index that another process is writing to; names the index and the process."""


@contextmanager
def writer_lock(uri: str | os.PathLike[str]) -> Iterator[None]:
    """Be the one that writes to an index, or fail at once.

    The system lets go of the lock when its holder ends, however it ends. For an index in a folder the lock is
    a file in that folder, and so it holds for every process that sees the folder; over a network only as far
    as its file system locks files across machines. For any other URI it is a file in the user's cache folder,
    named after the URI: it keeps out other crawls of this user on this machine, spelling the URI alike, and
    not those of other users and machines. Two of these make no index unreadable, but may add a file twice.

    Raises:
        IndexBusyError: another process, or another thread of this one, holds it.
        SearchIndexError: the lock cannot be written, as in a read-only folder.
    """
    from filelock import FileLock, Timeout

    uri = os.fspath(uri)
    with named(uri, "written to"):
        path = lock_path(uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        holder = path.with_suffix(".pid")  # apart: some versions of filelock empty the file they lock
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise IndexBusyError(
                f"{uri}: {_process(holder)} is writing to it; wait until it has ended"
            ) from error
    try:
        with named(uri, "written to"):
            holder.write_text(str(os.getpid()))
        yield
    finally:
        lock.release()


def lock_path(uri: str) -> Path:
    """Where the lock of an index is."""
    if not is_uri(uri):
        return Path(uri) / LOCK_NAME
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return cache / "imagebind" / "locks" / f"{hashlib.blake2b(uri.encode(), digest_size=16).hexdigest()}.lock"


def _process(holder: Path) -> str:
    try:
        return f"process {int(holder.read_text())}"
    except (OSError, ValueError):  # it has not said so yet
        return "another process"
