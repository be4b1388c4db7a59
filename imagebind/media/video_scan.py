"""Find out which frames a video shows and when, from its packets and by decoding a few frames."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, BinaryIO

import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from imagebind.errors import MediaError, warn_of
from imagebind.io.source import Limits
from imagebind.media.container import NO_STAMP, fraction_of
from imagebind.media.video_clock import Clock
from imagebind.media.video_joins import HeadDecoder, decode_joins
from imagebind.media.video_packets import PacketIndex, PacketLog
from imagebind.media.video_stream import opened_video, packets_of
from imagebind.media.webp import is_cut_short, webp_clock, webp_size

FALLBACK_RATE = Fraction(25)  # frames per second of a stream without a stated rate, as in FFmpeg
RESTARTING_FORMATS = ("mpegts", "mpeg")  # their clocks may restart at any time


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """Properties of a video file."""

    duration: float  # seconds, to the end of the last frame present, whatever the header states
    frames: int
    fps: float  # on average, as the file states it; else `FALLBACK_RATE`
    width: int  # of stored frames, before rotation
    height: int
    has_audio: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Timeline:
    """The shown frames of a video: those of FFmpeg's sequential decode.

    Attributes:
        index: its packets; None for an animated WebP, which Pillow reads.
        order: the number of each frame's packet, in presentation order; None if only decoding gives it.
        stamps: each frame's time in the stream's ticks; its index if the file states no times.
        pixel_aspect: ratio of width to height of a stored pixel.
    """

    index: PacketIndex | None
    order: np.ndarray | None
    stamps: Sequence[int]
    clock: Clock
    pixel_aspect: Fraction = Fraction(1)

    def with_indices(self, frames: Iterable[tuple[int, VideoFrame]]) -> Iterator[tuple[int, VideoFrame]]:
        """Convert (packet number, frame) to (index in presentation order, frame).

        If only decoding gives the order, the frames must start at the beginning of the file.
        """
        if self.order is None:
            yield from enumerate(frame for _, frame in frames)
            return
        for number, frame in frames:
            if number < len(self._frame_indices) and self._frame_indices[number] >= 0:
                yield int(self._frame_indices[number]), frame

    def start_for(self, frame_index: int, *, earlier: int = 0) -> int:
        """Return the packet at which to start decoding for a frame; `earlier` goes back by more keyframes."""
        if self.index is None or self.order is None:
            return 0
        return self.index.start_for(int(self.order[frame_index]), earlier=earlier)

    @cached_property
    def _frame_indices(self) -> np.ndarray:
        """Each packet's frame index in presentation order; -1 for a frame that is not shown."""
        assert self.index is not None and self.order is not None
        indices = np.full(len(self.index.pts), -1)
        indices[self.order] = np.arange(len(self.order))
        return indices


def scan_video(file: BinaryIO, name: str, limits: Limits) -> tuple[VideoInfo, Timeline]:
    """Read all packets of a file's main video stream, and decode the first frames unless it is intra-only.

    More frames are decoded only if the packets do not determine which frames are shown: in a recording that
    begins within a group of pictures (GOP), where recordings were joined, and in MPEG-4 with placeholders.

    Raises:
        MediaError: not a video, without frames that can be decoded, or over a limit.
    """
    with opened_video(file, name, limits) as (container, stream):
        codec = stream.codec_context
        log = PacketLog(codec.codec.name)
        head = HeadDecoder(codec)
        for packet in packets_of(container, stream):
            log.add(packet)
            head.add(packet, len(log) - 1)
        head.finish()
        _warn_if_cut_short(file, name, container, stream, packets=len(log))
        restarts = container.format.name in RESTARTING_FORMATS
        time_base = fraction_of(stream.time_base)
        index = log.index(time_base, restarts=restarts)
        is_ordered = _is_ordered(index, container, stream, head)
        rates = fraction_of(stream.average_rate), fraction_of(stream.guessed_rate)
        rate = next((rate for rate in rates if rate and rate > 0), FALLBACK_RATE)
        time_base = time_base or 1 / rate
        size = codec.width, codec.height
        is_intra_only = codec.codec.intra_only
        has_audio = bool(container.streams.audio)
        pixel_aspect = fraction_of(stream.sample_aspect_ratio or codec.sample_aspect_ratio) or Fraction(1)
    if not len(log):
        raise MediaError(name, got="a video stream without frames", expected="at least one frame")
    order = index.order
    head_is_whole = head.is_whole(index, is_ordered) and not (is_ordered and index.has_placeholders)
    for around, numbers in decode_joins(file, name, limits, index, head_is_whole):
        is_around = (order >= around.start) & (order < around.stop)
        order = order[~is_around | np.isin(order, numbers)]
        order[np.isin(order, numbers)] = [number for number in numbers if number in order]
    if not len(order):
        raise MediaError(name, got="no frame that can be decoded", expected="an undamaged video")
    stamps: Sequence[int] = range(len(order))
    clock = Clock.steady(len(order), rate)
    has_stamps = bool((index.pts[order] != NO_STAMP).all())
    if has_stamps:
        stamps = index.stamps(order, time_base, restarts=restarts)
        last = int(index.durations[order[-1]])
        clock = Clock.of_stamps(stamps, last_duration=last, time_base=time_base, rate=rate)
    info = VideoInfo(
        duration=float(clock.duration),
        frames=len(order),
        fps=float(rate),
        width=size[0],
        height=size[1],
        has_audio=has_audio,
    )
    return info, Timeline(
        index=index,
        order=order if is_ordered and (has_stamps or is_intra_only) else None,
        stamps=stamps,
        clock=clock,
        pixel_aspect=pixel_aspect,
    )


def scan_webp(file: BinaryIO, name: str, limits: Limits) -> tuple[VideoInfo, Timeline]:
    """Read the properties and frame times of an animated WebP.

    Raises:
        MediaError: as `scan_video`.
    """
    width, height = webp_size(file, name, limits)
    clock = webp_clock(file)
    frames = len(clock.ticks)
    if not frames:
        raise MediaError(name, got="an animation without frames", expected="at least one frame")
    if is_cut_short(file):
        warn_of(name, f"the file is cut short: only its first {frames} frames are complete")
    info = VideoInfo(
        duration=float(clock.duration),
        frames=frames,
        fps=float(frames / clock.duration),
        width=width,
        height=height,
        has_audio=False,
    )
    return info, Timeline(index=None, order=None, stamps=clock.ticks, clock=clock)


def _warn_if_cut_short(
    file: BinaryIO, name: str, container: InputContainer, stream: VideoStream, *, packets: int
) -> None:
    """Warn about packets that an MP4 or MOV lists beyond the end of the file."""
    listed: Any = getattr(stream, "index_entries", ())  # PyAV 16 has none
    if not container.format.name.startswith("mov") or len(listed) <= packets:
        return
    if listed[-1].pos + listed[-1].size > file.seek(0, os.SEEK_END):
        missing = len(listed) - packets
        warn_of(name, f"the file is cut short: {missing} of its {len(listed)} frames are missing")


def _is_ordered(
    index: PacketIndex, container: InputContainer, stream: VideoStream, head: HeadDecoder
) -> bool:
    """Whether the packets' time stamps give the presentation order.

    AVI may have decoding times instead, or two frames in one packet and a placeholder after it. Files
    remuxed from AVI may have decoding times, too.
    """
    if stream.codec_context.codec.intra_only:
        return True
    if container.format.name == "avi":
        has_decode_times = stream.codec_context.has_b_frames and bool((np.diff(index.pts) >= 0).all())
        return index.has_stamps and not has_decode_times and not index.has_placeholders
    return index.has_stamps and head.is_in_stamp_order(index)
