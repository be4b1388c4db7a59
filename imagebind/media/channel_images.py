"""Read images of several channels, such as those of a multispectral camera: TIFF, else as `load_values` does.

Pillow reads no TIFF of five channels, nor of several channels of floats; tifffile does.
"""

import math
from importlib.util import find_spec
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from imagebind.errors import MediaError, import_extra
from imagebind.io.source import DEFAULT_LIMITS, Limits, Source, name_of, open_source
from imagebind.media.arrays import read_values
from imagebind.media.deep_images import ORIENTATION_TAG, TIFF_SIGNATURES, upright

TIFF_SIGNATURE_BYTES = 4
BUILT_IN_COMPRESSIONS = (1, 8, 32946)  # none, deflate; tifffile may need the package imagecodecs for others
CHANNEL_AXES = "SIQC"  # tifffile's names of axes that may be channels: samples, pages, unknown, channels


def load_channels(
    source: Source, *, channels: int, key: str, limits: Limits = DEFAULT_LIMITS
) -> Image.Image | np.ndarray:
    """Read an image of several channels with its stored values, or the array of an `.npy` or `.npz`.

    A TIFF may have all channels in one page, or one page for each.

    Args:
        channels: the expected number. Files with another number are read as `load_values` does.
        key: name of the array to read from an `.npz` of several arrays.

    Raises:
        MediaError: as `load_values`.
        MissingExtraError: the file is a TIFF, and tifffile is not installed.
    """
    name = name_of(source)
    with open_source(source, limits=limits) as file:
        values = None
        if file.read(TIFF_SIGNATURE_BYTES).startswith(TIFF_SIGNATURES):
            values = _read_tiff(file, channels, name=name, limits=limits)
        return read_values(file, name=name, key=key, limits=limits) if values is None else values


def _read_tiff(file: BinaryIO, channels: int, *, name: str, limits: Limits) -> np.ndarray | None:
    """Return (h, w, channels), or None for another number of channels, or a compression left to Pillow."""
    tifffile: Any = import_extra("tifffile", extra="tiff", purpose="reading TIFF images of several channels")
    file.seek(0)
    try:
        with tifffile.TiffFile(file) as tiff:
            image, page = tiff.series[0], tiff.pages.first
            axis = next((axis for axis, letter in enumerate(image.axes) if letter in CHANNEL_AXES), None)
            if image.ndim != 3 or axis is None or image.shape[axis] != channels:
                return None
            if page.compression not in BUILT_IN_COMPRESSIONS and find_spec("imagecodecs") is None:
                return None
            part = math.prod(page.tile or (1,)) * page.samplesperpixel  # a tile may be larger than the image
            if not 0 < max(math.prod(image.shape), part) <= limits.max_pixels:
                raise MediaError(
                    name,
                    got=f"an image of shape {image.shape}"
                    + (f" in tiles of {page.tile}" if page.tile else ""),
                    expected=f"1 to {limits.max_pixels:,} numbers (max_pixels)",
                )
            values = image.asarray(maxworkers=1)
            orientation = page.tags.valueof(ORIENTATION_TAG, 1)
    except MediaError:
        raise
    except Exception as error:  # damaged data raises many types; a compression may need another package
        reason = str(error).partition("\n")[0]
        raise MediaError(name, got=f"a TIFF that cannot be read ({reason})", expected="an image") from error
    return upright(np.moveaxis(values, axis, -1), int(orientation))
