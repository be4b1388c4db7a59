"""Inputs for the engines, and a run of them in this process."""

import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from imagebind.distributed.job import EmbedJob
from imagebind.distributed.output import Output
from imagebind.distributed.worker import PartAttempt, PartDone, embed_part
from imagebind.embedder import Embedder
from imagebind.search import Space


def write_tar(path: Path, files: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def write_table(path: Path, columns: Mapping[str, Sequence], *, group_rows: int | None = None) -> Path:
    parquet.write_table(pa.table(dict(columns)), path, row_group_size=group_rows)
    return path


def run_here(job: EmbedJob, embedder: Embedder) -> list[PartDone]:
    """Embed the parts of a job in this process, as an engine does."""
    done = []
    for number in job.waiting:
        attempt = PartAttempt(job.output, number, run=job.run)
        job.output.claim(Space.of(embedder))
        done.append(embed_part(embedder, number, job.parts[number], job.output, job.method, attempt))
    return done


def rows_in(folder: Path) -> dict[str, dict]:
    """Return the rows of an output by path."""
    output = Output(folder)
    listed = [row for number in output.done() for row in output.read(number).to_pylist()]
    rows = {row["path"]: row for row in listed}
    assert len(rows) == len(listed), "a path occurs twice"
    return rows
