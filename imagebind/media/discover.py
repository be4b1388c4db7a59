"""What files there are below some folders, in a steady order, whatever the folders hold."""

import os
import stat
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from imagebind.errors import MediaError
from imagebind.io.source import name_of

Identity = tuple[int, int]  # a folder's device and inode: the same by whatever path it is reached


@dataclass(frozen=True, kw_only=True)
class Found:
    """A file as it was found: its whole path, the root it was found under, bytes and time of change."""

    path: Path
    root: Path
    size: int
    mtime_ns: int

    @property
    def top(self) -> Path:
        """The folder that its path is looked at from: its root, or where it is itself the root its folder."""
        return self.root if self.path != self.root else self.root.parent

    @property
    def relative(self) -> Path:
        """Its path below that."""
        return self.path.relative_to(self.top)


def whole_path(path: str | os.PathLike[str]) -> Path:
    """A path from the root on, without `..`; symbolic links in it stay."""
    return Path(os.path.abspath(path))  # noqa: PTH100 (resolve would follow links)


def check_roots(roots: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Whole paths of files and folders to look through; symbolic links in them stay.

    Raises:
        MediaError: one that is not there.
    """
    found = []
    for root in roots:
        path = whole_path(Path(root).expanduser())
        try:
            path.stat()
        except OSError as error:
            raise MediaError(
                name_of(path), got=f"cannot be found ({error.strerror})", expected="a folder or a file"
            ) from error
        found.append(path)
    return found


def discover(roots: Sequence[Path], *, without: Iterable[Path] = ()) -> Iterator[Found | MediaError]:
    """Every file below the roots by name, each folder's files before its subfolders.

    Left out are what begins with a dot (unless it is a root), pipes, sockets and devices, and the files and
    folders `without`. Links are followed, those to folders after all that is there without links; a folder
    that was walked before, as in a loop of links or below two roots, is not walked again.

    What cannot be looked at comes out as an error in its place: a folder that cannot be listed, a link that
    leads nowhere.

    Args:
        roots: whole paths, see `check_roots`.
    """
    yield from _Walk(without).below(roots)


class _Walk:
    """One walk, and what it has been through."""

    def __init__(self, without: Iterable[Path]) -> None:
        self.without = {os.path.abspath(path) for path in without}  # noqa: PTH100
        self.walked: set[Identity] = set()
        for path in self.without:
            try:
                self.walked.add(_identity(Path(path).stat()))
            except OSError:  # not there yet
                continue
        self.links: deque[tuple[str, Path]] = deque()

    def below(self, roots: Sequence[Path]) -> Iterator[Found | MediaError]:
        files = [root for root in roots if not root.is_dir()]
        for root in dict.fromkeys(files):
            if str(root) not in self.without:
                self.without.add(str(root))  # not once more below its folder
                found = look(root, root)
                if found is not None:
                    yield found
        for root in roots:
            if root.is_dir():
                yield from self._folder(str(root), root)
        while self.links:
            yield from self._folder(*self.links.popleft())

    def _folder(self, top: str, root: Path) -> Iterator[Found | MediaError]:
        waiting = [top]
        while waiting:
            folder = waiting.pop()
            try:
                identity = _identity(Path(folder).stat())
                if identity in self.walked:
                    continue
                self.walked.add(identity)
                with os.scandir(folder) as listing:
                    entries = sorted(listing, key=lambda entry: entry.name)
            except OSError as error:
                yield _refused(folder, f"a folder that cannot be listed ({error.strerror})")
                continue
            subfolders = []
            for entry in entries:
                if entry.name.startswith(".") or entry.path in self.without:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    subfolders.append(entry.path)
                elif entry.is_symlink() and os.path.isdir(entry.path):  # noqa: PTH112
                    self.links.append((entry.path, root))
                else:
                    found = look(Path(entry.path), root)
                    if found is not None:
                        yield found
            waiting += reversed(subfolders)


def look(path: Path, root: Path) -> Found | MediaError | None:
    """A file with its size and time, or why it cannot be found; None for what is no file to read."""
    try:
        status = path.stat()
    except OSError as error:
        return _refused(path, f"cannot be found ({error.strerror})")
    if not stat.S_ISREG(status.st_mode):
        return None
    return Found(path=path, root=root, size=status.st_size, mtime_ns=status.st_mtime_ns)


def _identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino


def _refused(path: str | Path, got: str) -> MediaError:
    return MediaError(name_of(path), got=got, expected="a file or folder that can be read")
