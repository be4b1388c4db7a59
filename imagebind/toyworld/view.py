"""View: the pinhole camera that image, video, depth and thermal share, and what lies about on the ground."""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from imagebind.toyworld.motion import Pose
from imagebind.toyworld.scene import Scene
from imagebind.toyworld.shapes import CELLS, EXTENT, OUTSIDE, REACH, distance_field

PIXELS = 224  # along each side of every picture
FOCAL = 260.0  # pixels: 47° across
MIDDLE = PIXELS / 2

# What is chance in a scene, by what uses it; each stream is its own.
CLUTTER, GROUND, IMAGE, DEPTH, THERMAL, SOUND, IMU, TEXT = range(8)

CLUTTER_COUNT = (3, 6)
CLUTTER_RADIUS = (5.0, 15.0)  # pixels: no piece could be taken for the thing
CLUTTER_SIDES = (3, 8)


@dataclass(frozen=True, kw_only=True, eq=False)
class Sighting:
    """The thing in a picture.

    Args:
        distance: (h, w) float32, pixels from its outline, negative inside.
        radius: pixels.
        box: the rows and the columns that it may cover.
        u, v: float32 over the box, the thing's own coordinates in radii: right and down when it isn't turned.
    """

    distance: np.ndarray
    radius: float
    box: tuple[slice, slice]
    u: np.ndarray
    v: np.ndarray

    def moved(self, right: float, down: float) -> np.ndarray:
        """`distance` as if the thing stood elsewhere, to a whole pixel, its border repeated: (h, w)."""
        grid = np.arange(PIXELS)
        rows, columns = (grid - round(down)).clip(0, PIXELS - 1), (grid - round(right)).clip(0, PIXELS - 1)
        return self.distance.take(rows, axis=0).take(columns, axis=1)


def cover(distance: np.ndarray) -> np.ndarray:
    """How much of each pixel the thing covers, 0 to 1."""
    return (0.5 - distance).clip(0, 1)


def sight(scene: Scene, pose: Pose) -> Sighting:
    """Project the thing."""
    radius = FOCAL * scene.size / pose.distance
    across = MIDDLE + FOCAL * pose.x / pose.distance
    down = MIDDLE + FOCAL * pose.y / pose.distance
    cos, sin = math.cos(pose.angle) / radius, math.sin(pose.angle) / radius
    # Undo, of a pixel: its place, the foreshortening, the size and the turn.
    a, b = cos, sin / scene.slant
    d, e = -sin, cos / scene.slant
    c, f = -(a * across + b * down), -(d * across + e * down)
    scale = CELLS / (2 * EXTENT)  # cells a radius
    field = distance_field(scene.shape).transform(
        (PIXELS, PIXELS),
        Image.Transform.AFFINE,
        (a * scale, b * scale, c * scale + CELLS / 2, d * scale, e * scale, f * scale + CELLS / 2),
        resample=Image.Resampling.BILINEAR,
        fillcolor=OUTSIDE,
    )
    box = (_within(down, REACH * radius), _within(across, REACH * radius))
    rows, columns = (np.arange(side.start, side.stop, dtype=np.float32) + 0.5 for side in box)
    return Sighting(
        distance=np.asarray(field) * np.float32(radius),
        radius=radius,
        box=box,
        u=a * columns + (b * rows + c)[:, None],
        v=d * columns + (e * rows + f)[:, None],
    )


def _within(middle: float, reach: float) -> slice:
    start = min(max(math.floor(middle - reach), 0), PIXELS)
    return slice(start, max(min(math.ceil(middle + reach), PIXELS), start))


def clutter(scene: Scene) -> tuple[np.ndarray, int]:
    """Pebbles, leaves, scraps: which piece a pixel shows, from 1 on, or 0: (h, w) uint8, and their number."""
    rng = scene.rng(CLUTTER)
    picture = Image.new("L", (PIXELS, PIXELS))
    draw = ImageDraw.Draw(picture)
    count = int(rng.integers(*CLUTTER_COUNT, endpoint=True))
    for piece in range(1, count + 1):
        centre, radius = rng.uniform(0, PIXELS, 2), rng.uniform(*CLUTTER_RADIUS)
        sides = int(rng.integers(*CLUTTER_SIDES, endpoint=True))
        turns = np.sort(rng.uniform(0, 2 * np.pi, sides))
        corners = centre + radius * np.stack([np.cos(turns), np.sin(turns)], axis=1)
        draw.polygon([(float(x), float(y)) for x, y in corners], fill=piece)
    return np.asarray(picture), count


def smooth_field(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Noise of about unit variance in soft cells: (h, w) float32."""
    coarse = Image.fromarray(rng.standard_normal((rows, columns), dtype=np.float32))
    return np.asarray(coarse.resize((PIXELS, PIXELS), Image.Resampling.BICUBIC))
