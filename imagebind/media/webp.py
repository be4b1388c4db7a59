"""Animated WebP, which FFmpeg cannot read: Pillow decodes the frames, the file's chunks give their times."""

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


def _readable(file: BinaryIO) -> BinaryIO:
    """Return the file; if it is cut short, its complete chunks as a file, because Pillow refuses it."""
    if not is_cut_short(file):
        return file
    end = file.seek(0, os.SEEK_END)
    complete = 12  # bytes of the header and of complete chunks
    while True:
        file.seek(complete + 4)
        size = int.from_bytes(file.read(4), "little")
        after = complete + 8 + size + size % 2
        if after > end:
            break
        complete = after
    file.seek(0)
    head, chunks = file.read(12), file.read(complete - 12)
    return io.BytesIO(head[:4] + (complete - 8).to_bytes(4, "little") + head[8:] + chunks)


def webp_clock(file: BinaryIO) -> Clock:
    """Return the times of an animated WebP's frames, without frames that are cut off."""
    end = file.seek(0, os.SEEK_END)
    at, starts = 12, [0]
    while at + 8 <= end:
        file.seek(at)
        chunk = file.read(24)
        size = int.from_bytes(chunk[4:8], "little")
        if chunk[:4] == b"ANMF" and at + 8 + size <= end:
            duration = int.from_bytes(chunk[20:23], "little")
            starts.append(starts[-1] + (duration or DEFAULT_FRAME_TICKS))
        at += 8 + size + size % 2
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
