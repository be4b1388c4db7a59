"""Index the packets of a video stream without decoding: which frames are shown, and in which order."""

from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame

from imagebind.media.container import NO_STAMP

HEAD_FRAMES = 10  # at the beginning: a keyframe and any frames that are shown before it
MAX_PLACEHOLDER_BYTES = 19  # in MPEG-4; FFmpeg's value
MAX_DIRAC_END_BYTES = 13  # of a packet that only ends a sequence
JOIN_KEYFRAMES = 2  # more to go back by, for a frame between a join and the next keyframe
# Where recordings were joined, time stamps fall by more than the first, or rise by more than the second in
# formats that restart their clocks. Source: FFmpeg.
JOIN_BACKWARD_SECONDS, JOIN_FORWARD_SECONDS = 0.1, 10
MAX_LOST_KEYFRAMES = 8  # whose frames are missing after decoding; with more, no keyframe mark is trusted


@dataclass(kw_only=True, eq=False)
class PacketIndex:
    """The packets of a stream in file order, numbered from 0. Each array but `keyframes` and `joins` is (n,).

    Only `keyframes` and `lost_keyframes` may change: decoding may show that a packet marked as a keyframe is
    not one.
    """

    pts: np.ndarray  # presentation times; NO_STAMP if the file has none
    dts: np.ndarray  # decoding times
    pos: np.ndarray  # byte offsets; -1 if unknown
    durations: np.ndarray
    is_shown: np.ndarray  # whether the frame is meant to be shown
    keyframes: np.ndarray  # numbers of the packets at which decoding can start
    joins: np.ndarray  # numbers of the packets at which the stamps restart, because recordings were joined
    has_placeholders: bool  # see `is_placeholder`
    lost_keyframes: int = 0  # calls of `drop_keyframe`

    @property
    def has_stamps(self) -> bool:
        """Whether all packets have presentation times, except perhaps some of the first."""
        known = self.pts != NO_STAMP
        return bool(known.any() and known[HEAD_FRAMES:].all())

    def has(self, number: int, pts: int | None) -> bool:
        """Whether packet `number` has this time stamp."""
        return number < len(self.pts) and self.pts[number] == (NO_STAMP if pts is None else pts)

    def number_of(self, packet: Packet) -> int | None:
        """Return a keyframe packet's number; None for other packets, and if it is not certain."""
        pos, pts = packet.pos, packet.pts
        return self._numbers.get((-1 if pos is None else pos, NO_STAMP if pts is None else pts))

    def start_for(self, number: int, *, earlier: int = 0) -> int:
        """Return the packet at which to start decoding for the frame of packet `number`.

        It is the last keyframe that neither comes nor is shown after the frame: a frame that comes after a
        keyframe and is shown before it refers to earlier frames (open GOP). `earlier` goes back by more
        keyframes.
        """
        at = int(np.searchsorted(self.keyframes, number, side="right")) - 1
        if at < 0:
            return 0
        while (
            at > 0 and self.pts[self.keyframes[at]] > self.pts[number] and not self._join_between(at, number)
        ):
            at -= 1
        if self._join_between(at, number):
            earlier += JOIN_KEYFRAMES
        at -= earlier
        return int(self.keyframes[at]) if at > 0 else 0

    def precedes(self, number: int, keyframe: int) -> bool:
        """Whether packet `number`'s frame is shown before the keyframe's, in the same joined recording."""
        part, keyframe_part = self._part_of(np.array([number, keyframe]))
        return bool(part == keyframe_part and self.pts[number] < self.pts[keyframe])

    def drop_keyframe(self, keyframe: int, *, is_false: bool) -> None:
        """Remove a keyframe; if it `is_false`, remove all, because others may be false, too.

        A keyframe whose frame is lost is more likely damaged, unless there are many.
        """
        self.lost_keyframes += 1
        drop_all = is_false or self.lost_keyframes > MAX_LOST_KEYFRAMES
        self.keyframes = self.keyframes[:0] if drop_all else self.keyframes[self.keyframes != keyframe]

    @property
    def order(self) -> np.ndarray:
        """The numbers of the packets whose frames are shown, in the order of their time stamps."""
        numbers = np.flatnonzero(self.is_shown)
        return numbers[np.lexsort((self.pts[numbers], self._part_of(numbers)))]

    def stamps(self, order: np.ndarray, time_base: Fraction | None, *, restarts: bool) -> list[int]:
        """Return the times of the frames in `order`, sorted, in ticks.

        A joined recording whose clock restarted follows the one before it without a gap.
        """
        parts = np.sort(self._part_of(order))
        order = order[np.lexsort((self.pts[order], self._part_of(order)))]
        stamps = self.pts[order]
        first = np.flatnonzero(np.diff(parts)) + 1
        gaps = stamps[first] - stamps[first - 1] - self.durations[order[first - 1]].clip(min=1)
        is_restart = stamps[first] <= stamps[first - 1]
        if restarts and time_base:
            is_restart |= gaps > int(JOIN_FORWARD_SECONDS / time_base)
        shifts = np.zeros_like(stamps)
        shifts[first] = np.where(is_restart, gaps, 0)
        return (stamps - shifts.cumsum()).tolist()

    def _join_between(self, position: int, number: int) -> bool:
        part, keyframe_part = self._part_of(np.array([number, self.keyframes[position]]))
        return bool(part != keyframe_part)

    def _part_of(self, numbers: np.ndarray) -> np.ndarray:
        return np.searchsorted(self.joins, numbers, side="right")

    @cached_property
    def _numbers(self) -> dict[tuple[int, int], int]:
        marks = list(zip(self.pos[self.keyframes].tolist(), self.pts[self.keyframes].tolist(), strict=True))
        numbers = dict(zip(marks, self.keyframes.tolist(), strict=True))
        if len(numbers) < len(marks):
            counts = Counter(marks)
            return {mark: number for mark, number in numbers.items() if counts[mark] == 1}
        return numbers


class PacketLog:
    """Collects the properties of a stream's packets for `PacketIndex`."""

    def __init__(self, codec: str) -> None:
        self._is_hidden = _HIDDEN.get(codec)
        self._codec = codec
        self._has_placeholders = False
        self._stamps = array("q")  # pts, dts, pos and duration of each packet
        self._is_shown, self._is_keyframe = bytearray(), bytearray()

    def __len__(self) -> int:
        return len(self._is_shown)

    def add(self, packet: Packet) -> None:
        """Add the next packet, before it is decoded."""
        pts, dts, pos = packet.pts, packet.dts, packet.pos
        self._stamps.extend(
            (
                NO_STAMP if pts is None else pts,
                NO_STAMP if dts is None else dts,
                -1 if pos is None else pos,
                packet.duration or 0,
            )
        )
        is_hidden = packet.is_discard or (self._is_hidden is not None and self._is_hidden(packet))
        self._is_shown.append(not is_hidden)
        self._is_keyframe.append(packet.is_keyframe)
        if is_placeholder(packet, self._codec):
            self._has_placeholders = True

    def index(self, time_base: Fraction | None, *, restarts: bool) -> PacketIndex:
        """Return the index of all packets. `restarts`: the format's clock may restart at any time."""
        stamps = np.array(self._stamps, dtype=np.int64).reshape(-1, 4)
        pts, dts, pos, durations = np.ascontiguousarray(stamps.T)
        return PacketIndex(
            pts=pts,
            dts=dts,
            pos=pos,
            durations=durations,
            is_shown=np.array(self._is_shown, dtype=bool),
            keyframes=np.flatnonzero(np.array(self._is_keyframe)),
            has_placeholders=self._has_placeholders,
            joins=_find_joins(dts, time_base, restarts=restarts),
        )


def _find_joins(dts: np.ndarray, time_base: Fraction | None, *, restarts: bool) -> np.ndarray:
    """Return the packets at which decoding times fall, or leap if the clock `restarts`: joined recordings."""
    known = np.flatnonzero(dts != NO_STAMP)
    if time_base is None:
        return known[:0]
    steps = np.diff(dts[known]) * float(time_base)
    is_join = steps < -JOIN_BACKWARD_SECONDS
    if restarts:
        is_join |= steps > JOIN_FORWARD_SECONDS
    return known[1:][is_join]


def is_independent(frame: VideoFrame) -> bool:
    """Whether the decoder marks a frame as independent of others. Cinepak's and QuickTime RLE's never do."""
    return bool(frame.key_frame) and frame.pict_type == PictureType.I


def is_placeholder(packet: Packet, codec: str) -> bool:
    """Whether a packet may be an MPEG-4 placeholder: its frame is not coded, or was in the packet before."""
    return codec == "mpeg4" and packet.size <= MAX_PLACEHOLDER_BYTES


def _is_hidden_vp8(packet: Packet) -> bool:
    """Whether a frame is not shown and only serves as a reference. Source: RFC 6386, 9.1."""
    return not memoryview(packet)[0] & 0x10


def _is_hidden_vp9(packet: Packet) -> bool:
    """Whether a packet is one frame that is not shown; a superframe ends with a shown frame."""
    first, last = memoryview(packet)[0], memoryview(packet)[-1]
    is_superframe = last & 0xE0 == 0xC0
    has_profile_3 = first & 0x30 == 0x30  # one more bit, reserved
    shows_existing, shows = (0x04, 0x01) if has_profile_3 else (0x08, 0x02)
    return not (is_superframe or first & shows_existing or first & shows)


def _is_dirac_end(packet: Packet) -> bool:
    return packet.size <= MAX_DIRAC_END_BYTES


_HIDDEN: dict[str, Callable[[Packet], bool]] = {
    "vp8": _is_hidden_vp8,
    "vp9": _is_hidden_vp9,
    "dirac": _is_dirac_end,
}
