"""Render thumbnails of items from the tensors that their trunks receive."""

import io
from collections.abc import Callable
from functools import lru_cache, partial, reduce

import numpy as np
from PIL import Image, ImageDraw

from imagebind.intake.requests import Views
from imagebind.modality import MediaKind
from imagebind.transforms.image import IMAGE_MEAN, IMAGE_STD

THUMBNAIL_SIDE = 128  # pixels, at most; the width of a spectrogram grows with its duration
THUMBNAIL_QUALITY = 75  # of JPEG; about 3 KB each
LINE_COLOURS = ("#e6550d", "#fd8d3c", "#fdbe85", "#3182bd", "#6baed6", "#bdd7e7")  # three axes of each sensor

# From CLIP's statistics to [0, 255], plus a half so that truncation rounds.
_SCALE = 255 * np.array(IMAGE_STD, dtype=np.float32)[:, None, None]
_SHIFT = 255 * np.array(IMAGE_MEAN, dtype=np.float32)[:, None, None] + np.float32(0.5)
Colours = tuple[tuple[int, int, int], ...]

# Our own colour maps: evenly spaced colours from the least to the greatest value. They go from dark to
# bright, so that they work in grayscale.
_THERMAL_RAMP = ((8, 6, 28), (72, 16, 96), (150, 36, 104), (220, 72, 72), (248, 146, 50), (252, 250, 190))
_DEPTH_RAMP = (
    (12, 20, 66),
    (26, 82, 138),
    (32, 146, 150),
    (92, 200, 120),
    (196, 228, 92),
    (255, 250, 200),
)


def thumbnails(views: Views) -> tuple[bytes | None, ...]:
    """Return a JPEG for each span of a recording, or one for media without time.

    The middle view of a span is shown: of video its first frame, depth (near is bright) and thermal in
    colours, audio as a mel spectrogram with low frequencies at the bottom, and IMU as lines. Text and the
    modalities of packs have None. Images and frames are expected to be standardised by CLIP's statistics, as
    for the released model.
    """
    count = max(len(views.spans), 1)
    render = _RENDERERS.get(views.kind)
    if render is None:
        return (None,) * count
    each = len(views.views) // count
    middles = views.views.float().numpy()[each // 2 :: each]  # (s·k, ...) -> (s, ...)
    return tuple(_jpeg(render(view)) for view in middles)


def coloured(values: np.ndarray, colours: Colours) -> Image.Image:
    """Return an image of values (h, w), coloured from their minimum to their maximum."""
    low, high = float(values.min()), float(values.max())
    steps = (values - low) * (255 / max(high - low, 1e-6))
    image = Image.fromarray(steps.astype(np.uint8))
    image.putpalette(_palette(colours))
    return image.convert("RGB")


@lru_cache
def _palette(colours: Colours) -> bytes:
    """Return a palette of 256 colours, three bytes each."""
    ramp = np.linspace(0, 255, len(colours))
    channels = [np.interp(np.arange(256), ramp, channel) for channel in zip(*colours, strict=True)]
    return np.stack(channels, axis=1).astype(np.uint8).tobytes()


def _image(view: np.ndarray) -> Image.Image:
    """Return the image of a standardised tensor (3, h, w)."""
    pixels = _shrink(view) * _SCALE
    pixels += _SHIFT
    channels = pixels.clip(0, 255, out=pixels).astype(np.uint8)
    return Image.merge("RGB", [Image.fromarray(channel) for channel in channels])


def _shrink(view: np.ndarray) -> np.ndarray:
    """Average n x n pixels, so that sides have at most `THUMBNAIL_SIDE`: (c, h, w) -> (c, h / n, w / n).

    The result is C-contiguous. numpy is used since its calls cost little while many threads decode.
    """
    factor = -(-max(view.shape[1:]) // THUMBNAIL_SIDE)
    height, width = (side // factor * factor for side in view.shape[1:])
    rows = reduce(np.add, [view[:, n:height:factor] for n in range(factor)])
    columns = [rows[..., n:width:factor] for n in range(factor)]
    return reduce(partial(np.add, order="C"), columns) * np.float32(factor**-2)


def _frame(view: np.ndarray) -> Image.Image:
    return _image(view[:, 0])  # (3, t, h, w)


def _depth(view: np.ndarray) -> Image.Image:
    return coloured(_shrink(view)[0], _DEPTH_RAMP)  # (1, h, w)


def _thermal(view: np.ndarray) -> Image.Image:
    return coloured(_shrink(view)[0], _THERMAL_RAMP)


def _mel(view: np.ndarray) -> Image.Image:
    """Return an image of a spectrogram (1, mel_bins, frames) without its padding: columns of one value."""
    content = view[0][:, view[0].max(axis=0) > view[0].min(axis=0)]
    return coloured((content if content.size else view[0])[::-1], _THERMAL_RAMP)


def _imu(view: np.ndarray) -> Image.Image:
    """Return an image of lines for (6, t): accelerometer above, gyroscope below, each axis minus its mean."""
    steps = view[:, :: max(view.shape[1] // THUMBNAIL_SIDE, 1)][:, :THUMBNAIL_SIDE]
    image = Image.new("RGB", (THUMBNAIL_SIDE, THUMBNAIL_SIDE), "white")
    pen = ImageDraw.Draw(image)
    for row, sensor in enumerate((steps[:3], steps[3:])):
        sensor = sensor - sensor.mean(axis=1, keepdims=True)
        middle, reach = THUMBNAIL_SIDE * (2 * row + 1) / 4, THUMBNAIL_SIDE / 4 - 3
        heights = middle - sensor * (reach / max(float(np.abs(sensor).max()), 1e-6))
        for line, colour in zip(heights, LINE_COLOURS[3 * row : 3 * row + 3], strict=True):
            pen.line(list(enumerate(line.tolist())), fill=colour)
    return image


_RENDERERS: dict[MediaKind, Callable[[np.ndarray], Image.Image]] = {
    MediaKind.IMAGE: _image,
    MediaKind.VIDEO: _frame,
    MediaKind.DEPTH: _depth,
    MediaKind.THERMAL: _thermal,
    MediaKind.AUDIO: _mel,
    MediaKind.IMU: _imu,
}


def _jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=THUMBNAIL_QUALITY)
    return file.getvalue()
