"""False colours of thermal images: whether there are any, whose palette they are, and its steps.

A thermal camera shows temperatures as the colours of a palette, from cold to hot. Their brightness need not
rise with temperature (jet's is highest in its middle); their places on the palette do. Source: ours, with
matplotlib's tables, from which OpenCV's of the same names differ by a few levels.
"""

from functools import lru_cache

import numpy as np

PALETTES = (
    *("jet", "turbo", "rainbow", "nipy_spectral", "inferno", "magma", "plasma", "viridis", "cividis"),
    *("hot", "afmhot", "gnuplot", "gnuplot2", "CMRmap", "coolwarm"),
)
STEPS = 256
COLOUR = 24  # levels between the largest and the least channel of a pixel that counts as coloured
COLOURED_SHARE = 0.05  # of an image's pixels; less is a logo, a marker or a JPEG's noise
TOLERANCE = 20.0  # levels from a palette's nearest colour, in RGB: what JPEG and OpenCV's tables need
ON_PALETTE_SHARE = 0.9  # of coloured pixels; the others are a scale, a logo or text
LEAST_SPREAD = 64  # steps that most of the pixels span: a few colours are on some palette by chance
SAMPLED_PIXELS = 4096
CHUNK_COLOURS = 2**15  # compared with a palette in one go: 32 MB


def is_coloured(pixels: np.ndarray) -> bool:
    """Whether an image (h, w, 3) uint8 is in colours, and not gray with a logo or a JPEG's noise."""
    return bool(_chroma(_sample(pixels)).mean() >= COLOURED_SHARE)


def palette_of(pixels: np.ndarray) -> str | None:
    """The name of the palette that an image (h, w, 3) uint8 is coloured by, if it is one that is known."""
    sample = _sample(pixels)
    sample = sample[_chroma(sample)]
    if not len(sample):
        return None
    best, least = None, TOLERANCE
    for name in PALETTES:
        steps = _nearest(sample, name)
        distances = np.linalg.norm(sample - palette(name)[steps].astype(np.float32), axis=1)
        cold, hot = np.percentile(steps, (5, 95))
        far = distances > TOLERANCE
        mean = float(np.minimum(distances, TOLERANCE).mean())
        if far.mean() <= 1 - ON_PALETTE_SHARE and hot - cold >= LEAST_SPREAD and mean < least:
            best, least = name, mean
    return best


def steps_of(pixels: np.ndarray, name: str) -> np.ndarray:
    """The place of each pixel's colour on a palette, cold 0 to hot 255: (h, w, 3) uint8 -> (h, w) uint8."""
    red, green, blue = (pixels[..., channel].astype(np.uint32) for channel in range(3))
    codes = red << 16 | green << 8 | blue
    present = np.zeros(1 << 24, bool)
    present[codes] = True
    colours = np.flatnonzero(present)  # each but once
    table = np.zeros(1 << 24, np.uint8)
    for start in range(0, len(colours), CHUNK_COLOURS):
        some = colours[start : start + CHUNK_COLOURS]
        table[some] = _nearest(np.stack([some >> 16, some >> 8 & 255, some & 255], axis=1), name)
    return table[codes]


@lru_cache
def palette(name: str) -> np.ndarray:
    """The colours of a palette from cold to hot, (256, 3) uint8."""
    import matplotlib

    return matplotlib.colormaps[name](np.arange(STEPS) / (STEPS - 1), bytes=True)[:, :3]


def _sample(pixels: np.ndarray) -> np.ndarray:
    """Evenly taken pixels, (h, w, 3) -> (n, 3) float32."""
    flat = pixels.reshape(-1, 3)
    places = np.linspace(0, len(flat) - 1, min(len(flat), SAMPLED_PIXELS)).astype(np.int64)
    return flat[places].astype(np.float32)


def _chroma(colours: np.ndarray) -> np.ndarray:
    """Which of some colours (n, 3) are no grays."""
    return colours.max(axis=1) - colours.min(axis=1) > COLOUR


def _nearest(colours: np.ndarray, name: str) -> np.ndarray:
    """The nearest step of a palette, (n, 3) -> (n,)."""
    table = palette(name).astype(np.float32)
    # |c - t|² without |c|², which is the same for all steps
    return ((table**2).sum(axis=1) - 2 * colours.astype(np.float32) @ table.T).argmin(axis=1)
