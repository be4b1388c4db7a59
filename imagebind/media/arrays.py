"""Read files of measurements, such as depth or temperatures: 16-bit and float images, `.npy` and `.npz`.

The first bytes of a file decide its format, never its name. `Limits` are checked before memory is allocated,
because a header of a hundred bytes can state a size of terabytes.
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
EXPECTED_ARRAYS = "an image, .npy or .npz"
ARRAY_SIGNATURE_BYTES = 16
_UNSUPPORTED = {  # signatures of formats that are not read -> their names, and how to convert them
    b"\x89HDF\r\n\x1a\n": ("an HDF5", "with h5py: np.save('depth.npy', h5py.File(path)['dataset'][:])"),
    b"MATLAB 5.0": ("a MATLAB", "with scipy: np.save('depth.npy', scipy.io.loadmat(path)['depth'])"),
    b"v/1\x01": ("an OpenEXR", "with OpenCV or OpenEXR, to a float TIFF or .npy"),
}


def load_values(source: Source, *, key: str, limits: Limits = DEFAULT_LIMITS) -> Image.Image | np.ndarray:
    """Read an image with its stored values, or the array of an `.npy` or `.npz`.

    Pillow stretches grayscale of 2 or 4 bits, and a PGM or PPM whose header states a highest value below 255,
    to 0…255.

    Args:
        key: name of the array to read from an `.npz` of several arrays.

    Raises:
        MediaError: cannot be opened, another format, damaged, cut short, or larger than `limits` allow; or an
            `.npz` of several arrays, none of them named `key`.
    """
    with open_source(source, limits=limits) as file:
        return read_values(file, name=name_of(source), key=key, limits=limits)


def read_values(file: BinaryIO, *, name: str, key: str, limits: Limits) -> Image.Image | np.ndarray:
    """Read an open file from its start, as `load_values` does."""
    file.seek(0)
    start = file.read(ARRAY_SIGNATURE_BYTES)
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if start.startswith(NPY_MAGIC):
        return read_npy(file, name=name, size=size, max_pixels=limits.max_pixels)
    if start.startswith(ZIP_MAGIC):
        return _read_npz(file, name=name, key=key, max_pixels=limits.max_pixels)
    for signature, (form, conversion) in _UNSUPPORTED.items():
        if start.startswith(signature):
            raise MediaError(
                name, got=f"{form} file", expected=EXPECTED_ARRAYS, hint=f"convert it {conversion}"
            )
    deep = read_deep_image(file, name=name, limits=limits)
    return _read_image(file, name=name, limits=limits) if deep is None else deep


def read_npy(file: BinaryIO, *, name: str, size: int, max_pixels: int | None = None) -> np.ndarray:
    """Read real numbers from an open `.npy` of `size` bytes; the header is checked before they are read.

    Raises:
        MediaError: damaged, cut short, not real numbers (such as pickled objects), or more than `max_pixels`.
    """
    try:
        shape, fortran, dtype = _npy_header(file)
        entries = math.prod(shape)  # of Python's integers, which cannot overflow
    except Exception as error:  # NumPy's parser raises many types: tokenize, struct, recursion...
        raise MediaError(name, got="one with a damaged header", expected="an undamaged .npy") from error
    if dtype.kind not in "iuf":
        raise MediaError(name, got=f"an array of {dtype}", expected="an array of integers or floats")
    if max_pixels is not None and entries > max_pixels:
        raise MediaError(
            name, got=f"an array of shape {shape}", expected=f"at most {max_pixels:,} entries (max_pixels)"
        )
    present, needed = size - file.tell(), entries * dtype.itemsize
    if not 0 <= needed <= present:
        raise MediaError(name, got=f"{present:,}", expected=f"{needed:,} bytes of numbers for shape {shape}")
    try:
        values = np.frombuffer(file.read(needed), dtype)
        return values.reshape(shape, order="F" if fortran else "C")
    except Exception as error:  # zlib, lzma, bz2 and CRC errors; or a negative dimension
        raise MediaError(name, got=f"a damaged one ({error})", expected="an undamaged array") from error


def decode_image(image: Image.Image, *, name: str, limits: Limits = DEFAULT_LIMITS) -> Image.Image:
    """Decode an image's pixels and apply its EXIF orientation. Source: ours.

    Raises:
        MediaError: damaged, cut short, or more than `limits.max_pixels`.
    """
    pixels = image.width * image.height
    if pixels > limits.max_pixels:
        raise MediaError(
            name, got=f"{pixels:,}", expected=f"at most {limits.max_pixels:,} pixels (max_pixels)"
        )
    try:
        image.load()
    except Exception as error:  # Pillow's decoders raise many types
        raise MediaError(name, got=f"a damaged one ({error})", expected="an undamaged image") from error
    with contextlib.suppress(Exception):  # an image with damaged EXIF data is still read
        return ImageOps.exif_transpose(image)
    return image


def as_numpy(values: np.ndarray | torch.Tensor) -> np.ndarray:
    """Convert a tensor on any device to a NumPy array, without its graph; return an array unchanged."""
    if not isinstance(values, torch.Tensor):
        return values
    values = values.detach().cpu()
    return (values.float() if values.dtype == torch.bfloat16 else values).numpy()  # NumPy has no bfloat16


def drop_channel(values: np.ndarray, *, name: str, expected: str) -> np.ndarray:
    """Return one channel as (h, w), from (h, w) with further dimensions of size 1 at either end.

    Integers of more than 8 bits may also be grayscale with alpha (h, w, 2), or RGB(A) (h, w, 3 or 4) with
    equal values in R, G and B; alpha is dropped.

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
    """Whether an array holds integers of more than 8 bits."""
    return values.dtype.kind in "iu" and values.dtype.itemsize > 1


def positive_number(value: object) -> float | None:
    """Return a positive finite number, also from text ("0.01", "1/256"); None for anything else."""
    number = math.nan
    if isinstance(value, (str, Real)) and not isinstance(value, bool):
        with contextlib.suppress(ValueError, ArithmeticError):  # not a number, 1/0, or out of float range
            number = float(Fraction(value) if isinstance(value, str) else value)
    return number if 0 < number < math.inf else None


def _npy_header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    return np.lib.format.read_array_header_2_0(file)  # also reads version 3; raises for other layouts


def _read_npz(file: BinaryIO, *, name: str, key: str, max_pixels: int) -> np.ndarray:
    try:
        with zipfile.ZipFile(file) as archive:
            members = [member for member in archive.namelist() if member.endswith(".npy")]
            if len(members) != 1 and f"{key}.npy" not in members:
                found = ", ".join(member.removesuffix(".npy") for member in members[:8]) or "no array"
                raise MediaError(name, got=f"an .npz of {found}", expected=f"one array, or one named {key!r}")
            info = archive.getinfo(members[0] if len(members) == 1 else f"{key}.npy")
            with archive.open(info) as member:
                return read_npy(member, name=name, size=info.file_size, max_pixels=max_pixels)  # type: ignore[arg-type]
    except MediaError:
        raise
    except Exception as error:  # zipfile raises many types: BadZipFile, RuntimeError...
        raise MediaError(name, got=f"a damaged one ({error})", expected="an undamaged .npz") from error


def _read_image(file: BinaryIO, *, name: str, limits: Limits) -> Image.Image:
    try:
        image = open_image(file, name=name)
    except MediaError:
        raise
    except Image.DecompressionBombError as error:  # Pillow's own limit, raised before ours can be checked
        raise MediaError(
            name, got=f"more ({error})", expected=f"at most {limits.max_pixels:,} pixels (max_pixels)"
        ) from error
    except Exception as error:  # Pillow's readers raise many types: SyntaxError, KeyError...
        raise MediaError(name, got="a file that cannot be read as one", expected=EXPECTED_ARRAYS) from error
    return decode_image(image, name=name, limits=limits)
