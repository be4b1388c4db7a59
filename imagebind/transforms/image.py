"""Convert an image file or array to the tensor that the vision trunk takes."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from imagebind.checks import check_whole
from imagebind.errors import MediaError, UnreadableMediaError, warn_of
from imagebind.io.source import DEFAULT_LIMITS, Limits, Source, is_source, name_of, open_source
from imagebind.media.deep_images import TIFF_BITS, read_deep_image
from imagebind.media.image_file import PILLOW_FORMATS, is_deep_gray, open_image
from imagebind.modality import ModalityType
from imagebind.transforms.options import PER_ITEM, check_statistics

IMAGE_SIZE = 224  # of the released trunk: 16 x 16 patches of 14 pixels
IMAGE_MEAN = (0.48145466, 0.4578275, 0.40821073)  # CLIP's statistics, as released
IMAGE_STD = (0.26862954, 0.26130258, 0.27577711)
SIXTEEN_BIT_STEP = 257  # 65535 / 255, so that white stays white
DARK_16_BITS = 16 * SIXTEEN_BIT_STEP  # below this, at most 16 of 255 levels remain (ours)
PHOTOMETRIC_TAG, PLANAR_CONFIGURATION_TAG = 262, 284  # of TIFF
WHITE_IS_ZERO = 0
SEPARATE_PLANES = 2
UPRIGHT = 1  # EXIF orientation
# Ours: the ends of longer images, which the centre crop drops, are cut before resizing to bound memory.
MAX_ASPECT_RATIO = 64

ImageOrTensor = TypeVar("ImageOrTensor", Image.Image, Tensor)
Crop = Callable[[Any, int], Any]  # (PIL image or tensor, size) -> a square of the same type


def load_image(
    source: Source | Image.Image,
    *,
    limits: Limits = DEFAULT_LIMITS,
    exif: bool = True,
    clip: bool = False,
) -> Image.Image:
    """Return an image file, or a PIL image, as 8-bit RGB; of an animated file, the first frame.

    Palette, grayscale, alpha and CMYK images go through Pillow's `convert("RGB")`, and a colour profile is
    ignored, as released. 16-bit grayscale is scaled from [0, 65535] and float grayscale from [0, 1], and
    `exif` applies the EXIF orientation (both ours; the original ignores the orientation). HEIC needs the
    extra `heic`.

    Args:
        clip: whether 16-bit grayscale above 255 becomes white, as in Pillow's conversion and the original.

    Raises:
        MediaError: the file is not an image, truncated, damaged, or over a limit (pixels are counted before
            decoding), or its grayscale leaves these ranges. `MissingHeicError` for HEIC without pillow-heif.
    """
    name = name_of(source)
    if isinstance(source, Image.Image):
        with _named_errors(name):
            return _to_rgb(source, name, limits=limits, exif=exif, clip=clip)
    with (
        open_source(source, limits=limits) as file,
        _named_errors(name),
        open_image(file, name=name) as image,
    ):
        if _is_planar_16_bits(image):
            deep = read_deep_image(file, name=name, limits=limits)
            assert deep is not None
            return Image.fromarray(_rounded(deep[..., :3] / SIXTEEN_BIT_STEP))
        return _to_rgb(image, name, limits=limits, exif=exif, clip=clip)


def resize_and_crop(image: ImageOrTensor, size: int) -> ImageOrTensor:
    """Resize the short side to `size`, then crop the centre square: (..., h, w) -> (..., size, size).

    Resizing is bicubic with antialias. As in torchvision, the longer side is rounded down, and a crop offset
    that ends in half a pixel is rounded to the nearest even number. Source: released. Values of a float
    tensor may leave their range: bicubic overshoots.
    """
    height, width = F.get_size(image)
    if max(height, width) > MAX_ASPECT_RATIO * min(height, width):
        image = F.center_crop(
            image, [min(height, MAX_ASPECT_RATIO * width), min(width, MAX_ASPECT_RATIO * height)]
        )
    image = F.resize(image, [size], interpolation=InterpolationMode.BICUBIC, antialias=True)
    return F.center_crop(image, [size, size])


@dataclass(frozen=True, kw_only=True)
class ImageTransform:
    """Convert an image to (3, size, size): cropped to its centre and standardised by CLIP's statistics.

    Source: released, for 8-bit images. `exif` applies the EXIF orientation (ours).

    Args:
        crop: function that makes a square of `size` from a PIL image or (3, h, w); training passes its own.
    """

    modality: ClassVar[ModalityType] = ModalityType.VISION

    size: int = IMAGE_SIZE
    mean: Sequence[float] = IMAGE_MEAN
    std: Sequence[float] = IMAGE_STD
    exif: bool = field(default=True, metadata=PER_ITEM)
    limits: Limits = field(default=DEFAULT_LIMITS, metadata=PER_ITEM)
    crop: Crop = field(default=resize_and_crop, repr=False, metadata=PER_ITEM)

    def __post_init__(self) -> None:
        check_whole(1, size=self.size)
        check_statistics(self, channels=3)

    def __call__(self, image: Source | Image.Image | np.ndarray | Tensor) -> Tensor:
        """Convert one image to (3, size, size) float32.

        The image is a file (path, URI, bytes, file object), a PIL image, an array (h, w), (h, w, 1),
        (h, w, 3) or (h, w, 4), or a tensor (1, h, w) or (3, h, w). Arrays and tensors contain uint8, uint16
        (scaled from [0, 65535], ours), or floats in [0, 1]. An alpha channel is dropped, as released.

        Raises:
            MediaError: the image is none of these, damaged, or over a limit, or its values are out of range.
        """
        whole = self._to_image(image)
        if isinstance(whole, Image.Image):
            square = F.pil_to_tensor(self.crop(whole, self.size))  # (3, size, size) uint8
            unit = F.to_dtype(square, torch.float32, scale=True)
        else:
            unit = self.crop(whole, self.size).clamp(0, 1)  # bicubic overshoots; 8-bit values are saturated
        return F.normalize(unit, mean=list(self.mean), std=list(self.std), inplace=True)

    def _to_image(self, image: Source | Image.Image | np.ndarray | Tensor) -> Image.Image | Tensor:
        """Return 8-bit input as a PIL image, to resize it as released, and floats as a tensor (3, h, w)."""
        name = name_of(image)
        if isinstance(image, np.ndarray):
            array = _checked(image, name, self.limits)
        elif isinstance(image, Tensor):
            array = _checked(_channels_last(image, name), name, self.limits)
        elif isinstance(image, Image.Image) or is_source(image):
            return load_image(image, limits=self.limits, exif=self.exif)
        else:
            raise MediaError(
                name, got=type(image).__name__, expected="a file, a PIL image, an array or a tensor"
            )
        if array.dtype == np.uint8:
            return Image.fromarray(np.ascontiguousarray(array))
        return torch.from_numpy(array.astype(np.float32)).permute(2, 0, 1)  # (h, w, 3) -> (3, h, w)


def _to_rgb(image: Image.Image, name: str, *, limits: Limits, exif: bool, clip: bool = False) -> Image.Image:
    if image.width * image.height > limits.max_pixels:
        raise MediaError(
            name,
            got=f"{image.width} x {image.height} = {image.width * image.height:,} pixels",
            expected=f"at most {limits.max_pixels:,} pixels (max_pixels)",
        )
    image.load()
    # Pillow inverts 8-bit images only. The tag is read here because `exif_transpose` drops it.
    white_is_zero = getattr(image, "tag_v2", {}).get(PHOTOMETRIC_TAG) == WHITE_IS_ZERO
    if exif:
        with contextlib.suppress(Exception):  # damaged EXIF data are no reason to refuse the image
            if image.getexif().get(ExifTags.Base.Orientation, UPRIGHT) != UPRIGHT:
                image = ImageOps.exif_transpose(image)  # it copies upright images, too
    if is_deep_gray(image) and not clip:
        image = _deep_gray_to_8_bits(image, name, white_is_zero=white_is_zero)
    return image if image.mode == "RGB" else image.convert("RGB")  # `convert` copies RGB images, too


def _is_planar_16_bits(image: Image.Image) -> bool:
    """Whether the image is a planar TIFF of 16-bit colours, which Pillow decodes wrongly."""
    tags = getattr(image, "tag_v2", {})
    return tags.get(PLANAR_CONFIGURATION_TAG) == SEPARATE_PLANES and set(tags.get(TIFF_BITS, ())) == {16}


def _deep_gray_to_8_bits(image: Image.Image, name: str, *, white_is_zero: bool) -> Image.Image:
    """Scale one channel of 16-bit integers, or of floats in [0, 1], to uint8 (ours)."""
    values = np.asarray(image)
    max_value = 1 if image.mode == "F" else 65535
    if white_is_zero:
        values = max_value - values
    if not (values.min() >= 0 and values.max() <= max_value):  # also false for NaN
        raise MediaError(
            name,
            got=f"grayscale from {values.min()} to {values.max()}",
            expected=f"grayscale within [0, {max_value}]",
        )
    values_8_bits = _rounded(values * 255.0) if image.mode == "F" else _sixteen_to_8_bits(values, name)
    return Image.fromarray(values_8_bits)


def _sixteen_to_8_bits(values: np.ndarray, name: str) -> np.ndarray:
    """Convert integers in [0, 65535] to uint8 of the same shape; warn if the result is nearly black."""
    brightest = int(values.max())
    if 0 < brightest < DARK_16_BITS:
        warn_of(
            name,
            f"nearly black as an image: its 16-bit values end at {brightest} of 65535; if it is depth or "
            "thermal, pass {'depth': item} or {'thermal': item}",
        )
    return _rounded(values / SIXTEEN_BIT_STEP)


def _rounded(values: np.ndarray) -> np.ndarray:
    return np.rint(values).astype(np.uint8)


def _channels_last(image: Tensor, name: str) -> np.ndarray:
    if image.ndim != 3 or image.shape[0] not in (1, 3):
        raise MediaError(name, got=f"shape {tuple(image.shape)}", expected="a tensor (1, h, w) or (3, h, w)")
    image = image.detach().cpu()
    if image.is_floating_point():
        image = image.float()  # numpy has no bfloat16
    return image.permute(1, 2, 0).numpy()


def _checked(array: np.ndarray, name: str, limits: Limits) -> np.ndarray:
    """Check an array and return it as (h, w, 3), uint8 or float."""
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[-1] not in (1, 3, 4) or array.size == 0:
        raise MediaError(
            name, got=f"shape {array.shape}", expected="an array (h, w), (h, w, 1), (h, w, 3) or (h, w, 4)"
        )
    height, width, channels = array.shape
    if height * width > limits.max_pixels:
        raise MediaError(
            name, got=f"{height * width:,}", expected=f"at most {limits.max_pixels:,} pixels (max_pixels)"
        )
    if array.dtype.kind == "f":
        if not (array.min() >= 0 and array.max() <= 1):  # also false for NaN
            raise MediaError(
                name, got=f"floats from {array.min()} to {array.max()}", expected="floats in [0, 1]"
            )
    elif array.dtype.kind == "u" and array.dtype.itemsize == 2:
        array = _sixteen_to_8_bits(array[..., :3], name)
    elif array.dtype != np.uint8:
        raise MediaError(name, got=f"type {array.dtype}", expected="uint8, uint16, or floats in [0, 1]")
    if channels == 1:
        return np.broadcast_to(array, (height, width, 3))
    return array[..., :3]


@contextlib.contextmanager
def _named_errors(name: str) -> Iterator[None]:
    """Convert Pillow's errors, which can be of any class, to `MediaError`."""
    try:
        yield
    except MediaError:
        raise
    except Image.DecompressionBombError as error:
        raise MediaError(
            name, got=f"more ({error})", expected="at most PIL.Image.MAX_IMAGE_PIXELS pixels"
        ) from error
    except Image.UnidentifiedImageError as error:
        raise UnreadableMediaError(
            name,
            got="a file that is not an image of a supported format",
            expected=f"one of {', '.join(PILLOW_FORMATS)}",
        ) from error
    except Exception as error:
        raise UnreadableMediaError(
            name,
            got=f"an image that is damaged or cut short ({str(error) or type(error).__name__})",
            expected="a complete image",
        ) from error
