"""Surfaces: the appearance of grounds and materials, as colour planes from 0 to 255."""

import math

import numpy as np

from imagebind.toyworld.scene import Colour, Ground, Material, Scene
from imagebind.toyworld.view import CLUTTER_STREAM, GROUND_STREAM, PIXELS, Sighting, clutter, smooth_field

PAINTS = {  # each scene also has its own brightness and tint
    Colour.RED: (214, 32, 38),
    Colour.ORANGE: (245, 132, 20),
    Colour.YELLOW: (246, 222, 40),
    Colour.GREEN: (40, 165, 60),
    Colour.CYAN: (40, 205, 215),
    Colour.BLUE: (38, 70, 215),
    Colour.PURPLE: (150, 45, 190),
    Colour.WHITE: (242, 242, 238),
}
DARK_HALF = 0.65  # brightness of the object's darker half, which makes its rotation visible

GROUND_COLOURS = {  # muted and dark, so that the object stands out in every paint
    Ground.GRASS: (52, 64, 36),
    Ground.SAND: (104, 94, 72),
    Ground.BOARDS: (76, 58, 42),
    Ground.TILES: (82, 82, 88),
    Ground.SNOW: (116, 119, 124),
    Ground.ASPHALT: (40, 40, 44),
}
PATCHINESS = 6.0  # out of 255, between parts of a ground
BOARD, TILE = 34, 44  # pixels
JOINT = 3  # pixels between boards or tiles
CLUTTER_LEVELS = (30.0, 225.0)  # of the random colours of pieces on the ground

OPACITY = {Material.GLASS: 0.78}  # other materials are opaque
GLASS_EDGE, GLASS_EDGE_WIDTH = 0.12, 0.06  # radii inside the outline, where glass glints
GLASS_GLINT = 0.6
WOOD_GRAIN = 11.0  # radians of stripes per radius
RUBBER_KNOBS = 16.0  # radians of knobs per radius
METAL_BANDS = 3.2  # radians of bands per radius
METAL_SHEEN, METAL_GLARE = 0.12, 0.3  # shine between the bands, and added in their middle


def ground_pixels(scene: Scene, pixels: int = PIXELS) -> np.ndarray:
    """Return the ground and the pieces on it: (3, h, w) float32."""
    rng = scene.rng(GROUND_STREAM)
    tone = smooth_field(rng, 5, 5, pixels) * PATCHINESS + _relief(scene.ground, rng, pixels)  # (h, w)
    image = planes(GROUND_COLOURS[scene.ground]) + tone
    pieces, count = clutter(scene, pixels)
    colour_rng = scene.rng(CLUTTER_STREAM, GROUND_STREAM)
    colours = colour_rng.uniform(*CLUTTER_LEVELS, (3, count + 1)).astype(np.float32)
    return np.where(pieces > 0, colours[:, pieces], image)


def planes(colour: tuple[float, float, float]) -> np.ndarray:
    """Return a colour that broadcasts over an image: (3, 1, 1) float32."""
    return np.array(colour, dtype=np.float32)[:, None, None]


def _relief(ground: Ground, rng: np.random.Generator, pixels: int) -> np.ndarray:
    """Return the texture of a ground: (h, w)."""
    if ground is Ground.GRASS:
        return smooth_field(rng, 40, 112, pixels) * 11  # blades
    if ground is Ground.SAND:
        grains, ripples = smooth_field(rng, 112, 112, pixels), smooth_field(rng, 24, 5, pixels)
        return grains * 6 + ripples * 4
    if ground is Ground.SNOW:
        return smooth_field(rng, 10, 10, pixels) * 4
    if ground is Ground.ASPHALT:
        return smooth_field(rng, 150, 150, pixels) * 10
    grid = np.arange(pixels)
    if ground is Ground.BOARDS:
        joints = (grid + rng.integers(BOARD)) % BOARD < JOINT
        return np.where(joints[:, None], -22, smooth_field(rng, 112, 6, pixels) * 5)
    across, down = ((grid + rng.integers(TILE)) % TILE < JOINT for _ in range(2))
    return np.where(across | down[:, None], 20, smooth_field(rng, 5, 5, pixels) * 2)


def face_pixels(scene: Scene, sighting: Sighting, mark: float) -> np.ndarray:
    """Return the object's face in even light: float32 (3, rows, columns) of its box.

    Args:
        mark: direction of the darker half on the object, in radians.
    """
    # In pixels from the border of the two halves, so that this border is as sharp as the outline.
    halves = (sighting.u * math.cos(mark) + sighting.v * math.sin(mark)) * sighting.radius
    tone = (1 - (1 - DARK_HALF) * (0.5 + halves).clip(0, 1)) * _grain(scene, sighting)
    face = planes(PAINTS[scene.colour]) * tone
    shine = _shine(scene, sighting)
    return face if shine is None else face + (255 - face) * shine


def _grain(scene: Scene, sighting: Sighting) -> np.ndarray | float:
    """Return the factor by which a material's texture darkens the paint; it rotates with the object."""
    if scene.material is Material.WOOD:
        return 0.84 + 0.16 * np.sin(WOOD_GRAIN * sighting.u + 3 * sighting.v)
    if scene.material is Material.RUBBER:
        return 0.86 - 0.2 * (
            np.sin(RUBBER_KNOBS * sighting.u) * np.sin(RUBBER_KNOBS * sighting.v) > 0.35
        ).astype(np.float32)
    return 1.0


def _shine(scene: Scene, sighting: Sighting) -> np.ndarray | None:
    """Return the reflection of the light, 0 to 1; None for wood and rubber.

    In a still, the bands of metal do not depend on the object's angle; they rotate with a spinning object.
    """
    if scene.material is Material.METAL:
        angle = scene.light - scene.angle
        bands = np.sin(METAL_BANDS * (sighting.u * math.cos(angle) + sighting.v * math.sin(angle)))
        return METAL_SHEEN + METAL_GLARE * bands.clip(min=0) ** 4
    if scene.material is Material.GLASS:
        inwards = sighting.distance[sighting.box] / sighting.radius + GLASS_EDGE
        return GLASS_GLINT * np.exp(-((inwards / GLASS_EDGE_WIDTH) ** 2))
    return None
