"""Folders of the toy world, crawled: here, or in a process that can be killed."""

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
    """The small model, told about its world's sensors."""
    return Embedder(imagebind_tiny(pretrained=True), transforms=world_transforms(), num_workers=2)


def crawled(db: Path, *roots: Path, **options) -> CrawlReport:
    return crawl(Index.open(db, tiny(), create=True), roots, **{"mappings": MAPPINGS, **options})


def crawl_in_steps(db: Path, root: Path, rows: int, begun: Event) -> None:
    """Crawl with a commit every few rows, in a process of its own, and say when that begins."""
    torch.set_num_threads(1)
    writer.COMMIT_ROWS = rows
    tiny()
    begun.set()
    crawled(db, root, batch_size=1)  # or else nothing would be done until nearly all is read


def outcomes(report: CrawlReport) -> dict[str, int]:
    """How many files had which outcome, without those that none had."""
    return {outcome.value: report.total(outcome) for outcome in FileOutcome if report.total(outcome)}


def vectors(db: Path, below: Path) -> dict[tuple[str, str, float | None], np.ndarray]:
    """Every row's vector by its path below a folder, its kind and its start.

    Raises:
        AssertionError: a row is there twice.
    """
    hits = Index.open(db).sample(10**6)
    found = {(os.path.relpath(hit.path, below), hit.kind.value, hit.start): hit.vector for hit in hits}
    assert len(found) == len(hits)
    return found


@contextmanager
def open_to_all() -> Iterator[Path]:
    """A folder that another user can enter: pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Root may read and write anywhere: be nobody for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
