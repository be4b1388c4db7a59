"""Renders depth and thermal: the scene of the still, as measured by a depth sensor and an infrared camera."""

import numpy as np
from PIL import Image

from imagebind.media.flir import ZERO_CELSIUS
from imagebind.toyworld.motion import still_pose
from imagebind.toyworld.scene import Scene
from imagebind.toyworld.view import (
    DEPTH_STREAM,
    PIXELS,
    THERMAL_STREAM,
    Sighting,
    clutter,
    cover,
    sight,
    smooth_field,
)

# Depth: 16-bit millimetres, 0 for pixels without a measurement.
BASELINE = 0.095  # metres between the two cameras, as in a RealSense; view.FOCAL is their focal length
GROUND_NEAR = (1.55, 2.4)  # metres, at the bottom of the image
GROUND_FAR = (2.4, 4.5)  # metres, at the top of the image
GROUND_LEAN = 0.5  # maximum metres between the left and the right side
GROUND_SWELL = 0.35  # unevenness, as a share of the distance
GROUND_BOUNDS = (1.45, 6.0)  # metres; always behind the object
THICKNESS = 0.08  # metres by which the centre of the object is nearer than its edge
FACE_LEAN = 0.12  # metres per radius: the object is tilted slightly, in a random direction
CLUTTER_HEIGHT = (0.05, 0.9)  # metres: pieces on the ground may stand upright
DEPTH_NOISE = 0.004  # metres at 1 m; grows with the square of the distance, as in all triangulation
HOLE_SHARE = (0.01, 0.05)  # of pixels, in patches without a measurement
OCCLUSION_PIXELS = 5.0  # beside the object, visible to only one of the two cameras

# Thermal: 16-bit counts of 0.01 K, as radiometric cameras store them.
COUNTS_PER_KELVIN = 100
THERMAL_LOW = round((-30 + ZERO_CELSIUS) * COUNTS_PER_KELVIN)  # `low` and `high` of ThermalTransform
THERMAL_HIGH = round((80 + ZERO_CELSIUS) * COUNTS_PER_KELVIN)
GROUND_CELSIUS = (22.0, 30.0)
GROUND_SPREAD = 3.0  # °C, between parts of the ground
SPOTS = 5  # soft spots on the ground, warmed by the sun or wet, as warm or cold as the object itself
SPOT_SPREAD = 18.0  # °C
SPOT_RADIUS = (22.0, 45.0)  # pixels
CLUTTER_SPREAD = 9.0  # °C
DETECTOR_PIXELS = (80, 128)  # per side; the camera stores the image enlarged, so it is blurred
THERMAL_NOISE = (0.4, 1.2)  # °C
STRIPE_NOISE = 0.5  # °C, between columns of the sensor
WARMTH_REACH = 0.2  # radii within which the object warms or cools the ground
WARMTH_SHARE = 0.35  # of the temperature difference, at the outline


def render_depth(scene: Scene) -> np.ndarray:
    """Render a depth image: (224, 224) uint16 millimetres, 0 for pixels without a measurement."""
    rng = scene.rng(DEPTH_STREAM)
    sighting = sight(scene, still_pose(scene))
    down = np.linspace(1, 0, PIXELS, dtype=np.float32)[:, None]  # top is far
    across = np.linspace(-0.5, 0.5, PIXELS, dtype=np.float32)
    near, far = rng.uniform(*GROUND_NEAR), rng.uniform(*GROUND_FAR)
    ground = near + (far - near) * down + rng.uniform(-GROUND_LEAN, GROUND_LEAN) * across  # (h, w)
    ground *= 1 + GROUND_SWELL * smooth_field(rng, 6, 6)
    pieces, count = clutter(scene)
    heights = np.concatenate([[0.0], rng.uniform(*CLUTTER_HEIGHT, count)]).astype(np.float32)
    ground = (ground - heights[pieces]).clip(*GROUND_BOUNDS)
    # 0 at the edge, 1 from half a radius inwards.
    inside = (-2 * sighting.distance / sighting.radius).clip(0, 1)
    lean = rng.uniform(-FACE_LEAN, FACE_LEAN, 2)
    face = scene.distance - THICKNESS * np.sqrt(inside)
    face[sighting.box] += lean[0] * sighting.u + lean[1] * sighting.v
    metres = np.where(sighting.distance < 0, face, ground)
    metres += DEPTH_NOISE * metres**2 * rng.standard_normal(metres.shape, dtype=np.float32)
    metres[_unmeasured(sighting, rng)] = 0
    return np.rint(metres * 1000).astype(np.uint16)


def _unmeasured(sighting: Sighting, rng: np.random.Generator) -> np.ndarray:
    """Return the pixels without a measurement: patches, and ground that the object hides from one camera."""
    blotches = smooth_field(rng, 28, 28)
    share = rng.uniform(*HOLE_SHARE)
    side = float(rng.choice((-1, 1))) * OCCLUSION_PIXELS
    hidden = (sighting.moved(side, 0) < 0) & (sighting.distance >= 0)
    return hidden | (blotches > np.quantile(blotches[::4, ::4], 1 - share))


def render_thermal(scene: Scene) -> np.ndarray:
    """Render a thermal image of a radiometric camera: (224, 224) uint16 counts of 0.01 K."""
    rng = scene.rng(THERMAL_STREAM)
    sighting = sight(scene, still_pose(scene))
    ground = rng.uniform(*GROUND_CELSIUS) + GROUND_SPREAD * smooth_field(rng, 4, 4)  # (h, w)
    ground += _spots(rng)
    pieces, count = clutter(scene)
    extra = np.concatenate([[0.0], rng.normal(0, CLUTTER_SPREAD, count)]).astype(np.float32)
    ground = ground + extra[pieces]
    warmed = WARMTH_SHARE * np.exp(-sighting.distance.clip(min=0) / (WARMTH_REACH * sighting.radius))
    share = warmed + (1 - warmed) * cover(sighting.distance)
    celsius = (ground + (scene.temperature - ground) * share).astype(np.float32)
    cells = int(rng.integers(*DETECTOR_PIXELS, endpoint=True))
    noise = rng.standard_normal((cells, cells), dtype=np.float32)
    stripes = rng.standard_normal(cells, dtype=np.float32)
    detected = np.asarray(Image.fromarray(celsius).resize((cells, cells), Image.Resampling.BICUBIC))
    detected = detected + rng.uniform(*THERMAL_NOISE) * noise + STRIPE_NOISE * stripes
    counts = (detected + ZERO_CELSIUS) * COUNTS_PER_KELVIN
    image = Image.fromarray(counts).resize((PIXELS, PIXELS), Image.Resampling.BICUBIC)
    return np.rint(np.asarray(image)).astype(np.uint16)


def _spots(rng: np.random.Generator) -> np.ndarray:
    """Return soft warm and cold spots of the ground: (h, w) °C."""
    grid = np.arange(PIXELS, dtype=np.float32)
    warmth = np.zeros((PIXELS, PIXELS), dtype=np.float32)
    for _ in range(SPOTS):
        (across, down), radius = rng.uniform(0, PIXELS, 2), rng.uniform(*SPOT_RADIUS)
        column, row = (np.exp(-(((grid - middle) / radius) ** 2)) for middle in (across, down))
        warmth += np.float32(rng.normal(0, SPOT_SPREAD)) * row[:, None] * column
    return warmth
