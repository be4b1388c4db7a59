"""Write files that get their names only when they are complete and on the disk."""

import os
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TEMPORARY_NAME = re.compile(r"\..+\.[0-9a-f]{32}\.tmp")
KEPT_NAME_CHARACTERS = 40  # of a file's name in its temporary name, since names have at most 255 bytes


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder, where the caller writes the new content of a file.

    At the end the file is replaced. After an exception it is unchanged. The temporary file stays only if the
    process is killed.

    Raises:
        OSError: the new file cannot be flushed to the disk, or the file cannot be replaced.
    """
    with replacing_all() as temporary_for:
        yield temporary_for(path)


@contextmanager
def replacing_all() -> Iterator[Callable[[Path], Path]]:
    """Yield a function that returns a temporary path for a path; at the end replace all these files.

    After an exception in the block all files are unchanged.

    Raises:
        OSError: a new file cannot be flushed to the disk, or a file cannot be replaced.
    """
    temporaries: dict[Path, Path] = {}

    def temporary_for(path: Path) -> Path:
        temporaries[path] = temporary_beside(path)
        return temporaries[path]

    try:
        yield temporary_for
        for temporary in temporaries.values():
            flush_to_disk(temporary)
        for path, temporary in temporaries.items():
            temporary.replace(path)
    finally:
        for temporary in temporaries.values():
            with suppress(OSError):  # renamed, or never created
                temporary.unlink()


def temporary_beside(path: Path) -> Path:
    """Return an unused temporary path in the folder of a file."""
    return path.with_name(f".{path.name[:KEPT_NAME_CHARACTERS]}.{uuid.uuid4().hex}.tmp")


def flush_to_disk(path: Path) -> None:
    """Wait until a file, or the list of a folder's files, is on the disk.

    Raises:
        OSError: the path cannot be opened, or the disk is full or fails.
    """
    if os.name != "nt":
        descriptor = os.open(path, os.O_RDONLY)
    elif path.is_file():
        descriptor = os.open(path, os.O_RDWR)  # Windows flushes only files open for writing, and no folders
    else:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
