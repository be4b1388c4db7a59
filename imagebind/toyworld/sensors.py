"""Depth and thermal: the still's geometry as a range sensor and an infrared camera give it."""

import numpy as np
from PIL import Image

from imagebind.toyworld.motion import still_pose
from imagebind.toyworld.scene import Scene
from imagebind.toyworld.view import (
    DEPTH,
    PIXELS,
    THERMAL,
    Sighting,
    clutter,
    cover,
    sight,
    smooth_field,
)

# Depth: 16-bit millimetres, 0 where the sensor saw nothing.
BASELINE = 0.095  # metres between the sensor's eyes, a RealSense's; view.FOCAL is its focal length
GROUND_NEAR = (1.55, 2.4)  # metres, at the picture's bottom
GROUND_FAR = (2.4, 4.5)  # at its top
GROUND_LEAN = 0.5  # metres, one side against the other, either way
GROUND_SWELL = 0.35  # of its distance: no ground is flat
GROUND_BOUNDS = (1.45, 6.0)  # metres; always behind the thing
THICKNESS = 0.08  # metres that the thing's middle stands out before its edge
FACE_LEAN = 0.12  # metres a radius: it never faces the camera quite, any side may be nearer
PEBBLES = (0.05, 0.9)  # metres high: what lies about may stand up, too
DEPTH_NOISE = 0.004  # metres at 1 m; it grows with the square of distance, as of all triangulation
HOLES = (0.01, 0.05)  # share of pixels in blotches without an answer
SHADOW_SHIFT = 5.0  # pixels beside the thing that only one of the two eyes sees

# Thermal: 16-bit counts of 0.01 K, as radiometric cameras store them.
KELVIN = 273.15
COUNTS_PER_KELVIN = 100
THERMAL_LOW = round((-30 + KELVIN) * COUNTS_PER_KELVIN)  # what ThermalTransform wants as low and high
THERMAL_HIGH = round((80 + KELVIN) * COUNTS_PER_KELVIN)
GROUND_CELSIUS = (22.0, 30.0)
GROUND_SPREAD = 3.0  # °C, from one place to another
SPOTS = 5  # where the sun has been, or water: as warm or as cold as the thing itself, but soft
SPOT_SPREAD = 18.0  # °C
SPOT_RADIUS = (22.0, 45.0)  # pixels
CLUTTER_SPREAD = 9.0
DETECTOR = (80, 128)  # pixels along each side; the camera stores them enlarged, hence blurred
THERMAL_NOISE = (0.4, 1.2)  # °C
STRIPES = 0.5  # °C, from one column of the sensor to the next
WARMTH_REACH = 0.2  # radii: how far the thing warms or cools the ground
WARMTH = 0.35  # of its difference


def render_depth(scene: Scene) -> np.ndarray:
    """Distances as a sensor stores them: (224, 224) uint16 millimetres, 0 where it saw nothing."""
    rng = scene.rng(DEPTH)
    seen = sight(scene, still_pose(scene))
    down = np.linspace(1, 0, PIXELS, dtype=np.float32)[:, None]  # top is far
    across = np.linspace(-0.5, 0.5, PIXELS, dtype=np.float32)
    near, far = rng.uniform(*GROUND_NEAR), rng.uniform(*GROUND_FAR)
    ground = near + (far - near) * down + rng.uniform(-GROUND_LEAN, GROUND_LEAN) * across  # (h, w)
    ground *= 1 + GROUND_SWELL * smooth_field(rng, 6, 6)
    pieces, count = clutter(scene)
    heights = np.concatenate([[0.0], rng.uniform(*PEBBLES, count)]).astype(np.float32)
    ground = (ground - heights[pieces]).clip(*GROUND_BOUNDS)
    inside = (-2 * seen.distance / seen.radius).clip(0, 1)  # 0 at the edge, 1 from half a radius inwards
    lean = rng.uniform(-FACE_LEAN, FACE_LEAN, 2)
    face = scene.distance - THICKNESS * np.sqrt(inside)
    face[seen.box] += lean[0] * seen.u + lean[1] * seen.v
    metres = np.where(seen.distance < 0, face, ground)
    metres += DEPTH_NOISE * metres**2 * rng.standard_normal(metres.shape, dtype=np.float32)
    metres[_unseen(seen, rng)] = 0
    return np.rint(metres * 1000).astype(np.uint16)


def _unseen(seen: Sighting, rng: np.random.Generator) -> np.ndarray:
    """Where the sensor has no answer: blotches, and the ground that the thing hides from one eye."""
    blotches = smooth_field(rng, 28, 28)
    share = rng.uniform(*HOLES)
    side = float(rng.choice((-1, 1))) * SHADOW_SHIFT
    hidden = (seen.moved(side, 0) < 0) & (seen.distance >= 0)
    return hidden | (blotches > np.quantile(blotches[::4, ::4], 1 - share))


def render_thermal(scene: Scene) -> np.ndarray:
    """Warmth as a radiometric camera stores it: (224, 224) uint16 counts of 0.01 K."""
    rng = scene.rng(THERMAL)
    seen = sight(scene, still_pose(scene))
    ground = rng.uniform(*GROUND_CELSIUS) + GROUND_SPREAD * smooth_field(rng, 4, 4)  # (h, w)
    ground += _spots(rng)
    pieces, count = clutter(scene)
    extra = np.concatenate([[0.0], rng.normal(0, CLUTTER_SPREAD, count)]).astype(np.float32)
    ground = ground + extra[pieces]
    warmed = WARMTH * np.exp(-seen.distance.clip(min=0) / (WARMTH_REACH * seen.radius))
    share = warmed + (1 - warmed) * cover(seen.distance)
    celsius = (ground + (scene.temperature - ground) * share).astype(np.float32)
    cells = int(rng.integers(*DETECTOR, endpoint=True))
    noise = rng.standard_normal((cells, cells), dtype=np.float32)
    stripes = rng.standard_normal(cells, dtype=np.float32)
    detected = np.asarray(Image.fromarray(celsius).resize((cells, cells), Image.Resampling.BICUBIC))
    detected = detected + rng.uniform(*THERMAL_NOISE) * noise + STRIPES * stripes
    counts = (detected + KELVIN) * COUNTS_PER_KELVIN
    picture = Image.fromarray(counts).resize((PIXELS, PIXELS), Image.Resampling.BICUBIC)
    return np.rint(np.asarray(picture)).astype(np.uint16)


def _spots(rng: np.random.Generator) -> np.ndarray:
    """Soft warm and cold places on the ground: (h, w) °C."""
    grid = np.arange(PIXELS, dtype=np.float32)
    warmth = np.zeros((PIXELS, PIXELS), dtype=np.float32)
    for _ in range(SPOTS):
        (across, down), radius = rng.uniform(0, PIXELS, 2), rng.uniform(*SPOT_RADIUS)
        column, row = (np.exp(-(((grid - middle) / radius) ** 2)) for middle in (across, down))
        warmth += np.float32(rng.normal(0, SPOT_SPREAD)) * row[:, None] * column
    return warmth
