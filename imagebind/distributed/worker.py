"""Embed and write one part: its items, failures and warnings."""

import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagebind.distributed.inputs import InputPart, Item
from imagebind.distributed.methods import ItemResult, Method
from imagebind.distributed.output import Output
from imagebind.embedder import Embedder
from imagebind.errors import ImageBindError, MediaError
from imagebind.failures import Failure, FileWarning

MAX_ITEM_DEATHS = 2  # of workers at one item until it fails; a single death may have another reason
MAX_TRIES = 20  # per part in one run, enough for several such items
REPORTED_FAILURES = 10  # returned for each part; all are written


@dataclass(frozen=True, kw_only=True)
class PartDone:
    """The numbers of embedded items, failures and warnings of a written part, and its first failures."""

    number: int
    embedded: int
    failed: int
    failures: tuple[Failure, ...] = ()
    warnings: int = 0


class WorkerDiedError(ImageBindError):
    """Workers died at a part `MAX_TRIES` times."""


class PartAttempt:
    """One attempt to embed a part, with notes about earlier attempts in the output folder.

    A worker may die at an item because of a decoder's crash or lack of memory. The part is then embedded one
    item at a time, with a note of the current item, and an item at which workers die repeatedly fails.
    """

    def __init__(self, output: Output, number: int, *, run: str) -> None:
        """Start an attempt.

        Args:
            run: the id of the run. Attempts of other runs are not counted, since those runs may have been
                interrupted for other reasons.

        Raises:
            WorkerDiedError: there were `MAX_TRIES` attempts in this run.
        """
        self._output = output
        self._number = number
        before: dict[str, Any] = json.loads(output.noted(number) or "{}")
        is_going_on = before.get("run") == run
        self._run = run
        self._tries = before["tries"] + 1 if is_going_on else 1
        self._deaths = Counter({int(place): count for place, count in before.get("deaths", {}).items()})
        if is_going_on and before["at"] is not None:
            self._deaths[before["at"]] += 1
        if self._tries > MAX_TRIES:
            raise WorkerDiedError(
                f"{output.uri}, part {number}: {MAX_TRIES} workers died at it; give each worker more memory, "
                "or start fewer; finished parts are kept, and the same command resumes"
            )
        self._note(None)

    @property
    def is_careful(self) -> bool:
        """Whether items are embedded one at a time."""
        return self._tries > 1 or bool(self._deaths)

    def embed(self, embedder: Embedder, items: Iterable[Item], method: Method) -> Iterator[ItemResult]:
        """Yield the result of each item, in any order."""
        if not self.is_careful:
            yield from method.embed(embedder, items)
            return
        for place, item in enumerate(items):
            if self._deaths[place] >= MAX_ITEM_DEATHS:
                error = MediaError(
                    item.name,
                    got=f"an item at which {self._deaths[place]} workers died",
                    expected="one that can be decoded in the memory of a worker",
                )
                yield ItemResult(failure=Failure.of(item.name, error))
                continue
            self._note(place)
            yield from method.embed(embedder, [item])

    def end(self) -> None:
        """Delete the note after the part is written."""
        self._output.note(self._number, None)

    def _note(self, place: int | None) -> None:
        note = {"run": self._run, "tries": self._tries, "at": place, "deaths": self._deaths}
        self._output.note(self._number, json.dumps(note))


def embed_part(
    embedder: Embedder, number: int, part: InputPart, output: Output, method: Method, trial: PartAttempt
) -> PartDone:
    """Embed a part, write it to the output, and return its counts.

    Raises:
        OSError: the output cannot be written.
    """
    failures: list[Failure] = []
    warnings: list[FileWarning] = []
    embedded = 0
    with tempfile.TemporaryDirectory(prefix="imagebind-") as folder:
        path = Path(folder) / "part.parquet"
        with method.file(path, embed_dim=embedder.embed_dim) as file:
            for outcome in trial.embed(embedder, part.items(), method):
                if outcome.failure is not None:
                    failures.append(outcome.failure)
                warnings += outcome.warnings
                embedded += bool(outcome.rows)
                for row in outcome.rows:
                    file.write(row)
        output.write(number, path.read_bytes(), failures, warnings)
    trial.end()
    return PartDone(
        number=number,
        embedded=embedded,
        failed=len(failures),
        failures=tuple(failures[:REPORTED_FAILURES]),
        warnings=len(warnings),
    )
