"""Generated images with about the storage and decoding cost of photographs: soft shapes with noise."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

FRAME_RATE = 25
GRAIN_DEVIATION = 6.0  # standard deviation, of 255
GRID_CELLS = 12  # soft shapes along each side
JPEG_QUALITY = 90
NOISE_PATTERNS = 7  # of a video's frames, in turn


def random_image(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Return a random image: uint8 (h, w, 3)."""
    shapes = Image.fromarray(rng.integers(0, 256, (GRID_CELLS, GRID_CELLS, 3), dtype=np.uint8))
    soft = np.asarray(shapes.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)
    grain = rng.standard_normal((height, width, 1), dtype=np.float32) * GRAIN_DEVIATION
    return (soft + grain).clip(0, 255).astype(np.uint8)


def write_images(folder: Path, count: int, size: tuple[int, int]) -> list[Path]:
    """Write JPEG files; return their paths in order."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    paths = [folder / f"{number:04}.jpg" for number in range(count)]
    for path in paths:
        Image.fromarray(random_image(rng, *size)).save(path, quality=JPEG_QUALITY)
    return paths


def write_video(path: Path, *, duration: float, size: tuple[int, int]) -> None:
    """Write an H.264 video that pans over a wide image, with changing noise."""
    width, height = size
    rng = np.random.default_rng(0)
    scene = random_image(rng, 2 * width, height)
    grains = [rng.integers(-8, 9, (height, width, 1), dtype=np.int16) for _ in range(NOISE_PATTERNS)]
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=FRAME_RATE, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, FRAME_RATE)
        frames = int(duration * FRAME_RATE)
        for number in range(frames):
            left = width * number // frames
            shown = scene[:, left : left + width].astype(np.int16) + grains[number % len(grains)]
            frame = av.VideoFrame.from_ndarray(shown.clip(0, 255).astype(np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
