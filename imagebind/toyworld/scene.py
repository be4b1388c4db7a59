"""Scenes of one object on a ground: their attributes, random variation and sampling.

All renderings of a scene depend only on its fields. Random details without a field of their own (noise,
pebbles, a sensor's bias) come from `Scene.rng`, which depends only on the scene's seed: two scenes that
differ only in colour have the same noise in every modality.
"""

from dataclasses import dataclass, replace
from enum import Enum
from itertools import product
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np

from imagebind.modality import MediaKind

CLIP_SECONDS = 2.0  # of video, audio and IMU: one clip of the released video and audio transforms

# Radius in metres, distance in metres, temperature in °C. The ranges of two words do not overlap, so the word
# is always unambiguous. Over all sizes and distances the object is 83 to 153 pixels wide.
SIZES = MappingProxyType({"small": (0.20, 0.22), "large": (0.25, 0.28)})
DISTANCES = MappingProxyType({"near": (0.95, 1.05), "far": (1.15, 1.25)})
TEMPERATURES = MappingProxyType({"cold": (-8.0, 6.0), "hot": (46.0, 60.0)})

MAX_OFFSET = 0.08  # metres from the centre of the image, 17 to 22 pixels
MAX_ANGLE = 0.35  # radians (20°): a square never looks like a diamond
SLANT = (0.82, 1.0)  # foreshortening of the vertical: the camera looks down by up to 35°
BRIGHTNESS = (0.8, 1.15)  # factor of all colours
HELD_OUT_STEP = 8  # one in eight combinations is held out from training

Member = TypeVar("Member", bound=Enum)


class Shape(str, Enum):
    DISC = "disc"
    RING = "ring"
    TRIANGLE = "triangle"
    SQUARE = "square"
    STAR = "star"
    CROSS = "cross"
    CRESCENT = "crescent"
    BAR = "bar"


class Colour(str, Enum):
    RED = "red"
    ORANGE = "orange"
    YELLOW = "yellow"
    GREEN = "green"
    CYAN = "cyan"
    BLUE = "blue"
    PURPLE = "purple"
    WHITE = "white"


class Material(str, Enum):
    METAL = "metal"
    WOOD = "wood"
    GLASS = "glass"
    RUBBER = "rubber"


class Motion(str, Enum):
    REST = "resting"
    SLIDE = "sliding"
    BOUNCE = "bouncing"
    APPROACH = "approaching"
    SPIN = "spinning"


class Ground(str, Enum):
    GRASS = "grass"
    SAND = "sand"
    BOARDS = "boards"
    TILES = "tiles"
    SNOW = "snow"
    ASPHALT = "asphalt"


# The attributes that each media type shows. Other attributes do not change a single bit of it.
SHOWN_ATTRIBUTES = MappingProxyType(
    {
        MediaKind.IMAGE: frozenset(
            {"shape", "colour", "material", "ground", "size", "temperature", "distance"}
        ),
        MediaKind.VIDEO: frozenset(
            {"shape", "colour", "material", "motion", "ground", "size", "temperature", "distance"}
        ),
        MediaKind.AUDIO: frozenset({"shape", "material", "motion", "size", "distance"}),
        MediaKind.DEPTH: frozenset({"shape", "size", "distance"}),
        MediaKind.THERMAL: frozenset({"shape", "size", "temperature", "distance"}),
        MediaKind.IMU: frozenset({"motion"}),
    }
)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One object on a ground, seen by a camera. Fields after `distance` are nuisance variables.

    Args:
        size: the object's radius in metres.
        temperature: °C.
        distance: metres from the camera when a still is taken.
        x, y: metres right of and below the camera's axis when a still is taken.
        angle: clockwise rotation of the object in radians.
        slant: vertical foreshortening from the camera's downward view; 1 is none.
        light: direction of the light in radians.
        brightness: brightness of the light.
        vigour: speed of the motion, from 0 to 1 within the range of its type.
        direction: 1 or -1, right or left, clockwise or anticlockwise.
        seed: seed of all other random details.
    """

    shape: Shape
    colour: Colour
    material: Material
    motion: Motion
    ground: Ground
    size: float
    temperature: float
    distance: float
    x: float = 0.0
    y: float = 0.0
    angle: float = 0.0
    slant: float = 1.0
    light: float = 0.0
    brightness: float = 1.0
    vigour: float = 0.5
    direction: int = 1
    seed: int = 0

    def rng(self, *stream: int) -> np.random.Generator:
        """Return a generator for one part of a rendering; it depends only on the scene's seed."""
        return np.random.default_rng([self.seed, *stream])

    @property
    def attributes(self) -> dict[str, str]:
        """The plain word of each attribute."""
        return {
            "shape": self.shape.value,
            "colour": self.colour.value,
            "material": self.material.value,
            "motion": self.motion.value,
            "ground": self.ground.value,
            "size": _word(self.size, SIZES),
            "temperature": _word(self.temperature, TEMPERATURES),
            "distance": _word(self.distance, DISTANCES),
        }


# Each attribute's plain words, in their order.
ATTRIBUTES = MappingProxyType(
    {
        "shape": tuple(member.value for member in Shape),
        "colour": tuple(member.value for member in Colour),
        "material": tuple(member.value for member in Material),
        "motion": tuple(member.value for member in Motion),
        "ground": tuple(member.value for member in Ground),
        "size": tuple(SIZES),
        "temperature": tuple(TEMPERATURES),
        "distance": tuple(DISTANCES),
    }
)


def is_held_out(shape: Shape, colour: Colour, motion: Motion) -> bool:
    """Whether a combination is held out from training: a fixed one in eight.

    Every shape, colour and motion, and every pair of them, occurs in training in other combinations.
    """
    number = list(Shape).index(shape) + 3 * list(Colour).index(colour) + 5 * list(Motion).index(motion)
    return number % HELD_OUT_STEP == 0


def combinations(*, held_out: bool) -> list[tuple[Shape, Colour, Motion]]:
    """Return all combinations that are held out, or all others."""
    return [each for each in product(Shape, Colour, Motion) if is_held_out(*each) == held_out]


def sample_scene(rng: np.random.Generator, *, held_out: bool | None = None) -> Scene:
    """Sample a scene with independent attributes, except for excluded combinations.

    Args:
        held_out: True for only the held-out combinations, False for only the others, None (default) for all.
    """
    shape, colour, motion = _pick(rng, Shape), _pick(rng, Colour), _pick(rng, Motion)
    while held_out is not None and is_held_out(shape, colour, motion) != held_out:
        shape, colour, motion = _pick(rng, Shape), _pick(rng, Colour), _pick(rng, Motion)
    return Scene(
        shape=shape,
        colour=colour,
        material=_pick(rng, Material),
        motion=motion,
        ground=_pick(rng, Ground),
        size=_in_some_range(rng, SIZES),
        temperature=_in_some_range(rng, TEMPERATURES),
        distance=_in_some_range(rng, DISTANCES),
        x=rng.uniform(-MAX_OFFSET, MAX_OFFSET),
        y=rng.uniform(-MAX_OFFSET, MAX_OFFSET),
        angle=rng.uniform(-MAX_ANGLE, MAX_ANGLE),
        slant=rng.uniform(*SLANT),
        light=rng.uniform(0, 2 * np.pi),
        brightness=rng.uniform(*BRIGHTNESS),
        vigour=rng.uniform(),
        direction=int(rng.choice((-1, 1))),
        seed=int(rng.integers(2**62)),
    )


def similar_scene(scene: Scene, rng: np.random.Generator) -> Scene:
    """Return a scene with the same attributes, whose random variation is sampled again."""
    ranges = (("size", SIZES), ("temperature", TEMPERATURES), ("distance", DISTANCES))
    words = scene.attributes
    same: dict[str, Any] = {name: rng.uniform(*bounds[words[name]]) for name, bounds in ranges}
    same |= {name: getattr(scene, name) for name in ("shape", "colour", "material", "motion", "ground")}
    return replace(sample_scene(rng), **same)


@dataclass(frozen=True, kw_only=True)
class World:
    """Scenes by index. Each depends only on seed and index, so they can be accessed in any order.

    Args:
        held_out: True for only the held-out combinations, False for only the others, None (default) for all.
    """

    seed: int
    held_out: bool | None = None

    def scene(self, index: int) -> Scene:
        """Return the scene at an index.

        Raises:
            ValueError: the index is negative.
        """
        if index < 0:
            raise ValueError(f"index: expected 0 or more, got {index}")
        return sample_scene(np.random.default_rng([self.seed, index]), held_out=self.held_out)


def _pick(rng: np.random.Generator, attribute: type[Member]) -> Member:
    members = list(attribute)
    return members[rng.integers(len(members))]


def _in_some_range(rng: np.random.Generator, ranges: MappingProxyType[str, tuple[float, float]]) -> float:
    low, high = list(ranges.values())[rng.integers(len(ranges))]
    return rng.uniform(low, high)


def _word(value: float, ranges: MappingProxyType[str, tuple[float, float]]) -> str:
    """Return the word with the nearest range."""
    return min(ranges, key=lambda word: max(ranges[word][0] - value, value - ranges[word][1]))
