"""Boxes in an image, and crops around them. A box is its left, top, right and bottom edge in pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.ops import clip_boxes_to_image

from imagebind.errors import MediaError
from imagebind.intake.requests import identify
from imagebind.io.source import is_source
from imagebind.modality import MediaKind
from imagebind.transforms.image import load_image

MIN_BOX_SIDE = 1.0  # pixels: smaller boxes show nothing
# The longer side of an image divided by the shorter one. The number of crops grows with it, to thousands.
MAX_IMAGE_ASPECT_RATIO = 16


@dataclass(frozen=True, kw_only=True, eq=False)
class Detection:
    """A box in which a query was found.

    Args:
        query: the name of the query.
        score: the probability that the box shows the query rather than the background.
        cosine: the least cosine similarity of the query and a crop of the box.
        box: left, top, right and bottom edge in pixels.
        mask: (h, w) bool over the whole image, if a segmentation function was given.
        track: the number of the track in a video, from 1.
    """

    query: str
    score: float
    cosine: float
    box: tuple[float, float, float, float]
    mask: np.ndarray | None = None
    track: int | None = None

    @property
    def area(self) -> float:
        """The number of pixels in the mask or, without a mask, in the box."""
        if self.mask is not None:
            return float(np.count_nonzero(self.mask))
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top)


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageDetections:
    """The detections in one image, or in the frame of a video at the time `seconds`."""

    name: str
    width: int
    height: int
    queries: Sequence[str]
    detections: Sequence[Detection]
    seconds: float | None = None


def as_image(image: Any) -> tuple[Image.Image, str]:
    """Return an image as upright 8-bit RGB, and its name.

    Args:
        image: a path, a PIL image, or an array (h, w, 3) of uint8.

    Raises:
        MediaError: `image` cannot be read, or is not one of these.
    """
    request = identify(image, modality=MediaKind.IMAGE)
    pixels = request.payload
    if not (isinstance(pixels, Image.Image) or is_source(pixels)):
        pixels = np.asarray(pixels)
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[-1] != 3:
            raise MediaError(
                request.name,
                got=f"an array {pixels.shape} of {pixels.dtype}",
                expected="a path, a PIL image, or an array (h, w, 3) of uint8",
            )
        pixels = Image.fromarray(pixels)
    loaded = load_image(pixels)
    # Code of the caller, such as a function of proposals, may draw on the result.
    return loaded.copy() if loaded is image else loaded, request.name


def check_aspect_ratio(size: tuple[int, int], *, name: str) -> None:
    """Check that an image of (width, height) is not so long that it has too many crops.

    Raises:
        MediaError: its longer side is more than `MAX_IMAGE_ASPECT_RATIO` times the shorter one.
    """
    if max(size) > MAX_IMAGE_ASPECT_RATIO * min(size):
        raise MediaError(
            name,
            got=f"{size[0]} x {size[1]} pixels",
            expected=f"a longer side of at most {MAX_IMAGE_ASPECT_RATIO} times the shorter one",
            hint="crop the image",
        )


def checked_boxes(boxes: Any, size: tuple[int, int], *, name: str) -> Tensor:
    """Return boxes clipped to an image, without those that show less than a pixel: (n, 4) -> (m, 4) float32.

    Args:
        size: width and height of the image.
        name: name of the boxes in errors.

    Raises:
        MediaError: the boxes have another shape or numbers that are not finite, a right edge is left of its
            left edge, a bottom edge is above its top edge, or no box shows a pixel of the image.
    """
    expected = "boxes (n, 4) with left, top, right and bottom edge in pixels"
    try:
        rows = torch.as_tensor(np.asarray(boxes, dtype=np.float32)).reshape(-1, 4)
    except (TypeError, ValueError, RuntimeError) as error:
        raise MediaError(name, got=f"{boxes!r:.60}", expected=expected) from error
    if not rows.isfinite().all():
        raise MediaError(name, got="numbers that are not finite", expected=expected)
    if (rows[:, 2:] < rows[:, :2]).any():
        number = int((rows[:, 2:] < rows[:, :2]).any(dim=1).nonzero()[0])
        raise MediaError(
            name,
            got=f"{rows[number].tolist()} as box {number}",
            expected="boxes with left <= right and top <= bottom",
        )
    if len(rows) and not ((rows[:, 2:] - rows[:, :2]) >= MIN_BOX_SIDE).all(dim=1).any():
        raise MediaError(name, got="boxes of less than a pixel", expected=expected)
    width, height = size
    cut = clip_boxes_to_image(rows, (height, width))
    inside = cut[((cut[:, 2:] - cut[:, :2]) >= MIN_BOX_SIDE).all(dim=1)]
    if len(rows) and not len(inside):
        raise MediaError(
            name,
            got=f"{len(rows)} outside it",
            expected=f"a box that overlaps the image of {width} x {height} pixels",
        )
    return inside


def square_crops(image: Image.Image, boxes: Tensor, *, context: float) -> list[Image.Image]:
    """Return a square crop around each box (n, 4), with a margin on all sides.

    The margin is the share `context` of the longer side of the box. A square that fits into the image is
    moved inside it. If a square is larger than the image, the image's mean colour fills the rest.
    """
    background = tuple(np.asarray(image.resize((1, 1), Image.Resampling.BOX))[0, 0].tolist())
    crops = []
    for left, top, right, bottom in boxes.tolist():
        side = max(round(max(right - left, bottom - top) * (1 + 2 * context)), 1)
        x, y = (
            _start((low + high) / 2, side, length)
            for low, high, length in ((left, right, image.width), (top, bottom, image.height))
        )
        inside = (max(x, 0), max(y, 0), min(x + side, image.width), min(y + side, image.height))
        crop = image.crop(inside)
        if crop.size != (side, side):
            square = Image.new("RGB", (side, side), background)
            square.paste(crop, (inside[0] - x, inside[1] - y))
            crop = square
        crops.append(crop)
    return crops


def _start(middle: float, side: int, length: int) -> int:
    """Return the start of an interval of length `side` around `middle`; inside [0, length] if it fits."""
    start = round(middle - side / 2)
    return min(max(start, 0), length - side) if side <= length else min(max(start, length - side), 0)
