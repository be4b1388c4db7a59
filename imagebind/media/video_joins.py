"""Which frames a video shows where some that they build on may be missing: at its beginning and at joins."""

from contextlib import suppress
from typing import BinaryIO

import numpy as np
from av.error import FFmpegError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext

from imagebind.io.source import Limits
from imagebind.media.video_packets import (
    HEAD_FRAMES,
    NO_STAMP,
    PacketIndex,
    is_independent,
    is_placeholder,
)
from imagebind.media.video_stream import Decoding, FalseKeyError, LostTrackError

FIRST_PACKETS = (
    4  # held back to choose how many frames to decode; MPEG-4 has its first placeholder among them
)
MADE_UP_STEP = 0.1  # of a usual step
MAX_DELAY = 16  # frames that a decoder of H.264 or HEVC may hold back to reorder them
MAX_JOINS = 20  # beyond which the whole file is decoded once instead
SETTLED_PACKETS = 32  # if each of so many shows its frame, decoding has recovered from what was before


class Head:
    """Decodes the first packets as they are read, to see whether their frames are shown."""

    def __init__(self, codec: VideoCodecContext) -> None:
        self._codec = codec
        self._first: list[Packet] = []
        self._wanted: int | None = 0 if codec.codec.intra_only else None  # None: not decided yet
        self._numbers: list[int] = []
        self._independent: set[int] = set()

    def add(self, packet: Packet, number: int) -> None:
        """Decode the next packet of the file, if more frames are needed."""
        if self._wanted is None:
            self._first.append(packet)
            if len(self._first) == FIRST_PACKETS:
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
        """Decide how many frames are needed: none after two keyframes, as none is lost then.

        The second is decoded to tell: files mark frames as keyframes that are none.
        """
        stamps = [NO_STAMP if packet.pts is None else packet.pts for packet in self._first]
        may_be_of_decoding = self._codec.has_b_frames and stamps == sorted(stamps)
        has_placeholder = any(is_placeholder(packet, self._codec.codec.name) for packet in self._first)
        may_have_two = len(stamps) > 1 and all(packet.is_keyframe for packet in self._first[:2])
        self._wanted = HEAD_FRAMES if may_be_of_decoding or has_placeholder or NO_STAMP in stamps else 1
        for number, packet in enumerate(self._first):
            if len(self._numbers) < self._wanted or (may_have_two and 1 not in self._numbers):
                self._decode(packet, number)
            if may_have_two and 1 in self._independent:
                self._wanted, self._numbers = 0, []
                break

    def follows(self, index: PacketIndex) -> bool:
        """Whether the first frames are shown in the order that their packets' time stamps tell."""
        stamps = index.pts[self._numbers[:HEAD_FRAMES]]
        return bool((np.diff(stamps) >= 0).all())

    def is_whole(self, index: PacketIndex, is_ordered: bool) -> bool:
        """Whether the frames that should be shown first are."""
        if not self._wanted:
            return True
        if is_ordered:
            first = index.order[:HEAD_FRAMES]
            if NO_STAMP in index.pts[:HEAD_FRAMES]:
                return False
            steps = np.diff(index.pts[first])  # nearly 0 where stamps were made up, for frames that are lost
            is_even = not len(steps) or steps.min() > MADE_UP_STEP * np.median(steps)
            return bool(is_even) and self._numbers[:1] == first[:1].tolist()
        first = np.flatnonzero(index.is_shown[: (len(self._numbers) + 1) // 2])
        return set(first.tolist()) <= set(self._numbers)

    def _decode(self, packet: Packet | None, number: int = 0) -> None:
        if packet is not None:
            packet.pts = number
        with suppress(FFmpegError):
            for frame in self._codec.decode(packet):
                if frame.pts is not None:
                    self._numbers.append(frame.pts)
                    if is_independent(frame):
                        self._independent.add(frame.pts)


def decode_joins(
    file: BinaryIO, name: str, limits: Limits, index: PacketIndex, head_is_whole: bool
) -> list[tuple[range, list[int]]]:
    """For each join a range of packets around it, and those of them whose frames are shown, in that order.

    After a join, as at the beginning, frames that others build on may be missing. Some are then not shown,
    or late.
    """
    joins = index.cuts.tolist() if head_is_whole else [0, *index.cuts.tolist()]
    to_end = index.has_placeholders or len(joins) > MAX_JOINS
    if len(joins) > MAX_JOINS:
        joins = [0]
    shown: list[tuple[range, list[int]]] = []
    if joins:
        with Decoding(file, name, limits, index) as decoding:
            while len(shown) < len(joins):
                try:
                    shown.append(_decode_join(decoding, index, joins[len(shown)], to_end))
                except LostTrackError:
                    decoding.count_packets()
                except FalseKeyError:
                    continue  # from an earlier one
    return shown


def _decode_join(decoding: Decoding, index: PacketIndex, join: int, to_end: bool) -> tuple[range, list[int]]:
    """The same of one join: from the keyframe before it until frames are shown steadily, or to the end."""
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
        if to_end:
            continue
        if recent.start > first_shown and all(n in seen or not index.is_shown[n] for n in recent):
            break
    else:
        settled = len(index.is_shown)
    around = range(first, settled)
    return around, [number for number in seen if number in around and index.is_shown[number]]
