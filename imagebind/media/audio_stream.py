"""One audio stream of a file, decoded by FFmpeg: any stretch equals that part of a sequential decode.

The file is demuxed once to learn how many samples each packet decodes to (`audio_packets`). A stretch is
then decoded from its packets, starting early enough for the codec's memory. If packets do not state their
samples, or `PREROLL` lacks the codec, the stream is decoded once to count, and again as far as needed if it
is too large to be kept.

Time 0 is the first sample that FFmpeg returns: encoder delay and padding are cut off as the container states,
edit lists are applied, and the stream's start time relative to other streams is ignored.
"""

import contextlib
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate, chain, islice
from typing import Any, BinaryIO

import av
import numpy as np
from av.error import FFmpegError

from imagebind.errors import MediaError
from imagebind.io.source import Limits, reason_of
from imagebind.media.audio_limits import MAX_FRAME_SAMPLES, check_rate, check_seconds
from imagebind.media.audio_packets import (
    PREROLL,
    WITHOUT_MEMORY,
    PacketCounter,
    codec_family,
    is_info_frame,
    is_trimmed,
    packet_counter,
    planar_floats,
    trimming,
)
from imagebind.media.container import NO_STAMP, demux, fraction_of, open_container

VERIFIED_PACKETS = 8  # decoded at the beginning to check that the codec's rule holds for this stream
MAX_STORED_BYTES = 2**22  # of packets kept in memory: four minutes of MP3 at 128 kbit/s
SEEK_PACKETS = 1_024  # a jump over fewer packets reads them instead of seeking
MAX_KEPT_BYTES = 2**28  # of a stream decoded to count its samples: 12 minutes of stereo at 48 kHz
STREAMED_BYTES = 0x7FFF0000  # a header written before the length was known states this much or more
EXPECTED_AUDIO = "an audio file (WAV, FLAC, OGG, MP3, M4A...) or a video with audio"

# Containers whose header states the exact number of samples. Others estimate or round it.
EXACT_LENGTH_FORMATS = frozenset(("wav", "w64", "aiff", "caf", "flac", "tta", "wv", "ape"))


class AudioStream:
    """The first audio stream of an open file. Not thread-safe.

    Attributes:
        rate: samples per second of the first frame; later parts with another rate are resampled to it.
        channels, layout: of the first frame; later parts are mixed to them, as FFmpeg does.
        samples: number of samples per channel in the whole stream.
        keeps_time: whether undecodable parts become silence; else they are left out, as FFmpeg does.
    """

    rate: int
    channels: int
    layout: Any
    samples: int
    keeps_time: bool
    _held: np.ndarray  # decoded samples from `_held_first` up to `_position`
    _held_first: int
    _position: int
    _converter_input: tuple[int, int, str]

    def __init__(self, file: BinaryIO, name: str, limits: Limits, *, is_indexed: bool = True) -> None:
        """Open the stream. Without an index it can only be read once, with `parts`.

        Raises:
            MediaError: no audio stream, nothing decodable, a refused rate, or longer than `limits` allow.
        """
        self.name = name
        self._file = file
        self._limits = limits
        self._resources = contextlib.ExitStack()
        self._lost: dict[int, int] = {}  # first sample -> samples that could not be decoded there
        self._is_cut = False
        self._kept: np.ndarray | None = None  # the whole stream, if it was decoded to count and fits
        try:
            self._open()
            self.rate = self._codec.sample_rate
            if is_indexed:
                self._index()
        except MediaError:
            self.close()
            raise
        except (FFmpegError, ValueError, RuntimeError, OSError, MemoryError) as error:
            self.close()
            raise MediaError(
                name, got=f"no audio that can be decoded ({reason_of(error)})", expected=EXPECTED_AUDIO
            ) from error

    def close(self) -> None:
        """Close the FFmpeg container; the file stays open."""
        self._resources.close()

    def read(self, first: int, last: int) -> np.ndarray:
        """Return samples first to last - 1, (channels, last - first) float32. For losses see `keeps_time`."""
        if self._kept is not None:
            return self._kept[:, first:last]
        try:
            return self._read(first, last)
        except (FFmpegError, ValueError, RuntimeError, OSError, MemoryError) as error:
            got = f"no audio that can be read again ({reason_of(error)})"
            raise MediaError(self.name, got=got, expected=EXPECTED_AUDIO) from error

    def _read(self, first: int, last: int) -> np.ndarray:
        if not self._held_first <= first <= self._position:
            self._go_to(first)
        parts = [self._held]
        while self._position < last:
            part = self._next_part()
            if part is None:
                break
            parts.append(part)
            self._position += part.shape[1]
        held = np.concatenate(parts, axis=1)[:, first - self._held_first :]
        self._held, self._held_first = held, first
        missing = last - first - held.shape[1]
        if missing > 0:
            self._lost[last - missing] = missing
            held = np.pad(held, ((0, 0), (0, missing)))
        return held[:, : last - first]

    def lost(self, first: int, last: int) -> int:
        """Return how many samples could not be decoded among, or just before, samples first to last - 1."""
        last += last == self.samples  # losses after the last sample count with it
        return sum(count for start, count in self._lost.items() if first <= start < last)

    @property
    def stated_samples(self) -> int | None:
        """The samples that the header states, if it is exact or the file is cut short; else None."""
        stream = self._stream
        is_exact = self._format in EXACT_LENGTH_FORMATS or self._is_cut
        time_base = fraction_of(stream.time_base)
        if not is_exact or not stream.duration or time_base is None:
            return None
        seconds = stream.duration * time_base
        if self._format == "wav" and seconds * (stream.codec_context.bit_rate or 0) >= 8 * STREAMED_BYTES:
            return None
        packet_samples = stream.codec_context.frame_size if self._format == "caf" else 0
        return int(seconds * self.rate) - packet_samples  # CAF counts the last packet as if it were full

    def _open(self) -> None:
        """Open the file at its beginning; close it before if it is open."""
        self._resources.close()
        container = self._resources.enter_context(open_container(self._file, self._limits))
        if not container.streams.audio:
            raise MediaError(self.name, got="no audio stream", expected=EXPECTED_AUDIO)
        stream = container.streams.audio[0]
        if stream.codec_context is None:
            raise MediaError(self.name, got="an audio codec unknown to FFmpeg", expected=EXPECTED_AUDIO)
        for other in container.streams:
            if other is not stream:
                _discard(other)
        self._container, self._stream, self._codec = container, stream, stream.codec_context
        self._codec.options = {"max_samples": str(MAX_FRAME_SAMPLES)}
        self._codec.open(strict=False)  # at once: after a failure PyAV 19 no longer knows the codec
        self._format = container.format.name
        self._packets = self._demux()
        self._next_number = self._skip = 0  # skip: samples of encoder delay still to be cut off
        self._converter: Any = None

    def _demux(self) -> Iterator[Any]:
        """Yield packets from the container's position to the end, or to where the file is cut short."""
        try:
            yield from demux(self._container, self._stream)
        except FFmpegError:
            self._is_cut = True

    def _index(self) -> None:
        """Learn how many samples each packet decodes to; this moves to the end of the stream."""
        check_rate(self.name, self.rate)
        self.channels, self.layout = self._codec.channels, None
        self._stamps = self._sizes = array("q")  # of each packet; empty if decoding starts at the beginning
        self._is_trimmed = False  # whether the first packet is
        self._stored: list[Any] | None = None  # all packets of a short stream, kept for rereading
        counter = packet_counter(self._stream)
        self._preroll = None if counter is None else PREROLL.get(codec_family(self._stream))
        counts = None if counter is None or self._preroll is None else self._count_packets(counter)
        if counts is None:
            counter = None if self._preroll is not None else counter  # its rule has failed
            self._preroll = None
            self._open()
            counts = self._count_by_decoding(counter)
        self._counts = counts
        self.keeps_time = self._kept is None
        self._starts = array("q", accumulate(counts, initial=0))
        self.samples = self._starts[-1]
        if not self.samples:
            raise MediaError(self.name, got="an audio stream without samples", expected=EXPECTED_AUDIO)
        check_seconds(self.name, self.samples / self.rate, self._limits)
        # A position past the end makes the first read look up its own start.
        self._held, self._held_first, self._position = self._no_samples(), self.samples + 1, self.samples + 1
        self._next_number = len(counts)
        self._first_exact = 0  # number of the first packet after preroll

    def _count_packets(self, counter: PacketCounter) -> "array[int] | None":
        """Count each packet's samples by its codec's rule, less those cut off; None if the rule fails."""
        counts, sizes, stamps = array("q"), array("q"), array("q")
        stored: list[Any] | None = []
        stored_bytes = 0
        packet = None
        for packet in self._packets:
            count = self._net_samples(packet, counter)
            # Decoding cannot start among samples that are cut off, except at the very beginning.
            if count is None or (self._skip and (len(counts) >= VERIFIED_PACKETS or any(counts))):
                return None
            if len(counts) < VERIFIED_PACKETS:
                part = self._decode(packet)
                if part is not None and (part.shape[1] != count or self._converter is not None):
                    return None
            if not counts:
                self._is_trimmed = is_trimmed(packet)
            counts.append(count)
            if stored is not None:
                stored.append(packet)
                stored_bytes += packet.size
                if stored_bytes > MAX_STORED_BYTES:
                    stored = None
            sizes.append(packet.size)
            stamps.append(NO_STAMP if packet.pts is None else packet.pts)
        if len(counts) > VERIFIED_PACKETS:
            part = self._decode(packet)
            if part is None:  # cut in the middle of a packet
                counts[-1] = 0
                self._is_cut = True
            elif self._preroll == WITHOUT_MEMORY and not is_trimmed(packet):
                counts[-1] = part.shape[1]  # containers may state a full packet, or round to milliseconds
        self._sizes, self._stamps, self._stored = sizes, stamps, stored
        return counts if self.channels else None  # 0: the codec's headers are damaged

    def _net_samples(self, packet: Any, counter: PacketCounter) -> int | None:
        """Count a packet's samples, less encoder delay and padding; None if the rule does not apply."""
        count = counter(packet)
        if count is None or count > MAX_FRAME_SAMPLES:
            return None
        cut = trimming(packet, self._skip)
        if cut is None:
            return None
        skip, padding = cut
        self._skip = max(skip - count, 0)
        return max(count - skip - padding, 0)

    def _count_by_decoding(self, counter: PacketCounter | None) -> "array[int]":
        """Count each packet's samples, and those the decoder still holds at the end, by decoding.

        Decoded samples are kept up to `MAX_KEPT_BYTES`. Later packets are counted by the codec's rule, if it
        has one.
        """
        counts: array[int] = array("q")
        kept: list[np.ndarray] | None = []
        total = 0
        for part, lost in self.parts():
            if lost:
                self._lost[total] = self._lost.get(total, 0) + lost
            count = part.shape[1]
            counts.append(count)
            total += count
            check_seconds(self.name, total / self.rate, self._limits)
            if kept is not None and count:
                kept.append(part)
            if total * self.channels * part.itemsize > MAX_KEPT_BYTES:
                kept = None
                if counter is not None:
                    counts.extend(self._net_samples(packet, counter) or 0 for packet in self._packets)
                    break
        if kept:
            self._kept = np.concatenate(kept, axis=1)
        return counts

    def parts(self) -> Iterator[tuple[np.ndarray, int]]:
        """Decode from beginning to end; yield each packet's samples, (channels, n) float32, and its losses.

        The losses are the number of samples missing there because a packet is damaged.
        """
        self.channels, self.layout = 0, None  # of the first frame
        for packet in chain(self._packets, [None]):
            part, lost = self._decode(packet), 0
            if part is None:
                part = self._no_samples()
                if packet is not None and not is_info_frame(packet):
                    lost = self._packet_samples(packet)
            yield part, lost

    def _packet_samples(self, packet: Any) -> int:
        samples = int((packet.duration or 0) * (fraction_of(self._stream.time_base) or 0) * self.rate)
        return samples if samples <= MAX_FRAME_SAMPLES else 0  # 0: its header is damaged, too

    def _go_to(self, first: int) -> None:
        """Move to a packet from which decoding gives sample `first` exactly."""
        target = max(bisect_right(self._starts, first) - 1, 0)
        begin = 0
        if self._preroll is not None:
            packets, seconds = self._preroll
            begin = max(min(target - packets, bisect_right(self._starts, first - seconds * self.rate) - 1), 0)
            begin = begin if self._starts[begin] else 0  # the first packet states how much to cut off
        is_behind = first < self._held_first or self._next_number > begin
        if first >= self._position and begin <= self._next_number:
            return  # continue decoding
        if is_behind and self._stored is not None:
            self._packets, self._next_number = iter(self._stored[begin:]), begin
        elif is_behind and len(self._counts) <= SEEK_PACKETS:
            self._open()
        elif is_behind or begin - self._next_number > SEEK_PACKETS:
            self._seek(begin)
        for _ in islice(self._packets, max(begin - self._next_number, 0)):
            self._next_number += 1
        self._codec.flush_buffers()
        self._first_exact = target if begin else 0
        self._held = self._no_samples()
        self._held_first = self._position = self._starts[self._first_exact]

    def _seek(self, begin: int) -> None:
        """Move to a packet at or before `begin`: seek, or reopen if that reaches no such packet."""
        try:
            self._container.seek(self._stamps[begin], stream=self._stream)
            packets = self._demux()
            landed = next(packets, None)
        except (FFmpegError, IndexError):
            landed = None
        number = None if landed is None else self._number_of(landed)
        if number is not None and number <= begin and (number > 0 or is_trimmed(landed) == self._is_trimmed):
            self._packets, self._next_number = chain([landed], packets), number
        else:
            self._open()

    def _number_of(self, packet: Any) -> int | None:
        """Find a packet's number in the index by time and size; None if that is not certain."""
        if packet.pts is None or self._stamps.count(packet.pts) != 1:
            return None
        number = self._stamps.index(packet.pts)
        return number if self._sizes[number] == packet.size else None

    def _next_part(self) -> np.ndarray | None:
        """Return the next packet's samples as indexed, none for preroll packets; None at the end."""
        number = self._next_number
        if number >= len(self._counts):
            return None
        packet = next(self._packets, None)  # None drains the decoder
        self._next_number += 1
        if number < self._first_exact:
            with contextlib.suppress(FFmpegError):
                self._codec.decode(packet)
            return self._no_samples()
        part = self._decode(packet)
        count = self._counts[number]
        if count and (part is None or not part.shape[1]):
            self._lost[self._position] = count
        if part is None:
            part = self._no_samples()
        missing = count - part.shape[1]
        return np.pad(part, ((0, 0), (0, missing))) if missing > 0 else part[:, :count]

    def _decode(self, packet: Any) -> np.ndarray | None:
        """Decode a packet, or drain the decoder (None): (channels, n) float32; None if it is damaged."""
        try:
            frames = self._codec.decode(packet)
        except FFmpegError:
            return None
        parts = [part for frame in frames for part in self._converted(frame)]
        if packet is None and self._converter is not None:
            parts += [planar_floats(frame) for frame in self._converter.resample(None)]
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts, axis=1) if parts else self._no_samples()

    def _converted(self, frame: Any) -> list[np.ndarray]:
        """Return a frame's samples at the first frame's rate and channels."""
        if not self.layout:
            if not self.channels:  # the codec context may not have known them
                self.rate, self.channels = frame.sample_rate, frame.layout.nb_channels
                check_rate(self.name, self.rate)
            self.layout = frame.layout
        parameters = frame.sample_rate, frame.layout.nb_channels
        if parameters == (self.rate, self.channels) and self._converter is None:
            return [planar_floats(frame)]
        parts = []
        if self._converter is None or self._converter_input != (*parameters, frame.format.name):
            if self._converter is not None:
                parts += [planar_floats(part) for part in self._converter.resample(None)]
            self._converter = av.AudioResampler(format="fltp", layout=self.layout, rate=self.rate)
            self._converter_input = *parameters, frame.format.name
        frame.pts = None  # parts are consecutive, whatever their timestamps
        return parts + [planar_floats(part) for part in self._converter.resample(frame)]

    def _no_samples(self) -> np.ndarray:
        return np.empty((self.channels, 0), dtype=np.float32)


def _discard(stream: Any) -> None:
    """Let FFmpeg skip a stream's packets instead of reading them; PyAV 16 cannot."""
    if hasattr(stream, "discard"):
        stream.discard = type(stream.discard).all
