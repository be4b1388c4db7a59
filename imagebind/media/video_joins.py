"""Find which frames of a video are shown at its beginning, and where recordings were joined.

Reference frames may be missing there. Without them, the decoder shows some frames late or not at all.
"""

from contextlib import suppress
from typing import BinaryIO

import numpy as np
from av.error import FFmpegError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext

from imagebind.io.source import Limits
from imagebind.media.container import NO_STAMP
from imagebind.media.video_packets import (
    HEAD_FRAMES,
    PacketIndex,
    is_independent,
    is_placeholder,
)
from imagebind.media.video_stream import FalseKeyframeError, PacketMismatchError, StreamDecoder

# Read before `HeadDecoder` chooses how many frames to decode; in MPEG-4 they include the first placeholder.
FIRST_PACKETS = 4
MIN_STEP_SHARE = 0.1  # of the median step between time stamps; a smaller one means an invented stamp
MAX_DECODER_DELAY = 16  # frames that H.264 and HEVC decoders may buffer for reordering
MAX_JOINS = 20  # with more, the whole file is decoded once
SETTLED_PACKETS = 32  # successive; once all of their frames are shown, decoding has recovered from a join


class HeadDecoder:
    """Decodes the first packets as they are read, to find out which of their frames are shown."""

    def __init__(self, codec: VideoCodecContext) -> None:
        self._codec = codec
        self._first_packets: list[Packet] = []  # read before `_wanted` is chosen
        # Number of frames to decode; None until it is chosen.
        self._wanted: int | None = 0 if codec.codec.intra_only else None
        self._numbers: list[int] = []  # packet numbers of the decoded frames, in presentation order
        self._independent: set[int] = set()  # those of frames that refer to no others

    def add(self, packet: Packet, number: int) -> None:
        """Decode the next packet of the file, if more frames are needed."""
        if self._wanted is None:
            self._first_packets.append(packet)
            if len(self._first_packets) == FIRST_PACKETS:
                self._begin()
        elif len(self._numbers) < self._wanted:
            self._decode(packet, number)

    def finish(self) -> None:
        """Decode the frames that the decoder still buffers."""
        if self._wanted is None:
            self._begin()
        if len(self._numbers) < (self._wanted or 0):
            self._decode(None)

    def _begin(self) -> None:
        """Choose how many frames to decode: none if the first two are keyframes, as then no frame is missing.

        Both are decoded to verify this, because a file may mark other frames as keyframes, too.
        """
        stamps = [NO_STAMP if packet.pts is None else packet.pts for packet in self._first_packets]
        may_be_decode_times = self._codec.has_b_frames and stamps == sorted(stamps)
        has_placeholder = any(
            is_placeholder(packet, self._codec.codec.name) for packet in self._first_packets
        )
        may_start_with_two_keyframes = len(stamps) > 1 and all(p.is_keyframe for p in self._first_packets[:2])
        self._wanted = HEAD_FRAMES if may_be_decode_times or has_placeholder or NO_STAMP in stamps else 1
        for number, packet in enumerate(self._first_packets):
            if len(self._numbers) < self._wanted or (may_start_with_two_keyframes and 1 not in self._numbers):
                self._decode(packet, number)
            if may_start_with_two_keyframes and 1 in self._independent:
                self._wanted, self._numbers = 0, []
                break

    def is_in_stamp_order(self, index: PacketIndex) -> bool:
        """Whether the first frames are shown in the order of their packets' time stamps."""
        stamps = index.pts[self._numbers[:HEAD_FRAMES]]
        return bool((np.diff(stamps) >= 0).all())

    def is_whole(self, index: PacketIndex, is_ordered: bool) -> bool:
        """Whether no frame is missing at the beginning; `is_ordered`: time stamps give the frames' order."""
        if not self._wanted:
            return True
        if is_ordered:
            first = index.order[:HEAD_FRAMES]
            if NO_STAMP in index.pts[:HEAD_FRAMES]:
                return False
            steps = np.diff(index.pts[first])  # nearly 0 if a lost frame has an invented stamp
            is_even = not len(steps) or steps.min() > MIN_STEP_SHARE * np.median(steps)
            return bool(is_even) and self._numbers[:1] == first[:1].tolist()
        # Of the other half, some may be shown after all decoded frames.
        first_half = np.flatnonzero(index.is_shown[: (len(self._numbers) + 1) // 2])
        return set(first_half.tolist()) <= set(self._numbers)

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
    """Return for each join a range of packets around it, and the numbers of those whose frames are shown.

    The numbers are in presentation order. Unless `head_is_whole`, the beginning counts as a join. With more
    than `MAX_JOINS` joins, the only range is the whole file.
    """
    joins = index.joins.tolist() if head_is_whole else [0, *index.joins.tolist()]
    to_end = index.has_placeholders or len(joins) > MAX_JOINS
    if len(joins) > MAX_JOINS:
        joins = [0]
    shown: list[tuple[range, list[int]]] = []
    if joins:
        with StreamDecoder(file, name, limits, index) as decoder:
            while len(shown) < len(joins):
                try:
                    shown.append(_decode_join(decoder, index, joins[len(shown)], to_end))
                except PacketMismatchError:
                    decoder.count_packets()
                except FalseKeyframeError:
                    continue  # the index has lost this keyframe: start at an earlier one
    return shown


def _decode_join(
    decoder: StreamDecoder, index: PacketIndex, join: int, to_end: bool
) -> tuple[range, list[int]]:
    """Decode from a keyframe before one join until the decoder has recovered, or to the end of the file.

    Returns one element of `decode_joins`'s list. Its range starts at a later keyframe than decoding, if there
    is one before the join.
    """
    start, first = 0, 0
    if join:
        start, first = index.start_for(join - 1, earlier=1), index.start_for(join - 1)
    decoded: dict[int, None] = {}  # packet numbers in presentation order, as an ordered set
    newest = join
    first_shown = min(np.flatnonzero(index.is_shown[join:])[:1], default=0) + join
    for number, _ in decoder.frames_from(start):
        decoded[number] = None
        newest = max(newest, number)
        settled = newest - MAX_DECODER_DELAY
        recent = range(settled - SETTLED_PACKETS, settled)
        if to_end:
            continue
        if recent.start > first_shown and all(n in decoded or not index.is_shown[n] for n in recent):
            break
    else:
        settled = len(index.is_shown)
    around = range(first, settled)
    return around, [number for number in decoded if number in around and index.is_shown[number]]
