"""Count the samples that each packet of compressed audio decodes to, without decoding it.

This gives the exact position of every packet of a stream by demuxing alone, several times faster than
decoding. A codec has a rule here only if its headers, the packet's size or the packet's duration in the
container give the number of samples. For other codecs, and for streams whose parameters change midway,
`audio_stream` decodes once to count.
"""

import re
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from imagebind.media.container import fraction_of

# Packet -> its samples before encoder delay and padding are cut off; None if the rule does not apply.
PacketCounter = Callable[[Any], int | None]

# A decoder depends on a few earlier packets only: MP3's bit reservoir (at most 511 bytes), the overlap of
# transforms, the prediction of Opus. A decoder that starts this many packets and seconds early gives the
# samples of a sequential decode. AAC and AC-3 are missing because they also fill bands with noise from a
# generator that continues from the first packet, so they are decoded from the beginning.
WITHOUT_MEMORY = 1, 0  # each packet decodes by itself
PREROLL = {  # codec -> packets, seconds
    **{"mp1": (32, 0), "mp2": (32, 0), "mp3": (32, 0), "vorbis": (8, 0), "opus": (8, 1)},
    **dict.fromkeys(("flac", "alac", "tta", "wavpack", "pcm"), WITHOUT_MEMORY),
}

MP3_SAMPLES = {3: 384, 2: 1152, 1: 1152}  # by the header's layer bits: layers I, II, III
MP3_LOW_RATE_SAMPLES = 576  # layer III of MPEG-2 and 2.5
AC3_SAMPLES = 1536  # six blocks of 256
OPUS_RATE = 48_000  # at which FFmpeg decodes every Opus stream
PCM_CODEC_NAME = re.compile(r"pcm_(?:[suf](\d+)(?:le|be)?(?:_planar)?|(mulaw|alaw))")
INFO_FRAME_BYTES = 4096  # searched for its mark; a tag may precede it in the packet
VORBIS_MODE_BITS = 41  # of a mode in Vorbis's setup header: block flag 1, window 16, transform 16, mapping 8
VORBIS_HEADERS = 3
CHANGED_PARAMETERS = ("new_extradata", "param_change")  # a packet's side data


def codec_family(stream: Any) -> str:
    """Return the codec's name as used here: FFmpeg's decoder name without its variant."""
    name = stream.codec_context.name.removesuffix("_fixed").removesuffix("float")
    return "pcm" if name.startswith("pcm_") else name


def packet_counter(stream: Any) -> PacketCounter | None:
    """Return the rule for an open stream's packets, to call in order from the first; None without one."""
    codec = stream.codec_context
    match codec_family(stream):
        case "mp1" | "mp2" | "mp3":
            return _mpeg_counter()
        case "aac" if codec.frame_size:
            return lambda packet: codec.frame_size
        case "ac3":
            return lambda packet: AC3_SAMPLES
        case "opus" if codec.sample_rate == OPUS_RATE:
            return lambda packet: _opus_samples(memoryview(packet))
        case "vorbis":
            return _vorbis_counter(codec.extradata or b"")
        case "pcm":
            return _pcm_counter(codec)
        case "flac" | "alac" | "tta" | "wavpack":
            return _duration_counter(stream)
    return None


def is_trimmed(packet: Any) -> bool:
    """Whether a packet states how many samples to cut off. After a seek, the first packet may lack this."""
    return packet.has_sidedata("skip_samples")


def trimming(packet: Any, skip: int) -> tuple[int, int] | None:
    """Return how many samples to cut off from this packet's start on, and at its end.

    `skip` is the number that earlier packets leave to cut off.

    None if no rule applies: the parameters change, or an edit list leaves out the whole packet. FFmpeg
    still decodes this packet, and its samples use up some of the skip.
    """
    if packet.is_discard:
        return None
    padding = 0
    for side in packet.iter_sidedata():
        if side.data_type == "skip_samples":
            skip, padding = struct.unpack_from("<II", bytes(side))
        elif side.data_type in CHANGED_PARAMETERS:
            return None
    return skip, padding


def is_info_frame(packet: Any) -> bool:
    """Whether an MP3 frame only describes later frames, as the first frame of each joined file does."""
    head = bytes(memoryview(packet)[:INFO_FRAME_BYTES])
    return b"Xing" in head or b"Info" in head or b"VBRI" in head


def codec_headers(stream: Any) -> tuple[bytes, ...]:
    """Return the headers that a decoder needs before the first packet; for Vorbis, without comments."""
    extradata = stream.codec_context.extradata or b""
    headers = _xiph_headers(extradata)
    return (extradata,) if headers is None else (headers[0], headers[2])


def planar_floats(frame: Any) -> np.ndarray:
    """Return a frame's samples, (channels, n) float32; integers are scaled to [-1, 1)."""
    values = frame.to_ndarray()  # planar (channels, n), packed (1, n · channels)
    if not frame.format.is_planar:
        values = values.reshape(-1, frame.layout.nb_channels).T
    if values.dtype.kind == "f":
        return values.astype(np.float32, copy=False)
    full_scale = 2.0 ** (8 * values.dtype.itemsize - 1)
    silence = full_scale if values.dtype.kind == "u" else 0.0
    return ((values.astype(np.float64) - silence) / full_scale).astype(np.float32)


def _duration_counter(stream: Any) -> PacketCounter | None:
    """Count by packet duration; None unless a tick of the container's clock is a whole number of samples."""
    time_base = fraction_of(stream.time_base)
    if time_base is None:
        return None
    samples_per_tick = time_base * stream.codec_context.sample_rate
    if samples_per_tick.denominator != 1:
        return None
    return lambda packet: packet.duration * samples_per_tick.numerator if packet.duration else None


def _pcm_counter(codec: Any) -> PacketCounter | None:
    form = PCM_CODEC_NAME.fullmatch(codec.name)
    if form is None or not codec.channels:  # no channels: the header is damaged
        return None
    frame_bytes = (int(form[1]) // 8 if form[1] else 1) * codec.channels
    return lambda packet: packet.size // frame_bytes if packet.size % frame_bytes == 0 else None


def _mpeg_counter() -> PacketCounter:
    """Count by frame headers; None after a change of version, layer or rate, or between mono and stereo."""
    expected: tuple[int, int, bool] | None = None
    count: int | None = None

    def samples(packet: Any) -> int | None:
        nonlocal expected, count
        if packet.size < 4:
            return None
        header = memoryview(packet)
        parameters = header[1] & 0x1E, header[2] & 0x0C, header[3] >= 0xC0  # version and layer, rate, mono
        if parameters != expected or header[0] != 0xFF:
            if expected is not None or header[0] != 0xFF or header[1] < 0xE0:
                return None
            expected = parameters
            layer, is_full_rate = header[1] >> 1 & 3, header[1] >> 3 & 3 == 3
            count = MP3_LOW_RATE_SAMPLES if layer == 1 and not is_full_rate else MP3_SAMPLES.get(layer)
        return count

    return samples


def _opus_samples(packet: memoryview) -> int | None:
    """Return frame length times number of frames, from the first two bytes. Source: RFC 6716, section 3."""
    configuration, code = packet[0] >> 3, packet[0] & 3
    if configuration < 12:
        length = (480, 960, 1920, 2880)[configuration & 3]
    elif configuration < 16:
        length = (480, 960)[configuration & 1]
    else:
        length = (120, 240, 480, 960)[configuration & 3]
    if code < 3:
        return length * (1 if code == 0 else 2)
    return length * (packet[1] & 0x3F) if len(packet) > 1 else None


def _vorbis_counter(extradata: bytes) -> PacketCounter | None:
    """Count a quarter of the sum of this block's and the previous block's size; 0 for the first packet.

    Source: Vorbis I, section 4.3.8.
    """
    headers = _xiph_headers(extradata)
    if headers is None or len(headers[0]) < 30:
        return None
    sizes = 1 << (headers[0][28] & 15), 1 << (headers[0][28] >> 4)
    long_modes = _vorbis_modes(headers[2])
    if not long_modes:
        return None
    mask = (1 << (len(long_modes) - 1).bit_length()) - 1
    before: list[int] = []

    def samples(packet: Any) -> int | None:
        mode = memoryview(packet)[0] >> 1 & mask
        if mode >= len(long_modes):
            return None
        size = sizes[long_modes[mode]]
        count = (before.pop() + size) // 4 if before else 0
        before.append(size)
        return count

    return samples


def _xiph_headers(extradata: bytes) -> list[bytes] | None:
    """Split Vorbis's three headers, which FFmpeg joins with 16-bit sizes or laced as in Matroska."""
    headers: list[bytes] = []
    if extradata[:2] == b"\0\x1e":  # the first header's size, 30
        rest = extradata
        while len(rest) >= 2 and len(headers) < VORBIS_HEADERS:
            size = int.from_bytes(rest[:2], "big")
            headers.append(rest[2 : 2 + size])
            rest = rest[2 + size :]
    elif extradata[:1] == b"\x02":
        sizes: list[int] = []
        at = 1
        while len(sizes) < VORBIS_HEADERS - 1:
            size = 0
            while at < len(extradata) and extradata[at] == 255:
                size, at = size + 255, at + 1
            if at >= len(extradata):
                return None
            sizes.append(size + extradata[at])
            at += 1
        headers = [extradata[at : at + sizes[0]], extradata[at + sizes[0] : at + sum(sizes)]]
        headers.append(extradata[at + sum(sizes) :])
    return headers if len(headers) == VORBIS_HEADERS else None


def _vorbis_modes(setup: bytes) -> list[int]:
    """Return the block flag of each mode: 0 short, 1 long.

    The modes are the last entries of the setup header, before one framing bit; 6 bits before them hold their
    number. The codebooks that precede them are long, so the header is read from its end, where every mode is
    recognised by its 32 zero bits.
    """
    bits = int.from_bytes(setup, "little")
    position = bits.bit_length() - 1  # of the framing bit
    flags: list[int] = []
    found: list[int] = []
    while position >= VORBIS_MODE_BITS + 6 and len(flags) < 64:
        position -= VORBIS_MODE_BITS
        mode = bits >> position & (1 << VORBIS_MODE_BITS) - 1
        if mode >> 1 & 0xFFFFFFFF or mode >> 33 > 63:
            break
        flags.insert(0, mode & 1)
        if (bits >> (position - 6) & 63) + 1 == len(flags):
            found = list(flags)
    return found
