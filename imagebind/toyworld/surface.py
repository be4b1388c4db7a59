"""Surfaces: what grounds and materials look like, in colours of 0 to 255, a plane each."""

import math

import numpy as np

from imagebind.toyworld.scene import Colour, Ground, Material, Scene
from imagebind.toyworld.view import CLUTTER, GROUND, PIXELS, Sighting, clutter, smooth_field

PAINTS = {  # pigments and lamps differ: every picture has its own brightness and tint besides
    Colour.RED: (214, 32, 38),
    Colour.ORANGE: (245, 132, 20),
    Colour.YELLOW: (246, 222, 40),
    Colour.GREEN: (40, 165, 60),
    Colour.CYAN: (40, 205, 215),
    Colour.BLUE: (38, 70, 215),
    Colour.PURPLE: (150, 45, 190),
    Colour.WHITE: (242, 242, 238),
}
SECOND_COAT = 0.65  # one half of the thing is painted this much darker, so that its turning shows

SOILS = {  # muted and dim, so that the thing is what one sees first, in whatever paint
    Ground.GRASS: (52, 64, 36),
    Ground.SAND: (104, 94, 72),
    Ground.BOARDS: (76, 58, 42),
    Ground.TILES: (82, 82, 88),
    Ground.SNOW: (116, 119, 124),
    Ground.ASPHALT: (40, 40, 44),
}
PATCHINESS = 6.0  # of 255, from one place of a ground to another
BOARD, TILE = 34, 44  # pixels
JOINT = 3  # pixels between two of them
STUFF = (30.0, 225.0)  # any colour, for what lies about

OPACITY = {Material.GLASS: 0.78}  # the others hide the ground
GLASS_EDGE, GLASS_EDGE_WIDTH = 0.12, 0.06  # radii within the outline, where it glints
GLASS_GLINT = 0.6
WOOD_GRAIN = 11.0  # radians of stripes a radius
KNOBS = 16.0  # likewise, of rubber's
METAL_BANDS = 3.2
METAL_SHEEN, METAL_GLARE = 0.12, 0.3


def ground_picture(scene: Scene) -> np.ndarray:
    """The ground with what lies on it: (3, h, w) float32."""
    rng = scene.rng(GROUND)
    tone = smooth_field(rng, 5, 5) * PATCHINESS + _relief(scene.ground, rng)  # (h, w)
    picture = planes(SOILS[scene.ground]) + tone
    pieces, count = clutter(scene)
    stuff = scene.rng(CLUTTER, GROUND).uniform(*STUFF, (3, count + 1)).astype(np.float32)
    return np.where(pieces > 0, stuff[:, pieces], picture)


def planes(colour: tuple[float, float, float]) -> np.ndarray:
    """A colour to be spread over a picture: (3, 1, 1) float32."""
    return np.array(colour, dtype=np.float32)[:, None, None]


def _relief(ground: Ground, rng: np.random.Generator) -> np.ndarray:
    """What tells one ground from another besides its colour: (h, w)."""
    if ground is Ground.GRASS:
        return smooth_field(rng, 40, 112) * 11  # blades
    if ground is Ground.SAND:
        return smooth_field(rng, 112, 112) * 6 + smooth_field(rng, 24, 5) * 4  # grains and ripples
    if ground is Ground.SNOW:
        return smooth_field(rng, 10, 10) * 4
    if ground is Ground.ASPHALT:
        return smooth_field(rng, 150, 150) * 10
    grid = np.arange(PIXELS)
    if ground is Ground.BOARDS:
        joints = (grid + rng.integers(BOARD)) % BOARD < JOINT
        return np.where(joints[:, None], -22, smooth_field(rng, 112, 6) * 5)
    across, down = ((grid + rng.integers(TILE)) % TILE < JOINT for _ in range(2))
    return np.where(across | down[:, None], 20, smooth_field(rng, 5, 5) * 2)


def face_picture(scene: Scene, seen: Sighting, mark: float) -> np.ndarray:
    """The thing's face in even light: float32 (rows, columns, 3) of its box.

    Args:
        mark: radians, where on the thing its darker half lies.
    """
    # In pixels from the seam between its halves, so that the seam is as sharp as the outline.
    halves = (seen.u * math.cos(mark) + seen.v * math.sin(mark)) * seen.radius
    tone = (1 - (1 - SECOND_COAT) * (0.5 + halves).clip(0, 1)) * _grain(scene, seen)
    face = planes(PAINTS[scene.colour]) * tone
    shine = _shine(scene, seen)
    return face if shine is None else face + (255 - face) * shine


def _grain(scene: Scene, seen: Sighting) -> np.ndarray | float:
    """How a material darkens its paint; it turns with the thing."""
    if scene.material is Material.WOOD:
        return 0.84 + 0.16 * np.sin(WOOD_GRAIN * seen.u + 3 * seen.v)
    if scene.material is Material.RUBBER:
        return 0.86 - 0.2 * (np.sin(KNOBS * seen.u) * np.sin(KNOBS * seen.v) > 0.35).astype(np.float32)
    return 1.0


def _shine(scene: Scene, seen: Sighting) -> np.ndarray | None:
    """How much of the lamp a material shows, 0 to 1; it stays where the lamp is while the thing turns."""
    if scene.material is Material.METAL:
        turned = scene.light - scene.angle
        bands = np.sin(METAL_BANDS * (seen.u * math.cos(turned) + seen.v * math.sin(turned)))
        return METAL_SHEEN + METAL_GLARE * bands.clip(min=0) ** 4
    if scene.material is Material.GLASS:
        inwards = seen.distance[seen.box] / seen.radius + GLASS_EDGE
        return GLASS_GLINT * np.exp(-((inwards / GLASS_EDGE_WIDTH) ** 2))
    return None
