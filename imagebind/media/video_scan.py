"""Look through a video file: which frames it shows and when, from its packets and the decoding of a few."""

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
from imagebind.media.video_clock import Clock
from imagebind.media.video_joins import Head, decode_joins
from imagebind.media.video_packets import NO_STAMP, PacketIndex, PacketLog
from imagebind.media.video_stream import opened_video, packets_of
from imagebind.media.webp import webp_clock, webp_size

FALLBACK_RATE = Fraction(25)  # for a stream that states no rate, as FFmpeg assumes
RESTARTING_FORMATS = ("mpegts", "mpeg")  # whose clocks may start anew at any time


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """What a video file holds: seconds, frames per second on average, pixels as stored (before any turn)."""

    duration: float  # to the end of the last frame that is there, whatever the header claims
    frames: int
    fps: float
    width: int
    height: int
    has_audio: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Timeline:
    """The frames that a video shows: those that FFmpeg shows when it decodes the whole file.

    Args:
        index: its packets; None for an animated WebP, which FFmpeg cannot read.
        order: the number of each frame's packet, in the order of showing; None if only decoding tells the
            order.
        stamps: when each frame shows, in the stream's ticks; its number where the file does not tell.
        pixel_aspect: width to height of a stored pixel.
    """

    index: PacketIndex | None
    order: np.ndarray | None
    stamps: Sequence[int]
    clock: Clock
    pixel_aspect: Fraction = Fraction(1)

    def placed(self, frames: Iterable[tuple[int, VideoFrame]]) -> Iterator[tuple[int, VideoFrame]]:
        """Frames with the numbers of their packets, to frames with their places in the order of showing.

        If only decoding tells the order, the frames are taken to come from the beginning.
        """
        if self.order is None:
            yield from enumerate(frame for _, frame in frames)
        for number, frame in frames:
            if number < len(self._places) and self._places[number] >= 0:
                yield int(self._places[number]), frame

    def start_for(self, place: int, *, earlier: int = 0) -> int:
        """Number of the packet from which to decode for a frame; `earlier` goes back by more keyframes."""
        if self.index is None or self.order is None:
            return 0
        return self.index.start_for(int(self.order[place]), earlier=earlier)

    @cached_property
    def _places(self) -> np.ndarray:
        """The place of each packet's frame in the order of showing; -1 for one that is not shown."""
        assert self.index is not None and self.order is not None
        places = np.full(len(self.index.pts), -1)
        places[self.order] = np.arange(len(self.order))
        return places


def scan_video(file: BinaryIO, name: str, limits: Limits) -> tuple[VideoInfo, Timeline]:
    """Read all packets of a file's main video stream, and decode the first frames.

    More is decoded only where packets alone do not tell which frames are shown: in a recording that begins
    in the middle of a group of pictures, and where recordings were joined.

    Raises:
        MediaError: not a video, or without frames, or over a limit.
    """
    with opened_video(file, name, limits) as (container, stream):
        codec = stream.codec_context
        log = PacketLog(codec.codec.name)
        head = Head(codec)
        for packet in packets_of(container, stream):
            log.add(packet)
            head.add(packet, len(log) - 1)
        head.finish()
        _warn_if_cut_short(file, name, container, stream, packets=len(log))
        restarts = container.format.name in RESTARTING_FORMATS
        index = log.index(stream.time_base, restarts=restarts)
        is_ordered = _is_ordered(index, container, stream, head)
        rate = next((rate for rate in (stream.average_rate, stream.guessed_rate) if rate and rate > 0), None)
        rate = rate or FALLBACK_RATE
        time_base = stream.time_base or 1 / rate
        size = codec.width, codec.height
        is_intra_only = codec.codec.intra_only
        has_audio = bool(container.streams.audio)
        pixel_aspect = stream.sample_aspect_ratio or codec.sample_aspect_ratio or Fraction(1)
    if not len(log):
        raise MediaError(name, got="a video stream without frames", expected="at least one frame")
    order = index.order
    head_is_whole = head.is_whole(index, is_ordered) and not (is_ordered and index.has_placeholders)
    for around, numbers in decode_joins(file, name, limits, index, head_is_whole):
        is_around = (order >= around.start) & (order < around.stop)
        order = order[~is_around | np.isin(order, numbers)]
        order[np.isin(order, numbers)] = [number for number in numbers if number in order]
    if not len(order):
        raise MediaError(name, got="no frame can be decoded", expected="a video that is not damaged")
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
    """The same of an animated WebP.

    Raises:
        MediaError: as `scan_video`.
    """
    width, height = webp_size(file, name, limits)
    clock = webp_clock(file)
    frames = len(clock.ticks)
    if not frames:
        raise MediaError(name, got="an animation without frames", expected="at least one frame")
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
    """Report packets that an MP4 or MOV lists at places beyond its end."""
    listed: Any = getattr(stream, "index_entries", ())  # PyAV 17
    if not container.format.name.startswith("mov") or len(listed) <= packets:
        return
    if listed[-1].pos + listed[-1].size > file.seek(0, os.SEEK_END):
        missing = len(listed) - packets
        warn_of(name, f"the file is cut short: {missing} of its {len(listed)} frames are missing")


def _is_ordered(index: PacketIndex, container: InputContainer, stream: VideoStream, head: Head) -> bool:
    """Whether packets tell the order of showing.

    In AVI they may have times of decoding instead, or two frames in one packet with a placeholder after. What
    was AVI once may have such times elsewhere.
    """
    if stream.codec_context.codec.intra_only:
        return True
    if container.format.name == "avi":
        is_of_decoding = stream.codec_context.has_b_frames and bool((np.diff(index.pts) >= 0).all())
        return index.has_stamps and not is_of_decoding and not index.has_placeholders
    return index.has_stamps and head.follows(index)
