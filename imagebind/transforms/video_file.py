"""Video files: when their frames show, and the few frames that are wanted, decoded without the others."""

import contextlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, groupby
from typing import Any, BinaryIO, NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from imagebind.errors import MediaError
from imagebind.transforms.clips import Span
from imagebind.transforms.source import DEFAULT_LIMITS, Limits, Source, name_of, open_source

FALLBACK_RATE = Fraction(25)  # for a stream that states no rate, as FFmpeg assumes
READ_BYTES = 256 * 1024  # at a time: fewer calls back into Python than FFmpeg's 32 KiB
NO_STAMP = -(2**63)  # FFmpeg's AV_NOPTS_VALUE

Stamped = tuple[int, VideoFrame]


@dataclass(frozen=True, kw_only=True)
class Clock:
    """When each frame starts, in ticks since the first, and when the last one ends."""

    ticks: Sequence[int]
    tick: Fraction  # seconds
    duration: Fraction  # seconds

    @classmethod
    def steady(cls, frames: int, rate: Fraction) -> "Clock":
        """The clock of a constant rate."""
        return cls(ticks=range(frames), tick=1 / rate, duration=frames / rate)

    def frames_in(self, span: Span, count: int) -> list[int]:
        """Indices of `count` frames spread evenly over [start, end): the first that starts in it to the last.

        At a constant rate these run from ⌈rate·start⌉ to ⌈rate·end⌉ - 1, cut at the last frame, as released.
        A span in which no frame starts gets the one on show then. Frames repeat where there are too few.
        """
        start, end = (Fraction(seconds) / self.tick for seconds in span)
        last = max(bisect_left(self.ticks, end) - 1, 0)
        first = min(bisect_left(self.ticks, start), last)
        return [first + (last - first) * i // max(count - 1, 1) for i in range(count)]


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """What a video file holds: seconds, frames a second on average, pixels as stored (before any turn)."""

    duration: float  # to the end of the last frame that is there, whatever the header claims
    frames: int
    fps: float
    width: int
    height: int
    has_audio: bool


def moving_pictures(container: Any) -> list[Any]:
    """The video streams of an open container, without a sound file's cover art."""
    cover = av.stream.Disposition.attached_pic
    return [stream for stream in container.streams.video if not stream.disposition & cover]


def probe_video(source: Source, *, limits: Limits = DEFAULT_LIMITS) -> VideoInfo:
    """Look through a video file: its packets are read, its frames not decoded.

    Raises:
        MediaError: not a video, or without frames, or over a limit.
    """
    with open_video(source, limits=limits) as video:
        return video.info


@contextlib.contextmanager
def open_video(source: Source, *, limits: Limits = DEFAULT_LIMITS) -> "Iterator[VideoFile]":
    """Look through a video file and leave it open for `VideoFile.decode`.

    Of several video streams the first counts. `limits.max_seconds` doesn't apply: a long video costs no
    more memory than a short one.

    Raises:
        MediaError: not a video, or without frames, or over a limit.
    """
    name = name_of(source)
    with open_source(source, limits=limits) as file:
        with _opened(file, name, limits) as (container, stream):
            marks = [_mark(packet) for packet in _packets(container, stream)]
            if not marks:
                raise MediaError(name, seen="a video stream without frames", wanted="at least one frame")
            stated = (stream.average_rate, stream.guessed_rate)
            rate = next((rate for rate in stated if rate and rate > 0), FALLBACK_RATE)
            stamps = _stamps(marks, container, stream)
            if stamps is None:
                clock = Clock.steady(len(marks), rate)
            else:
                clock = _clock(stamps, max(marks).duration, stream.time_base or 1 / rate, rate)
            info = VideoInfo(
                duration=float(clock.duration),
                frames=len(marks),
                fps=float(rate),
                width=stream.codec_context.width,
                height=stream.codec_context.height,
                has_audio=bool(container.streams.audio),
            )
        yield VideoFile(
            name=name,
            file=file,
            limits=limits,
            info=info,
            clock=clock,
            stamps=range(len(marks)) if stamps is None else stamps,
            keys=[] if stamps is None else sorted(mark.pts for mark in marks if mark.is_key),
        )


@dataclass(frozen=True, kw_only=True)
class VideoFile:
    """A video file that has been looked through, by `open_video`."""

    name: str
    file: BinaryIO
    limits: Limits
    info: VideoInfo
    clock: Clock
    stamps: Sequence[int]  # of every frame in the order of showing; its number where the file has no others
    keys: Sequence[int]  # stamps of the frames at which decoding can start; none where frames are counted

    def decode(self, indices: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (index, frame (h, w, 3)) for each of the rising `indices`: uint8 RGB, turned upright.

        No more than two frames are held at once. Where a frame cannot be decoded, the one nearest to it in
        time stands in (ours, as is the turning).

        Raises:
            MediaError: no frame can be decoded.
        """
        rest = list(indices)
        with _opened(self.file, self.name, self.limits) as (container, stream):
            # One pass serves all that is wanted between two keyframes; what lies between passes is skipped.
            for _, group in groupby(rest, key=self._gop):
                wanted = list(group)
                frames = self._from_keyframe(container, stream, wanted[0])
                if frames is None:
                    break
                yield from self._pick(frames, wanted)
                rest = rest[len(wanted) :]
        if rest:  # the file cannot be sought in
            with _opened(self.file, self.name, self.limits) as (container, stream):
                yield from self._pick(_frames(container, stream), rest)

    def _gop(self, index: int) -> int:
        """Which keyframe, counted from 1, to start at for a frame. Those before the first belong to it."""
        return max(bisect_right(self.keys, self.stamps[index]), 1)

    def _from_keyframe(
        self, container: InputContainer, stream: VideoStream, index: int
    ) -> Iterator[Stamped] | None:
        """Frames from before a wanted one on; None if no seek leads there.

        A seek may land late: MPEG-TS is searched for any packet, not for keyframes. A second earlier helps.
        It may also lose count: in MPEG-PS, stamps after a seek can be ones that no frame has.
        """
        gop = self._gop(index)
        if gop == 1:  # the first pass, from the beginning
            return _frames(container, stream, numbered=not self.keys)
        second = round(1 / stream.time_base) if stream.time_base else 0
        for start in (self.keys[gop - 1], self.keys[gop - 1] - second):
            try:
                container.seek(start, stream=stream)
            except FFmpegError:
                return None
            frames = _frames(container, stream)
            first = next(frames, None)
            if first is not None and first[0] <= self.stamps[index] and first[0] in self.stamps:
                return chain([first], frames)
        return None

    def _pick(self, frames: Iterator[Stamped], indices: list[int]) -> Iterator[tuple[int, np.ndarray]]:
        nearest = _nearest(frames, [self.stamps[index] for index in indices])
        for index, frame in zip(indices, nearest, strict=True):
            if frame is None:
                raise MediaError(
                    self.name, seen="no frame can be decoded", wanted="a video that is not damaged"
                )
            yield index, _upright(frame)


class _Mark(NamedTuple):
    """What is kept of a packet."""

    pts: int  # NO_STAMP where it has none
    duration: int
    is_key: bool


def _mark(packet: Packet) -> _Mark:
    pts = NO_STAMP if packet.pts is None else packet.pts
    return _Mark(pts, packet.duration or 0, packet.is_keyframe)


def _stamps(marks: list[_Mark], container: InputContainer, stream: VideoStream) -> list[int] | None:
    """When each frame shows, in order; None if the file doesn't say. AVI says when a frame is decoded."""
    stored = [mark.pts for mark in marks]
    shown = sorted(stored)
    of_decoding = container.format.name == "avi" and stream.codec_context.has_b_frames and stored == shown
    return None if NO_STAMP in stored or of_decoding else shown


def _clock(stamps: list[int], last_duration: int, time_base: Fraction, rate: Fraction) -> Clock:
    """Times from stamps: exactly steady ones if the stamps are steady but for their rounding to ticks."""
    ticks = [stamp - stamps[0] for stamp in stamps]
    step = 1 / (time_base * rate)  # ticks a frame
    slack = 0 if step.denominator == 1 else step.denominator  # a tick
    if all(abs(t * step.denominator - i * step.numerator) <= slack for i, t in enumerate(ticks)):
        return Clock.steady(len(ticks), rate)
    return Clock(
        ticks=ticks, tick=time_base, duration=(ticks[-1] + (max(last_duration, 0) or step)) * time_base
    )


@contextlib.contextmanager
def _opened(file: BinaryIO, name: str, limits: Limits) -> Iterator[tuple[InputContainer, VideoStream]]:
    """A file's container, at its beginning, and its first video stream; FFmpeg's errors named."""
    file.seek(0)
    options = {
        "max_pixels": str(limits.max_pixels),
        "protocol_whitelist": "none",  # or a playlist could have other files read, and addresses fetched
    }
    try:
        container = av.open(file, "r", options=options, buffer_size=READ_BYTES, metadata_errors="replace")
    except Exception as error:  # of many kinds, for bad bytes
        raise MediaError(name, seen=f"not a video ({_reason(error)})", wanted="a video file") from error
    with container:
        streams = moving_pictures(container)
        if not streams:
            raise MediaError(name, seen="no video stream", wanted="a video file")
        stream = streams[0]
        codec = stream.codec_context
        if codec is None:
            raise MediaError(name, seen="an unknown video codec", wanted="one that FFmpeg decodes")
        if codec.width * codec.height > limits.max_pixels:
            raise MediaError(
                name,
                seen=f"frames of {codec.width} x {codec.height} = {codec.width * codec.height:,} pixels",
                wanted=f"at most {limits.max_pixels:,} (max_pixels)",
            )
        codec.options = {"max_pixels": str(limits.max_pixels)}  # the size may change on the way
        yield container, stream


def _packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet]:
    """The packets that hold frames to show. A file that is cut short ends where it is cut."""
    with contextlib.suppress(FFmpegError):
        for packet in container.demux(stream):
            if packet.size and not packet.is_discard:
                yield packet


def _frames(container: InputContainer, stream: VideoStream, *, numbered: bool = False) -> Iterator[Stamped]:
    """Decode from where the container stands: frames with their stamps, or else numbers, in order of showing.

    Packets that cannot be decoded are passed over, as are frames that FFmpeg calls corrupt.
    """
    number = 0
    for packet in chain(_packets(container, stream), [None]):  # None: what the decoder still holds
        try:
            decoded = stream.codec_context.decode(packet)
        except FFmpegError:
            continue
        for frame in decoded:
            stamp = number if numbered else frame.pts
            number += 1
            if stamp is not None and not frame.is_corrupt:
                yield stamp, frame


def _nearest(frames: Iterator[Stamped], wanted: Iterable[int]) -> Iterator[VideoFrame | None]:
    """For each of the rising wanted stamps the frame nearest to it, the earlier of two; None: no frames."""
    before, after = None, next(frames, None)
    for stamp in wanted:
        while after is not None and after[0] < stamp:
            before, after = after, next(frames, None)
        near = [stamped for stamped in (before, after) if stamped is not None]
        yield min(near, key=lambda stamped: abs(stamped[0] - stamp))[1] if near else None


def _upright(frame: VideoFrame) -> np.ndarray:
    """A frame as RGB (h, w, 3), turned as its display matrix says (PyAV before 13.1 doesn't tell)."""
    quarters = round(getattr(frame, "rotation", 0) / 90)  # anticlockwise
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), quarters))


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
