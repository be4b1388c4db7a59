"""Prepare a run over many inputs: divide them into parts and start or resume the output folder."""

import os
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from imagebind.distributed.inputs import InputPart, Inputs, divide
from imagebind.distributed.output import Manifest, Output
from imagebind.distributed.worker import EmbedItems, Method
from imagebind.failures import Failure


@dataclass(frozen=True, kw_only=True)
class EmbedJob:
    """The parts of a run, the numbers of finished ones, the output, and failures of unreadable inputs.

    `run` is a unique id, which distinguishes runs with the same output.
    """

    parts: list[InputPart]
    done: frozenset[int]
    output: Output
    method: Method
    failures: list[Failure]
    run: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def waiting(self) -> list[int]:
        """The numbers of the unfinished parts."""
        return [number for number in range(len(self.parts)) if number not in self.done]


def prepare(
    sources: Iterable[str],
    out: str | os.PathLike[str],
    *,
    method: Method | None = None,
    weights: str = "",
    partitions: int | None = None,
    base: str | os.PathLike[str] | None = None,
) -> EmbedJob:
    """Divide inputs into parts, and start an output folder for them or resume one.

    Args:
        sources: files and folders by path or URI, see `inputs.divide`.
        out: the output folder, by path or URI.
        method: how items become rows, by default `EmbedItems`.
        weights: the source of the weights. A run with other weights is refused, even if all parts are
            finished.
        partitions: the approximate number of parts; by default as in an earlier run, or `PART_ITEMS` each.
        base: the folder of relative paths, by default the working folder.

    Raises:
        OutputMismatchError: the folder has other inputs or options, or contains other files or a damaged
            manifest.
        MediaError: a store cannot be reached.
        ValueError: `partitions` is less than 1.
        OSError: the folder cannot be written.
    """
    output = Output(out)
    before = output.manifest()
    if partitions is None and before is not None:
        partitions = before.partitions
    base = os.fspath(Path.cwd() if base is None else base)
    inputs = divide(sources, base=base, partitions=partitions, without=output.uri)
    return begin(output, inputs, method or EmbedItems(), weights=weights, partitions=partitions, base=base)


def begin(
    output: Output, inputs: Inputs, method: Method, *, weights: str, partitions: int | None, base: str
) -> EmbedJob:
    """Start or resume an output for inputs that are already divided; otherwise as `prepare`."""
    options = {"weights": weights, **method.options}
    output.begin(Manifest.of(inputs.parts, base=base, options=options, partitions=partitions))
    failures = [Failure.of(item.name, item.error) for item in inputs.failures if item.error is not None]
    output.write_failures("inputs", failures)
    return EmbedJob(
        parts=inputs.parts, done=frozenset(output.done()), output=output, method=method, failures=failures
    )
