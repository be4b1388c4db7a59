"""A folder of parts, each written whole once it is done: what is there need not be done again.

    vectors/
      part-000000.parquet …        rows of `imagebind.vectors`: path, modality, start, end, vector
      _errors/part-000000.jsonl …  what failed in a part: path, error, kind; for parts in which something did
      _warnings/part-000000.jsonl  warnings about items that have vectors: path, warning, kind
      _manifest.json               what the parts are of
      _space.json                  which space the vectors are in
      _begun/                      parts under way

Whoever reads a folder of Parquet files passes over names that begin with an underscore.
"""

import hashlib
import io
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from imagebind.distributed.inputs import Part
from imagebind.errors import ImageBindError
from imagebind.io.storage import Storage
from imagebind.io.uri import is_uri
from imagebind.search.crawl.report import Failure, FileWarning
from imagebind.space import Space

MANIFEST, SPACE, BEGUN = "_manifest.json", "_space.json", "_begun"
ERRORS, WARNINGS = "_errors", "_warnings"
DIGEST_BYTES = 8
_PART = re.compile(r"part-(\d{6,})\.parquet")


class OutputMismatchError(ImageBindError):
    """A folder that holds vectors of other inputs, or made otherwise; the message names both."""


class ListedPart(NamedTuple):
    """A part in a manifest: what it is of in words, and a digest of all that it consists of."""

    name: str
    digest: str


def read_lines(content: bytes) -> Iterator[Failure | FileWarning]:
    """Yield failures and warnings from JSON lines, as an output or a crawl writes them."""
    for line in content.splitlines():
        record = json.loads(line)
        if "warning" in record:
            yield FileWarning(path=record["path"], warning=record["warning"])
        else:
            yield Failure(**record)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What the parts of an output are of.

    Args:
        base: the folder that relative paths are below.
        options: what rows depend on, besides the inputs and the space.
        partitions: how many parts were asked for, if somebody did.
    """

    base: str
    options: Mapping[str, Any]
    partitions: int | None
    parts: Sequence[ListedPart]

    @classmethod
    def of(
        cls, parts: Iterable[Part], *, base: str, options: Mapping[str, Any], partitions: int | None
    ) -> "Manifest":
        """That of a run."""
        listed = [
            ListedPart(part.name, hashlib.blake2b(repr(part).encode(), digest_size=DIGEST_BYTES).hexdigest())
            for part in parts
        ]
        return cls(base=base, options=options, partitions=partitions, parts=listed)

    @classmethod
    def from_json(cls, text: str | bytes) -> "Manifest":
        """What `to_json` wrote."""
        read = json.loads(text)
        return cls(**{**read, "parts": [ListedPart(*part) for part in read["parts"]]})

    def to_json(self) -> str:
        """As an output stores it."""
        return json.dumps(asdict(self), indent=1)

    def check(self, other: "Manifest", *, folder: str) -> None:
        """Refuse to go on as another run.

        Args:
            other: the run that wants to go on.
            folder: whose manifest this is.

        Raises:
            OutputMismatchError: names what differs, there and here.
        """
        wanted = "use the same inputs and options to resume it, or another folder"
        for name, mine in self.options.items():
            if mine != other.options.get(name):
                raise OutputMismatchError(
                    f"{folder}: was made with {name} {mine}, this run has {other.options.get(name)}; {wanted}"
                )
        for number in range(max(len(self.parts), len(other.parts))):
            if self.parts[number : number + 1] != other.parts[number : number + 1]:
                raise OutputMismatchError(
                    f"{folder}: is of {self._words(number)}, this run of {other._words(number)}; {wanted}"
                )

    def _words(self, number: int) -> str:
        """All of it, and one part of it."""
        if number >= len(self.parts):
            return f"{len(self.parts)} parts, without a part {number}"
        part = self.parts[number]
        return f"{len(self.parts)} parts, of which part {number} is {part.name} (digest {part.digest})"


class Output:
    """A folder of parts, on a disk or in an object store."""

    def __init__(self, uri: str | os.PathLike[str]) -> None:
        """Name it; it is made by `begin`.

        Raises:
            MediaError: a store that cannot be reached.
        """
        uri = os.fspath(uri)
        self.uri = uri if is_uri(uri) else os.path.abspath(uri)  # noqa: PTH100 (links stay)
        self._storage = Storage(self.uri)

    def manifest(self) -> Manifest | None:
        """What it is of; None where there is nothing yet."""
        text = self._storage.read(MANIFEST)
        return None if text is None else Manifest.from_json(text)

    def begin(self, manifest: Manifest) -> None:
        """Start it, or go on with it.

        Raises:
            OutputMismatchError: it is of other inputs, or holds something else.
            OSError: it cannot be written.
        """
        before = self.manifest()
        if before is not None:
            before.check(manifest, folder=self.uri)
            return
        others = sorted(self._storage.names())
        if others:
            raise OutputMismatchError(
                f"{self.uri}: holds {others[0]!r} and no manifest of a run; expected a new folder"
            )
        self._storage.write(MANIFEST, manifest.to_json().encode())

    def claim(self, space: Space) -> None:
        """Say which space its vectors are in, before there are any.

        Raises:
            SpaceMismatchError: those that are there are in another; names both.
        """
        there = self.space()
        if there is not None:
            there.check(space, what=self.uri)
            return
        self._storage.write(SPACE, space.to_json().encode())

    def space(self) -> Space | None:
        """The space that its vectors are in; None where it has none yet."""
        text = self._storage.read(SPACE)
        return None if text is None else Space.from_json(text.decode())

    def done(self) -> list[int]:
        """The parts that are there, by number."""
        matches = map(_PART.fullmatch, self._storage.names())
        return sorted(int(match[1]) for match in matches if match is not None)

    def write(
        self, number: int, content: bytes, failures: Sequence[Failure], warnings: Sequence[FileWarning] = ()
    ) -> None:
        """Write a part, a Parquet file of its rows; it is done with this.

        Raises:
            OSError: it cannot be written.
        """
        self.write_failures(f"part-{number:06}", failures)
        self._write_lines(f"{WARNINGS}/part-{number:06}.jsonl", warnings)
        self._storage.write(f"part-{number:06}.parquet", content)

    def write_failures(self, name: str, failures: Sequence[Failure]) -> None:
        """Write what failed, over what was written by this name before."""
        self._write_lines(f"{ERRORS}/{name}.jsonl", failures)

    def _write_lines(self, name: str, lines: Sequence[Failure | FileWarning]) -> None:
        texts = [json.dumps(line.record, ensure_ascii=False) + "\n" for line in lines]
        if texts:
            self._storage.write(name, "".join(texts).encode())
        else:
            self._storage.delete(name)

    def read(self, number: int, columns: list[str] | None = None) -> Any:
        """The rows of a part, as a table of pyarrow."""
        from pyarrow import parquet

        return parquet.read_table(
            io.BytesIO(self._storage.read(f"part-{number:06}.parquet") or b""), columns=columns
        )

    def failures(self) -> Iterator[Failure]:
        """All that failed, part by part."""
        for name in sorted(self._storage.names(ERRORS)):
            for line in read_lines(self._storage.read(f"{ERRORS}/{name}") or b""):
                assert isinstance(line, Failure)
                yield line

    def has_failures(self) -> bool:
        """Whether anything failed, in this run or one before."""
        return bool(self._storage.names(ERRORS))

    def note(self, number: int, text: str | None) -> None:
        """Keep a note of a part that is under way; None takes it away."""
        if text is None:
            self._storage.delete(f"{BEGUN}/{number}")
        else:
            self._storage.write(f"{BEGUN}/{number}", text.encode())

    def noted(self, number: int) -> str | None:
        """The note of a part that was begun and not done."""
        text = self._storage.read(f"{BEGUN}/{number}")
        return None if text is None else text.decode()

    def remove(self) -> None:
        """Take all of it away; one killed meanwhile still has its manifest, by which it is known."""
        self._storage.remove(last=MANIFEST)

    def finish(self) -> None:
        """Take away what killed workers left half written, once no part is under way."""
        for folder in ("", ERRORS, WARNINGS, BEGUN):
            self._storage.sweep(folder)
