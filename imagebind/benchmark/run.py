"""Runs the benchmark sections one after the other."""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from imagebind.benchmark import (
    app,
    audio,
    crawl,
    detect,
    encode,
    forward,
    generation,
    image,
    loading,
    mixed,
    moments,
    search,
    text,
    training,
    video,
)
from imagebind.benchmark.report import Row
from imagebind.benchmark.sizes import HUGE, Size

SECTIONS = (
    loading.SECTION,
    text.SECTION,
    image.SECTION,
    audio.SECTION,
    video.SECTION,
    forward.SECTION,
    encode.SECTION,
    detect.SECTION,
    training.SECTION,
    search.SECTION,
    mixed.SECTION,
    crawl.SECTION,
    generation.SECTION,
    app.SECTION,
    moments.SECTION,
)


def measure(
    sections: Iterable[str] = SECTIONS, *, size: Size = HUGE, weights: Path | None = None, naive: bool = False
) -> Iterator[Row]:
    """Yield the rows of each section as they are measured. Temporary files are removed.

    `weights` is a file of `size` to load, instead of random weights. `naive` also loads it with plain torch.

    Raises:
        ValueError: a section is unknown.
        ImageBindError: too little disk space or memory is free, the weights cannot be read or have another
            size, or a process that a section starts fails.
    """
    chosen = list(sections)
    unknown = sorted(set(chosen) - set(SECTIONS))
    if unknown:
        raise ValueError(f"expected some of the sections {', '.join(SECTIONS)}, got {', '.join(unknown)}")
    return _measure(chosen, size, weights, naive)


def _measure(sections: list[str], size: Size, weights: Path | None, naive: bool) -> Iterator[Row]:
    measures: dict[str, Callable[[Path], Iterator[Row]]] = {
        loading.SECTION: lambda folder: loading.measure(size, folder, weights=weights, naive=naive),
        text.SECTION: lambda _: text.measure(size),
        image.SECTION: lambda folder: image.measure(size, folder),
        audio.SECTION: lambda folder: audio.measure(size, folder),
        video.SECTION: lambda folder: video.measure(size, folder),
        forward.SECTION: lambda _: forward.measure(size),
        encode.SECTION: lambda folder: encode.measure(size, folder),
        detect.SECTION: lambda _: detect.measure(size),
        training.SECTION: lambda folder: training.measure(size, folder),
        search.SECTION: lambda folder: search.measure(size, folder),
        mixed.SECTION: lambda folder: mixed.measure(size, folder),
        crawl.SECTION: lambda folder: crawl.measure(size, folder),
        generation.SECTION: lambda folder: generation.measure(size, folder),
        app.SECTION: lambda folder: app.measure(size, folder),
        moments.SECTION: lambda folder: moments.measure(size, folder),
    }
    for section in sections:
        with tempfile.TemporaryDirectory(prefix="imagebind-benchmark-") as folder:
            yield from measures[section](Path(folder))
