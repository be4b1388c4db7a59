"""A run over many inputs, prepared: what there is to do, and where it goes. Workers of any kind can do it."""

import os
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from imagebind.distributed.inputs import Inputs, Part, cut, cut_files
from imagebind.distributed.methods import EmbedItems, Method
from imagebind.distributed.output import Manifest, Output
from imagebind.search.crawl.report import Failure


@dataclass(frozen=True, kw_only=True)
class Job:
    """Parts, those of them that are there already, the output, and inputs that cannot be looked into.

    `run` is told apart from other runs with the same output by its name.
    """

    parts: list[Part]
    done: frozenset[int]
    output: Output
    method: Method
    failures: list[Failure]
    run: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def waiting(self) -> list[int]:
        """The parts that are still to be done, by number."""
        return [number for number in range(len(self.parts)) if number not in self.done]


def prepare(
    sources: Iterable[str],
    out: str | os.PathLike[str],
    *,
    method: Method | None = None,
    weights: str = "",
    partitions: int | None = None,
    base: str | os.PathLike[str] | None = None,
) -> Job:
    """Cut inputs into parts and start an output folder for them, or go on with one.

    Args:
        sources: files by path or URI, see `inputs.cut`.
        out: a folder, by path or URI.
        method: how items become rows, by default their vectors.
        weights: where the model's come from. Other ones are refused even where no part is left to do.
        partitions: into about how many parts; by default as before, or as many as have `PART_ITEMS`.
        base: the folder that relative paths are below, by default the working one.

    Raises:
        OutputMismatchError: the folder is of other inputs or options, or holds something else.
        MediaError: a store that cannot be reached.
        OSError: the folder cannot be written.
    """
    output = Output(out)
    before = output.manifest()
    if partitions is None and before is not None:
        partitions = before.partitions
    base = os.fspath(Path.cwd() if base is None else base)
    inputs = cut(sources, base=base, partitions=partitions, without=output.uri)
    return _begun(output, inputs, method or EmbedItems(), weights, partitions, base)


def prepare_files(
    paths: Sequence[str], out: str | os.PathLike[str], *, method: Method, partitions: int | None = None
) -> Job:
    """`prepare` for files by whole path, see `inputs.cut_files`."""
    inputs = Inputs(cut_files(paths, partitions=partitions), [])
    return _begun(Output(out), inputs, method, "", partitions, os.sep)


def _begun(
    output: Output, inputs: Inputs, method: Method, weights: str, partitions: int | None, base: str
) -> Job:
    options = {"weights": weights, **method.options}
    output.begin(Manifest.of(inputs.parts, base=base, options=options, partitions=partitions))
    failures = [Failure.of(item.name, item.error) for item in inputs.failures if item.error is not None]
    output.write_failures("inputs", failures)
    return Job(
        parts=inputs.parts, done=frozenset(output.done()), output=output, method=method, failures=failures
    )
