"""Open image files, with optional plug-ins for HEIC and JPEG XL.

HEIC needs the package pillow-heif (extra `heic`). JPEG XL needs the plug-in pillow-jxl-plugin, whose licence
(GPL) keeps it out of our extras. Each is imported when the first file that needs it is opened. libheif
rotates a HEIC image upright as its `irot` and `imir` boxes state. pillow-heif then resets the EXIF
orientation, which the standard says to ignore, so no image is rotated twice.
"""

import threading
from importlib import import_module
from typing import BinaryIO

from PIL import Image

from imagebind.errors import MediaError, MissingHeicError

# Pillow's raster formats, and those of well-known plug-ins. Others are refused: Pillow would, for example,
# pass an EPS file to Ghostscript, which executes programs.
PILLOW_FORMATS = (
    *("AVIF", "BMP", "DIB", "GIF", "HEIF", "ICO", "JPEG", "JPEG2000", "JXL", "MPO"),
    *("PCX", "PNG", "PPM", "QOI", "SGI", "TGA", "TIFF", "WEBP"),
)
IMAGE_HEAD_BYTES = 512  # enough for every signature, and for the brands of a HEIF file
JXL_SIGNATURES = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
# Brands of the box `ftyp` (ISO/IEC 23008-12, annex B; AV1 Image File Format, section 8).
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_AVIF_BRANDS = {b"avif", b"avis", b"avio"}
_HEIF_BRANDS = {b"mif1", b"mif2", b"msf1"}  # state the structure, not the codec

_plugin_lock = threading.Lock()


def open_image(file: BinaryIO, *, name: str) -> Image.Image:
    """Open an image without decoding its pixels; the file is read from its start.

    Raises:
        MissingHeicError: a HEIC image, and pillow-heif is not installed.
        MediaError: a JPEG XL image, and no plug-in for it is installed.
        Exception: any that Pillow or a plug-in raises for a damaged file or one that is not an image.
    """
    file.seek(0)
    head = file.read(IMAGE_HEAD_BYTES)
    file.seek(0)
    Image.init()
    if is_heic(head):
        _register_heic(name)
        formats = ["HEIF"]
    elif head.startswith(JXL_SIGNATURES):
        _register_jxl(name)
        formats = ["JXL"]
    else:
        formats = [form for form in PILLOW_FORMATS if form in Image.OPEN]
    return Image.open(file, formats=formats)


def is_deep_gray(image: Image.Image) -> bool:
    """Whether an image has one channel of more than 8 bits, integers or floats: usually depth or thermal."""
    return image.mode == "F" or image.mode.startswith("I")


def is_heic(head: bytes) -> bool:
    """Whether a file is HEIC, as iPhones write it: HEIF in any codec but AV1, usually HEVC."""
    brands = _brands(head)
    return not brands & _AVIF_BRANDS and bool(brands & (_HEIC_BRANDS | _HEIF_BRANDS))


def is_avif(head: bytes) -> bool:
    """Whether a file is AVIF, a still image or a sequence."""
    return bool(_brands(head) & _AVIF_BRANDS)


def _brands(head: bytes) -> set[bytes]:
    """Return the HEIF brands in the box `ftyp`; none if its major brand is another, such as a video's."""
    known = _HEIC_BRANDS | _AVIF_BRANDS | _HEIF_BRANDS
    if head[4:8] != b"ftyp" or head[8:12] not in known:
        return set()
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return {head[8:12]} | ({head[at : at + 4] for at in range(16, end - 3, 4)} & known)


def _register_heic(name: str) -> None:
    with _plugin_lock:
        if "HEIF" in Image.OPEN:  # already registered, by us or by the user
            return
        try:
            import_module("pillow_heif").register_heif_opener()
        except ImportError as error:
            raise MissingHeicError(
                name,
                got="HEIC images need pillow-heif",
                hint="pip install 'imagebind[heic]'",
            ) from error


def _register_jxl(name: str) -> None:
    with _plugin_lock:
        if "JXL" in Image.OPEN:
            return
        try:
            import_module("pillow_jxl")
        except ImportError as error:
            raise MediaError(
                name,
                got="JPEG XL images need pillow-jxl-plugin",
                hint="pip install pillow-jxl-plugin, or convert the image to JPEG or PNG",
            ) from error
