"""Crawl folders of the toy world in this process, or in one that can be killed."""

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
    """Return the small model with the transforms of its world's sensors."""
    return Embedder(imagebind_tiny(pretrained=True), transforms=world_transforms(), num_workers=2)


def crawled(db: Path, *roots: Path, **options) -> CrawlReport:
    return crawl(Index.open(db, tiny(), create=True), roots, **{"mappings": MAPPINGS, **options})


def crawl_in_steps(db: Path, root: Path, rows: int, started: Event) -> None:
    """Crawl in a separate process with a commit every few rows, and set `started` when it begins."""
    torch.set_num_threads(1)
    writer.COMMIT_ROWS = rows
    tiny()
    started.set()
    crawled(db, root, batch_size=1)  # larger batches would commit nothing until nearly all files are read


def outcomes(report: CrawlReport) -> dict[str, int]:
    """Return the number of files for each outcome that occurred."""
    return {outcome.value: report.total(outcome) for outcome in FileOutcome if report.total(outcome)}


def vectors(db: Path, below: Path) -> dict[tuple[str, str, float | None], np.ndarray]:
    """Return each row's vector by its path below a folder, its media type and its start.

    Raises:
        AssertionError: a row is there twice.
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
    """Become the user nobody for a while, since root can read and write anywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
