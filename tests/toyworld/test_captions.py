"""Captions: varied, true to the scene, silent about motion in stills, and naming as often as asked."""

from dataclasses import replace

import numpy as np
import pytest

from imagebind.toyworld import (
    ATTRIBUTES,
    MIXED,
    SHAPE_FIRST,
    CaptionStyle,
    World,
    caption,
    class_prompts,
)
from imagebind.toyworld.captions import THING, WORDS
from tests.toyworld.scenes import SCENE

EVERYTHING = CaptionStyle(**dict.fromkeys(ATTRIBUTES, 1.0))
NOTHING = CaptionStyle(**dict.fromkeys(ATTRIBUTES, 0.0))


def captions(count: int, *, still: bool, style: CaptionStyle = MIXED) -> list[tuple[dict[str, str], str]]:
    rng = np.random.default_rng(0)
    scenes = (World(seed=0).scene(number) for number in range(count))
    return [(scene.attributes, caption(scene, rng, still=still, style=style)) for scene in scenes]


def named(text: str, attribute: str) -> set[str]:
    """The words of an attribute that a caption says in any way."""
    return {word for word, ways in WORDS[attribute].items() if any(f" {way}" in f" {text}" for way in ways)}


def test_a_still_is_never_captioned_with_a_motion():
    for _, text in captions(300, still=True, style=EVERYTHING):
        assert not named(text, "motion")


def test_a_caption_that_names_everything_names_what_is_there():
    for attributes, text in captions(300, still=False, style=EVERYTHING):
        for attribute, word in attributes.items():
            assert word in named(text, attribute), text


def test_a_caption_names_nothing_that_is_not_there():
    for attributes, text in captions(300, still=False):
        for attribute in ("shape", "colour", "motion", "ground", "temperature"):
            assert named(text, attribute) <= {attributes[attribute]}, text


def test_where_nothing_is_to_be_named_there_is_a_thing():
    for _, text in captions(50, still=False, style=NOTHING):
        assert any(noun in text for noun in THING)
        assert not any(named(text, attribute) for attribute in ATTRIBUTES)


@pytest.mark.parametrize("style", [MIXED, SHAPE_FIRST])
def test_each_attribute_is_named_as_often_as_the_style_says(style):
    told = captions(600, still=False, style=style)
    for attribute in ATTRIBUTES:
        share = np.mean([attributes[attribute] in named(text, attribute) for attributes, text in told])
        assert share == pytest.approx(getattr(style, attribute), abs=0.07)


def test_shape_first_always_names_the_shape_and_seldom_the_colour():
    assert SHAPE_FIRST.shape == 1 and SHAPE_FIRST.colour < 0.2


def test_captions_vary():
    rng = np.random.default_rng(0)
    assert len({caption(SCENE, rng, still=False) for _ in range(200)}) > 120


def test_a_caption_follows_from_its_generator():
    texts = [caption(SCENE, np.random.default_rng(7), still=True) for _ in range(2)]
    assert texts[0] == texts[1]


def test_a_vowel_wants_an():
    scene = World(seed=0).scene(0)
    style = replace(NOTHING, shape=1.0, colour=1.0)
    texts = [
        caption(replace(scene, colour=colour), np.random.default_rng(seed), still=True, style=style)
        for colour in (type(scene.colour).ORANGE, type(scene.colour).RED)
        for seed in range(30)
    ]
    assert any("an orange" in text for text in texts) and any("a red" in text for text in texts)
    assert not any("a orange" in text or "an red" in text for text in texts)


def test_a_share_beyond_1_is_refused():
    with pytest.raises(ValueError, match=r"colour: expected a share from 0 to 1, got 1\.5"):
        CaptionStyle(colour=1.5)


# --- prompts


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_every_class_has_prompts_that_name_it_and_no_other(attribute):
    prompts = class_prompts(attribute)
    assert tuple(prompts) == ATTRIBUTES[attribute]
    for word, texts in prompts.items():
        assert len(texts) >= 3 and len(set(texts)) == len(texts)
        assert all(named(text, attribute) == {word} for text in texts)


def test_no_way_of_saying_serves_two_classes():
    for ways in WORDS.values():
        said = [way for each in ways.values() for way in each]
        assert len(said) == len(set(said))


def test_an_unknown_attribute_is_named():
    with pytest.raises(ValueError, match=r"attribute: expected one of shape, colour.*got 'weight'"):
        class_prompts("weight")
