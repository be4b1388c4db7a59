"""Recognise audio files by their first bytes, including rare formats. Source: ours."""

import re

W64_MAGIC = b"riff.\x91\xcf\x11\xa5\xd6(\xdb\x04\xc1\0\0"
AUDIO_MAGIC = (
    W64_MAGIC,
    *(b"fLaC", b"ID3", b".snd", b"dns.", b"caff", b"wvpk", b"TTA1", b"NIST_1A", b"Creative Voice File\x1a"),
    *(b"DSD \x1c\0\0\0\0\0\0\0", b"MAC ", b"MPCK", b"MP+", b"tBaK"),  # DSF, Monkey's Audio, Musepack, TAK
    *(b"\x7f\xfe\x80\x01", b"\xfe\x7f\x01\x80", b"\x1f\xff\xe8\x00", b"\xff\x1f\x00\xe8", b"DTSHDHDR"),  # DTS
    *(b"ajkg", b"qoaf", b"TWIN97012000"),  # Shorten, QOA, VQF
    *(b"MMMD", b"ea3\x03", b".ra\xfd", b".SoX", b"XoS."),  # SMAF, Sony's ATRAC, RealAudio, SoX's own
    *(b"\x64\xa3%c\0" % machine for machine in range(1, 5)),  # IRCAM
    *(b"\0%c\xa3\x64" % machine for machine in range(1, 5)),  # IRCAM, the other byte order
)
_RIFF_MARKS = (b"RIFF", b"RIFX", b"RF64", b"BW64")
_RIFF_FORMS = (b"WAVE", b"QLCM", b"XWMA")
_IFF_FORMS = (b"AIFF", b"AIFC", b"8SVX", b"16SV")
_AMR = re.compile(rb"#!AMR(?:-WB)?(?:_MC1\.0)?\n")
_TRUEHD_SYNCS = (b"\xf8\x72\x6f\xba", b"\xf8\x72\x6f\xbb")  # TrueHD and MLP: after length and time
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
FRAMES_IN_ROW = 3  # consecutive frames, each where the header before it states; unlikely in other data

_BITRATES = {  # kbit/s by (is MPEG-1, layer); the header counts them from 1
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MPEG1_SAMPLE_RATES = (44_100, 48_000, 32_000)  # MPEG-2 has half, MPEG-2.5 a quarter


def is_amr(head: bytes) -> bool:
    """Whether a file is AMR. Its signature and its quiet frames may also be valid UTF-8."""
    return _AMR.match(head) is not None


def is_audio(head: bytes) -> bool:
    """Whether a file begins with the signature or header of an audio format."""
    wave = head[:4] in _RIFF_MARKS and head[8:12] in _RIFF_FORMS
    form = head[:4] == b"FORM" and head[8:12] in _IFF_FORMS
    dsd = head[:4] == b"FRM8" and head[12:16] == b"DSD "
    known = head.startswith(AUDIO_MAGIC) or wave or form or dsd or is_amr(head)
    framed = _is_mpeg_audio(head) or _is_dolby(head) or _is_adx(head) or _is_latm(head)
    return known or framed or head[4:8] in _TRUEHD_SYNCS


def _is_mpeg_audio(head: bytes) -> bool:
    """Whether a file begins with a valid header of MPEG audio, such as MP3, or of AAC (ADTS).

    0xFF 0xFE would be layer I with a checksum, which no encoder writes; it is also UTF-16's byte order mark.
    """
    if len(head) < 3 or head[0] != 0xFF or head.startswith(_UTF16_BOMS):
        return False
    if head[1] & 0xF6 == 0xF0:
        return True  # AAC: layer 0
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    bitrate, rate = head[2] >> 4, head[2] >> 2 & 3
    return head[1] >= 0xE0 and version != 1 and layer != 0 and bitrate != 15 and rate != 3


def _is_dolby(head: bytes) -> bool:
    """Whether a file begins with a header of AC-3 or E-AC-3: its sync word and a defined version."""
    return head[:2] == b"\x0bw" and len(head) > 5 and head[5] >> 3 <= 16


def _is_adx(head: bytes) -> bool:
    """Whether a file begins with a header of CRI ADX, which states where its copyright note ends."""
    end = int.from_bytes(head[2:4], "big") + 4
    return head[:2] == b"\x80\0" and head[end - 6 : end] == b"(c)CRI"


def _is_latm(head: bytes) -> bool:
    """Whether a file begins with AAC in LATM: up to `FRAMES_IN_ROW` frames, fewer if `head` ends."""
    at = 0
    for _ in range(FRAMES_IN_ROW):
        if head[at : at + 1] != b"\x56" or len(head) < at + 3 or head[at + 1] & 0xE0 != 0xE0:
            return False
        at += 3 + ((head[at + 1] & 0x1F) << 8 | head[at + 2])
        if at >= len(head):
            break
    return at > 3


def has_audio_frames(head: bytes) -> bool:
    """Whether frames of MPEG audio or AAC follow one another somewhere, each as long as its header states.

    They need not come first: some recorders write zeros before them, and a stream may be cut within a frame.
    Videos contain them as well.
    """
    start = head.find(b"\xff")
    while start >= 0:
        at, parameters = start, None
        for _ in range(FRAMES_IN_ROW):
            frame = _frame(head, at)
            if frame is None or parameters not in (None, frame[0]):
                break
            parameters, at = frame[0], at + frame[1]
        else:
            return True
        start = head.find(b"\xff", start + 1)
    return False


def _frame(head: bytes, at: int) -> tuple[tuple[int, ...], int] | None:
    """Return the parameters that a stream's frames share, and the frame's length in bytes.

    None if no frame begins at `at`, or if its header does not state the length.
    """
    part = head[at : at + 6]
    if len(part) < 6 or not _is_mpeg_audio(part):
        return None
    if part[1] & 0xF6 == 0xF0:  # AAC
        length = (part[3] & 3) << 11 | part[4] << 3 | part[5] >> 5
        return (part[1], part[2]), max(length, 7)  # bytes of the header
    version, layer = part[1] >> 3 & 3, 4 - (part[1] >> 1 & 3)
    bitrate, rate, padding = part[2] >> 4, _MPEG1_SAMPLE_RATES[part[2] >> 2 & 3], part[2] >> 1 & 1
    if bitrate == 0:  # free format: only the next frame's position gives the length
        return None
    is_mpeg1 = version == 3
    rate //= 1 if is_mpeg1 else 2 if version == 2 else 4
    bits = 1000 * _BITRATES[is_mpeg1, layer][bitrate - 1]
    if layer == 1:
        return (version, layer, rate), 4 * (12 * bits // rate + padding)
    samples = 1152 if is_mpeg1 or layer == 2 else 576
    return (version, layer, rate), samples // 8 * bits // rate + padding
