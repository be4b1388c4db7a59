"""Benchmarks the time and memory of loading weights, each in its own process."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from imagebind.benchmark.report import GIGABYTE, Row
from imagebind.benchmark.sizes import Size
from imagebind.benchmark.timing import in_fresh_process, ratios
from imagebind.checkpoints.loading import convert
from imagebind.errors import ImageBindError
from imagebind.models.model import ImageBindModel

SECTION = "load"
TARGET_LOAD_SECONDS = 2.0  # after the import of torch
TARGET_OVERHEAD_GB = 0.6  # peak memory above the weights: torch and buffers for reading
TARGET_TEXT_TRUNK_GB = 1.9  # including torch; the weights take 1.4
MEMORY_INFO = Path("/proc/meminfo")  # Linux


def measure(size: Size, folder: Path, *, weights: Path | None = None, naive: bool = False) -> Iterator[Row]:
    """Load `weights`, or random ones written to `folder` first; then the text trunk from split files.

    Raises:
        ImageBindError: too little disk space or memory is free, or the weights cannot be read or have another
            size.
    """
    needed = sum(parameter.nbytes for parameter in ImageBindModel(size.config, device="meta").parameters())
    _require_space(needed, folder, files=1 if weights else 2)
    path = weights or folder / "weights.pth"
    if weights is None:
        in_fresh_process("make_weights", path, size.name)
    yield from _whole(size, path, naive=naive)
    split = folder / "split"
    convert(path, split)
    text = in_fresh_process("text_trunk", split, size.name)
    yield Row(
        section=SECTION,
        name="peak memory of the text trunk alone, from split files, embedding 8 captions",
        value=text["peak"] / GIGABYTE,
        unit="GB",
        target=TARGET_TEXT_TRUNK_GB,
        at_most=True,
        detail=f"{text['seconds']:.2f} s to load and embed",
    )
    shutil.rmtree(split)


def _whole(size: Size, path: Path, *, naive: bool) -> Iterator[Row]:
    in_fresh_process("read_file", path)  # fills the system's file cache
    turns = [
        (in_fresh_process("load", path, size.name), in_fresh_process("read_file", path))
        for _ in range(size.repeats)
    ]
    loads = [load["seconds"] for load, _ in turns]
    reads = [read["seconds"] for _, read in turns]
    file_size = path.stat().st_size / GIGABYTE
    peak = max(load["peak"] for load, _ in turns) / GIGABYTE
    touch = median(load["touch_seconds"] for load, _ in turns)
    yield Row(
        section=SECTION,
        name=f"load {path.name}, {file_size:.2f} GB in the system's file cache, into memory; importing torch "
        "not counted",
        value=median(loads),
        unit="s",
        target=TARGET_LOAD_SECONDS,
        at_most=True,
        detail=f"{min(loads):.2f} to {max(loads):.2f} s; then {touch:.2f} s to touch every weight",
    )
    yield Row(
        section=SECTION,
        name="the same, relative to the time of reading the file",
        value=median(ratios(loads, reads)),
        unit="x",
        detail=f"reading takes {median(reads):.2f} s",
    )
    yield Row(
        section=SECTION,
        name="peak memory over the file's size, every weight touched",
        value=peak - file_size,
        unit="GB",
        target=TARGET_OVERHEAD_GB,
        at_most=True,
        detail=f"{peak:.2f} GB, of which importing takes {turns[0][0]['import_peak'] / GIGABYTE:.2f}",
    )
    mapped = [in_fresh_process("load", path, size.name, "mmap") for _ in range(size.repeats)]
    yield Row(
        section=SECTION,
        name=f"load {path.name} with mmap=True; the file must not be overwritten afterwards",
        value=median(load["seconds"] for load in mapped),
        unit="s",
        detail=f"then {median(load['touch_seconds'] for load in mapped):.2f} s to touch every weight",
    )
    yield Row(
        section=SECTION,
        name="the same, peak memory over the file's size, every weight touched",
        value=max(load["peak"] for load in mapped) / GIGABYTE - file_size,
        unit="GB",
        detail=f"{max(load['load_peak'] for load in mapped) / GIGABYTE:.2f} GB before they are touched",
    )
    if naive:
        other = in_fresh_process("load_naively", path, size.name)
        yield Row(
            section=SECTION,
            name="build, torch.load and load_state_dict instead",
            value=other["seconds"] / median(loads),
            unit="x the time",
            detail=f"{other['seconds']:.1f} s, peak {other['peak'] / GIGABYTE:.2f} GB",
        )


def _require_space(needed: int, folder: Path, *, files: int) -> None:
    free_disk, free_memory = shutil.disk_usage(folder).free, _free_memory()
    # With a reserve for file headers, and for torch and its buffers.
    disk, memory = 1.1 * files * needed, 1.3 * needed
    if free_disk < disk:
        raise ImageBindError(
            f"{folder}: expected {disk / GIGABYTE:.1f} GB of free disk space for weights, got "
            f"{free_disk / GIGABYTE:.1f}; set TMPDIR to another folder, or use --weights or --size small"
        )
    if free_memory < memory:
        raise ImageBindError(
            f"memory: expected {memory / GIGABYTE:.1f} GB free, got {free_memory / GIGABYTE:.1f}; "
            "use --size small"
        )


def _free_memory() -> int:
    if MEMORY_INFO.is_file():
        for line in MEMORY_INFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    # All memory: other systems do not state the available part here.
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
