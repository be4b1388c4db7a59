"""Scenes: they depend only on the seed, have every value, and some combinations are held out."""

from collections import Counter
from itertools import combinations as choices

import numpy as np
import pytest

from imagebind.toyworld import ATTRIBUTES, Colour, Motion, Shape, World, combinations, is_held_out
from imagebind.toyworld.scene import DISTANCES, SIZES, TEMPERATURES
from tests.toyworld.scenes import OTHER_VALUES, SCENE, changed

ATTRIBUTE_TYPES = (Shape, Colour, Motion)


def test_there_are_at_least_8_shapes_5_motions_and_8_colours():
    assert len(Shape) >= 8 and len(Motion) >= 5 and len(Colour) >= 8


def test_a_scene_depends_only_on_seed_and_number():
    forwards = [World(seed=3).scene(number) for number in range(5)]
    backwards = [World(seed=3).scene(number) for number in reversed(range(5))]
    assert forwards == backwards[::-1]
    assert len({scene.seed for scene in forwards}) == 5
    assert World(seed=4).scene(0) != forwards[0]


def test_a_negative_number_is_refused():
    with pytest.raises(ValueError, match="0 or more, got -1"):
        World(seed=0).scene(-1)


def test_one_combination_in_eight_is_held_out():
    kept, held_out = combinations(held_out=False), combinations(held_out=True)
    assert len(held_out) == 40 and len(kept) + len(held_out) == 320
    assert not set(kept) & set(held_out)


@pytest.mark.parametrize("attribute_type", ATTRIBUTE_TYPES)
def test_held_out_combinations_cover_every_value_evenly(attribute_type):
    index = ATTRIBUTE_TYPES.index(attribute_type)
    counts = Counter(combination[index] for combination in combinations(held_out=True))
    assert set(counts) == set(attribute_type)
    assert len(set(counts.values())) == 1


def test_every_pair_of_values_occurs_in_training():
    kept = combinations(held_out=False)
    for first, second in choices(range(3), 2):
        pairs = {(combination[first], combination[second]) for combination in kept}
        assert len(pairs) == len(ATTRIBUTE_TYPES[first]) * len(ATTRIBUTE_TYPES[second])


@pytest.mark.parametrize("held_out", [True, False])
def test_a_world_has_only_the_requested_combinations(held_out):
    world = World(seed=0, held_out=held_out)
    scenes = [world.scene(number) for number in range(100)]
    assert {is_held_out(scene.shape, scene.colour, scene.motion) for scene in scenes} == {held_out}


def test_all_values_of_an_attribute_are_about_equally_frequent():
    scenes = [World(seed=1).scene(number).attributes for number in range(2000)]
    for attribute, values in ATTRIBUTES.items():
        counts = Counter(scene[attribute] for scene in scenes)
        assert set(counts) == set(values)
        assert min(counts.values()) > 0.7 * 2000 / len(values)


@pytest.mark.parametrize(
    ("attribute", "ranges"), [("size", SIZES), ("distance", DISTANCES), ("temperature", TEMPERATURES)]
)
def test_a_number_is_in_the_range_of_its_attribute_value(attribute, ranges):
    for number in range(200):
        scene = World(seed=2).scene(number)
        low, high = ranges[scene.attributes[attribute]]
        assert low <= getattr(scene, attribute) <= high


@pytest.mark.parametrize("attribute", OTHER_VALUES)
def test_changing_a_field_changes_that_attribute_only(attribute):
    before, after = SCENE.attributes, changed(attribute).attributes
    assert {name for name in before if before[name] != after[name]} == {attribute}


def test_generators_of_different_streams_give_different_numbers():
    draws = [SCENE.rng(*stream).uniform() for stream in ((0,), (1,), (0, 1))]
    assert len(set(draws)) == 3
    assert SCENE.rng(1).uniform() == draws[1]
    assert isinstance(SCENE.rng(0), np.random.Generator)
