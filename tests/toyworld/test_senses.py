"""Each sense shows what it could and not a bit more, and is rendered the same every time."""

from dataclasses import replace

import pytest

from imagebind.modality import MediaKind
from imagebind.toyworld import ATTRIBUTES, SHOWS, Motion, World
from tests.toyworld.scenes import RENDERERS, SCENE, changed, same

CASES = [(kind, attribute) for kind in RENDERERS for attribute in ATTRIBUTES]


@pytest.mark.parametrize(("kind", "attribute"), [case for case in CASES if case[1] not in SHOWS[case[0]]])
def test_what_a_sense_cannot_show_leaves_it_the_same_to_the_bit(kind, attribute):
    render = RENDERERS[kind]
    assert same(render(SCENE), render(changed(attribute)))


@pytest.mark.parametrize(("kind", "attribute"), [case for case in CASES if case[1] in SHOWS[case[0]]])
def test_what_a_sense_shows_changes_it(kind, attribute):
    render = RENDERERS[kind]
    assert not same(render(SCENE), render(changed(attribute)))


@pytest.mark.parametrize("kind", RENDERERS)
def test_a_scene_is_rendered_the_same_every_time(kind):
    render = RENDERERS[kind]
    assert same(render(SCENE), render(SCENE))


@pytest.mark.parametrize("kind", RENDERERS)
def test_two_scenes_alike_differ_in_their_chance(kind):
    render = RENDERERS[kind]
    assert not same(render(SCENE), render(replace(SCENE, seed=SCENE.seed + 1)))


def test_colour_is_silent_and_motion_dark_in_every_still():
    assert "colour" not in SHOWS[MediaKind.AUDIO] | SHOWS[MediaKind.DEPTH] | SHOWS[MediaKind.THERMAL]
    stills = (MediaKind.IMAGE, MediaKind.DEPTH, MediaKind.THERMAL)
    assert not any("motion" in SHOWS[kind] for kind in stills)


def test_every_motion_comes_in_some_world():
    motions = {World(seed=0).scene(number).motion for number in range(60)}
    assert motions == set(Motion)
