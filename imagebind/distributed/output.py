"""The output folder of a run. Each part is written as a whole, and a resumed run skips existing parts.

    vectors/
      part-000000.parquet …        rows of `imagebind.vectors`: path, modality, start, end, vector,
                                   or of a crawl's index
      _errors/part-000000.jsonl …  failures of a part, if it has any: path, error, kind of error
      _errors/inputs.jsonl         failures of unreadable inputs, if there are any
      _warnings/part-000000.jsonl  warnings about embedded items: path, warning, "Warning"
      _manifest.json               the inputs of the parts, and the options
      _space.json                  the embedding space of the vectors
      _begun/                      notes about unfinished parts

Readers of Parquet folders ignore names that start with an underscore.
"""

import hashlib
import io
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, TypeVar

from imagebind.distributed.inputs import InputPart
from imagebind.errors import ImageBindError
from imagebind.failures import Failure, FileWarning, json_line
from imagebind.io.storage import Storage
from imagebind.io.uri import is_uri
from imagebind.space import Space

MANIFEST_NAME, SPACE_NAME = "_manifest.json", "_space.json"
ERROR_FOLDER, WARNING_FOLDER, NOTE_FOLDER = "_errors", "_warnings", "_begun"
ANOTHER_FOLDER = "use another folder"
DIGEST_BYTES = 8
Parsed = TypeVar("Parsed", "Manifest", Space)
_PART_NAME = re.compile(r"part-(\d{6,})\.parquet")


class OutputMismatchError(ImageBindError):
    """An output has other inputs or options than a run, or its folder contains other or damaged files."""


class ListedPart(NamedTuple):
    """An entry of a manifest: the description of a part, and a digest of its inputs."""

    name: str
    digest: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The inputs and options of an output.

    Args:
        base: the folder of relative paths.
        options: the options that affect the rows, apart from the inputs and the space.
        partitions: the requested number of parts, if any.
    """

    base: str
    options: Mapping[str, Any]
    partitions: int | None
    parts: Sequence[ListedPart]

    @classmethod
    def of(
        cls, parts: Iterable[InputPart], *, base: str, options: Mapping[str, Any], partitions: int | None
    ) -> "Manifest":
        """Return the manifest of a run over some parts."""
        listed = [
            ListedPart(part.name, hashlib.blake2b(repr(part).encode(), digest_size=DIGEST_BYTES).hexdigest())
            for part in parts
        ]
        return cls(base=base, options=options, partitions=partitions, parts=listed)

    @classmethod
    def from_json(cls, text: str) -> "Manifest":
        """Return the manifest that `to_json` wrote."""
        read = json.loads(text)
        return cls(**{**read, "parts": [ListedPart(*part) for part in read["parts"]]})

    def to_json(self) -> str:
        """Return the manifest as JSON, for its file."""
        return json.dumps(asdict(self), indent=1)

    def check(self, other: "Manifest", *, folder: str) -> None:
        """Check that a run can resume this output.

        Args:
            other: the manifest of that run.
            folder: the output folder of this manifest.

        Raises:
            OutputMismatchError: options or parts differ; the message names the first difference.
        """
        advice = "use the same inputs and options to resume it, or another folder"
        for name, mine in self.options.items():
            if mine != other.options.get(name):
                raise OutputMismatchError(
                    f"{folder}: expected {name} = {mine}, as in this output, "
                    f"got {other.options.get(name)}; {advice}"
                )
        for number in range(max(len(self.parts), len(other.parts))):
            if self.parts[number : number + 1] != other.parts[number : number + 1]:
                mine, others = self._describe(number), other._describe(number)
                raise OutputMismatchError(
                    f"{folder}: expected {mine}, as in this output, got {others}; {advice}"
                )

    def _describe(self, number: int) -> str:
        """Return the number of parts, and a description of one part."""
        if number >= len(self.parts):
            return f"{len(self.parts)} parts and no part {number}"
        part = self.parts[number]
        return f"{len(self.parts)} parts, of which part {number} is {part.name} (digest {part.digest})"


class Output:
    """A folder of parts, on a disk or in an object store."""

    def __init__(self, uri: str | os.PathLike[str], *, way_out: str = ANOTHER_FOLDER) -> None:
        """Refer to a folder, which `begin` creates.

        Args:
            way_out: the advice in errors if the folder cannot be used.

        Raises:
            MediaError: a store cannot be reached.
        """
        uri = os.fspath(uri)
        self.uri = uri if is_uri(uri) else os.path.abspath(uri)  # noqa: PTH100 (keeps symbolic links)
        self._way_out = way_out
        self._storage = Storage(self.uri)

    def manifest(self) -> Manifest | None:
        """Return the manifest; None if the folder has none yet.

        Raises:
            OutputMismatchError: its file is damaged.
        """
        return self._parsed(MANIFEST_NAME, Manifest.from_json)

    def begin(self, manifest: Manifest) -> None:
        """Start the output, or resume it.

        Raises:
            OutputMismatchError: it has other inputs or options, or contains other files or a damaged
                manifest.
            OSError: it cannot be written.
        """
        before = self.manifest()
        if before is not None:
            before.check(manifest, folder=self.uri)
            return
        others = sorted(self._storage.names())
        if others:
            raise OutputMismatchError(
                f"{self.uri}: expected a new folder or an earlier output, got {others[0]!r} and no "
                f"{MANIFEST_NAME}; {self._way_out}"
            )
        self._storage.write(MANIFEST_NAME, manifest.to_json().encode())

    def claim(self, space: Space) -> None:
        """Store the embedding space of the vectors, before they are written.

        Raises:
            SpaceMismatchError: existing vectors are in another space; the message names both.
        """
        stored = self.space()
        if stored is not None:
            advice = f"use the same model, weights and transforms, or {self._way_out}"
            stored.check(space, owner=self.uri, way_out=advice)
            return
        self._storage.write(SPACE_NAME, space.to_json().encode())

    def space(self) -> Space | None:
        """Return the embedding space of the vectors; None if it is not stored yet.

        Raises:
            OutputMismatchError: its file is damaged.
        """
        return self._parsed(SPACE_NAME, Space.from_json)

    def _parsed(self, name: str, parse: Callable[[str], Parsed]) -> Parsed | None:
        content = self._storage.read(name)
        if content is None:
            return None
        try:
            return parse(content.decode())
        except (ValueError, TypeError, KeyError) as error:
            raise OutputMismatchError(
                f"{self.uri}: expected the {name} of an earlier run, got a damaged file; {self._way_out}"
            ) from error

    def done(self) -> list[int]:
        """Return the numbers of the finished parts."""
        matches = map(_PART_NAME.fullmatch, self._storage.names())
        return sorted(int(match[1]) for match in matches if match is not None)

    def write(
        self, number: int, content: bytes, failures: Sequence[Failure], warnings: Sequence[FileWarning] = ()
    ) -> None:
        """Write the failures and warnings of a part, then its Parquet file, with which the part is finished.

        Raises:
            OSError: it cannot be written.
        """
        self.write_failures(f"part-{number:06}", failures)
        self._write_lines(f"{WARNING_FOLDER}/part-{number:06}.jsonl", warnings)
        self._storage.write(f"part-{number:06}.parquet", content)

    def write_failures(self, name: str, failures: Sequence[Failure]) -> None:
        """Write failures, replacing those of the same name; without any, delete their file."""
        self._write_lines(f"{ERROR_FOLDER}/{name}.jsonl", failures)

    def _write_lines(self, name: str, lines: Sequence[Failure | FileWarning]) -> None:
        if lines:
            self._storage.write(name, "".join(map(json_line, lines)).encode())
        else:
            self._storage.delete(name)

    def read(self, number: int, columns: list[str] | None = None) -> Any:
        """Return the rows of a part as a pyarrow table."""
        from pyarrow import parquet

        content = self._storage.read(f"part-{number:06}.parquet") or b""
        return parquet.read_table(io.BytesIO(content), columns=columns)

    def failures(self) -> Iterator[Failure]:
        """Yield all failures: those of unreadable inputs, then part by part."""
        for name in sorted(self._storage.names(ERROR_FOLDER)):
            yield from (Failure(**record) for record in self._records(f"{ERROR_FOLDER}/{name}"))

    def reported(self, number: int) -> tuple[list[Failure], list[FileWarning]]:
        """Return the failures and the warnings of a part."""
        failures, warnings = (
            self._records(f"{folder}/part-{number:06}.jsonl") for folder in (ERROR_FOLDER, WARNING_FOLDER)
        )
        return (
            [Failure(**record) for record in failures],
            [FileWarning(path=record["path"], warning=record["warning"]) for record in warnings],
        )

    def _records(self, name: str) -> list[dict[str, str]]:
        return [json.loads(line) for line in (self._storage.read(name) or b"").splitlines()]

    def has_failures(self) -> bool:
        """Whether there are failures of this run or an earlier one."""
        return bool(self._storage.names(ERROR_FOLDER))

    def note(self, number: int, text: str | None) -> None:
        """Store a note about an unfinished part; None deletes it."""
        if text is None:
            self._storage.delete(f"{NOTE_FOLDER}/{number}")
        else:
            self._storage.write(f"{NOTE_FOLDER}/{number}", text.encode())

    def noted(self, number: int) -> str | None:
        """Return the note about an unfinished part, if any."""
        text = self._storage.read(f"{NOTE_FOLDER}/{number}")
        return None if text is None else text.decode()

    def remove(self) -> None:
        """Delete the output, with the manifest last, so that an interrupted deletion can be repeated."""
        self._storage.remove(last=MANIFEST_NAME)

    def finish(self) -> None:
        """Delete incomplete files of killed workers; call this when no worker is running."""
        for folder in ("", ERROR_FOLDER, WARNING_FOLDER, NOTE_FOLDER):
            self._storage.sweep(folder)
