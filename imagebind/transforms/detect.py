"""What a file is, told by its first bytes; its name decides only between kinds of plain text.

A file that could be two things is refused, with the ways to say which.
"""

from typing import BinaryIO

import av
from PIL import Image, UnidentifiedImageError

from imagebind.errors import AmbiguousMediaError, MediaError
from imagebind.modality import MediaKind
from imagebind.transforms.imu_csv import is_imu_header
from imagebind.transforms.source import DEFAULT_LIMITS, Limits, Source, name_of, open_source

HEAD_BYTES = 4096  # enough for every magic number, and for a CSV's header

_IMAGE_MAGIC = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*")
_AUDIO_MAGIC = (b"fLaC", b"ID3", b".snd")
_ARRAY_MAGIC = {b"\x93NUMPY": ".npy", b"PK\x03\x04": ".npz"}
_CONTAINER_MAGIC = (b"OggS", b"\x1aE\xdf\xa3", b"FLV", b"\0\0\x01\xba", b"\0\0\x01\xb3", b"0&\xb2u")
_TEXT_SUFFIXES = (".txt", ".md")
_MPEG_TS_PACKET = 188  # bytes; each packet starts with 0x47


def detect(source: Source, *, limits: Limits = DEFAULT_LIMITS) -> MediaKind:
    """Tell what a file is.

    A picture that moves (GIF, WebP) counts as a picture, its first frame. A container counts as a video
    where it has pictures that are not its cover, else as audio. Source: ours.

    Raises:
        AmbiguousMediaError: it could be of more than one modality, such as a 16-bit grey PNG.
        MediaError: it cannot be read, or is none of the kinds.
    """
    name = name_of(source)
    with open_source(source, limits=limits) as file:
        head = file.read(HEAD_BYTES)
        if _is_image(head):
            return _kind_of_picture(file, name)
        if _is_audio(head):
            return MediaKind.AUDIO
        if _is_container(head):
            return _kind_of_container(file, name)
        for magic, suffix in _ARRAY_MAGIC.items():
            if head.startswith(magic):
                raise _ambiguous(name, f"an array file ({suffix})", ["depth", "thermal", "imu"])
        return _kind_of_text(head, name)


def _is_image(head: bytes) -> bool:
    return head.startswith(_IMAGE_MAGIC) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def _is_audio(head: bytes) -> bool:
    mpeg_audio = len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and head[1] & 0x06 != 0
    adts = head[:1] == b"\xff" and len(head) > 1 and head[1] & 0xF6 == 0xF0
    wave = head[:4] in (b"RIFF", b"RIFX", b"RF64") and head[8:12] == b"WAVE"
    aiff = head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC")
    return head.startswith(_AUDIO_MAGIC) or mpeg_audio or adts or wave or aiff


def _is_container(head: bytes) -> bool:
    iso = head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"wide")
    avi = head[:4] == b"RIFF" and head[8:12] == b"AVI "
    transport_stream = head[:1] == b"G" and head[_MPEG_TS_PACKET : _MPEG_TS_PACKET + 1] == b"G"
    return iso or avi or transport_stream or head.startswith(_CONTAINER_MAGIC)


def _kind_of_picture(file: BinaryIO, name: str) -> MediaKind:
    file.seek(0)
    try:
        with Image.open(file) as picture:
            mode, form = picture.mode, picture.format
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise MediaError(
            name, seen=f"a picture that cannot be read ({error})", wanted="a whole picture"
        ) from error
    if mode.startswith("I") or mode == "F":
        bits = "float" if mode == "F" else "16-bit" if "16" in mode else "integer"
        raise _ambiguous(name, f"a {bits} grey {form}", ["depth", "thermal"])
    return MediaKind.IMAGE


def _kind_of_container(file: BinaryIO, name: str) -> MediaKind:
    file.seek(0)
    try:
        with av.open(file) as container:
            cover = av.stream.Disposition.attached_pic
            pictures = [stream for stream in container.streams.video if not stream.disposition & cover]
            sounds = len(container.streams.audio)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise MediaError(
            name, seen=f"a container that cannot be opened ({error})", wanted="a whole video or sound"
        ) from error
    if not pictures and not sounds:
        raise MediaError(name, seen="a container without pictures or sound", wanted="a video or a sound")
    return MediaKind.VIDEO if pictures else MediaKind.AUDIO


def _kind_of_text(head: bytes, name: str) -> MediaKind:
    try:
        text = (
            head.decode("utf-8-sig") if len(head) < HEAD_BYTES else head.decode("utf-8-sig", errors="ignore")
        )
    except UnicodeDecodeError:
        text = "\0"
    if "\0" not in text:
        if is_imu_header(text.splitlines()[0] if text.strip() else ""):
            return MediaKind.IMU
        if name.lower().endswith(_TEXT_SUFFIXES):
            return MediaKind.TEXT
        if name.lower().endswith((".csv", ".tsv")):
            raise MediaError(
                name,
                seen=f"a table whose header is {text.splitlines()[0][:80]!r}",
                wanted="columns timestamp, accl_x…z and gyro_x…z, in any order",
            )
    kinds = ", ".join(kind.value for kind in MediaKind)
    raise MediaError(name, seen=f"unknown content, {head[:8]!r}…", wanted=f"a file of one of {kinds}")


def _ambiguous(name: str, seen: str, kinds: list[str]) -> AmbiguousMediaError:
    ways = " or ".join(f"{{{kind!r}: path}}" for kind in kinds)
    names = " or ".join(kinds)
    return AmbiguousMediaError(
        name,
        seen=f"{seen}, which could be {names}",
        wanted=f"to be told which: {ways}, or modality=; on the command line --modality",
    )
