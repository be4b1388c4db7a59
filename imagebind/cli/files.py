"""The files that arguments name."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path


def expand(paths: Iterable[Path]) -> Iterator[Path]:
    """Files as they are, folders as all files below them by name; hidden ones inside are left out."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for folder, subfolders, names in os.walk(path):
            subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
            for name in sorted(names):
                if not name.startswith("."):
                    yield Path(folder) / name
