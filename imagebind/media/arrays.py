"""Files that hold measurements rather than photographs: 16-bit and float pictures, `.npy`, `.npz`.

What a file is, is told by its first bytes and never by its name. Everything is bounded by `Limits` before
memory is asked for: a header of a hundred bytes can promise terabytes.
"""

import contextlib
import math
import os
import zipfile
from fractions import Fraction
from numbers import Real
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image, ImageOps

from imagebind.errors import MediaError
from imagebind.io.source import DEFAULT_LIMITS, Limits, Source, name_of, open_source
from imagebind.media.deep_images import read_deep_image
from imagebind.media.image_file import open_image

NPY_MAGIC = b"\x93NUMPY"
ZIP_MAGIC = b"PK\x03\x04"  # an .npz is a zip of .npy files
EXPECTED = "an image, .npy or .npz"
HEAD_BYTES = 16
_CONVERTED = {  # signatures of formats that are not read -> their names, and how to convert them
    b"\x89HDF\r\n\x1a\n": ("an HDF5", "with h5py: np.save('depth.npy', h5py.File(path)['dataset'][:])"),
    b"MATLAB 5.0": ("a MATLAB", "with scipy: np.save('depth.npy', scipy.io.loadmat(path)['depth'])"),
    b"v/1\x01": ("an OpenEXR", "with OpenCV or OpenEXR, to a float TIFF or .npy"),
}


def load_values(source: Source, *, key: str, limits: Limits = DEFAULT_LIMITS) -> Image.Image | np.ndarray:
    """Read a picture as it is stored, or the array of an `.npy` or `.npz`.

    Args:
        key: which array of an `.npz` that holds several.

    Raises:
        MediaError: none of these, cut short, damaged, or larger than `limits` allow.
    """
    with open_source(source, limits=limits) as file:
        return read_values(file, name=name_of(source), key=key, limits=limits)


def read_values(file: BinaryIO, *, name: str, key: str, limits: Limits) -> Image.Image | np.ndarray:
    """Read an open file from its start, as `load_values` does."""
    file.seek(0)
    start = file.read(HEAD_BYTES)
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if start.startswith(NPY_MAGIC):
        return read_npy(file, name=name, size=size, max_pixels=limits.max_pixels)
    if start.startswith(ZIP_MAGIC):
        return _read_npz(file, name=name, key=key, max_pixels=limits.max_pixels)
    for signature, (form, way) in _CONVERTED.items():
        if start.startswith(signature):
            raise MediaError(name, got=f"{form} file", expected=f"{EXPECTED}; convert it, {way}")
    deep = read_deep_image(file, name=name, limits=limits)
    return _read_picture(file, name=name, limits=limits) if deep is None else deep


def read_npy(file: BinaryIO, *, name: str, size: int, max_pixels: int | None = None) -> np.ndarray:
    """Read real numbers from an open `.npy` of `size` bytes, its header checked before its numbers are read.

    Raises:
        MediaError: damaged, cut short, not real numbers (pickled objects above all), or too many of them.
    """
    try:
        shape, fortran, dtype = _npy_header(file)
        entries = math.prod(shape)  # Python's integers: a hostile shape cannot overflow
    except Exception as error:  # numpy's parser lets many kinds through: tokenize, struct, recursion...
        raise MediaError(name, got="a damaged .npy header", expected=EXPECTED) from error
    if dtype.kind not in "iuf":
        raise MediaError(name, got=f"an array of {dtype}", expected="an array of integers or floats")
    if max_pixels is not None and entries > max_pixels:
        raise MediaError(
            name, got=f"an array of shape {shape}", expected=f"at most {max_pixels:,} entries (max_pixels)"
        )
    held, needed = size - file.tell(), entries * dtype.itemsize
    if not 0 <= needed <= held:
        raise MediaError(name, got=f"{held:,} bytes of numbers", expected=f"{needed:,} for shape {shape}")
    try:
        values = np.frombuffer(file.read(needed), dtype)
        return values.reshape(shape, order="F" if fortran else "C")
    except Exception as error:  # from a zip: zlib, lzma, bz2, CRC and encryption errors; or negative sides
        raise MediaError(name, got=f"damaged array data ({error})", expected="a whole array") from error


def decode(picture: Image.Image, *, name: str, limits: Limits = DEFAULT_LIMITS) -> Image.Image:
    """A picture with its pixels read, turned upright as its EXIF orientation says (ours).

    Raises:
        MediaError: cut short, damaged, or more than `limits.max_pixels`.
    """
    pixels = picture.width * picture.height
    if pixels > limits.max_pixels:
        raise MediaError(
            name, got=f"{pixels:,} pixels", expected=f"at most {limits.max_pixels:,} (max_pixels)"
        )
    try:
        picture.load()
    except Exception as error:  # Pillow's decoders let many kinds through
        raise MediaError(name, got=f"a damaged picture ({error})", expected="a whole picture") from error
    with contextlib.suppress(Exception):  # a damaged note is no reason to refuse the picture
        return ImageOps.exif_transpose(picture)
    return picture


def as_numpy(values: np.ndarray | torch.Tensor) -> np.ndarray:
    """A tensor as a numpy array, off its device and graph; an array as itself."""
    if not isinstance(values, torch.Tensor):
        return values
    values = values.detach().cpu()
    return (values.float() if values.dtype == torch.bfloat16 else values).numpy()  # numpy has no bfloat16


def drop_channel(values: np.ndarray, *, name: str, expected: str) -> np.ndarray:
    """One channel of pixels to (h, w): from (h, w), (1, h, w), (h, w, 1), (1, 1, h, w) and the like.

    Whole numbers of more than 8 bits may also be gray with alpha (h, w, 2), which is dropped, or colours
    (h, w, 3) or (h, w, 4) that are equal at each pixel.

    Raises:
        MediaError: another shape, no pixels, or not real numbers.
    """
    plane = values
    while plane.ndim > 2 and plane.shape[0] == 1:
        plane = plane[0]
    while plane.ndim > 2 and plane.shape[-1] == 1:
        plane = plane[..., 0]
    if plane.ndim == 3 and plane.shape[2] in (2, 3, 4) and is_deep(plane):
        colours = plane[..., : 1 if plane.shape[2] == 2 else 3]
        if (colours == colours[..., :1]).all():
            plane = colours[..., 0]
    if plane.ndim != 2 or plane.size == 0 or plane.dtype.kind not in "iuf":
        raise MediaError(name, got=f"{values.dtype} of shape {values.shape}", expected=expected)
    return plane


def is_deep(values: np.ndarray) -> bool:
    """Whether an array holds whole numbers of more than 8 bits."""
    return values.dtype.kind in "iu" and values.dtype.itemsize > 1


def step_of(unit: object) -> float | None:
    """Return a positive finite number, also from text ("0.01", "1/256"); None for anything else."""
    step = math.nan
    if isinstance(unit, str):
        with contextlib.suppress(ValueError, ArithmeticError):  # not a number, 1/0, or out of float range
            step = float(Fraction(unit))
    elif isinstance(unit, Real) and not isinstance(unit, bool):
        step = float(unit)
    return step if 0 < step < math.inf else None


def _npy_header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    return np.lib.format.read_array_header_2_0(file)  # refuses what is not laid out as version 2


def _read_npz(file: BinaryIO, *, name: str, key: str, max_pixels: int) -> np.ndarray:
    try:
        with zipfile.ZipFile(file) as archive:
            members = [member for member in archive.namelist() if member.endswith(".npy")]
            if len(members) != 1 and f"{key}.npy" not in members:
                held = ", ".join(member.removesuffix(".npy") for member in members[:8]) or "nothing"
                raise MediaError(name, got=f"an .npz of {held}", expected=f"one array, or one named {key!r}")
            info = archive.getinfo(members[0] if len(members) == 1 else f"{key}.npy")
            with archive.open(info) as member:
                return read_npy(member, name=name, size=info.file_size, max_pixels=max_pixels)  # type: ignore[arg-type]
    except MediaError:
        raise
    except Exception as error:  # zipfile lets many kinds through: BadZipFile, RuntimeError...
        raise MediaError(name, got=f"a damaged .npz ({error})", expected="a whole .npz") from error


def _read_picture(file: BinaryIO, *, name: str, limits: Limits) -> Image.Image:
    try:
        picture = open_image(file, name=name)
    except MediaError:
        raise
    except Image.DecompressionBombError as error:  # Pillow's own bound, met before ours can be checked
        raise MediaError(
            name, got=str(error), expected=f"at most {limits.max_pixels:,} pixels (max_pixels)"
        ) from error
    except Exception as error:  # Pillow's readers let many kinds through: SyntaxError, KeyError...
        raise MediaError(name, got="no picture that can be read", expected=EXPECTED) from error
    return decode(picture, name=name, limits=limits)
