"""Files of measurements for tests: encoded arrays, TIFF of any layout, and damaged copies of them."""

import io
import struct
import zlib
from itertools import product

import numpy as np
from hypothesis import strategies as st
from PIL import Image

SAMPLE_FORMATS = {"u": 1, "i": 2, "f": 3}  # of TIFF, by kinds of dtypes


def encoded(array: np.ndarray, form: str, **options: str) -> bytes:
    """Encode an array as "npy", "npz" (named depth), or an image in one of Pillow's formats."""
    file = io.BytesIO()
    if form == "npy":
        np.save(file, array)
    elif form == "npz":
        np.savez_compressed(file, depth=array)
    else:
        Image.fromarray(array).save(file, form, **options)
    return file.getvalue()


def tiff(
    image: np.ndarray,
    *,
    order: str = "<",
    planar: bool = False,
    deflate: bool = False,
    tiled: bool = False,
    predictor: int = 1,
    orientation: int = 1,
    white_is_zero: bool = False,
) -> bytes:
    """Return a TIFF of one page, (h, w, c); with 2 or 4 channels, the last one is alpha."""
    height, width, channels = image.shape
    rows, columns = (16, 16) if tiled else (8, width)
    planes = [image[..., [c]] for c in range(channels)] if planar else [image]
    parts = []
    for plane in planes:
        for top, left in product(range(0, height, rows), range(0, width, columns)):
            part = plane[top : top + rows, left : left + columns]
            if tiled:
                part = np.pad(part, [(0, rows - part.shape[0]), (0, columns - part.shape[1]), (0, 0)])
            if predictor == 2:
                part = np.diff(part, axis=1, prepend=part.dtype.type(0))
            data = part.astype(part.dtype.newbyteorder(order)).tobytes()
            parts.append(zlib.compress(data) if deflate else data)
    starts = list(np.cumsum([8, *map(len, parts)])[:-1])
    bits, form = image.dtype.itemsize * 8, SAMPLE_FORMATS[image.dtype.kind]
    photometric = 2 if channels in (3, 4) else 0 if white_is_zero else 1
    extra_channels = channels - (3 if photometric == 2 else 1)
    entries = {256: [width], 257: [height], 258: [bits] * channels, 262: [photometric], 274: [orientation]}
    entries |= {259: [8 if deflate else 1], 277: [channels], 284: [2 if planar else 1]}
    entries |= {317: [predictor], 339: [form] * channels}
    entries |= {338: [2 if channels in (2, 4) else 0] * extra_channels} if extra_channels else {}
    lengths = [len(part) for part in parts]
    entries |= {322: [columns], 323: [rows], 324: starts, 325: lengths} if tiled else {}
    entries |= {} if tiled else {273: starts, 278: [rows], 279: lengths}
    body = b"".join(parts)
    offset = 8 + len(body)
    extra = offset + 2 + 12 * len(entries) + 4
    directory, values = struct.pack(f"{order}H", len(entries)), b""
    for tag, numbers in sorted(entries.items()):
        data = struct.pack(f"{order}{len(numbers)}I", *numbers)
        at = data if len(data) == 4 else struct.pack(f"{order}I", extra + len(values))
        values += b"" if len(data) == 4 else data
        directory += struct.pack(f"{order}HHI", tag, 4, len(numbers)) + at
    magic = b"II*\0" if order == "<" else b"MM\0*"
    return magic + struct.pack(f"{order}I", offset) + body + directory + bytes(4) + values


@st.composite
def damaged(draw: st.DrawFn, files: list[bytes]) -> bytes:
    """Draw one of the files, perhaps cut short, with up to 4 bytes changed, mostly in its header."""
    whole = draw(st.sampled_from(files))
    bad = bytearray(whole[: draw(st.just(len(whole)) | st.integers(1, len(whole)))])
    last = len(bad) - 1
    for position in draw(st.lists(st.integers(0, last) | st.integers(0, min(200, last)), max_size=4)):
        bad[position] ^= draw(st.integers(1, 255))
    return bytes(bad)
