"""Detect a file's media type from its content; the name matters for text, tables and rare media formats.

A file that may have several media types raises an error that says how to name the type.
"""

import codecs
import contextlib
import os
import re
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from imagebind.errors import AmbiguousMediaError, MediaError, UnknownMediaError
from imagebind.io.source import DEFAULT_LIMITS, Limits, Source, name_of, open_source, reason_of
from imagebind.media.arrays import NPY_MAGIC, ZIP_MAGIC
from imagebind.media.audio_magic import has_audio_frames, is_amr, is_audio
from imagebind.media.container import open_container, video_streams
from imagebind.media.deep_images import PNM_GAP
from imagebind.media.flir import FFF_SIGNATURE
from imagebind.media.image_file import JXL_SIGNATURES, is_avif, is_deep_gray, is_heic, open_image
from imagebind.media.imu_columns import COLUMNS_HELP, COLUMNS_HINT, EXPECTED_COLUMNS
from imagebind.media.imu_parts import first_in_folder, local_path
from imagebind.media.imu_table import first_number_row, is_imu_table
from imagebind.media.imu_text import encoding_of
from imagebind.modality import MediaKind

HEAD_BYTES = 4096  # enough for every signature
TABLE_BYTES = 2**16  # of a table: metadata, its header and some rows

_IMAGE_MAGIC = (
    *(b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"qoif", b"\0\0\1\0"),
    *(b"II+\0", b"MM\0+", b"\1\xda\0\1", b"\1\xda\1\1", b"\1\xda\0\2", b"\1\xda\1\2"),  # BigTIFF, SGI
    *(b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"),  # JPEG 2000
)
_PORTABLE_MAP = re.compile(rb"P[4-6f]\s")  # PBM, PGM, PPM and gray PFM; the plain forms P1 to P3 are text
# The complete header: width, height and, except in PBM, the highest value; comments in between; one space.
_PORTABLE_HEADER = re.compile(
    rb"P(?:4|([56]))%b(\d{1,9})%b(\d{1,9})(?(1)%b(\d{1,5}))\s" % (PNM_GAP, PNM_GAP, PNM_GAP)
)
_CONTAINER_MAGIC = (
    *(b"OggS", b"\x1aE\xdf\xa3", b"FLV", b"\0\0\x01\xba", b"\0\0\x01\xb3", b"0&\xb2u", b"DKIF"),
    b".RMF",  # RealMedia
    *(b"nut/multimedia container\0", b"\x06\x0e+4\x02\x05\x01\x01\r\x01\x02\x01\x01\x02"),  # NUT, MXF
)
_RAW_VIDEO = re.compile(rb"YUV4MPEG2(?: [A-Z][^\s]*)+\nFRAME")  # Y4M, whose dark frames may be valid text
_ZIP_NAME_LENGTH, _ZIP_NAME = 26, 30  # offsets in a zip's first entry
# UTF-32 LE's mark begins with UTF-16 LE's.
_WIDE_TEXT_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
_TEXT_SUFFIXES = (".txt", ".md")
# Formats without a signature, or whose files may begin within a stream: FFmpeg recognises them.
_MEDIA_SUFFIXES = (
    *(".aac", ".ac3", ".adx", ".amr", ".ape", ".aptx", ".aptxhd", ".at3", ".awb", ".dts", ".eac3", ".g722"),
    *(".g726", ".gsm", ".latm", ".loas", ".m2a", ".mlp", ".mp1", ".mp2", ".mp3", ".mpa", ".mpc", ".ogg"),
    *(".oma", ".opus", ".ra", ".sbc", ".shn", ".spx", ".tak", ".thd", ".truehd", ".vqf", ".wma", ".wv"),
    *(".264", ".265", ".3gp", ".asf", ".avi", ".dv", ".flv", ".h264", ".h265", ".hevc", ".m1v", ".m2t"),
    *(".m2ts", ".m2v", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".nsv"),
    *(".obu", ".rm", ".rmvb", ".tod", ".mod", ".ts", ".vob", ".webm", ".wmv"),
)
_TABLE_SUFFIXES = (".csv", ".tsv")
# Each packet of an MPEG transport stream starts with 0x47; cameras write 4 bytes of time before it (M2TS).
_MPEG_TS_STARTS = ((0, 188), (4, 196))


def detect(source: Source, *, limits: Limits = DEFAULT_LIMITS) -> MediaKind:
    """Return a file's media type.

    An animated image (GIF, WebP) is an image; only its first frame is read. A thermal camera's JPEG is also
    an image; pass `{"thermal": path}` to read its temperatures. A container with a video stream other than
    cover art is a video, else it is audio. A folder with an accelerometer's and a gyroscope's file is an IMU
    recording. Source: ours.

    Raises:
        AmbiguousMediaError: more than one media type is possible, as for a 16-bit grayscale PNG.
        CompanionMediaError: the file is read together with another one, such as a gyroscope's.
        UnknownMediaError: the content has no known media type.
        MediaError: the file cannot be read.
    """
    name, path = name_of(source), local_path(source)
    if path is not None and path.is_dir():
        first_in_folder(path)
        return MediaKind.IMU
    with open_source(source, limits=limits) as file:
        head = file.read(HEAD_BYTES)
        if _is_whole_portable_map(head, file):  # before text, as dark pixels may be valid text
            return _kind_of_image(file, name)
        if _RAW_VIDEO.match(head):
            return _kind_of_container(file, name, limits)
        if is_amr(head):
            return MediaKind.AUDIO
        text = _as_text(head)
        if text is not None:  # before signatures: "BMW" begins as a bitmap, "Get free" as an MP4
            return _kind_of_text(text + _more_text(file, head), name, path)
        if is_heic(head) or head.startswith(JXL_SIGNATURES):  # recognised without their plug-ins
            return MediaKind.IMAGE
        if _is_image(head):
            return _kind_of_image(file, name)
        if is_audio(head):
            return MediaKind.AUDIO
        if _is_container(head):
            return _kind_of_container(file, name, limits)
        if _is_imu_in_other_encoding(head + file.read(TABLE_BYTES), name, path):
            return MediaKind.IMU
        return _kind_of_others(head, file, name, limits)


def deep_gray_error(name: str, image: Image.Image) -> AmbiguousMediaError:
    """Return the error for a deep grayscale image, file or PIL image, without a stated modality."""
    bits = "float" if image.mode == "F" else "16-bit" if "16" in image.mode else "integer"
    got = f"a {bits} grayscale {image.format or 'image'}"
    return _ambiguous(name, got, MediaKind.DEPTH, MediaKind.THERMAL)


def _as_text(head: bytes) -> str | None:
    """Return the head of a file as text; None if it is not UTF-8 or contains NUL, as binary files do."""
    is_whole = len(head) < HEAD_BYTES  # else its last character may be cut
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head, final=is_whole)
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _is_image(head: bytes) -> bool:
    webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    return head.startswith(_IMAGE_MAGIC) or webp or is_avif(head) or _PORTABLE_MAP.match(head) is not None


def _is_whole_portable_map(head: bytes, file: BinaryIO) -> bool:
    """Whether a file is a binary PBM, PGM or PPM with all its pixels; text with the same start is shorter."""
    header = _PORTABLE_HEADER.match(head)
    if header is None:
        return False
    form, width, height, highest = (None if part is None else int(part) for part in header.groups())
    assert width is not None and height is not None
    if highest is None:
        row_bytes = (width + 7) // 8
    else:
        row_bytes = width * (1 if form == 5 else 3) * (1 if highest < 256 else 2)
    return 0 < row_bytes * height <= file.seek(0, os.SEEK_END) - header.end()


def _is_container(head: bytes) -> bool:
    iso = head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide")
    avi = head[:4] == b"RIFF" and head[8:12] == b"AVI "
    stream = any(all(head[at : at + 1] == b"G" for at in starts) for starts in _MPEG_TS_STARTS)
    return iso or avi or stream or head.startswith(_CONTAINER_MAGIC)


def _kind_of_image(file: BinaryIO, name: str) -> MediaKind:
    try:
        with open_image(file, name=name) as image:
            if not is_deep_gray(image):
                return MediaKind.IMAGE
            raise deep_gray_error(name, image)
    except AmbiguousMediaError:
        raise
    except Exception as error:  # Pillow's readers raise many types: SyntaxError, KeyError...
        reason = "not a known format" if isinstance(error, UnidentifiedImageError) else error
        raise MediaError(
            name, got=f"one that cannot be read ({reason})", expected="an undamaged image"
        ) from error


def _kind_of_container(file: BinaryIO, name: str, limits: Limits, *, is_certain: bool = True) -> MediaKind:
    """Return video or audio, by the container's streams.

    `is_certain`: the file is known to be a container. Otherwise only streams with known parameters count.
    """
    try:
        with open_container(file, limits) as container:
            videos = [s for s in video_streams(container) if is_certain or s.codec_context.width]
            audios = [s for s in container.streams.audio if is_certain or s.codec_context.sample_rate]
    except Exception as error:  # damaged data raises many types
        got = f"a container that cannot be opened ({reason_of(error)})"
        raise MediaError(name, got=got, expected="an undamaged video or audio file") from error
    if not videos and not audios:
        raise MediaError(name, got="a container without one", expected="a video or audio stream")
    return MediaKind.VIDEO if videos else MediaKind.AUDIO


def _more_text(file: BinaryIO, head: bytes) -> str:
    """Return the text after the head, up to `TABLE_BYTES`."""
    if len(head) < HEAD_BYTES:
        return ""
    file.seek(len(head))
    return file.read(TABLE_BYTES).decode("utf-8", errors="replace")


def _kind_of_text(text: str, name: str, path: Path | None) -> MediaKind:
    header = text.lstrip("\r\n").partition("\n")[0].rstrip("\r")
    if is_imu_table(text, name=name, path=path):
        return MediaKind.IMU
    if name.lower().endswith(_TEXT_SUFFIXES):
        if first_number_row(text) is not None:
            raise AmbiguousMediaError(
                name,
                got=f"a table of numbers ({header[:60]!r}…) may be imu or text",
                kinds=(MediaKind.TEXT, MediaKind.IMU),
                hint="pass {'text': path}, or {'imu': path} with a logger's layout= or with " + COLUMNS_HELP,
            )
        return MediaKind.TEXT
    if name.lower().endswith(_TABLE_SUFFIXES):
        is_bare = first_number_row(text) == 0
        found = f"missing (its first row is {header[:80]!r})" if is_bare else repr(header[:80])
        raise UnknownMediaError(
            name, got=f"a table whose header is {found}", expected=EXPECTED_COLUMNS, hint=COLUMNS_HINT
        )
    raise UnknownMediaError(
        name,
        got=f"text ({header[:40]!r}…) in a file whose name does not end in {' or '.join(_TEXT_SUFFIXES)}",
        expected=_kind_names(),
        hint="to read it as text, pass {'text': path} or modality='text', on the command line "
        "--modality text",
    )


def _is_imu_in_other_encoding(head: bytes, name: str, path: Path | None) -> bool:
    """Whether a file is an IMU table in UTF-16, as Excel writes it, or Latin-1, as for "m/s²"."""
    encoding = encoding_of(head)
    if encoding is None or (encoding == "utf-16" and head.startswith(codecs.BOM_UTF32_LE)):
        return False
    return is_imu_table(head.decode(encoding, errors="replace"), name=name, path=path)


def _kind_of_others(head: bytes, file: BinaryIO, name: str, limits: Limits) -> MediaKind:
    """Return the media type of FFF files and of media without a signature; refuse arrays and others."""
    if head.startswith(FFF_SIGNATURE):
        return MediaKind.THERMAL
    if head.startswith(NPY_MAGIC):
        raise _ambiguous(name, "an array file (.npy)", MediaKind.DEPTH, MediaKind.THERMAL, MediaKind.IMU)
    if head.startswith(ZIP_MAGIC):
        length = int.from_bytes(head[_ZIP_NAME_LENGTH : _ZIP_NAME_LENGTH + 2], "little")
        if head[_ZIP_NAME : _ZIP_NAME + length].endswith(b".npy"):
            raise _ambiguous(name, "an array file (.npz)", MediaKind.DEPTH, MediaKind.THERMAL)
    if head.startswith(_WIDE_TEXT_BOMS):
        raise MediaError(name, got="text in UTF-16 or UTF-32", expected="text in UTF-8")
    if b"\0" not in head and name.lower().endswith(_TEXT_SUFFIXES):
        raise MediaError(name, got="text that is not UTF-8", expected="text in UTF-8")
    if name.lower().endswith(_MEDIA_SUFFIXES):
        with contextlib.suppress(MediaError):
            return _kind_of_container(file, name, limits, is_certain=False)
    if has_audio_frames(head):
        return MediaKind.AUDIO
    raise UnknownMediaError(
        name,
        got=f"unknown content ({head[:8]!r}…)",
        expected=_kind_names(),
        hint="if its format is rare, pass its media type: {'audio': path} or modality=, on the command line "
        "--modality",
    )


def _kind_names() -> str:
    return f"one of the media types {', '.join(kind.value for kind in MediaKind)}"


def _ambiguous(name: str, got: str, *kinds: MediaKind) -> AmbiguousMediaError:
    examples = " or ".join(f"{{{kind.value!r}: path}}" for kind in kinds)
    *others, last = (kind.value for kind in kinds)
    names = f"{', '.join(others)} or {last}"
    return AmbiguousMediaError(
        name,
        got=f"{got} may be {names}",
        kinds=kinds,
        hint=f"pass {examples}, or modality=; on the command line, pass --modality",
    )
