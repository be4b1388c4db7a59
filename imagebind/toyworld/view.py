"""View: the pinhole camera of image, video, depth and thermal, and the pieces that lie on the ground."""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from imagebind.toyworld.motion import Pose
from imagebind.toyworld.scene import Scene
from imagebind.toyworld.shapes import CELLS, EXTENT, OUTSIDE, REACH, distance_field

PIXELS = 224  # per side of every image
FOCAL = 260.0  # pixels: a field of view of 47°
IMAGE_CENTRE = PIXELS / 2  # pixels, of an image with `PIXELS` per side

# Random number streams of a scene, by their use.
(
    CLUTTER_STREAM,
    GROUND_STREAM,
    IMAGE_STREAM,
    DEPTH_STREAM,
    THERMAL_STREAM,
    AUDIO_STREAM,
    IMU_STREAM,
    TEXT_STREAM,
) = range(8)

CLUTTER_COUNT = (3, 6)
CLUTTER_RADIUS = (5.0, 15.0)  # pixels: too small to be mistaken for the object
CLUTTER_SIDES = (3, 8)


@dataclass(frozen=True, kw_only=True, eq=False)
class Sighting:
    """The projection of the object into an image.

    Args:
        distance: (h, w) float32, pixels from its outline, negative inside.
        radius: pixels.
        box: the rows and the columns that it may cover.
        u, v: float32 over the box, coordinates on the object in radii, right and down at angle 0.
    """

    distance: np.ndarray
    radius: float
    box: tuple[slice, slice]
    u: np.ndarray
    v: np.ndarray

    def moved(self, right: float, down: float) -> np.ndarray:
        """Return `distance` of the object shifted by whole pixels, with repeated borders: (h, w)."""
        last = len(self.distance) - 1
        grid = np.arange(last + 1)
        rows, columns = (grid - round(down)).clip(0, last), (grid - round(right)).clip(0, last)
        return self.distance.take(rows, axis=0).take(columns, axis=1)


def cover(distance: np.ndarray) -> np.ndarray:
    """Return the share of each pixel that the object covers, 0 to 1."""
    return (0.5 - distance).clip(0, 1)


def sight(scene: Scene, pose: Pose, pixels: int = PIXELS) -> Sighting:
    """Project the object into an image of `pixels` per side."""
    radius = FOCAL * scene.size / pose.distance
    across = pixels / 2 + FOCAL * pose.x / pose.distance
    down = pixels / 2 + FOCAL * pose.y / pose.distance
    cos, sin = math.cos(pose.angle) / radius, math.sin(pose.angle) / radius
    # The inverse map from a pixel: position, foreshortening, size and rotation.
    a, b = cos, sin / scene.slant
    d, e = -sin, cos / scene.slant
    c, f = -(a * across + b * down), -(d * across + e * down)
    scale = CELLS / (2 * EXTENT)  # cells per radius
    field = distance_field(scene.shape).transform(
        (pixels, pixels),
        Image.Transform.AFFINE,
        (a * scale, b * scale, c * scale + CELLS / 2, d * scale, e * scale, f * scale + CELLS / 2),
        resample=Image.Resampling.BILINEAR,
        fillcolor=OUTSIDE,
    )
    box = (_within(down, REACH * radius, pixels), _within(across, REACH * radius, pixels))
    rows, columns = (np.arange(side.start, side.stop, dtype=np.float32) + 0.5 for side in box)
    return Sighting(
        distance=np.asarray(field) * np.float32(radius),
        radius=radius,
        box=box,
        u=a * columns + (b * rows + c)[:, None],
        v=d * columns + (e * rows + f)[:, None],
    )


def _within(middle: float, reach: float, pixels: int) -> slice:
    start = min(max(math.floor(middle - reach), 0), pixels)
    return slice(start, max(min(math.ceil(middle + reach), pixels), start))


def clutter(scene: Scene, pixels: int = PIXELS) -> tuple[np.ndarray, int]:
    """Return the index of the piece (pebble, leaf, scrap) at each pixel, 0 for none, and their number.

    The indices are (h, w) uint8.
    """
    rng = scene.rng(CLUTTER_STREAM)
    pieces = Image.new("L", (pixels, pixels))
    draw = ImageDraw.Draw(pieces)
    count = int(rng.integers(*CLUTTER_COUNT, endpoint=True)) * pixels**2 // PIXELS**2
    for piece in range(1, count + 1):
        centre, radius = rng.uniform(0, pixels, 2), rng.uniform(*CLUTTER_RADIUS)
        sides = int(rng.integers(*CLUTTER_SIDES, endpoint=True))
        angles = np.sort(rng.uniform(0, 2 * np.pi, sides))
        corners = centre + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        draw.polygon([(float(x), float(y)) for x, y in corners], fill=piece)
    return np.asarray(pieces), count


def smooth_field(rng: np.random.Generator, rows: int, columns: int, pixels: int = PIXELS) -> np.ndarray:
    """Return smooth noise of about unit variance, (h, w) float32.

    It interpolates `rows` × `columns` random values per 224 × 224 pixels.
    """
    grid = (rows * pixels // PIXELS, columns * pixels // PIXELS)
    coarse = Image.fromarray(rng.standard_normal(grid, dtype=np.float32))
    return np.asarray(coarse.resize((pixels, pixels), Image.Resampling.BICUBIC))
