"""Captions: varied, correct, without motion for stills, with the frequencies of attributes of the style."""

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
from imagebind.toyworld.captions import THING_NOUNS, WORDS
from tests.toyworld.scenes import SCENE

EVERYTHING = CaptionStyle(**dict.fromkeys(ATTRIBUTES, 1.0))
NOTHING = CaptionStyle(**dict.fromkeys(ATTRIBUTES, 0.0))


def captions(count: int, *, still: bool, style: CaptionStyle = MIXED) -> list[tuple[dict[str, str], str]]:
    rng = np.random.default_rng(0)
    scenes = (World(seed=0).scene(number) for number in range(count))
    return [(scene.attributes, caption(scene, rng, still=still, style=style)) for scene in scenes]


def named(text: str, attribute: str) -> set[str]:
    """Return the values of an attribute that a text names by any synonym."""
    return {
        value
        for value, synonyms in WORDS[attribute].items()
        if any(f" {synonym}" in f" {text}" for synonym in synonyms)
    }


def test_a_caption_of_a_still_never_names_a_motion():
    for _, text in captions(300, still=True, style=EVERYTHING):
        assert not named(text, "motion")


def test_a_caption_with_all_attributes_names_the_correct_value_of_each():
    for attributes, text in captions(300, still=False, style=EVERYTHING):
        for attribute, value in attributes.items():
            assert value in named(text, attribute), text


def test_a_caption_names_no_wrong_value():
    for attributes, text in captions(300, still=False):
        for attribute in ("shape", "colour", "motion", "ground", "temperature"):
            assert named(text, attribute) <= {attributes[attribute]}, text


def test_a_caption_without_attributes_says_thing_or_a_synonym():
    for _, text in captions(50, still=False, style=NOTHING):
        assert any(noun in text for noun in THING_NOUNS)
        assert not any(named(text, attribute) for attribute in ATTRIBUTES)


@pytest.mark.parametrize("style", [MIXED, SHAPE_FIRST])
def test_each_attribute_is_named_with_the_probability_of_the_style(style):
    described = captions(600, still=False, style=style)
    for attribute in ATTRIBUTES:
        share = np.mean([attributes[attribute] in named(text, attribute) for attributes, text in described])
        assert share == pytest.approx(getattr(style, attribute), abs=0.07)


def test_shape_first_always_names_the_shape_and_seldom_the_colour():
    assert SHAPE_FIRST.shape == 1 and SHAPE_FIRST.colour < 0.2


def test_captions_of_one_scene_differ():
    rng = np.random.default_rng(0)
    assert len({caption(SCENE, rng, still=False) for _ in range(200)}) > 120


def test_the_same_generator_gives_the_same_caption():
    texts = [caption(SCENE, np.random.default_rng(7), still=True) for _ in range(2)]
    assert texts[0] == texts[1]


def test_the_article_before_a_vowel_is_an():
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
def test_every_class_has_prompts_that_name_it_and_no_other_class(attribute):
    prompts = class_prompts(attribute)
    assert tuple(prompts) == ATTRIBUTES[attribute]
    for value, texts in prompts.items():
        assert len(texts) >= 3 and len(set(texts)) == len(texts)
        assert all(named(text, attribute) == {value} for text in texts)


def test_no_synonym_belongs_to_two_classes():
    for synonyms in WORDS.values():
        all_synonyms = [synonym for each in synonyms.values() for synonym in each]
        assert len(all_synonyms) == len(set(all_synonyms))


def test_an_unknown_attribute_raises_an_error_that_names_it():
    with pytest.raises(ValueError, match=r"attribute: expected one of shape, colour.*got 'weight'"):
        class_prompts("weight")
