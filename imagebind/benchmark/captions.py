"""Captions for benchmarks: plain English, all different, about twelve tokens each."""

import math
import random


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


SUBJECTS = _words(
    "dog cat horse child woman man sailor cook farmer dancer painter teacher bird cow goat sheep rabbit "
    "fox wolf bear tiger elephant giraffe monkey penguin duck goose swan owl eagle student nurse pilot "
    "driver musician skier surfer climber runner cyclist"
)
APPEARANCES = _words(
    "small large young old brown black white grey striped spotted happy tired wet hungry curious lonely "
    "friendly quiet noisy clumsy"
)
ACTIONS = _words(
    "sleeping running sitting standing waiting playing eating drinking looking walking jumping resting "
    "dancing singing working hiding digging swimming climbing falling"
)
LOCATIONS = _words(
    "river bridge kitchen market garden forest beach station harbour meadow mountain castle window "
    "fountain staircase library bakery lighthouse windmill playground tractor bicycle umbrella piano "
    "bookshelf fireplace sofa tent canoe snowman"
)
PREPOSITIONS = ("near", "behind", "beside", "under", "above")
SYLLABLES = _words("ba be do fi gu ha ki lo mu ne pa qui ro su ta ve wo xi ya zu")


def captions(count: int) -> list[str]:
    """Return `count` fixed captions without repeats: "a photo of a wet dog playing near the river"."""
    parts = (APPEARANCES, SUBJECTS, ACTIONS, PREPOSITIONS, LOCATIONS)
    total = math.prod(map(len, parts))
    written = []
    for number in random.Random(0).sample(range(total), count):
        chosen = []
        for words in parts:
            number, position = divmod(number, len(words))
            chosen.append(words[position])
        look, subject, doing, nearness, location = chosen
        written.append(f"a photo of a {look} {subject} {doing} {nearness} the {location}")
    return written


def with_new_words(plain: list[str]) -> list[str]:
    """Return each caption with a unique name at its end, so that no cache of words helps."""
    named = []
    for number, caption in enumerate(plain):
        name = ""
        for _ in range(4):
            number, syllable = divmod(number, len(SYLLABLES))
            name += SYLLABLES[syllable]
        named.append(f"{caption} {name}")
    return named
