"""Read images of several channels, such as those of a multispectral camera: TIFF, else as `load_values` does.

Pillow reads no TIFF of five channels, nor of several channels of floats. The pixels of such a file are read
here if they are stored plainly or by deflate. A TIFF with one page for each channel is read, too.
"""

import math
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from PIL import Image, TiffImagePlugin

from imagebind.errors import MediaError
from imagebind.io.source import DEFAULT_LIMITS, Limits, Source, name_of, open_source
from imagebind.media.arrays import read_values
from imagebind.media.deep_images import TIFF_SIGNATURES, upright

TIFF_HEAD_BYTES = 8
# TIFF tags. Source: TIFF 6.0, and its supplement for photographs, with deflate
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _ORIENTATION, _CHANNELS = 256, 257, 258, 259, 274, 277
_STRIPS, _STRIP_ROWS, _STRIP_BYTES, _PLANAR, _PREDICTOR, _FORMAT = 273, 278, 279, 284, 317, 339
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES = 322, 323, 324, 325
_PLAIN, _DEFLATE = (1,), (8, 32946)  # compressions
_NO_PREDICTOR, _DIFFERENCES = 1, 2
_NUMBER_TYPES = {1: "u", 2: "i", 3: "f"}  # by sample format
_NUMBER_BITS = {"u": (8, 16, 32), "i": (8, 16, 32), "f": (16, 32, 64)}

Tags = TiffImagePlugin.ImageFileDirectory_v2


def load_channels(
    source: Source, *, channels: int, key: str, limits: Limits = DEFAULT_LIMITS
) -> Image.Image | np.ndarray:
    """Read an image of several channels with its stored values, or the array of an `.npy` or `.npz`.

    Args:
        channels: the expected number. Files with another number are read as `load_values` does.
        key: name of the array to read from an `.npz` of several arrays.

    Raises:
        MediaError: another format, damaged, cut short, or larger than `limits` allow.
    """
    name = name_of(source)
    with open_source(source, limits=limits) as file:
        head = file.read(TIFF_HEAD_BYTES)
        values = None
        if head.startswith(TIFF_SIGNATURES):
            values = _read_tiff(file, head, channels, name=name, limits=limits)
        return read_values(file, name=name, key=key, limits=limits) if values is None else values


def _read_tiff(file: BinaryIO, head: bytes, channels: int, *, name: str, limits: Limits) -> np.ndarray | None:
    """Return (h, w, channels), or None for another number of channels or a compression that is not read."""
    try:
        pages = [tags for tags, _ in zip(_pages(file, head), range(channels + 1), strict=False)]
        counts = [int(tags.get(_CHANNELS, 1)) for tags in pages]
        sizes = {(int(tags[_HEIGHT]), int(tags[_WIDTH])) for tags in pages}
        compressions = {int(tags.get(_COMPRESSION, 1)) for tags in pages}
    except Exception:  # Pillow reports the damage later
        return None
    if counts[0] == channels:
        pages = pages[:1]
    elif counts != [1] * channels or len(sizes) > 1:
        return None
    if not compressions <= {*_PLAIN, *_DEFLATE}:
        return None
    height, width = next(iter(sizes)) if len(pages) > 1 else (int(pages[0][_HEIGHT]), int(pages[0][_WIDTH]))
    if not 0 < height * width * channels <= limits.max_pixels:
        raise MediaError(
            name,
            got=f"{width} x {height} pixels of {channels} channels",
            expected=f"1 to {limits.max_pixels:,} numbers (max_pixels)",
        )
    try:
        read = [_read_page(file, head, tags, limits.max_pixels) for tags in pages]
    except Exception as error:  # damaged data raises many types: KeyError, ValueError, zlib.error…
        reason = f"without tag {error}" if isinstance(error, KeyError) else error
        raise MediaError(name, got=f"a damaged TIFF ({reason})", expected="an undamaged image") from error
    return upright(np.concatenate(read, axis=-1), int(pages[0].get(_ORIENTATION, 1)))


def _pages(file: BinaryIO, head: bytes) -> Iterator[Tags]:
    """Yield the tags of each page."""
    tags = Tags(head)
    while tags.next:
        file.seek(tags.next)
        page = Tags(head)
        page.load(file)
        yield page
        tags = page


def _read_page(file: BinaryIO, head: bytes, tags: Tags, max_numbers: int) -> np.ndarray:
    """Return the numbers of one page: (h, w, c). They are stored in strips or tiles.

    Raises:
        ValueError: numbers of a type that is not read, or too few of them.
    """
    height, width, channels = int(tags[_HEIGHT]), int(tags[_WIDTH]), int(tags.get(_CHANNELS, 1))
    dtype = _number_type(tags, "<" if head.startswith(b"II") else ">")
    is_planar = tags.get(_PLANAR, 1) == 2
    planes, depth = (channels, 1) if is_planar else (1, channels)
    if _TILES in tags:
        rows, columns = int(tags[_TILE_HEIGHT]), int(tags[_TILE_WIDTH])
        starts, lengths = tags[_TILES], tags[_TILE_BYTES]
    else:
        rows, columns = min(int(tags.get(_STRIP_ROWS, height)), height), width
        starts, lengths = tags[_STRIPS], tags[_STRIP_BYTES]
    grid = (planes, math.ceil(height / rows), math.ceil(width / columns))
    if not len(starts) == len(lengths) == math.prod(grid):
        raise ValueError(f"{len(starts)} parts of the image, not {math.prod(grid)}")
    if rows * columns * depth > max_numbers:  # a tile may be larger than the image
        raise ValueError(f"tiles of {columns} x {rows} pixels")
    values = np.empty((planes, height, width, depth), dtype.newbyteorder("="))
    for (plane, down, right), start, length in zip(np.ndindex(grid), starts, lengths, strict=True):
        top, left = down * rows, right * columns
        stored_rows = rows if _TILES in tags else min(rows, height - top)
        file.seek(start)
        numbers = _numbers(file.read(length), tags, dtype, count=stored_rows * columns * depth)
        part = numbers.reshape(stored_rows, columns, depth)
        if tags.get(_PREDICTOR, _NO_PREDICTOR) == _DIFFERENCES:  # of each number to the one on its left
            part = np.cumsum(part, axis=1, dtype=values.dtype)
        values[plane, top : top + rows, left : left + columns] = part[: height - top, : width - left]
    return values.transpose(1, 2, 0, 3).reshape(height, width, channels)


def _number_type(tags: Tags, order: str) -> np.dtype:
    """Return the type of the stored numbers.

    Raises:
        ValueError: it differs between channels, or is not read.
    """
    bits, formats = {*_as_tuple(tags.get(_BITS, 1))}, {*_as_tuple(tags.get(_FORMAT, 1))}
    letter = _NUMBER_TYPES.get(min(formats), "")
    is_read = len(bits) == len(formats) == 1 and min(bits) in _NUMBER_BITS.get(letter, ())
    predictor = tags.get(_PREDICTOR, _NO_PREDICTOR)
    if not is_read or predictor not in (_NO_PREDICTOR, _DIFFERENCES) or (letter == "f" and predictor != 1):
        raise ValueError(f"numbers of {sorted(bits)} bits, format {sorted(formats)}, predictor {predictor}")
    return np.dtype(f"{order}{letter}{min(bits) // 8}")


def _numbers(data: bytes, tags: Tags, dtype: np.dtype, *, count: int) -> np.ndarray:
    """Return the numbers of one part of an image.

    Raises:
        ValueError: there are fewer than `count`.
        zlib.error: damaged data.
    """
    needed = count * dtype.itemsize
    if tags.get(_COMPRESSION, 1) in _DEFLATE:
        data = zlib.decompressobj().decompress(data, needed)
    if len(data) < needed:
        raise ValueError(f"{len(data):,} of {needed:,} bytes")
    return np.frombuffer(data, dtype, count)


def _as_tuple(value: int | tuple[int, ...]) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,)
