"""Captions: a scene in varied words, and prompts for each attribute's classes.

A caption names an attribute only as often as its style says, and only what the picture shows: motion is for
clips. What captions seldom name fades from vision, and no other sense can then be reached by it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from imagebind.toyworld.scene import ATTRIBUTES, Scene

THING = ("thing", "object", "item")  # where the shape is left out

# By attribute, each plain word's ways of being said; the plain word comes first.
WORDS: Mapping[str, dict[str, tuple[str, ...]]] = MappingProxyType(
    {
        "shape": {
            "disc": ("disc", "circle", "round plate"),
            "ring": ("ring", "hoop"),
            "triangle": ("triangle", "three-cornered plate"),
            "square": ("square", "square tile"),
            "star": ("star", "five-pointed star"),
            "cross": ("cross", "plus sign"),
            "crescent": ("crescent", "moon", "sickle"),
            "bar": ("bar", "rod", "stick"),
        },
        "colour": {
            "red": ("red", "scarlet"),
            "orange": ("orange", "tangerine"),
            "yellow": ("yellow", "lemon yellow"),
            "green": ("green", "emerald"),
            "cyan": ("cyan", "turquoise"),
            "blue": ("blue", "royal blue"),
            "purple": ("purple", "violet"),
            "white": ("white", "ivory"),
        },
        "material": {
            "metal": ("metal", "steel"),
            "wood": ("wooden", "timber"),
            "glass": ("glass", "transparent"),
            "rubber": ("rubber", "soft rubber"),
        },
        "motion": {
            "resting": ("resting", "lying still", "standing still"),
            "sliding": ("sliding", "gliding sideways", "skidding"),
            "bouncing": ("bouncing", "hopping", "falling and bouncing"),
            "approaching": ("approaching", "coming closer", "moving towards us"),
            "spinning": ("spinning", "rotating", "turning round"),
        },
        "ground": {
            "grass": ("on grass", "on a lawn"),
            "sand": ("on sand", "on a beach"),
            "boards": ("on floorboards", "on a plank floor"),
            "tiles": ("on tiles", "on a tiled floor"),
            "snow": ("on snow", "in the snow"),
            "asphalt": ("on asphalt", "on a road"),
        },
        "size": {"small": ("small", "little"), "large": ("large", "big")},
        "temperature": {"cold": ("cold", "freezing", "frosty"), "hot": ("hot", "glowing hot", "heated")},
        "distance": {"near": ("nearby", "close to the camera"), "far": ("farther off", "at a distance")},
    }
)
BEFORE = ("size", "temperature", "colour", "material")  # of the noun, in the order English wants
AFTER = ("motion", "ground", "distance")

STILL_TEMPLATES = (
    "{}",
    "a photo of {}",
    "a picture of {}",
    "this is {}",
    "there is {}",
    "we see {} here",
    "{}, photographed from above",
)
CLIP_TEMPLATES = ("{}", "a video of {}", "a clip of {}", "{}, filmed from above", "we see {}", "there is {}")
PREDICATIVE = 0.2  # share of captions with colour and temperature after the noun: "a star that is red"
VOWELS = "aeiou"

PROMPT_TEMPLATES = ("{}", "a photo of {}", "a picture of {}", "this is {}")
CLIP_PROMPT_TEMPLATES = ("{}", "a video of {}", "a clip of {}")


@dataclass(frozen=True, kw_only=True)
class CaptionStyle:
    """How often, 0 to 1, a caption names each attribute. `motion` counts for clips only."""

    shape: float = 1.0
    colour: float = 0.6
    material: float = 0.3
    motion: float = 1.0
    ground: float = 0.3
    size: float = 0.3
    temperature: float = 0.6
    distance: float = 0.2

    def __post_init__(self) -> None:
        for attribute in ATTRIBUTES:
            share = getattr(self, attribute)
            if not 0 <= share <= 1:
                raise ValueError(f"{attribute}: expected a share from 0 to 1, got {share}")


# Shape is the hardest to see, colour the easiest: a model that reads both from the start learns colour and
# stops there. So shape (and, of clips, motion) first, and MIXED when it has them.
SHAPE_FIRST = CaptionStyle(colour=0.1, material=0.05, ground=0.05, size=0.05, temperature=0.15, distance=0.05)
MIXED = CaptionStyle(shape=0.95, motion=0.9)


def caption(scene: Scene, rng: np.random.Generator, *, still: bool, style: CaptionStyle = MIXED) -> str:
    """One caption, as "a photo of a big hot red metal star on sand"; a still's never tells of motion."""
    said = {
        attribute: str(rng.choice(WORDS[attribute][word]))
        for attribute, word in scene.attributes.items()
        if rng.uniform() < getattr(style, attribute) and not (still and attribute == "motion")
    }
    noun = said.get("shape") or str(rng.choice(THING))
    late = [
        said.pop(name) for name in ("temperature", "colour") if name in said and rng.uniform() < PREDICATIVE
    ]
    words = [said[name] for name in BEFORE if name in said] + [noun]
    after = [said[name] for name in AFTER if name in said]
    if late:
        words.append(f"that is {' and '.join(late)}" + ("," if after else ""))
    words += after
    templates = STILL_TEMPLATES if still else CLIP_TEMPLATES
    return str(rng.choice(templates)).format(with_article(" ".join(words)))


def with_article(phrase: str) -> str:
    """A phrase with "a" or "an" before it, by its first letter."""
    return f"{'an' if phrase[0] in VOWELS else 'a'} {phrase}"


def class_prompts(attribute: str) -> dict[str, tuple[str, ...]]:
    """For zero-shot classification: each class of an attribute, in order, and several prompts for it.

    Every way of saying a class comes in every template; the other attributes are left out.

    Raises:
        ValueError: no such attribute.
    """
    if attribute not in ATTRIBUTES:
        raise ValueError(f"unknown attribute {attribute!r}; expected one of {', '.join(ATTRIBUTES)}")
    templates = CLIP_PROMPT_TEMPLATES if attribute == "motion" else PROMPT_TEMPLATES
    return {
        word: tuple(
            template.format(with_article(_phrase(attribute, way)))
            for way in WORDS[attribute][word]
            for template in templates
        )
        for word in ATTRIBUTES[attribute]
    }


def _phrase(attribute: str, way: str) -> str:
    if attribute == "shape":
        return way
    return f"{way} {THING[0]}" if attribute in BEFORE else f"{THING[0]} {way}"
