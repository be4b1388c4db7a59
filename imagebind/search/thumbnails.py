"""Small pictures of what a trunk saw of an item, drawn from the tensor that it was given."""

import io
from collections.abc import Callable
from functools import lru_cache, partial, reduce

import numpy as np
from PIL import Image, ImageDraw

from imagebind.intake.requests import Views
from imagebind.modality import MediaKind
from imagebind.transforms.image import IMAGE_MEAN, IMAGE_STD

SIDE = 128  # pixels of a side, at most; a spectrogram is as wide as it is long
QUALITY = 75  # of a JPEG: about 3 KB
LINE_COLOURS = ("#e6550d", "#fd8d3c", "#fdbe85", "#3182bd", "#6baed6", "#bdd7e7")  # three axes of each sensor

# From CLIP's statistics to [0, 255], with half a step so that cutting off rounds.
_SCALE = 255 * np.array(IMAGE_STD, dtype=np.float32)[:, None, None]
_SHIFT = 255 * np.array(IMAGE_MEAN, dtype=np.float32)[:, None, None] + np.float32(0.5)
Colours = tuple[tuple[int, int, int], ...]

# Colours from least to most, evenly spaced; dark to bright, so that they read in grey as well. Ours.
_HEAT = ((8, 6, 28), (72, 16, 96), (150, 36, 104), (220, 72, 72), (248, 146, 50), (252, 250, 190))
_DISTANCE = ((12, 20, 66), (26, 82, 138), (32, 146, 150), (92, 200, 120), (196, 228, 92), (255, 250, 200))


def thumbnails(views: Views) -> tuple[bytes | None, ...]:
    """A JPEG for each span of a recording, or one for what has no time; None for text.

    Of a video a frame from the middle of the span; depth (near is bright) and heat in colours; a sound's mel
    spectrogram, low tones below; motion as lines. Pictures and frames come out as they look where their
    trunk was given them in CLIP's statistics, as the released one was.
    """
    count = max(len(views.spans), 1)
    draw = _DRAWN.get(views.kind)
    if draw is None:
        return (None,) * count
    each = len(views.views) // count
    middles = views.views.float().numpy()[each // 2 :: each]  # (s·k, ...) -> (s, ...)
    return tuple(_jpeg(draw(view)) for view in middles)


def coloured(values: np.ndarray, colours: Colours) -> Image.Image:
    """Numbers (h, w) from their least to their most as colours."""
    low, high = float(values.min()), float(values.max())
    places = (values - low) * (255 / max(high - low, 1e-6))
    picture = Image.fromarray(places.astype(np.uint8))
    picture.putpalette(_palette(colours))
    return picture.convert("RGB")


@lru_cache
def _palette(colours: Colours) -> bytes:
    """A colour for each of 256 steps, three bytes each."""
    ramp = np.linspace(0, 255, len(colours))
    channels = [np.interp(np.arange(256), ramp, channel) for channel in zip(*colours, strict=True)]
    return np.stack(channels, axis=1).astype(np.uint8).tobytes()


def _picture(view: np.ndarray) -> Image.Image:
    """Undo the standardising: (3, h, w)."""
    pixels = _shrunk(view) * _SCALE
    pixels += _SHIFT
    channels = pixels.clip(0, 255, out=pixels).astype(np.uint8)
    return Image.merge("RGB", [Image.fromarray(channel) for channel in channels])


def _shrunk(view: np.ndarray) -> np.ndarray:
    """By a whole number, to at most `SIDE`: (c, h, w) -> (c, h / n, w / n), channel after channel in memory.

    In numpy, whose calls are cheap where many threads decode.
    """
    times = -(-max(view.shape[1:]) // SIDE)
    height, width = (side // times * times for side in view.shape[1:])
    rows = reduce(np.add, [view[:, n:height:times] for n in range(times)])
    columns = [rows[..., n:width:times] for n in range(times)]
    return reduce(partial(np.add, order="C"), columns) * np.float32(times**-2)


def _frame(view: np.ndarray) -> Image.Image:
    return _picture(view[:, 0])  # (3, t, h, w)


def _depth(view: np.ndarray) -> Image.Image:
    return coloured(_shrunk(view)[0], _DISTANCE)  # (1, h, w)


def _thermal(view: np.ndarray) -> Image.Image:
    return coloured(_shrunk(view)[0], _HEAT)


def _mel(view: np.ndarray) -> Image.Image:
    """(1, mel_bins, frames), without the columns that pad it, which have one value throughout."""
    heard = view[0][:, view[0].max(axis=0) > view[0].min(axis=0)]
    return coloured((heard if heard.size else view[0])[::-1], _HEAT)


def _motion(view: np.ndarray) -> Image.Image:
    """(6, t): the accelerometer above, less its mean, and the gyroscope below."""
    steps = view[:, :: max(view.shape[1] // SIDE, 1)][:, :SIDE]
    picture = Image.new("RGB", (SIDE, SIDE), "white")
    pen = ImageDraw.Draw(picture)
    for row, sensor in enumerate((steps[:3], steps[3:])):
        sensor = sensor - sensor.mean(axis=1, keepdims=True)
        middle, reach = SIDE * (2 * row + 1) / 4, SIDE / 4 - 3
        heights = middle - sensor * (reach / max(float(np.abs(sensor).max()), 1e-6))
        for line, colour in zip(heights, LINE_COLOURS[3 * row : 3 * row + 3], strict=True):
            pen.line(list(enumerate(line.tolist())), fill=colour)
    return picture


_DRAWN: dict[MediaKind, Callable[[np.ndarray], Image.Image]] = {
    MediaKind.IMAGE: _picture,
    MediaKind.VIDEO: _frame,
    MediaKind.DEPTH: _depth,
    MediaKind.THERMAL: _thermal,
    MediaKind.AUDIO: _mel,
    MediaKind.IMU: _motion,
}


def _jpeg(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
