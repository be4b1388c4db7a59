"""Benchmarks indexing relative to embedding alone, its memory, and the first search in a new process.

The files are scenes of the toy world in all six modalities, and the model is the small one: with a larger
model the overhead of indexing is relatively smaller.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median

from imagebind.benchmark.report import MEGABYTE, Row
from imagebind.benchmark.sizes import Size
from imagebind.benchmark.timing import in_fresh_process, seconds
from imagebind.checkpoints.factory import imagebind_tiny
from imagebind.embedder import Embedder
from imagebind.errors import ImageBindError
from imagebind.intake.mapping import parse_mapping
from imagebind.search.crawl.crawler import crawl
from imagebind.search.index import Index
from imagebind.toyworld import world_transforms, write_world

SECTION = "index"
CRAWL_REPEATS = 5  # turns of embedding all files and indexing them
WORLD_SEED = 3
INDEXED_SUFFIXES = (".png", ".mp4", ".wav", ".csv", ".txt")
MAPPED_KINDS = ("depth", "thermal")  # PNG files whose modality cannot be inferred from their content
MAPPINGS = [parse_mapping(f"**/{kind}.png={kind}") for kind in MAPPED_KINDS]
NUM_SEARCHES = 3  # each in its own process

TARGET_SHARE_OF_EMBEDDING, TARGET_MEMORY_GROWTH, TARGET_SEARCH_SECONDS = 0.85, 1.1, 3.0


def measure(size: Size, folder: Path) -> Iterator[Row]:
    """Alternate embedding and indexing of the same files; measure a second crawl, memory and searches."""
    media = folder / "media"
    fifth = media / "fifth"
    write_world(fifth, size.indexed_scenes // 5, seed=WORLD_SEED)
    write_world(media / "rest", size.indexed_scenes - size.indexed_scenes // 5, seed=WORLD_SEED + 1)
    files = files_of(media)
    embedder = world_embedder()
    embedder.encode(files[:8])  # warm-up, not counted
    alone: list[float] = []
    crawled: list[float] = []
    for turn in range(CRAWL_REPEATS):
        index = Index.open(folder / f"{turn}.lance", embedder, create=True)
        steps: list[tuple[list[float], Callable[[], object]]] = [
            (alone, partial(embedder.encode, files)),
            (crawled, partial(crawl, index, [media], mappings=MAPPINGS)),
        ]
        for times, action in steps if turn % 2 else reversed(steps):
            times.append(seconds(action))
    indexed = f"{len(files):,} files of six modalities"
    yield _row(
        f"{indexed}: indexing them, speed against embedding them",
        median(a / c for a, c in zip(alone, crawled, strict=True)),
        target=TARGET_SHARE_OF_EMBEDDING,
        detail=f"{len(files) / median(crawled):.1f} against {len(files) / median(alone):.1f} files a second; "
        "by turns " + ", ".join(f"{a / c:.2f}" for a, c in zip(alone, crawled, strict=True)),
    )
    again = seconds(lambda: crawl(index, [media], mappings=MAPPINGS))
    yield _row(f"{indexed}: again, with nothing changed", len(files) / again, "files a second")
    fifth_peak, peak = (in_fresh_process("crawl_folder", folder, source)["peak"] for source in (fifth, media))
    yield _row(
        f"{indexed}: peak memory of indexing, against that of a fifth",
        peak / fifth_peak,
        target=TARGET_MEMORY_GROWTH,
        at_most=True,
        detail=f"{peak / MEGABYTE:,.0f} against {fifth_peak / MEGABYTE:,.0f} MB, including the imports",
    )
    times = [seconds(lambda: _search(folder / "0.lance")) for _ in range(NUM_SEARCHES)]
    yield _row(
        "from the command to the hits of a search by text, in a new process",
        median(times),
        "s",
        target=TARGET_SEARCH_SECONDS,
        at_most=True,
    )


def _row(
    name: str,
    value: float,
    unit: str = "",
    *,
    target: float | None = None,
    at_most: bool = False,
    detail: str = "",
) -> Row:
    return Row(
        section=SECTION, name=name, value=value, unit=unit, target=target, at_most=at_most, detail=detail
    )


def world_embedder() -> Embedder:
    """Return an embedder with the small model and the transforms of the toy world."""
    transforms = {kind.value: transform for kind, transform in world_transforms().items()}
    return Embedder(imagebind_tiny(pretrained=True), transforms=transforms)


def files_of(media: Path) -> list[Path | dict[str, Path]]:
    """Return all files of the scenes in a folder, as inputs of `encode`."""
    found = sorted(path for path in media.rglob("*") if path.suffix in INDEXED_SUFFIXES)
    return [{path.stem: path} if path.stem in MAPPED_KINDS else path for path in found]


def _search(db: Path) -> None:
    command = [sys.executable, "-m", "imagebind.cli.main", "search", str(db), "--weights", "tiny"]
    ended = subprocess.run([*command, "--text", "a red star"], capture_output=True, text=True)
    if ended.returncode:
        raise ImageBindError(f"a search failed: {ended.stderr.strip()[-300:]}")
