"""Find the files in folders and their subfolders, in an order that is the same each time."""

import os
import stat
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from imagebind.errors import MediaError
from imagebind.io.source import name_of
from imagebind.io.store_path import StorePath, as_path, files_below

FolderId = tuple[int, int]  # device and inode: the same whatever path leads to the folder


@dataclass(frozen=True, kw_only=True)
class FoundFile:
    """A file, the root under which it was found, its size in bytes and its time of modification."""

    path: Path
    root: Path
    size: int
    mtime_ns: int

    @property
    def top(self) -> Path:
        """The folder to which `relative` is relative: the root, or the file's folder if it is the root."""
        return self.root if self.path != self.root else self.root.parent

    @property
    def relative(self) -> Path:
        """The path relative to `top`."""
        return self.path.relative_to(self.top)


def absolute_path(path: str | os.PathLike[str]) -> Path:
    """Return an absolute path without `..`, or a URI as a path; symbolic links are not resolved."""
    path = as_path(path)
    return path if isinstance(path, StorePath) else Path(os.path.abspath(path))  # noqa: PTH100


def check_roots(roots: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Return the absolute paths of files and folders to search; symbolic links are not resolved.

    Raises:
        MediaError: a file or folder does not exist or cannot be reached.
    """
    paths = []
    for root in roots:
        path = absolute_path(as_path(os.path.expanduser(root)))  # noqa: PTH111  (a root may be a URI)
        try:
            path.stat()
        except OSError as error:
            raise MediaError(name_of(path), got=f"cannot be found ({error.strerror})") from error
        paths.append(path)
    return paths


def discover(roots: Sequence[Path], *, without: Iterable[Path] = ()) -> Iterator[FoundFile | MediaError]:
    """Yield every file under the roots, sorted by name, each folder's files before its subfolders.

    Names that begin with a dot (except roots), pipes, sockets, devices, and the files and folders in
    `without` are left out. Symbolic links are followed, links to folders last. Each folder is listed once,
    even in a loop of links or under two roots.

    A folder that cannot be listed and a broken link are yielded as errors. Files in a store are sorted by
    path, so that subfolders and files mix.

    Args:
        roots: absolute paths, see `check_roots`.

    Raises:
        MediaError: a store cannot be reached.
    """
    yield from _Walk(without).below(roots)


class _Walk:
    """One walk through folders, and the folders that it has listed."""

    def __init__(self, without: Iterable[Path]) -> None:
        self.without = {os.path.abspath(path) for path in without}  # noqa: PTH100
        self.walked: set[FolderId] = set()
        for path in self.without:
            try:
                self.walked.add(_folder_id(Path(path).stat()))
            except OSError:  # does not exist yet
                continue
        self.linked_folders: deque[tuple[str, Path]] = deque()  # with their roots

    def below(self, roots: Sequence[Path]) -> Iterator[FoundFile | MediaError]:
        files = [root for root in roots if not root.is_dir()]
        for root in dict.fromkeys(files):
            if str(root) not in self.without:
                self.without.add(str(root))  # its folder may be a root, too
                found = stat_file(root, root)
                if found is not None:
                    yield found
        for root in roots:
            if isinstance(root, StorePath) and root.is_dir():
                yield from self._folder_in_store(root)
            elif root.is_dir():
                yield from self._folder(str(root), root)
        while self.linked_folders:
            yield from self._folder(*self.linked_folders.popleft())

    def _folder_in_store(self, root: StorePath) -> Iterator[FoundFile | MediaError]:
        for path in map(as_path, files_below(str(root))):
            if str(path) not in self.without:
                self.without.add(str(path))  # its folder may be below another root, too
                found = stat_file(path, root)
                if found is not None:
                    yield found

    def _folder(self, top: str, root: Path) -> Iterator[FoundFile | MediaError]:
        waiting = [top]
        while waiting:
            folder = waiting.pop()
            try:
                identity = _folder_id(Path(folder).stat())
                if identity in self.walked:
                    continue
                self.walked.add(identity)
                with os.scandir(folder) as listing:
                    entries = sorted(listing, key=lambda entry: entry.name)
            except OSError as error:
                yield _unreadable(folder, f"cannot be listed ({error.strerror})")
                continue
            subfolders = []
            for entry in entries:
                if entry.name.startswith(".") or entry.path in self.without:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    subfolders.append(entry.path)
                elif entry.is_symlink() and os.path.isdir(entry.path):  # noqa: PTH112
                    self.linked_folders.append((entry.path, root))
                else:
                    found = stat_file(Path(entry.path), root)
                    if found is not None:
                        yield found
            waiting += reversed(subfolders)


def stat_file(path: Path, root: Path) -> FoundFile | MediaError | None:
    """Return a file with its size and time, or an error if it cannot be found; None if it is not a file."""
    try:
        status = path.stat()
    except OSError as error:
        return _unreadable(path, f"cannot be found ({error.strerror})")
    if not stat.S_ISREG(status.st_mode):
        return None
    return FoundFile(path=path, root=root, size=status.st_size, mtime_ns=status.st_mtime_ns)


def _folder_id(status: os.stat_result) -> FolderId:
    return status.st_dev, status.st_ino


def _unreadable(path: str | Path, got: str) -> MediaError:
    return MediaError(name_of(path), got=got)
