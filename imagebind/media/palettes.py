"""False colours of thermal images: recognise their palette, and convert colours to its steps.

A thermal camera shows temperatures as the colours of a palette, from cold to hot. Brightness need not rise
with temperature (jet is brightest in the middle), but the step on the palette does. Source: ours, with
matplotlib's tables; OpenCV's palettes of the same names differ by a few levels.
"""

from functools import lru_cache

import numpy as np

PALETTES = (
    *("jet", "turbo", "rainbow", "nipy_spectral", "inferno", "magma", "plasma", "viridis", "cividis"),
    *("hot", "afmhot", "gnuplot", "gnuplot2", "CMRmap", "coolwarm"),
)
STEPS = 256
COLOUR = 24  # a pixel is coloured if its channels differ by more levels
COLOURED_SHARE = 0.05  # of an image's pixels; fewer are a logo, a marker or JPEG noise
TOLERANCE = 20.0  # RGB distance to the nearest palette colour; allows for JPEG and OpenCV's tables
ON_PALETTE_SHARE = 0.9  # of coloured pixels; the others are a scale, a logo or text
LEAST_SPREAD = 64  # steps that most pixels must span; a few colours lie on some palette by chance
SAMPLED_PIXELS = 4096
CHUNK_COLOURS = 2**15  # compared with a palette at once: 32 MB


def is_coloured(pixels: np.ndarray) -> bool:
    """Whether an image (h, w, 3) uint8 is coloured, not gray with a logo or JPEG noise."""
    return bool(_chroma(_sample(pixels)).mean() >= COLOURED_SHARE)


def palette_of(pixels: np.ndarray) -> str | None:
    """Return the name of the palette of an image (h, w, 3) uint8; None if it is unknown."""
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
    """Convert colours to steps of a palette, cold 0 to hot 255: (h, w, 3) uint8 -> (h, w) uint8."""
    red, green, blue = (pixels[..., channel].astype(np.uint32) for channel in range(3))
    codes = red << 16 | green << 8 | blue
    present = np.zeros(1 << 24, bool)
    present[codes] = True
    colours = np.flatnonzero(present)  # each colour once
    table = np.zeros(1 << 24, np.uint8)
    for start in range(0, len(colours), CHUNK_COLOURS):
        some = colours[start : start + CHUNK_COLOURS]
        table[some] = _nearest(np.stack([some >> 16, some >> 8 & 255, some & 255], axis=1), name)
    return table[codes]


@lru_cache
def palette(name: str) -> np.ndarray:
    """Return the colours of a palette from cold to hot, (256, 3) uint8."""
    import matplotlib

    return matplotlib.colormaps[name](np.arange(STEPS) / (STEPS - 1), bytes=True)[:, :3]


def _sample(pixels: np.ndarray) -> np.ndarray:
    """Return evenly spaced pixels, (h, w, 3) -> (n, 3) float32."""
    flat = pixels.reshape(-1, 3)
    places = np.linspace(0, len(flat) - 1, min(len(flat), SAMPLED_PIXELS)).astype(np.int64)
    return flat[places].astype(np.float32)


def _chroma(colours: np.ndarray) -> np.ndarray:
    """Return a mask of the colours (n, 3) that are not gray."""
    return colours.max(axis=1) - colours.min(axis=1) > COLOUR


def _nearest(colours: np.ndarray, name: str) -> np.ndarray:
    """Find each colour's nearest step on a palette, (n, 3) -> (n,)."""
    table = palette(name).astype(np.float32)
    # |c - t|² without |c|², which is the same for all steps
    return ((table**2).sum(axis=1) - 2 * colours.astype(np.float32) @ table.T).argmin(axis=1)
