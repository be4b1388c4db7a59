"""Benchmarks moments in a long video relative to `encode`: clips a second, and memory against the length.

A video is embedded by overlapping windows; `encode` embeds the same number of clips of the same video. The
model is the small one: with a larger one, decoding costs relatively less.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from imagebind.applications.streams import HOP_SECONDS, WINDOW_SECONDS, embed_recording
from imagebind.benchmark.crawl import world_embedder
from imagebind.benchmark.images import write_video
from imagebind.benchmark.report import MEGABYTE, Row
from imagebind.benchmark.sizes import Size
from imagebind.benchmark.timing import by_turns, in_fresh_process, ratios
from imagebind.embedder import Embedder
from imagebind.modality import MediaKind

SECTION = "moments"
MEMORY_LENGTHS = 4, 12  # times `moment_seconds`; a shorter video does not fill the queues
TARGET_SHARE_OF_ENCODE, TARGET_MEMORY_GROWTH = 0.85, 1.1


def measure(size: Size, folder: Path) -> Iterator[Row]:
    """Alternate embedding a video by windows and by clips; then measure memory in new processes."""
    short = folder / "short.mp4"
    write_video(short, duration=size.moment_seconds, size=size.video_size)
    embedder = world_embedder()
    windows = len(vectors_of(embedder, short))
    clips = clip_embedder(embedder, windows)
    by_windows, by_clips = by_turns(
        [lambda: vectors_of(embedder, short), lambda: clips.encode([short])], repeats=size.repeats
    )
    yield Row(
        section=SECTION,
        name=f"{windows} windows of a video of {size.moment_seconds:g} s, {size.video_size[0]} x "
        f"{size.video_size[1]}: clips a second, against encode with as many clips",
        value=median(ratios(by_clips, by_windows)),
        unit="",
        target=TARGET_SHARE_OF_ENCODE,
        detail=f"{windows / median(by_windows):.1f} against {windows / median(by_clips):.1f} clips a second; "
        f"windows of {WINDOW_SECONDS:g} s every {HOP_SECONDS:g} s",
    )
    peaks = []
    for factor in MEMORY_LENGTHS:
        path = folder / f"{factor}.mp4"
        write_video(path, duration=factor * size.moment_seconds, size=size.video_size)
        peaks.append(in_fresh_process("moments_of_video", path)["peak"])
    short_peak, long_peak = peaks
    yield Row(
        section=SECTION,
        name=f"peak memory of a video {MEMORY_LENGTHS[1] // MEMORY_LENGTHS[0]} times as long",
        value=long_peak / short_peak,
        unit="of the shorter's",
        target=TARGET_MEMORY_GROWTH,
        at_most=True,
        detail=f"{long_peak / MEGABYTE:,.0f} against {short_peak / MEGABYTE:,.0f} MB, including the imports",
    )


def vectors_of(embedder: Embedder, path: Path) -> Any:
    """Return the vectors of a video's windows: (n, e)."""
    return embed_recording(embedder, path, streams=[MediaKind.VIDEO]).streams[MediaKind.VIDEO].vectors


def clip_embedder(embedder: Embedder, clips: int) -> Embedder:
    """Return an embedder of the same model that takes `clips` clips of a video."""
    transform: Any = embedder.transform(MediaKind.VIDEO)
    return Embedder(embedder.model, transforms={MediaKind.VIDEO: replace(transform, clips=clips)})
