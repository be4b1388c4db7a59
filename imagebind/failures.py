"""Files that could not be embedded, warnings about others, and the file of JSON lines that lists both."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from imagebind.errors import AmbiguousMediaError
from imagebind.io.source import encodable


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A file or folder that could not be embedded, or only in part, and the error."""

    path: str
    error: str
    kind: str  # name of the error's class
    pattern: str = ""  # of paths, if the error suggests one for `--map`

    @classmethod
    def of(cls, path: str, error: Exception) -> "Failure":
        """Make a failure from an exception."""
        pattern = error.pattern if isinstance(error, AmbiguousMediaError) else ""
        return cls(path=path, error=encodable(str(error)), kind=type(error).__name__, pattern=pattern)

    @property
    def record(self) -> dict[str, str]:
        """The failure's fields as a JSON line contains them."""
        return {"path": self.path, "error": self.error, "kind": self.kind}


@dataclass(frozen=True, kw_only=True)
class FileWarning:
    """A warning about a file that is still read, such as a damaged part."""

    path: str
    warning: str

    @property
    def record(self) -> dict[str, str]:
        """The warning's fields as a JSON line contains them."""
        return {"path": self.path, "warning": self.warning, "kind": "Warning"}


def json_line(line: Failure | FileWarning) -> str:
    """Return a failure or warning as a line of JSON."""
    return json.dumps(line.record, ensure_ascii=False) + "\n"


class ErrorFile:
    """Writes each failure and warning immediately, as a JSON line. The first line creates the file."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._file: TextIO | None = None

    def write(self, line: Failure | FileWarning) -> None:
        """Add a line."""
        if self.path is None:
            return
        if self._file is None:
            self._file = self.path.open("w", encoding="utf-8")
        self._file.write(json_line(line))
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


@contextmanager
def error_file(path: Path | None) -> Iterator[ErrorFile]:
    """Delete an earlier run's error file and yield a new one; without a path, nothing is written."""
    if path is not None:
        path.unlink(missing_ok=True)
    file = ErrorFile(path)
    try:
        yield file
    finally:
        file.close()


def grouped(failures: Sequence[Failure]) -> list[str]:
    """Return one message for each reason, naming one file and the number of others.

    If the message suggests a `--map` option, its pattern matches all files of the group.
    """
    groups: defaultdict[str, list[Failure]] = defaultdict(list)
    for failure in failures:
        suffix = Path(failure.path).suffix if failure.pattern else ""
        groups[_reason(failure, pattern="") + suffix].append(failure)
    return [_message(group) for group in groups.values()]


def _reason(failure: Failure, *, pattern: str) -> str:
    """Return the error without its path, with another pattern for `--map`."""
    reason = failure.error.removeprefix(f"{failure.path}: ")
    return reason.replace(f"'{failure.pattern}=", f"'{pattern}=") if failure.pattern else reason


def _message(group: Sequence[Failure]) -> str:
    first = group[0]
    if len(group) == 1:
        return first.error
    pattern = first.pattern
    if len({failure.pattern for failure in group}) > 1:
        path = Path(first.path)
        is_one_folder = all(Path(failure.path).parent == path.parent for failure in group)
        pattern = f"**/{path.parent.name}/*{path.suffix}" if is_one_folder else f"**/*{path.suffix}"
    reason = _reason(first, pattern=pattern)
    return f"{first.path} and {len(group) - 1} more: {reason}"
