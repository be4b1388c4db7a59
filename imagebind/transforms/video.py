"""Convert clips of a video to the tensor that the vision trunk takes."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.transforms.v2 import functional as F

from imagebind.checks import check_positive, check_whole
from imagebind.errors import MediaError
from imagebind.io.source import DEFAULT_LIMITS, Limits, Source, is_source, name_of
from imagebind.media.clips import Span, as_floats, clip_spans
from imagebind.media.decoders import is_video_decoder, part_of_triple, read_frames, video_rate
from imagebind.media.video_file import Clock, VideoInfo, open_video, probe_video
from imagebind.modality import ModalityType
from imagebind.transforms.image import IMAGE_MEAN, IMAGE_SIZE, IMAGE_STD
from imagebind.transforms.options import PER_ITEM, check_statistics

__all__ = ["VideoInfo", "VideoTransform", "probe_video", "spatial_crops"]

VIDEO_CLIPS = 5  # this and the next three are as released
CLIP_SECONDS = 2.0
CLIP_FRAMES = 2
CROPS = 3
MAX_RESIZED_PIXELS = 2**24  # of one frame with `size` as its short side: 200 MB of floats (ours)

VideoInput = Source | tuple[np.ndarray | Tensor, float] | Mapping[str, Any]
FrameCrop = Callable[..., Tensor]  # like `spatial_crops`: (3, h, w), size=, crops= -> (crops, 3, size, size)
# Increasing indices -> (index, frame) of each.
FrameReader = Callable[[list[int]], Iterable[tuple[int, np.ndarray | Tensor]]]


def spatial_crops(frame: Tensor, *, size: int, crops: int) -> Tensor:
    """Cut squares along the longer side of a frame: (3, h, w) -> (crops, 3, size, size).

    The short side is resized to `size`, bilinear without antialias; the longer side is rounded down. Three
    crops are start, centre (offset rounded up) and end; one is the centre. Source: released.
    """
    height, width = frame.shape[-2:]
    short = min(height, width)
    resized = interpolate(
        frame[None],
        size=(height * size // short, width * size // short),
        mode="bilinear",
        align_corners=False,
    )[0]
    slack = max(resized.shape[-2:]) - size
    offsets = [0, math.ceil(slack / 2), slack] if crops == 3 else [math.ceil(slack / 2)]
    axis = 1 if height > width else 2
    return torch.stack([resized.narrow(axis, offset, size) for offset in offsets])


@dataclass(frozen=True, kw_only=True)
class VideoTransform:
    """Convert a video to (clips·crops, 3, frames, size, size), crops of a clip together. Source: released.

    `clips` clips of `clip_seconds` are spread evenly over the video, `frames` frames evenly over each clip,
    and `crops` (1 or 3) squares along the longer side of each frame. Unevenly timed frames are selected by
    their timestamps, the video's display matrix is applied, and a frame that cannot be decoded is replaced by
    the nearest frame that can (all ours).

    Args:
        square_pixels: whether to stretch frames of a file with non-square pixels to their display aspect
            ratio. By default pixels count as square, as released.
        crop: function like `spatial_crops` that cuts squares from a frame of floats in [0, 1]; training
            passes its own.
    """

    modality: ClassVar[ModalityType] = ModalityType.VISION

    clips: int = field(default=VIDEO_CLIPS, metadata=PER_ITEM)
    clip_seconds: float = CLIP_SECONDS
    frames: int = CLIP_FRAMES
    crops: int = field(default=CROPS, metadata=PER_ITEM)
    size: int = IMAGE_SIZE
    square_pixels: bool = field(default=False, metadata=PER_ITEM)
    mean: Sequence[float] = IMAGE_MEAN
    std: Sequence[float] = IMAGE_STD
    limits: Limits = field(default=DEFAULT_LIMITS, metadata=PER_ITEM)
    crop: FrameCrop = field(default=spatial_crops, repr=False, metadata=PER_ITEM)

    def __post_init__(self) -> None:
        check_whole(1, clips=self.clips, frames=self.frames, crops=self.crops, size=self.size)
        check_positive(clip_seconds=self.clip_seconds)
        check_statistics(self, channels=3)
        if self.crops not in (1, CROPS):
            raise ValueError(f"crops: expected 1 or {CROPS}, got {self.crops}")

    def __call__(self, video: VideoInput) -> Tensor:
        """Convert one video to (clips·crops, 3, frames, size, size) float32.

        The video is a file (path, URI, bytes, file object); uint8 frames (t, h, w, 3) or grayscale (t, h, w)
        with their rate, as in `(array, 25)`, or as torchvision's (frames, samples, info); a decoder of
        torchcodec or decord; or one clip already cut, as pytorchvideo's `get_clip` returns it: a mapping
        whose "video" is (3, t, h, w), uint8 or floats in [0, 255].

        Raises:
            MediaError: the video is none of these or over a limit, fewer than half of the frames needed from
                a file can be decoded, or a decoder fails.
        """
        return self.with_spans(video)[0]

    def with_spans(
        self, video: VideoInput, spans: Sequence[Span] | None = None
    ) -> tuple[Tensor, list[tuple[float, float]]]:
        """Return the tensor, and the span [start, end) of each clip in seconds.

        Args:
            spans: clips to cut instead of evenly spread ones. A clip already cut is used whole: its only
                span is [0, clip_seconds).

        Raises:
            MediaError: as `__call__`.
            ValueError: a span is empty, reversed or infinite, there are no spans, or spans are given for a
                clip already cut.
        """
        if spans is not None and not spans:
            raise ValueError("spans: expected at least one")
        for start, end in spans or ():
            if not -math.inf < start < end < math.inf:
                raise ValueError(
                    f"span: expected finite seconds, the end after the start, got [{start}, {end})"
                )
        name = name_of(video)
        if is_video_decoder(video):
            clock = Clock.steady(len(video), video_rate(video))  # type: ignore[arg-type]
            return self._views(clock, partial(read_frames, video), spans, name)
        video = part_of_triple(video, video=True)
        if isinstance(video, Mapping):
            if spans is not None:
                raise ValueError(
                    f"spans: expected None for a clip that is already cut, got {list(spans)!r:.80}"
                )
            cut = _checked_clip(video, name)
            length = Fraction(self.clip_seconds)
            clock = Clock.steady(len(cut), len(cut) / length)
            return self._views(clock, partial(_read_indices, cut), [(0, length)], name)
        if isinstance(video, tuple) and len(video) == 2:
            name = name_of(video[0])
            frames, rate = _checked_frames(*video, name)
            return self._views(Clock.steady(len(frames), rate), partial(_read_indices, frames), spans, name)
        if is_source(video):
            with open_video(video, limits=self.limits) as file:
                read = partial(file.decode, square_pixels=self.square_pixels)
                return self._views(file.clock, read, spans, name)
        raise MediaError(
            name,
            got=type(video).__name__,
            expected="a file, a decoder, (frames, frames per second), (frames, samples, info), or a mapping "
            "with a clip as 'video'",
        )

    def _views(
        self, clock: Clock, read: FrameReader, spans: Sequence[Span] | None, name: str
    ) -> tuple[Tensor, list[tuple[float, float]]]:
        if spans is None:
            spans = clip_spans(clock.duration, clip_seconds=self.clip_seconds, clips=self.clips)
        positions = defaultdict(list)  # frame -> its positions in the views; overlapping clips share frames
        for clip, span in enumerate(spans):
            for slot, index in enumerate(clock.frames_in(span, self.frames)):
                positions[index].append((clip, slot))
        shape = (len(spans), self.crops, 3, self.frames, self.size, self.size)
        views = torch.empty(shape, dtype=torch.float32, device="cpu")
        for index, frame in read(sorted(positions)):
            if isinstance(frame, np.ndarray):
                # A copy: torch refuses negative strides and warns of read-only memory.
                frame = torch.from_numpy(np.array(frame))
            squares = self._squares(frame, name)
            for clip, slot in positions[index]:
                views[clip, :, :, slot] = squares  # (crops, 3, size, size)
        return views.flatten(0, 1), as_floats(spans)

    def _squares(self, frame: Tensor, name: str) -> Tensor:
        """Crop and standardise a frame (h, w, 3) or (h, w) in [0, 255]: -> (crops, 3, size, size)."""
        height, width = frame.shape[:2]
        if (pixels := self.size**2 * max(height, width) // min(height, width)) > MAX_RESIZED_PIXELS:
            raise MediaError(
                name,
                got=f"{pixels:,} ({width} x {height} before resizing)",
                expected=f"frames of at most {MAX_RESIZED_PIXELS:,} pixels with a short side of {self.size}",
            )
        if frame.is_floating_point() and not (frame.min() >= 0 and frame.max() <= 255):  # false for NaN too
            raise MediaError(
                name, got=f"floats from {frame.min():g} to {frame.max():g}", expected="floats in [0, 255]"
            )
        channels = frame.expand(3, -1, -1) if frame.ndim == 2 else frame.permute(2, 0, 1)  # -> (3, h, w)
        squares = self.crop(channels.to("cpu", torch.float32) / 255, size=self.size, crops=self.crops)
        return F.normalize(squares, mean=list(self.mean), std=list(self.std))


def _read_indices(
    frames: np.ndarray | Tensor, indices: Iterable[int]
) -> Iterator[tuple[int, np.ndarray | Tensor]]:
    return ((index, frames[index]) for index in indices)


def _checked_frames(frames: object, rate: object, name: str) -> tuple[np.ndarray | Tensor, Fraction]:
    """Return frames (t, h, w, 3) or (t, h, w) and their rate, after checking them."""
    if not isinstance(frames, np.ndarray | Tensor):
        raise MediaError(name, got=type(frames).__name__, expected="frames as an array or a tensor")
    if not (frames.ndim == 3 or (frames.ndim == 4 and frames.shape[-1] == 3)) or 0 in frames.shape:
        raise MediaError(
            name, got=f"shape {tuple(frames.shape)}", expected="frames (t, h, w, 3), or grayscale (t, h, w)"
        )
    if frames.dtype not in (np.uint8, torch.uint8):
        raise MediaError(name, got=f"type {frames.dtype}", expected="uint8 frames")
    if not isinstance(rate, int | float | Fraction | np.number) or not 0 < rate < math.inf:
        raise MediaError(
            name, got=f"a rate of {rate!r}", expected="a positive, finite number of frames per second"
        )
    return frames, Fraction(rate if isinstance(rate, Fraction) else float(rate))


def _checked_clip(video: Mapping[str, Any], name: str) -> Tensor:
    """Return the clip of a mapping, channels last: (3, t, h, w) -> (t, h, w, 3)."""
    clip = video.get("video")
    if not isinstance(clip, Tensor):
        raise MediaError(name, got=type(clip).__name__, expected="a tensor (3, t, h, w) as 'video'")
    if clip.ndim != 4 or clip.shape[0] != 3 or 0 in clip.shape:
        raise MediaError(name, got=f"a clip of shape {tuple(clip.shape)}", expected="(3, t, h, w)")
    if not (clip.is_floating_point() or clip.dtype == torch.uint8):
        raise MediaError(name, got=f"type {clip.dtype}", expected="uint8, or floats in [0, 255]")
    return clip.permute(1, 2, 3, 0)
