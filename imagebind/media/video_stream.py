"""Open video streams, read their packets and decode their frames from any packet on."""

import contextlib
import errno
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain
from typing import BinaryIO

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from imagebind.errors import MediaError
from imagebind.io.source import Limits, reason_of
from imagebind.media.container import demux, fraction_of, open_container, video_streams
from imagebind.media.video_packets import PacketIndex, is_independent

VIDEO_BUFFER_BYTES = 256 * 1024  # fewer calls back into Python
DEFAULT_TRACK_PIXELS = 5_000_000  # added to the area of a default stream, as the ffmpeg command does
# FFmpeg recognises their keyframes itself, whatever the file marks; some keyframes have a P field.
PARSED_KEYFRAME_CODECS = ("h264",)
MAX_LANDING_PACKETS = 500  # after a seek, searched for a packet of the index


class PacketMismatchError(Exception):
    """The packets after a seek differ from those of the index."""


class FalseKeyframeError(Exception):
    """Decoding cannot start at a packet marked as a keyframe. The mark has been removed from the index."""


@contextlib.contextmanager
def opened_video(file: BinaryIO, name: str, limits: Limits) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a file at its beginning; yield the container and its main video stream.

    Raises:
        MediaError: not a video, over a limit, or with a codec that cannot be opened.
    """
    try:
        container = open_container(file, limits, buffer_bytes=VIDEO_BUFFER_BYTES)
    except Exception as error:  # damaged data raises many types
        raise MediaError(
            name, got=f"a file that cannot be opened as one ({reason_of(error)})", expected="a video file"
        ) from error
    with container:
        streams = video_streams(container)
        if not streams:
            raise MediaError(name, got="no video stream", expected="a video file")
        stream = max(streams, key=_preference)
        codec = stream.codec_context
        if codec is None:
            raise MediaError(name, got="an unknown video codec", expected="a codec that FFmpeg decodes")
        if codec.width * codec.height > limits.max_pixels:
            raise MediaError(
                name,
                got=f"frames of {codec.width} x {codec.height} = {codec.width * codec.height:,} pixels",
                expected=f"at most {limits.max_pixels:,} pixels (max_pixels)",
            )
        codec.options = {"max_pixels": str(limits.max_pixels)}  # the size may change midway
        try:
            codec.open(strict=False)  # at once: after a failure PyAV 19 no longer knows the codec
        except FFmpegError as error:
            got = f"one that cannot be decoded ({reason_of(error)})"
            raise MediaError(name, got=got, expected="an undamaged video") from error
        yield container, stream


def packets_of(container: InputContainer, stream: VideoStream) -> Iterator[Packet]:
    """Yield a stream's packets from the container's position to the end, or to where the file is cut short.

    They include packets whose frames an edit list hides, because later frames may refer to them.
    """
    with _suppress_damage():
        yield from demux(container, stream)


@contextlib.contextmanager
def _suppress_damage() -> Iterator[None]:
    """Suppress FFmpeg's errors, and those of a seek to an impossible position that a damaged file states."""
    try:
        yield
    except (FFmpegError, ValueError):
        pass
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise


class StreamDecoder:
    """Decodes a video stream from any packet on.

    A packet is identified by its number in the file. During decoding the number replaces the time stamp, so
    that each frame states its packet, whatever the time stamps are. A seek is used only if the packets after
    it match the index; otherwise packets are counted from the beginning.
    """

    def __init__(self, file: BinaryIO, name: str, limits: Limits, index: PacketIndex) -> None:
        self._open = (file, name, limits)
        self._index = index
        self._stack = ExitStack()
        self._next = 0  # number of the next packet from the container
        self._can_seek = index.has_stamps
        self._reopen()

    def __enter__(self) -> "StreamDecoder":
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @property
    def position(self) -> int:
        """The number of the packet that is decoded next."""
        return self._next

    def count_packets(self) -> None:
        """Stop seeking, and count packets from the beginning instead."""
        self._can_seek = False
        self._reopen()

    def frames_from(self, start: int) -> Iterator[tuple[int, VideoFrame]]:
        """Decode from packet `start` on; yield (packet number, frame) in presentation order.

        Packets that cannot be decoded are skipped.

        Raises:
            PacketMismatchError: the packets after a seek differ from the index; yielded frames are correct.
            FalseKeyframeError: decoding cannot start there; only frames shown before `start` were yielded.
        """
        packets = self._packets_from(start)
        codec = self._stream.codec_context
        is_checked = start == 0 or codec.codec.intra_only or codec.codec.name in PARSED_KEYFRAME_CODECS
        codec.flush_buffers()
        for packet in chain(packets, [None]):  # None drains the decoder
            try:
                decoded = codec.decode(packet)
            except FFmpegError:
                continue
            for frame in decoded:
                if frame.pts is None:
                    continue
                if not is_checked and not self._index.precedes(frame.pts, start):
                    self._check_keyframe(start, frame)
                    is_checked = True
                yield frame.pts, frame
        if not is_checked:
            self._check_keyframe(start, None)

    def _check_keyframe(self, start: int, first: VideoFrame | None) -> None:
        """Raise unless the first decoded frame is that of the keyframe's packet and independent of others."""
        if first is None or first.pts != start:
            self._index.drop_keyframe(start, is_false=False)
            raise FalseKeyframeError
        if not is_independent(first):
            self._index.drop_keyframe(start, is_false=True)
            raise FalseKeyframeError

    def _reopen(self) -> None:
        self._stack.close()
        self._container, self._stream = self._stack.enter_context(opened_video(*self._open))
        self._packets = packets_of(self._container, self._stream)
        self._next = 0

    def _packets_from(self, start: int) -> Iterator[Packet]:
        """Return the packets from `start` on, with their numbers in place of time stamps."""
        if self._next != start and not (start and self._can_seek and self._seek(start)):
            if self._next > start:
                self._reopen()
            for _ in zip(range(self._next, start), self._packets, strict=False):
                self._next += 1
        return self._numbered()

    def _numbered(self) -> Iterator[Packet]:
        for packet in self._packets:
            number = self._next
            self._next += 1
            if self._can_seek and not self._index.has(number, packet.pts):
                raise PacketMismatchError
            packet.pts = number
            yield packet
        if self._can_seek and self._next < len(self._index.pts):  # for example at the join of two files
            raise PacketMismatchError

    def _seek(self, start: int) -> bool:
        """Seek to a packet; if it is not found, reopen, seek no more and return False.

        A seek may land too late, because in MPEG-TS it finds any packet, not only keyframes. The second try
        aims one second earlier.
        """
        stamp = int(self._index.pts[start])
        time_base = fraction_of(self._stream.time_base)
        second = round(1 / time_base) if time_base else 0
        for target in (stamp, stamp - second):
            with _suppress_damage():
                self._container.seek(target, stream=self._stream)
                self._packets = packets_of(self._container, self._stream)
                if self._land(start):
                    return True
        self._can_seek = False
        self._reopen()
        return False

    def _land(self, start: int) -> bool:
        """Read packets until the next is number `start`; False if it was passed or no packet is known."""
        for packet, _ in zip(self._packets, range(MAX_LANDING_PACKETS), strict=False):
            number = self._index.number_of(packet)
            if number is None:
                continue
            if number > start:
                return False
            self._packets = chain([packet], self._packets)
            self._next = number
            for _ in zip(range(number, start), self._packets, strict=False):
                self._next += 1
            return self._next == start
        return False


def _preference(stream: VideoStream) -> tuple[int, int]:
    """Return FFmpeg's sort key of video streams; of equal ones, it prefers one with several frames."""
    codec = stream.codec_context
    area = codec.width * codec.height if codec is not None else 0
    is_default = bool(stream.disposition & av.stream.Disposition.default)
    return area + DEFAULT_TRACK_PIXELS * is_default, min(stream.frames, 2)
