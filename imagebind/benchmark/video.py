"""Benchmarks the video loader relative to the obvious way: convert all frames of a clip, then pick two."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from statistics import median

import av
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from imagebind.benchmark.images import write_video
from imagebind.benchmark.report import MEGABYTE, Row
from imagebind.benchmark.sizes import Size
from imagebind.benchmark.timing import by_turns, in_fresh_process, ratios
from imagebind.media.clips import clip_spans
from imagebind.transforms.image import IMAGE_MEAN, IMAGE_STD
from imagebind.transforms.video import VideoTransform, probe_video, spatial_crops

SECTION = "video"
TARGET_SPEEDUP = 1.5  # relative to converting all frames
TARGET_MEMORY_SHARE = 0.2  # of the memory for converting all frames


def measure(size: Size, folder: Path) -> Iterator[Row]:
    """Measure times in turns, and peak memory above that of the imports."""
    path = folder / "video.mp4"
    write_video(path, duration=size.video_seconds, size=size.video_size)
    clips = VideoTransform().clips
    ours, all_of_them = by_turns(
        [lambda: picked_frames(path), lambda: all_frames(path)], repeats=size.repeats
    )
    yield Row(
        section=SECTION,
        name=f"{clips} clips of a video, against converting all frames of each clip to tensors",
        value=median(ratios(all_of_them, ours)),
        unit="x as fast",
        target=TARGET_SPEEDUP,
        detail=f"{median(ours):.2f} s against {median(all_of_them):.2f} s",
    )
    base, mine, theirs = (
        in_fresh_process(job, path)["peak"] for job in ("video_imports", "video_ours", "video_all_frames")
    )
    yield Row(
        section=SECTION,
        name="memory for the same, above that of the imports",
        value=(mine - base) / max(theirs - base, MEGABYTE),  # a tiny video takes less than the imports' peak
        unit="of the other's",
        target=TARGET_MEMORY_SHARE,
        at_most=True,
        detail=f"{(mine - base) / MEGABYTE:.0f} MB against {(theirs - base) / MEGABYTE:.0f} MB",
    )
    difference = (picked_frames(path) - all_frames(path)).abs().max().item()
    yield Row(section=SECTION, name="largest difference between the two results", value=difference, unit="")


def picked_frames(path: Path) -> Tensor:
    """Load a video with the library: (clips·crops, 3, frames, size, size)."""
    return VideoTransform()(path)


def all_frames(path: Path) -> Tensor:
    """Load the same tensor by converting all frames of a clip to float before picking two."""
    transform = VideoTransform()
    duration = Fraction(probe_video(path).duration).limit_denominator(1000)
    spans = clip_spans(duration, clip_seconds=transform.clip_seconds, clips=transform.clips)
    views = []
    for start, end in spans:
        clip = _decode(path, start, end)  # (3, t, h, w)
        positions = torch.linspace(0, clip.shape[1] - 1, transform.frames).long()
        picked = clip[:, positions].movedim(1, 0) / 255  # -> (frames, 3, h, w)
        squares = [spatial_crops(frame, size=transform.size, crops=transform.crops) for frame in picked]
        standard = F.normalize(torch.stack(squares), mean=list(IMAGE_MEAN), std=list(IMAGE_STD))
        views.append(standard.permute(1, 2, 0, 3, 4))  # (frames, crops, 3, h, w) -> (crops, 3, frames, h, w)
    return torch.cat(views)


def _decode(path: Path, start: Fraction, end: Fraction) -> Tensor:
    """Return every frame that starts in [start, end): float (3, t, h, w) in [0, 255]."""
    frames = []
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        assert stream.time_base is not None
        container.seek(int(start / stream.time_base), stream=stream)
        for frame in container.decode(stream):
            assert frame.pts is not None
            seconds = frame.pts * stream.time_base
            if seconds >= end:
                break
            if seconds >= start:
                frames.append(torch.from_numpy(frame.to_ndarray(format="rgb24")))
    return torch.stack(frames).permute(3, 0, 1, 2).to(torch.float32)
