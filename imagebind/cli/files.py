"""The files that arguments name."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path


def expand(paths: Iterable[Path], *, without: Iterable[Path] = ()) -> Iterator[Path]:
    """Files as they are, folders as all files below them by name; hidden ones inside are left out.

    So are the files `without`, a command's own output of an earlier run. A folder that cannot be listed
    comes out itself, and is an error to whoever opens it.
    """
    left_out = {path.absolute() for path in without}
    unlisted: list[Path] = []
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for folder, subfolders, names in os.walk(path, onerror=lambda e: unlisted.append(Path(e.filename))):
            subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
            for name in sorted(names):
                file = Path(folder) / name
                if not name.startswith(".") and file.absolute() not in left_out:
                    yield file
    yield from unlisted
