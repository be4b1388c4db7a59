"""Open video streams: their packets, and their frames decoded from a chosen packet on."""

import contextlib
import errno
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain
from typing import Any, BinaryIO

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from imagebind.errors import MediaError
from imagebind.io.source import Limits
from imagebind.media.video_packets import PacketIndex, is_independent

READ_BYTES = 256 * 1024  # at a time: fewer calls back into Python than FFmpeg's 32 KiB
DEFAULT_TRACK_PIXELS = 5_000_000  # by which FFmpeg's command prefers a stream marked as default
FOUND_KEYS = ("h264",)  # FFmpeg finds the keyframes itself, whatever the file marks; some have a P field
LANDING_PACKETS = 500  # packets to look through for a known one after a seek


class LostTrackError(Exception):
    """After a seek, packets come that the index does not have there."""


class FalseKeyError(Exception):
    """Decoding cannot start at a packet that the file marks as a keyframe. The index no longer has it."""


def moving_pictures(container: Any) -> list[Any]:
    """The video streams of an open container, without an audio file's cover art."""
    cover = av.stream.Disposition.attached_pic
    return [stream for stream in container.streams.video if not stream.disposition & cover]


@contextlib.contextmanager
def opened_video(file: BinaryIO, name: str, limits: Limits) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a file at its beginning: the container and its main video stream.

    Raises:
        MediaError: not a video, or over a limit.
    """
    file.seek(0)
    options = {
        "max_pixels": str(limits.max_pixels),
        "protocol_whitelist": "none",  # or a playlist could have other files read, and addresses fetched
    }
    try:
        container = av.open(file, "r", options=options, buffer_size=READ_BYTES, metadata_errors="replace")
    except Exception as error:  # of many kinds, for bad bytes
        raise MediaError(name, got=f"not a video ({_reason(error)})", expected="a video file") from error
    with container:
        streams = moving_pictures(container)
        if not streams:
            raise MediaError(name, got="no video stream", expected="a video file")
        stream = max(streams, key=_preference)
        codec = stream.codec_context
        if codec is None:
            raise MediaError(name, got="an unknown video codec", expected="one that FFmpeg decodes")
        if codec.width * codec.height > limits.max_pixels:
            raise MediaError(
                name,
                got=f"frames of {codec.width} x {codec.height} = {codec.width * codec.height:,} pixels",
                expected=f"at most {limits.max_pixels:,} (max_pixels)",
            )
        codec.options = {"max_pixels": str(limits.max_pixels)}  # the size may change on the way
        yield container, stream


def packets_of(container: InputContainer, stream: VideoStream) -> Iterator[Packet]:
    """A stream's packets, from where the container stands. A file that is cut short ends where it is cut.

    Packets that an edit list has decoded but not shown are among them: later frames build on theirs.
    """
    with contextlib.suppress(IndexError), _damage_ends_it():  # PyAV's IndexError: streams were added midway
        for packet in container.demux(stream):
            if packet.size:
                yield packet


@contextlib.contextmanager
def _damage_ends_it() -> Iterator[None]:
    """Leave the block at what FFmpeg cannot read, or at a place that a damaged file names and no file has."""
    try:
        yield
    except (FFmpegError, ValueError):
        pass
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise


class Decoding:
    """A video stream that is decoded from one packet after another, chosen freely.

    A packet is known by its number in the file. The number stands in for its time stamp while it is decoded,
    so that each frame tells the packet it comes from, whatever the time stamps are. A seek is used only if
    the packets after it are those of the index; otherwise packets are counted from the beginning.
    """

    def __init__(self, file: BinaryIO, name: str, limits: Limits, index: PacketIndex) -> None:
        self._open = (file, name, limits)
        self._index = index
        self._stack = ExitStack()
        self._next = 0  # number of the packet that the container gives next
        self._can_seek = index.has_stamps
        self._reopen()

    def __enter__(self) -> "Decoding":
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @property
    def position(self) -> int:
        """Number of the packet that is decoded next."""
        return self._next

    def count_packets(self) -> None:
        """Do without seeks from here on."""
        self._can_seek = False
        self._reopen()

    def frames_from(self, start: int) -> Iterator[tuple[int, VideoFrame]]:
        """Decode from packet `start` on: (its packet's number, frame), in the order of showing.

        Packets that cannot be decoded are passed over.

        Raises:
            LostTrackError: the packets after a seek are not those of the index; nothing wrong was yielded.
            FalseKeyError: decoding cannot start there; only frames that show before were yielded.
        """
        packets = self._packets_from(start)
        codec = self._stream.codec_context
        is_checked = start == 0 or codec.codec.intra_only or codec.codec.name in FOUND_KEYS
        codec.flush_buffers()
        for packet in chain(packets, [None]):  # None: what the decoder still holds
            try:
                decoded = codec.decode(packet)
            except FFmpegError:
                continue
            for frame in decoded:
                if frame.pts is None:
                    continue
                if not is_checked and not self._index.precedes(frame.pts, start):
                    self._check_key(start, frame)
                    is_checked = True
                yield frame.pts, frame
        if not is_checked:
            self._check_key(start, None)

    def _check_key(self, start: int, first: VideoFrame | None) -> None:
        """Raise unless the first frame decoded from a key packet is its own, and builds on no other."""
        if first is None or first.pts != start:
            self._index.drop_key(start, is_false=False)
            raise FalseKeyError
        if not is_independent(first):
            self._index.drop_key(start, is_false=True)
            raise FalseKeyError

    def _reopen(self) -> None:
        self._stack.close()
        self._container, self._stream = self._stack.enter_context(opened_video(*self._open))
        self._packets = packets_of(self._container, self._stream)
        self._next = 0

    def _packets_from(self, start: int) -> Iterator[Packet]:
        """Packets from `start` on, their time stamps replaced by their numbers."""
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
                raise LostTrackError
            packet.pts = number
            yield packet
        if self._can_seek and self._next < len(self._index.pts):  # such as at the join of two files
            raise LostTrackError

    def _seek(self, start: int) -> bool:
        """Go to a packet by a seek; False if the packets cannot be told there, and the place is lost.

        A seek may land late: MPEG-TS is searched for any packet, not for keyframes. A second earlier helps.
        """
        stamp = int(self._index.pts[start])
        second = round(1 / self._stream.time_base) if self._stream.time_base else 0
        for target in (stamp, stamp - second):
            with _damage_ends_it():
                self._container.seek(target, stream=self._stream)
                self._packets = packets_of(self._container, self._stream)
                if self._land(start):
                    return True
        self._can_seek = False
        self._reopen()
        return False

    def _land(self, start: int) -> bool:
        """Read packets until the next is number `start`; False if it has passed, or no packet is known."""
        for packet, _ in zip(self._packets, range(LANDING_PACKETS), strict=False):
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
    """FFmpeg's order among the video streams of a file; of like ones, one with several frames."""
    codec = stream.codec_context
    area = codec.width * codec.height if codec is not None else 0
    is_default = bool(stream.disposition & av.stream.Disposition.default)
    return area + DEFAULT_TRACK_PIXELS * is_default, min(stream.frames, 2)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
