"""Draw detections and similarity maps on an image.

Each query has a colour of Okabe and Ito's palette, whose colours people with any colour vision can
distinguish, and its boxes are labelled with its name. A map tints the image in the colour of its query; the
image is greyed to make the tints visible.
"""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from imagebind.applications.boxes import Detection
from imagebind.io.source import shortened

# Source: Okabe and Ito 2008, without black.
COLOURS = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
MIN_CANVAS_SIDE = 480  # pixels: smaller images are enlarged, so that labels fit
LINE_SHARE, FONT_SHARE = 0.006, 0.032  # of the image's short side
GREY_SHARE, GREY_LIGHT = 0.85, 0.55  # share of grey, and brightness, of the image below maps
MAP_OPACITY = 0.75
MAP_START = 0.5  # where the tint starts: 0 is a map's median, 1 its maximum
MASK_OPACITY = 0.45
DARK_BRIGHTNESS = 140  # of 255: labels are white on darker colours, black on others
MAX_LABEL_CHARACTERS = 32


def draw(
    image: Image.Image,
    detections: Sequence[Detection],
    *,
    queries: Sequence[str],
    maps: Tensor | None = None,
) -> Image.Image:
    """Return a copy of an RGB image with boxes, masks and similarity maps (n, h, w), one map per query.

    Small images are enlarged. The label of a box has its query, its score in percent, and in a video its
    track. The name of a query without a box is written at the maximum of its map.
    """
    scale = max(MIN_CANVAS_SIDE / min(image.size), 1.0)
    size = (round(image.width * scale), round(image.height * scale))
    canvas = image.resize(size, Image.Resampling.BICUBIC)
    colours = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(queries)}
    if maps is not None:
        canvas = _tinted(canvas, maps, list(colours.values()))
    for found in detections:
        if found.mask is not None:
            alpha = Image.fromarray((found.mask * round(255 * MASK_OPACITY)).astype(np.uint8)).resize(size)
            canvas.paste(colours[found.query], mask=alpha)
    pen = ImageDraw.Draw(canvas)
    width = max(round(LINE_SHARE * min(size)), 2)
    font = ImageFont.load_default(max(round(FONT_SHARE * min(size)), 12))
    taken: list[tuple[float, ...]] = []
    for found in sorted(detections, key=lambda detection: detection.score):  # the most probable on top
        corners = [value * scale for value in found.box]
        outline = [corners[0] - 1, corners[1] - 1, corners[2] + 1, corners[3] + 1]
        pen.rectangle(outline, outline="black", width=width + 2)
        pen.rectangle(corners, outline=colours[found.query], width=width)
    for found in sorted(detections, key=lambda detection: -detection.score):
        corners = [value * scale for value in found.box]
        taken.append(_label(pen, font, _text(found), corners, colours[found.query], size, taken))
    boxed = {found.query for found in detections}
    for name, values in zip(queries, () if maps is None else maps, strict=False):
        if name not in boxed and values.max() > values.median():  # name the tint
            row, column = divmod(int(values.argmax()), values.shape[1])
            peak = [column * scale, row * scale] * 2
            taken.append(_label(pen, font, _short(name), peak, colours[name], size, taken))
    return canvas


def _text(found: Detection) -> str:
    track = "" if found.track is None else f" #{found.track}"
    return f"{_short(found.query)}{track} {found.score:.0%}"


def _short(name: str) -> str:
    return shortened(name, MAX_LABEL_CHARACTERS)


def _label(
    pen: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    text: str,
    corners: Sequence[float],
    colour: tuple[int, int, int],
    size: tuple[int, int],
    taken: Sequence[tuple[float, ...]],
) -> tuple[float, ...]:
    """Write a label above, below or inside a box, off `taken` ones if possible; return its own box."""
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
    pad = (bottom - top) * 0.25
    width, height = right - left + 2 * pad, bottom - top + 2 * pad
    x = min(max(corners[0], 0), max(size[0] - width, 0))
    wanted = (corners[1] - height, corners[3], corners[1], corners[3] - height)
    places = [(x, y, x + width, y + height) for y in wanted if 0 <= y <= size[1] - height]
    free = [place for place in places if not any(_overlap(place, other) for other in taken)]
    place = (free or places or [(x, 0.0, x + width, height)])[0]
    pen.rectangle(place, fill=colour)
    brightness = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]  # Rec. 601
    ink = "white" if brightness < DARK_BRIGHTNESS else "black"
    pen.text((place[0] + pad - left, place[1] + pad - top), text, fill=ink, font=font)
    return place


def _overlap(one: Sequence[float], other: Sequence[float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _tinted(canvas: Image.Image, maps: Tensor, colours: Sequence[tuple[int, int, int]]) -> Image.Image:
    """Return the image, greyed and tinted where maps (n, h, w) are well above their median."""
    pixels: np.ndarray = np.asarray(canvas, dtype=np.float32)
    grey = np.asarray(canvas.convert("L"), dtype=np.float32)[..., None]
    pixels = GREY_LIGHT * (GREY_SHARE * grey + (1 - GREY_SHARE) * pixels)
    sized = torch.nn.functional.interpolate(maps[None].float(), size=pixels.shape[:2], mode="bilinear")[0]
    for values, colour in zip(sized.numpy(), colours, strict=True):
        low, high = float(np.median(values)), float(values.max())
        share = (values - low) / max(high - low, 1e-6)  # 0 at the median, 1 at the maximum
        opacity = MAP_OPACITY * ((share - MAP_START) / (1 - MAP_START)).clip(0, 1)[..., None]
        pixels = (1 - opacity) * pixels + opacity * np.array(colour, dtype=np.float32)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
