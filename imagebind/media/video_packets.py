"""The packets of a video stream, known without decoding them: which frames they show, and in which order."""

from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame

NO_STAMP = -(2**63)  # FFmpeg's AV_NOPTS_VALUE
HEAD_FRAMES = 10  # at the beginning: a keyframe and any that show before it
PLACEHOLDER_BYTES = 19  # at most, in MPEG-4; FFmpeg's figure
DIRAC_END_BYTES = 13  # of a packet that says that a sequence has ended
JOIN_KEYS = 2  # keyframes more to go back by for a frame after a join that has no keyframe of its own
BACKWARD_SECONDS = 0.1  # by which stamps fall where recordings were joined; FFmpeg's figures, as is the next
MAX_LOST_KEYS = 8  # keyframes whose frames do not come, beyond which the file's marks are not believed
FORWARD_SECONDS = 10  # by which they leap there, in formats that restart their clocks
RESTARTING_FORMATS = ("mpegts", "mpeg")


@dataclass(kw_only=True, eq=False)
class PacketIndex:
    """The packets of a stream in the order of the file, by their numbers from 0. Each array is (n,).

    Only `keys` may change: files mark keyframes that are none, which shows when they are decoded.
    """

    pts: np.ndarray  # NO_STAMP where the file has none
    dts: np.ndarray
    pos: np.ndarray  # byte offsets, -1 where unknown
    durations: np.ndarray
    is_shown: np.ndarray  # whether its frame is meant to be seen
    keys: np.ndarray  # numbers of the packets at which decoding can start
    cuts: np.ndarray  # numbers of the packets at which the stamps restart: recordings were joined there
    has_placeholders: bool  # whether some packets may be MPEG-4's for a frame that is not coded
    lost_keys: int = 0

    @property
    def has_stamps(self) -> bool:
        """Whether packets say when their frames show: each, but perhaps for some of the first."""
        known = self.pts != NO_STAMP
        return bool(known.any() and known[HEAD_FRAMES:].all())

    def has(self, number: int, pts: int | None) -> bool:
        """Whether packet `number` has this time stamp."""
        return number < len(self.pts) and self.pts[number] == (NO_STAMP if pts is None else pts)

    def number_of(self, packet: Packet) -> int | None:
        """Which packet this is, of those at which decoding can start; None if it is not clear."""
        pos, pts = packet.pos, packet.pts
        return self._numbers.get((-1 if pos is None else pos, NO_STAMP if pts is None else pts))

    def start_for(self, number: int, *, earlier: int = 0) -> int:
        """The packet at which to start decoding for the frame of packet `number`.

        It is the last keyframe before, and not one that the frame precedes in time: such a frame builds on
        what was before the keyframe (open GOPs). `earlier` goes back by more keyframes.
        """
        at = int(np.searchsorted(self.keys, number, side="right")) - 1
        if at < 0:
            return 0
        while at > 0 and self.pts[self.keys[at]] > self.pts[number] and not self._cut_between(at, number):
            at -= 1
        if self._cut_between(at, number):
            earlier += JOIN_KEYS
        at -= earlier
        return int(self.keys[at]) if at > 0 else 0

    def precedes(self, number: int, key: int) -> bool:
        """Whether the frame of packet `number` shows before that of a key packet, of the same recording."""
        part, of_key = self._part_of(np.array([number, key]))
        return bool(part == of_key and self.pts[number] < self.pts[key])

    def drop_key(self, key: int, *, is_false: bool) -> None:
        """Start no decoding there, nor at any other but the beginning if it `is_false`: they may be, too.

        A keyframe whose frame is lost is more likely damaged, unless there are many.
        """
        self.lost_keys += 1
        is_hopeless = is_false or self.lost_keys > MAX_LOST_KEYS
        self.keys = self.keys[:0] if is_hopeless else self.keys[self.keys != key]

    @property
    def order(self) -> np.ndarray:
        """Numbers of the packets whose frames are to be seen, in the order of showing that stamps tell."""
        numbers = np.flatnonzero(self.is_shown)
        return numbers[np.lexsort((self.pts[numbers], self._part_of(numbers)))]

    def stamps(self, order: np.ndarray, time_base: Fraction | None, *, restarts: bool) -> list[int]:
        """When the frames of `order` show. Where stamps restart, a part follows the one before at once."""
        parts = np.sort(self._part_of(order))
        order = order[np.lexsort((self.pts[order], self._part_of(order)))]
        stamps = self.pts[order]
        first = np.flatnonzero(np.diff(parts)) + 1
        gaps = stamps[first] - stamps[first - 1] - self.durations[order[first - 1]].clip(min=1)
        is_restart = stamps[first] <= stamps[first - 1]
        if restarts and time_base:
            is_restart |= gaps > int(FORWARD_SECONDS / time_base)
        shifts = np.zeros_like(stamps)
        shifts[first] = np.where(is_restart, gaps, 0)
        return (stamps - shifts.cumsum()).tolist()

    def _cut_between(self, key: int, number: int) -> bool:
        part, of_key = self._part_of(np.array([number, self.keys[key]]))
        return bool(part != of_key)

    def _part_of(self, numbers: np.ndarray) -> np.ndarray:
        return np.searchsorted(self.cuts, numbers, side="right")

    @cached_property
    def _numbers(self) -> dict[tuple[int, int], int]:
        marks = list(zip(self.pos[self.keys].tolist(), self.pts[self.keys].tolist(), strict=True))
        numbers = dict(zip(marks, self.keys.tolist(), strict=True))
        if len(numbers) < len(marks):
            counts = Counter(marks)
            return {mark: number for mark, number in numbers.items() if counts[mark] == 1}
        return numbers


class PacketLog:
    """Collects what `PacketIndex` keeps of the packets of a stream."""

    def __init__(self, codec: str) -> None:
        self._is_hidden = _HIDDEN.get(codec)
        self._codec = codec
        self._has_placeholders = False
        self._stamps = array("q")  # four for each packet
        self._is_shown, self._is_key = bytearray(), bytearray()

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
        self._is_key.append(packet.is_keyframe)
        if is_placeholder(packet, self._codec):
            self._has_placeholders = True

    def index(self, time_base: Fraction | None, *, restarts: bool) -> PacketIndex:
        """The index of all packets. `restarts`: the format is one whose clock may start anew at any time."""
        stamps = np.array(self._stamps, dtype=np.int64).reshape(-1, 4)
        pts, dts, pos, durations = np.ascontiguousarray(stamps.T)
        return PacketIndex(
            pts=pts,
            dts=dts,
            pos=pos,
            durations=durations,
            is_shown=np.array(self._is_shown, dtype=bool),
            keys=np.flatnonzero(np.array(self._is_key)),
            has_placeholders=self._has_placeholders,
            cuts=_cuts(dts, time_base, restarts=restarts),
        )


def _cuts(dts: np.ndarray, time_base: Fraction | None, *, restarts: bool) -> np.ndarray:
    """Where the stamps of decoding, which never fall in a recording, do so."""
    known = np.flatnonzero(dts != NO_STAMP)
    if time_base is None:
        return known[:0]
    steps = np.diff(dts[known]) * float(time_base)
    is_cut = steps < -BACKWARD_SECONDS
    if restarts:
        is_cut |= steps > FORWARD_SECONDS
    return known[1:][is_cut]


def is_independent(frame: VideoFrame) -> bool:
    """Whether a decoder says that a frame builds on no other. Some never say so (Cinepak, QuickTime RLE)."""
    return bool(frame.key_frame) and frame.pict_type == PictureType.I


def is_placeholder(packet: Packet, codec: str) -> bool:
    """Whether a packet may be MPEG-4's for a frame that is not coded, or that came in the packet before."""
    return codec == "mpeg4" and packet.size <= PLACEHOLDER_BYTES


def _is_hidden_vp8(packet: Packet) -> bool:
    """Whether a frame is only there for later ones to build on (RFC 6386, 9.1)."""
    return not memoryview(packet)[0] & 0x10


def _is_hidden_vp9(packet: Packet) -> bool:
    """The same of VP9: a packet is one frame, or a superframe with one to show at its end."""
    first, last = memoryview(packet)[0], memoryview(packet)[-1]
    is_superframe = last & 0xE0 == 0xC0
    has_profile_3 = first & 0x30 == 0x30  # one more bit, reserved
    shows_existing, shows = (0x04, 0x01) if has_profile_3 else (0x08, 0x02)
    return not (is_superframe or first & shows_existing or first & shows)


def _is_end_of_dirac(packet: Packet) -> bool:
    return packet.size <= DIRAC_END_BYTES


_HIDDEN: dict[str, Callable[[Packet], bool]] = {
    "vp8": _is_hidden_vp8,
    "vp9": _is_hidden_vp9,
    "dirac": _is_end_of_dirac,
}
