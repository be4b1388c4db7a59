"""Captions of scenes in varied words, and prompts for each attribute's classes.

A caption names an attribute as often as its style states, and only attributes that the image or video shows:
motion is for videos only. Attributes that captions rarely name fade from the vision embeddings, and then no
other modality can be aligned by them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from imagebind.toyworld.scene import ATTRIBUTES, Scene

THING_NOUNS = ("thing", "object", "item")  # for captions without the shape

# By attribute and plain word: its synonyms, the plainest first.
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
ATTRIBUTES_BEFORE_NOUN = ("size", "temperature", "colour", "material")  # in the order of English grammar
ATTRIBUTES_AFTER_NOUN = ("motion", "ground", "distance")

STILL_TEMPLATES = (
    "{}",
    "a photo of {}",
    "a picture of {}",
    "this is {}",
    "there is {}",
    "we see {} here",
    "{}, photographed from above",
)
VIDEO_TEMPLATES = ("{}", "a video of {}", "a clip of {}", "{}, filmed from above", "we see {}", "there is {}")
PREDICATIVE_SHARE = 0.2  # of colours and of temperatures that follow the noun: "a star that is red"
VOWELS = "aeiou"

PROMPT_TEMPLATES = ("{}", "a photo of {}", "a picture of {}", "this is {}")
VIDEO_PROMPT_TEMPLATES = ("{}", "a video of {}", "a clip of {}")


@dataclass(frozen=True, kw_only=True)
class CaptionStyle:
    """The probability that a caption names each attribute. `motion` applies to videos only."""

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


# Shape is the hardest attribute to recognise, colour the easiest: a model that is trained on both from the
# start learns colour and nothing more. So training starts with shape (and motion in videos), then uses MIXED.
SHAPE_FIRST = CaptionStyle(colour=0.1, material=0.05, ground=0.05, size=0.05, temperature=0.15, distance=0.05)
MIXED = CaptionStyle(shape=0.95, motion=0.9)


def caption(scene: Scene, rng: np.random.Generator, *, still: bool, style: CaptionStyle = MIXED) -> str:
    """Return a caption such as "a photo of a big hot red metal star on sand"; `still` omits the motion."""
    chosen = {
        attribute: str(rng.choice(WORDS[attribute][word]))
        for attribute, word in scene.attributes.items()
        if rng.uniform() < getattr(style, attribute) and not (still and attribute == "motion")
    }
    noun = chosen.get("shape") or str(rng.choice(THING_NOUNS))
    predicates = [
        chosen.pop(name)
        for name in ("temperature", "colour")
        if name in chosen and rng.uniform() < PREDICATIVE_SHARE
    ]
    words = [chosen[name] for name in ATTRIBUTES_BEFORE_NOUN if name in chosen] + [noun]
    after = [chosen[name] for name in ATTRIBUTES_AFTER_NOUN if name in chosen]
    if predicates:
        words.append(f"that is {' and '.join(predicates)}" + ("," if after else ""))
    words += after
    templates = STILL_TEMPLATES if still else VIDEO_TEMPLATES
    return str(rng.choice(templates)).format(with_article(" ".join(words)))


def with_article(phrase: str) -> str:
    """Return a phrase preceded by "a" or "an", depending on its first letter."""
    return f"{'an' if phrase[0] in VOWELS else 'a'} {phrase}"


def class_prompts(attribute: str) -> dict[str, tuple[str, ...]]:
    """Return the prompts of each class of an attribute, in order, for zero-shot classification.

    Every synonym of a class is used in every template; other attributes are not named.

    Raises:
        ValueError: the attribute does not exist.
    """
    if attribute not in ATTRIBUTES:
        raise ValueError(f"attribute: expected one of {', '.join(ATTRIBUTES)}, got {attribute!r}")
    templates = VIDEO_PROMPT_TEMPLATES if attribute == "motion" else PROMPT_TEMPLATES
    return {
        word: tuple(
            template.format(with_article(_phrase(attribute, synonym)))
            for synonym in WORDS[attribute][word]
            for template in templates
        )
        for word in ATTRIBUTES[attribute]
    }


def _phrase(attribute: str, synonym: str) -> str:
    if attribute == "shape":
        return synonym
    noun = THING_NOUNS[0]
    return f"{synonym} {noun}" if attribute in ATTRIBUTES_BEFORE_NOUN else f"{noun} {synonym}"
