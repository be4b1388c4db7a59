"""Look through a video file: which frames it shows and when, from its packets and the decoding of a few."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import BinaryIO

import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from imagebind.errors import MediaError
from imagebind.transforms.source import Limits
from imagebind.transforms.video_clock import Clock
from imagebind.transforms.video_packets import NO_STAMP, PacketIndex, PacketLog
from imagebind.transforms.video_stream import Decoding, LostTrackError, opened_video, packets_of
from imagebind.transforms.webp import webp_clock, webp_size

FALLBACK_RATE = Fraction(25)  # for a stream that states no rate, as FFmpeg assumes
RESTARTING_FORMATS = ("mpegts", "mpeg")  # whose clocks may start anew at any time
HEAD_FRAMES = 10  # decoded where the order of showing is unknown: a keyframe and any that show before it
MADE_UP_STEP = 0.1  # of a usual step
MAX_DELAY = 16  # frames that a decoder of H.264 or HEVC may hold back to reorder them
SETTLED_PACKETS = 32  # if each of so many shows its frame, decoding has recovered from what was before


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
        head = _Head(codec, is_avi=container.format.name == "avi")
        for packet in packets_of(container, stream):
            log.add(packet)
            head.add(packet, len(log) - 1)
        head.finish()
        restarts = container.format.name in RESTARTING_FORMATS
        index = log.index(stream.time_base, restarts=restarts)
        is_ordered = _is_ordered(index, container, stream)
        rate = next((rate for rate in (stream.average_rate, stream.guessed_rate) if rate and rate > 0), None)
        rate = rate or FALLBACK_RATE
        time_base = stream.time_base or 1 / rate
        size = codec.width, codec.height
        has_audio = bool(container.streams.audio)
        pixel_aspect = stream.sample_aspect_ratio or codec.sample_aspect_ratio or Fraction(1)
    if not len(log):
        raise MediaError(name, seen="a video stream without frames", wanted="at least one frame")
    order = index.order
    head_is_whole = head.is_whole(index, is_ordered) and not (is_ordered and index.has_placeholders)
    for around, numbers in _decode_joins(file, name, limits, index, head_is_whole):
        is_around = (order >= around.start) & (order < around.stop)
        order = order[~is_around | np.isin(order, numbers)]
        order[np.isin(order, numbers)] = [number for number in numbers if number in order]
    if not len(order):
        raise MediaError(name, seen="no frame can be decoded", wanted="a video that is not damaged")
    stamps: Sequence[int] = range(len(order))
    clock = Clock.steady(len(order), rate)
    if index.has_stamps:
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
        order=order if is_ordered else None,
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
        raise MediaError(name, seen="an animation without frames", wanted="at least one frame")
    info = VideoInfo(
        duration=float(clock.duration),
        frames=frames,
        fps=float(frames / clock.duration),
        width=width,
        height=height,
        has_audio=False,
    )
    return info, Timeline(index=None, order=None, stamps=clock.ticks, clock=clock)


class _Head:
    """Decodes the first packets as they are read, to see whether their frames are shown."""

    def __init__(self, codec: VideoCodecContext, *, is_avi: bool) -> None:
        self._codec = codec
        self._is_avi = is_avi
        self._first: list[Packet] = []
        self._wanted: int | None = 0 if codec.codec.intra_only else None  # None: not decided yet
        self._numbers: list[int] = []

    def add(self, packet: Packet, number: int) -> None:
        """Decode the next packet of the file, if more frames are needed."""
        if self._wanted is None:
            self._first.append(packet)
            if len(self._first) == 3:
                self._begin()
        elif len(self._numbers) < self._wanted:
            self._decode(packet, number)

    def finish(self) -> None:
        """Take what the decoder still holds."""
        if self._wanted is None:
            self._begin()
        if len(self._numbers) < (self._wanted or 0):
            self._decode(None)

    def _begin(self) -> None:
        """Decide how many frames are needed: none after two keyframes, as none is lost then."""
        stamps = [NO_STAMP if packet.pts is None else packet.pts for packet in self._first]
        is_of_decoding = self._is_avi and self._codec.has_b_frames and stamps == sorted(stamps)
        if len(stamps) > 1 and all(packet.is_keyframe for packet in self._first[:2]):
            self._wanted = 0
        else:
            self._wanted = HEAD_FRAMES if is_of_decoding or NO_STAMP in stamps else 1
        for number, packet in enumerate(self._first):
            if len(self._numbers) < self._wanted:
                self._decode(packet, number)

    def is_whole(self, index: PacketIndex, is_ordered: bool) -> bool:
        """Whether the frames that should be shown first are."""
        if not self._wanted:
            return True
        if is_ordered:
            first = index.order[:HEAD_FRAMES]
            steps = np.diff(index.pts[first])  # nearly 0 where stamps were made up, for frames that are lost
            is_even = not len(steps) or steps.min() > MADE_UP_STEP * np.median(steps)
            return bool(is_even) and self._numbers[:1] == first[:1].tolist()
        first = np.flatnonzero(index.is_shown[: (len(self._numbers) + 1) // 2])
        return set(first.tolist()) <= set(self._numbers)

    def _decode(self, packet: Packet | None, number: int = 0) -> None:
        if packet is not None:
            packet.pts = number
        with suppress(FFmpegError):
            self._numbers += [frame.pts for frame in self._codec.decode(packet) if frame.pts is not None]


def _is_ordered(index: PacketIndex, container: InputContainer, stream: VideoStream) -> bool:
    """Whether packets tell the order of showing.

    In AVI they may have times of decoding instead, or two frames in one packet with a placeholder after.
    """
    if stream.codec_context.codec.intra_only:
        return True
    if container.format.name == "avi":
        is_of_decoding = stream.codec_context.has_b_frames and bool((np.diff(index.pts) >= 0).all())
        return index.has_stamps and not is_of_decoding and not index.has_placeholders
    return index.has_stamps


def _decode_joins(
    file: BinaryIO, name: str, limits: Limits, index: PacketIndex, head_is_whole: bool
) -> list[tuple[range, list[int]]]:
    """For each join a range of packets around it, and those of them whose frames are shown, in that order.

    After a join, as at the beginning, frames that others build on may be missing. Some are then not shown,
    or late.
    """
    joins = index.cuts.tolist() if head_is_whole else [0, *index.cuts.tolist()]
    shown = []
    if joins:
        with Decoding(file, name, limits, index) as decoding:
            for join in joins:
                try:
                    shown.append(_decode_join(decoding, index, join))
                except LostTrackError:
                    decoding.count_packets()
                    shown.append(_decode_join(decoding, index, join))
    return shown


def _decode_join(decoding: Decoding, index: PacketIndex, join: int) -> tuple[range, list[int]]:
    """The same of one join: from the keyframe before it until frames are shown steadily."""
    start, first = 0, 0
    if join:
        start, first = index.start_for(join - 1, earlier=1), index.start_for(join - 1)
    seen: dict[int, None] = {}  # in the order of showing
    newest = join
    first_shown = min(np.flatnonzero(index.is_shown[join:])[:1], default=0) + join
    for number, _ in decoding.frames_from(start):
        seen[number] = None
        newest = max(newest, number)
        settled = newest - MAX_DELAY
        recent = range(settled - SETTLED_PACKETS, settled)
        if index.has_placeholders:  # anywhere
            continue
        if recent.start > first_shown and all(n in seen or not index.is_shown[n] for n in recent):
            break
    else:
        settled = len(index.is_shown)
    around = range(first, settled)
    return around, [number for number in seen if number in around and index.is_shown[number]]
