"""What a worker does with a part: embed its items, keep apart what fails, and write all of it at once."""

import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagebind.distributed.inputs import Item, Part
from imagebind.distributed.methods import Method, Outcome
from imagebind.distributed.output import Output
from imagebind.embedder import Embedder
from imagebind.errors import ImageBindError, MediaError
from imagebind.search.crawl.report import Failure, FileWarning

DEATHS = 2  # of workers over one item until it is given up: the first may have had another reason
MAX_TRIES = 20  # of a part in one run: enough for some such items in it
FAILURES_TOLD = 10  # of each part; all are written


@dataclass(frozen=True, kw_only=True)
class PartDone:
    """A written part: the numbers of its embedded and failed items, and the first few failures.

    `warnings` counts the warnings about embedded items.
    """

    number: int
    embedded: int
    failed: int
    failures: tuple[Failure, ...] = ()
    warnings: int = 0


class WorkerDiedError(ImageBindError):
    """A part over which workers died again and again, whatever they did."""


class Trial:
    """One attempt at a part, which knows what became of those before it.

    A worker may die over an item, by a decoder's fault or for want of memory. So a part at which one died is
    done one item at a time, with a note of which; an item over which workers keep dying fails like any other
    that is bad.
    """

    def __init__(self, output: Output, number: int, *, run: str) -> None:
        """Begin it.

        Args:
            run: names the run. That another one did not come to an end says nothing of the items.

        Raises:
            WorkerDiedError: there were `MAX_TRIES` in this run.
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
                f"{output.uri}, part {number}: {MAX_TRIES} workers died on it; give each worker more memory, "
                "or start fewer; finished parts are kept, and the same command resumes"
            )
        self._note(None)

    @property
    def is_careful(self) -> bool:
        """Whether items are done one at a time."""
        return self._tries > 1 or bool(self._deaths)

    def embed(self, embedder: Embedder, items: Iterable[Item], method: Method) -> Iterator[Outcome]:
        """What becomes of each item, in any order."""
        if not self.is_careful:
            yield from method.embed(embedder, items)
            return
        for place, item in enumerate(items):
            if self._deaths[place] >= DEATHS:
                error = MediaError(
                    item.name,
                    got=f"{self._deaths[place]} workers died over it",
                    expected="an item that can be decoded in the memory that a worker has",
                )
                yield Outcome(failure=Failure.of(item.name, error))
                continue
            self._note(place)
            yield from method.embed(embedder, [item])

    def end(self) -> None:
        """Forget it: the part is written."""
        self._output.note(self._number, None)

    def _note(self, place: int | None) -> None:
        note = {"run": self._run, "tries": self._tries, "at": place, "deaths": self._deaths}
        self._output.note(self._number, json.dumps(note))


def embed_part(
    embedder: Embedder, number: int, part: Part, output: Output, method: Method, trial: Trial
) -> PartDone:
    """Embed and write a part.

    Raises:
        OSError: it cannot be written.
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
        failures=tuple(failures[:FAILURES_TOLD]),
        warnings=len(warnings),
    )
