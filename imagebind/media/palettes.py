"""Recognise the palette of a thermal image in false colours, and convert its colours to palette steps.

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
PALETTE_STEPS = 256
MIN_CHROMA = 24  # a pixel is coloured if its channels differ by more than this
COLOURED_SHARE = 0.05  # of an image's pixels; fewer are a logo, a marker or JPEG noise
PALETTE_TOLERANCE = 20.0  # RGB distance to the nearest palette colour; allows for JPEG and OpenCV's tables
ON_PALETTE_SHARE = 0.9  # of coloured pixels; the others are a scale, a logo or text
MIN_STEP_SPREAD = 64  # palette steps that most pixels must span; a few colours lie on some palette by chance
PALETTE_SAMPLE_PIXELS = 4096
CHUNK_COLOURS = 2**15  # compared with a palette at once: 32 MB


def is_coloured(pixels: np.ndarray) -> bool:
    """Whether an image (h, w, 3) uint8 is coloured, not grayscale with a logo or JPEG noise."""
    return bool(_chroma(_sample(pixels)).mean() >= COLOURED_SHARE)


def palette_of(pixels: np.ndarray) -> str | None:
    """Return the name of the palette of an image (h, w, 3) uint8; None if it is unknown or not coloured."""
    sample = _sample(pixels)
    sample = sample[_chroma(sample)]
    if not len(sample):
        return None
    best, least = None, PALETTE_TOLERANCE
    for name in PALETTES:
        steps = _nearest(sample, name)
        distances = np.linalg.norm(sample - palette(name)[steps].astype(np.float32), axis=1)
        cold, hot = np.percentile(steps, (5, 95))
        far = distances > PALETTE_TOLERANCE
        mean = float(np.minimum(distances, PALETTE_TOLERANCE).mean())
        if far.mean() <= 1 - ON_PALETTE_SHARE and hot - cold >= MIN_STEP_SPREAD and mean < least:
            best, least = name, mean
    return best


def palette_steps(pixels: np.ndarray, name: str) -> np.ndarray:
    """Convert colours to steps of a palette, cold 0 to hot 255: (h, w, 3) uint8 -> (h, w) uint8."""
    red, green, blue = (pixels[..., channel].astype(np.uint32) for channel in range(3))
    codes = red << 16 | green << 8 | blue
    present = np.zeros(1 << 24, bool)
    present[codes] = True
    colours = np.flatnonzero(present)  # each colour once
    table = np.zeros(1 << 24, np.uint8)
    for start in range(0, len(colours), CHUNK_COLOURS):
        part = colours[start : start + CHUNK_COLOURS]
        table[part] = _nearest(np.stack([part >> 16, part >> 8 & 255, part & 255], axis=1), name)
    return table[codes]


@lru_cache
def palette(name: str) -> np.ndarray:
    """Return the colours of a palette from cold to hot, (256, 3) uint8."""
    import matplotlib

    return matplotlib.colormaps[name](np.arange(PALETTE_STEPS) / (PALETTE_STEPS - 1), bytes=True)[:, :3]


def _sample(pixels: np.ndarray) -> np.ndarray:
    """Return evenly spaced pixels, (h, w, 3) -> (n, 3) float32."""
    flat = pixels.reshape(-1, 3)
    indices = np.linspace(0, len(flat) - 1, min(len(flat), PALETTE_SAMPLE_PIXELS)).astype(np.int64)
    return flat[indices].astype(np.float32)


def _chroma(colours: np.ndarray) -> np.ndarray:
    """Return a mask of the colours (n, 3) that are not gray."""
    return colours.max(axis=1) - colours.min(axis=1) > MIN_CHROMA


def _nearest(colours: np.ndarray, name: str) -> np.ndarray:
    """Find each colour's nearest step on a palette, (n, 3) -> (n,)."""
    table = palette(name).astype(np.float32)
    # |c - t|² without |c|², which is the same for all steps
    return ((table**2).sum(axis=1) - 2 * colours.astype(np.float32) @ table.T).argmin(axis=1)
