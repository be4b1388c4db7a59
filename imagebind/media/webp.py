"""Animated WebP: Pillow decodes the frames, and the file's chunks give their times.

FFmpeg 8.1, which PyAV 18 has, cannot decode it.
"""

import io
import os
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from typing import BinaryIO

import numpy as np
from PIL import Image

from imagebind.errors import MediaError
from imagebind.io.source import Limits
from imagebind.media.video_clock import Clock

WEBP_HEADER_BYTES = 12
ANIMATION_FLAG = 0x02  # in the flags of the VP8X chunk
WEBP_TICK = Fraction(1, 1000)  # seconds
DEFAULT_FRAME_TICKS = 100  # of a frame with duration 0, as in browsers


def is_animated_webp(file: BinaryIO) -> bool:
    """Whether a file is an animated WebP."""
    file.seek(0)
    head = file.read(21)
    is_extended = len(head) == 21 and head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X"
    return is_extended and bool(head[20] & ANIMATION_FLAG)


def is_cut_short(file: BinaryIO) -> bool:
    """Whether a WebP file ends before the end that its header states."""
    file.seek(4)
    return 8 + int.from_bytes(file.read(4), "little") > file.seek(0, os.SEEK_END)


def _complete_chunks(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield the end and the first 24 bytes of each chunk that is not cut off; its padding may be."""
    end = file.seek(0, os.SEEK_END)
    start = WEBP_HEADER_BYTES
    while start + 8 <= end:
        file.seek(start)
        head = file.read(24)
        stop = start + 8 + int.from_bytes(head[4:8], "little")
        if stop > end:
            return
        yield stop, head
        start = stop + stop % 2


def _readable(file: BinaryIO) -> BinaryIO:
    """Return the file; if it is cut short, its complete chunks as a file, because Pillow refuses it."""
    if not is_cut_short(file):
        return file
    stop = max((stop for stop, _ in _complete_chunks(file)), default=WEBP_HEADER_BYTES)
    file.seek(0)
    content = file.read(stop) + bytes(stop % 2)
    return io.BytesIO(content[:4] + (len(content) - 8).to_bytes(4, "little") + content[8:])


def webp_clock(file: BinaryIO) -> Clock:
    """Return the times of an animated WebP's frames, without frames that are cut off."""
    starts = [0]
    for _, chunk in _complete_chunks(file):
        if chunk[:4] == b"ANMF":
            duration = int.from_bytes(chunk[20:23], "little")
            starts.append(starts[-1] + (duration or DEFAULT_FRAME_TICKS))
    return Clock(ticks=starts[:-1], tick=WEBP_TICK, duration=starts[-1] * WEBP_TICK)


def webp_size(file: BinaryIO, name: str, limits: Limits) -> tuple[int, int]:
    """Return width and height of an animated WebP.

    Raises:
        MediaError: the file cannot be read, or has more pixels than `limits` allow.
    """
    try:
        with Image.open(_readable(file), formats=["WEBP"]) as image:
            width, height = image.size
    except Exception as error:  # damaged data raises many types
        raise MediaError(name, got=f"a damaged WebP ({error})", expected="an undamaged animation") from error
    if width * height > limits.max_pixels:
        got = f"frames of {width} x {height} = {width * height:,} pixels"
        raise MediaError(name, got=got, expected=f"at most {limits.max_pixels:,} pixels (max_pixels)")
    return width, height


def webp_frames(file: BinaryIO) -> Iterator[tuple[int, np.ndarray]]:
    """Yield an animated WebP's composed frames, (index, (h, w, 3) uint8 RGB), up to the first damaged one."""
    with suppress(Exception), Image.open(_readable(file), formats=["WEBP"]) as image:
        for index in range(getattr(image, "n_frames", 1)):
            image.seek(index)
            yield index, np.array(image.convert("RGB"))
