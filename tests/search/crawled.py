"""Helpers for tests of the crawl: crawl with the small model, read the index, drop root's permissions."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np
import torch

from imagebind.checkpoints.factory import imagebind_tiny
from imagebind.embedder import Embedder
from imagebind.intake.mapping import parse_mapping
from imagebind.search.crawl import writer
from imagebind.search.crawl.crawler import crawl
from imagebind.search.crawl.report import CrawlReport, FileOutcome
from imagebind.search.index import Index
from imagebind.toyworld import world_transforms

MAPPINGS = [parse_mapping("**/depth.png=depth"), parse_mapping("**/thermal.png=thermal")]


@cache
def tiny() -> Embedder:
    """Return an embedder with imagebind_tiny and the transforms of the toy world."""
    return Embedder(imagebind_tiny(pretrained=True), transforms=world_transforms(), num_workers=2)


def crawled(db: Path, *roots: Path, **options) -> CrawlReport:
    return crawl(Index.open(db, tiny(), create=True), roots, **{"mappings": MAPPINGS, **options})


def crawl_in_steps(db: Path, root: Path, rows: int, started: Event) -> None:
    """Crawl with a commit after every `rows` rows or more; set `started` just before the crawl.

    Run it in a process of its own: it changes `COMMIT_ROWS` and PyTorch's threads.
    """
    torch.set_num_threads(1)
    writer.COMMIT_ROWS = rows
    tiny()
    started.set()
    crawled(db, root, batch_size=1)  # with larger batches all files would be read before the first commit


def outcomes(report: CrawlReport) -> dict[str, int]:
    """Return the number of files for each outcome that occurred."""
    return {outcome.value: report.total(outcome) for outcome in FileOutcome if report.total(outcome)}


def vectors(db: Path, below: Path) -> dict[tuple[str, str, float | None], np.ndarray]:
    """Return each row's vector by its path below a folder, its media type and its start.

    Raises:
        AssertionError: two rows have the same path, media type and start.
    """
    hits = Index.open(db).sample(10**6)
    found = {(os.path.relpath(hit.path, below), hit.kind.value, hit.start): hit.vector for hit in hits}
    assert len(found) == len(hits)
    return found


@contextmanager
def open_to_all() -> Iterator[Path]:
    """Yield a folder that other users can enter, unlike those of pytest."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Inside the block, root becomes the user nobody: root can read and write anything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
