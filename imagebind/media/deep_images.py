"""Read the stored numbers of images of more than 8 bits, which Pillow rescales or reduces to 8 bits.

Pillow stretches a PGM to the range of its pixel type, and drops the lower byte of 16-bit PNG and TIFF files
with more than one channel. Depth and thermal images need the stored numbers. "Deep" means more than 8 bits.
"""

import contextlib
import os
import re
from typing import BinaryIO

import av
import numpy as np
from PIL import Image, TiffImagePlugin

from imagebind.errors import MediaError
from imagebind.io.source import Limits

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
TIFF_SIGNATURES = (b"II*\0", b"MM\0*")
PNM_HEADER_BYTES = 4096  # including comments
PNM_NUMBER_BYTES = 12  # most bytes per number in a plain-text PGM or PPM, separators included
PNM_GAP = rb"(?:\s|#[^\r\n]*[\r\n])+"  # between the numbers of a header; comments may be in it
_PNM_HEADER = re.compile(rb"P([2356])%b(\d{1,9})%b(\d{1,9})%b(\d{1,5})\s" % (PNM_GAP, PNM_GAP, PNM_GAP))
_DIGITS = re.compile(rb"[\d\s]*")
# The pixel formats of FFmpeg's PNG and TIFF decoders with 16 bits a channel.
_CHANNELS = {"gray16": 1, "ya16": 2, "rgb48": 3, "rgba64": 4}
_PLANAR = {"gbrp16le": "rgb48le", "gbrp16be": "rgb48be", "gbrap16le": "rgba64le", "gbrap16be": "rgba64be"}
# Refuses a PNG that is cut short; for TIFF it would also refuse intact files.
_DECODER_OPTIONS = {"png": {"err_detect": "explode"}}
# TIFF tags; EXIF also uses the last one.
_WIDTH, _HEIGHT, TIFF_BITS, _STRIPS, _STRIP_BYTES, ORIENTATION_TAG = 256, 257, 258, 273, 279, 274


def read_deep_image(file: BinaryIO, *, name: str, limits: Limits) -> np.ndarray | None:
    """Read the stored numbers of a deep image, (h, w) or (h, w, c); None for files that are left to Pillow.

    It reads PGM and PPM with a highest value above 255, and 16-bit PNG and TIFF with several channels.

    Raises:
        MediaError: the file is damaged, cut short, or beyond `limits`.
    """
    file.seek(0)
    head = file.read(PNM_HEADER_BYTES)
    if header := _PNM_HEADER.match(head):
        return _read_pnm(file, header, name=name, limits=limits) if 255 < int(header[4]) < 2**16 else None
    if head.startswith(PNG_SIGNATURE):
        return _read_png(file, head, name=name, limits=limits)
    if head.startswith(TIFF_SIGNATURES):
        return _read_tiff(file, head, name=name, limits=limits)
    return None


def decode_deep(data: bytes, codec: str, *, name: str, limits: Limits) -> np.ndarray:
    """Decode one PNG or TIFF of 16 bits a channel with FFmpeg: (h, w, c) uint16.

    Raises:
        MediaError: damaged, of another pixel format, or beyond `limits`.
    """
    try:
        decoder = av.CodecContext.create(codec, "r")
        decoder.options = {"max_pixels": str(limits.max_pixels), **_DECODER_OPTIONS.get(codec, {})}
        frames = decoder.decode(av.Packet(data)) or decoder.decode(None)  # type: ignore[attr-defined]
        frame = frames[0]
        if frame.format.name in _PLANAR:  # a TIFF whose channels are stored one after another
            frame = frame.reformat(format=_PLANAR[frame.format.name], threads=1)
        channels = _CHANNELS[frame.format.name[:-2]]
        dtype = np.dtype(">u2" if frame.format.name.endswith("be") else "<u2")
        plane = frame.planes[0]
        rows = np.frombuffer(plane, dtype).reshape(-1, plane.line_size // 2)[: frame.height]
        return (
            rows[:, : frame.width * channels].reshape(frame.height, frame.width, channels).astype(np.uint16)
        )
    except Exception as error:  # damaged data raises many types
        got = f"a 16-bit {codec.upper()} that cannot be decoded ({error})"
        raise MediaError(name, got=got, expected="an undamaged image") from error


def upright(values: np.ndarray, orientation: int) -> np.ndarray:
    """Rotate or mirror (h, w, ...) by an EXIF orientation of 1 to 8; other numbers change nothing."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    return values[:, ::-1] if orientation in (2, 3, 6, 7) else values


def _read_pnm(file: BinaryIO, header: re.Match[bytes], *, name: str, limits: Limits) -> np.ndarray:
    form, width, height, _ = (int(part) for part in header.groups())
    channels = 3 if form in (3, 6) else 1
    check_pixels(width, height, name, limits)
    count = width * height * channels
    file.seek(header.end())
    if form in (5, 6):
        data = file.read(2 * count)
        values: np.ndarray = np.frombuffer(data[: len(data) // 2 * 2], ">u2").astype(np.uint16)
    else:
        text = re.sub(rb"#[^\r\n]*", b"", file.read(PNM_NUMBER_BYTES * count + PNM_HEADER_BYTES))
        digits = _DIGITS.match(text)
        assert digits is not None
        values = np.fromstring(digits[0].strip().decode(), np.int64, sep=" ")[:count]
        if values.max(initial=0) > 0xFFFF:
            raise MediaError(name, got=f"{values.max()}", expected="numbers of at most 65535")
        values = values.astype(np.uint16)
    if len(values) < count:
        raise MediaError(
            name, got=f"{len(values):,}", expected=f"{count:,} numbers for {width} x {height} pixels"
        )
    return values.reshape((height, width, channels) if channels > 1 else (height, width))


def _read_png(file: BinaryIO, head: bytes, *, name: str, limits: Limits) -> np.ndarray | None:
    width, height = (int.from_bytes(head[at : at + 4], "big") for at in (16, 20))
    bits, colour_type = head[24:25], head[25:26]
    if bits != b"\x10" or colour_type not in (b"\2", b"\4", b"\6"):  # RGB, grayscale with alpha, RGBA
        return None
    check_pixels(width, height, name, limits)
    data = _read_all(file, width * height)
    orientation = 1
    with contextlib.suppress(Exception), Image.open(file, formats=["PNG"]) as image:
        orientation = image.getexif().get(ORIENTATION_TAG, 1)  # an image with damaged EXIF data is still read
    return upright(decode_deep(data, "png", name=name, limits=limits), orientation)


def _read_tiff(file: BinaryIO, head: bytes, *, name: str, limits: Limits) -> np.ndarray | None:
    try:
        tags = TiffImagePlugin.ImageFileDirectory_v2(head[:8])
        file.seek(tags.next)
        tags.load(file)
        bits = tags.get(TIFF_BITS, 1)
        width, height = int(tags[_WIDTH]), int(tags[_HEIGHT])
    except Exception:  # Pillow reports the damage later
        return None
    if not (isinstance(bits, tuple) and 2 <= len(bits) <= 4 and set(bits) == {16}):
        return None
    check_pixels(width, height, name, limits)
    strips = zip(tags.get(_STRIPS, ()), tags.get(_STRIP_BYTES, ()), strict=False)
    if max((start + length for start, length in strips), default=0) > file.seek(0, os.SEEK_END):
        raise MediaError(name, got="a TIFF that is cut short", expected="an undamaged image")
    values = decode_deep(_read_all(file, width * height), "tiff", name=name, limits=limits)
    return upright(values, tags.get(ORIENTATION_TAG, 1))


def _read_all(file: BinaryIO, pixels: int) -> bytes:
    """Read the whole file, but at most 16 bytes per pixel (twice RGBA of 16 bits) plus 64 MiB of metadata."""
    file.seek(0)
    return file.read(16 * pixels + 2**26)


def check_pixels(width: int, height: int, name: str, limits: Limits) -> None:
    """Raise MediaError for an image without pixels, or with more than `limits` allow, before decoding it."""
    if not 0 < width * height <= limits.max_pixels:
        raise MediaError(
            name,
            got=f"{width} x {height} = {width * height:,} pixels",
            expected=f"1 to {limits.max_pixels:,} pixels (max_pixels)",
        )
