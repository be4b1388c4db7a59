"""Each modality shows its `SHOWN_ATTRIBUTES` and no others, and is rendered identically every time."""

from dataclasses import replace

import pytest

from imagebind.modality import MediaKind
from imagebind.toyworld import ATTRIBUTES, SHOWN_ATTRIBUTES, Motion, World
from tests.toyworld.scenes import RENDERERS, SCENE, changed, same

CASES = [(kind, attribute) for kind in RENDERERS for attribute in ATTRIBUTES]


@pytest.mark.parametrize(
    ("kind", "attribute"), [case for case in CASES if case[1] not in SHOWN_ATTRIBUTES[case[0]]]
)
def test_an_attribute_that_a_modality_does_not_show_changes_no_bit_of_it(kind, attribute):
    render = RENDERERS[kind]
    assert same(render(SCENE), render(changed(attribute)))


@pytest.mark.parametrize(
    ("kind", "attribute"), [case for case in CASES if case[1] in SHOWN_ATTRIBUTES[case[0]]]
)
def test_an_attribute_that_a_modality_shows_changes_it(kind, attribute):
    render = RENDERERS[kind]
    assert not same(render(SCENE), render(changed(attribute)))


@pytest.mark.parametrize("kind", RENDERERS)
def test_a_scene_is_rendered_the_same_every_time(kind):
    render = RENDERERS[kind]
    assert same(render(SCENE), render(SCENE))


@pytest.mark.parametrize("kind", RENDERERS)
def test_scenes_with_equal_attributes_and_other_seeds_differ(kind):
    render = RENDERERS[kind]
    assert not same(render(SCENE), render(replace(SCENE, seed=SCENE.seed + 1)))


def test_audio_depth_and_thermal_show_no_colour_and_stills_show_no_motion():
    colourless = (MediaKind.AUDIO, MediaKind.DEPTH, MediaKind.THERMAL)
    assert not any("colour" in SHOWN_ATTRIBUTES[kind] for kind in colourless)
    stills = (MediaKind.IMAGE, MediaKind.DEPTH, MediaKind.THERMAL)
    assert not any("motion" in SHOWN_ATTRIBUTES[kind] for kind in stills)


def test_every_motion_occurs_in_a_world():
    motions = {World(seed=0).scene(number).motion for number in range(60)}
    assert motions == set(Motion)
