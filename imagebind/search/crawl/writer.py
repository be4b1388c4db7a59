"""Write the rows of many files in few commits, and all rows of a file in the same commit."""

import time
from collections.abc import Callable, Sequence

from imagebind.search.index import Index
from imagebind.search.rows import IndexRow

COMMIT_ROWS = 512  # new rows, changed rows and moved files
COMMIT_SECONDS = 10.0  # after these, the next change commits, so that a killed crawl loses little


class Writer:
    """Collects changes to an index and commits them together."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._new: list[IndexRow] = []
        self._changed: list[IndexRow] = []
        self._changed_paths: list[str] = []
        self._moved: dict[str, tuple[str, int]] = {}
        self._callbacks: list[Callable[[], None]] = []
        self._flushed = time.monotonic()

    def put(
        self, path: str, rows: Sequence[IndexRow], *, is_new: bool, on_commit: Callable[[], None]
    ) -> None:
        """Write a file's rows, now or with a later commit.

        Args:
            is_new: whether the index has no rows of that path yet.
            on_commit: called after the commit.

        Raises:
            SearchIndexError, SpaceMismatchError: as `Index.add_rows`; earlier commits stay.
        """
        if is_new:
            self._new += rows
        else:
            self._changed += rows
            self._changed_paths.append(path)
        self._callbacks.append(on_commit)
        self._flush_if_enough()

    def move(self, old: str, new: str, *, mtime_ns: int, on_commit: Callable[[], None]) -> None:
        """Write a file's new path and modification time, now or with a later commit.

        Raises:
            SearchIndexError: as `put`.
        """
        self._moved[old] = (new, mtime_ns)
        self._callbacks.append(on_commit)
        self._flush_if_enough()

    def _flush_if_enough(self) -> None:
        enough = len(self._new) + len(self._changed) + len(self._moved) >= COMMIT_ROWS
        if enough or time.monotonic() - self._flushed > COMMIT_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Commit all collected changes.

        Raises:
            SearchIndexError, SpaceMismatchError: as `Index.add_rows`.
        """
        self._index.move_paths(self._moved)  # first, since a new file may now have a moved file's old path
        self._index.add_rows(self._new)
        if self._changed_paths:  # separately, since it searches the whole index for rows to delete
            self._index.replace_paths(self._changed_paths, self._changed)
        for on_commit in self._callbacks:
            on_commit()
        self._new, self._changed, self._changed_paths, self._callbacks = [], [], [], []
        self._moved = {}
        self._flushed = time.monotonic()
