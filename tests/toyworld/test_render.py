"""Image and video: the object is clearly visible, and the first and last frames show the motion."""

from dataclasses import replace

import numpy as np
import pytest

from imagebind.toyworld import Colour, Material, Motion, Shape, World, render_image, render_video
from imagebind.toyworld.motion import pose_at, still_pose
from imagebind.toyworld.view import cover, sight
from tests.toyworld.scenes import ENDS, SCENE, video_ends

MOVING = [motion for motion in Motion if motion is not Motion.REST]


def covered(scene, pose) -> np.ndarray:
    return cover(sight(scene, pose).distance) > 0.5


def test_images_have_224_x_224_pixels_of_8_bits():
    image, video = render_image(SCENE), render_video(SCENE)
    assert image.shape == (224, 224, 3) and image.dtype == np.uint8
    assert video.shape == (16, 224, 224, 3) and video.dtype == np.uint8


def test_a_frame_rendered_alone_equals_that_of_the_whole_video():
    np.testing.assert_array_equal(render_video(SCENE)[[0, -1]], render_video(SCENE, ENDS))


@pytest.mark.parametrize("shape", Shape)
def test_the_still_shows_the_whole_object_at_a_sufficient_size(shape):
    for number in range(20):
        scene = replace(World(seed=0).scene(number), shape=shape)
        mask = covered(scene, still_pose(scene))
        assert not (mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())
        assert mask.mean() > 0.03  # a small and distant bar covers 1/30 of the image


def test_no_two_shapes_cover_nearly_the_same_pixels():
    masks = [covered(replace(SCENE, shape=shape), still_pose(SCENE)) for shape in Shape]
    for index, first in enumerate(masks):
        for second in masks[:index]:
            assert (first & second).sum() / (first | second).sum() < 0.85  # disc and square


@pytest.mark.parametrize("shape", Shape)
@pytest.mark.parametrize("motion", MOVING)
def test_first_and_last_frame_show_the_motion(shape, motion):
    scene = replace(SCENE, shape=shape, motion=motion)
    rest = np.abs(np.diff(video_ends(replace(scene, motion=Motion.REST)), axis=0)).mean()
    moved = np.abs(np.diff(video_ends(scene), axis=0)).mean()
    assert moved > 1.5 * rest


@pytest.mark.parametrize("motion", Motion)
def test_more_than_half_of_the_object_is_visible_at_both_ends_of_its_motion(motion):
    for number in range(20):
        scene = replace(World(seed=0).scene(number), motion=motion, shape=Shape.SQUARE)
        for moment in ENDS:
            pose = pose_at(scene, moment)
            side = 2 * 0.82 * 260 * scene.size / pose.distance  # pixels
            assert covered(scene, pose).sum() > 0.5 * side**2 * scene.slant


def test_a_sliding_object_is_at_the_position_of_its_pose():
    scene = replace(SCENE, motion=Motion.SLIDE, shape=Shape.DISC)
    centres = [np.nonzero(covered(scene, pose_at(scene, moment)))[1].mean() for moment in (0.6, 1.4)]
    assert centres[1] - centres[0] == pytest.approx(260 * 0.225 * 0.8 / scene.distance, abs=1)


@pytest.mark.parametrize("colour", Colour)
def test_the_pixels_of_the_object_have_its_colour(colour):
    scene = replace(SCENE, colour=colour, material=Material.WOOD, shape=Shape.DISC)
    red, green, blue = render_image(scene)[covered(scene, still_pose(scene))].mean(axis=0)
    expected = {
        Colour.RED: red > 2 * max(green, blue),
        Colour.ORANGE: red > 1.4 * green > 1.4 * 2 * blue,
        Colour.YELLOW: min(red, green) > 2 * blue and green > 0.75 * red,
        Colour.GREEN: green > 1.5 * max(red, blue),
        Colour.CYAN: min(green, blue) > 2 * red,
        Colour.BLUE: blue > 2 * max(red, green),
        Colour.PURPLE: min(red, blue) > 1.5 * green,
        Colour.WHITE: max(red, green, blue) < 1.2 * min(red, green, blue),
    }
    assert expected[colour]


def test_temperature_changes_pixels_around_the_object_and_never_on_it():
    hot, cold = (replace(SCENE, temperature=celsius) for celsius in (60.0, -10.0))
    distance = sight(SCENE, still_pose(SCENE)).distance
    hot_image, cold_image = render_image(hot).astype(int), render_image(cold).astype(int)
    np.testing.assert_array_equal(hot_image[distance < -1], cold_image[distance < -1])
    around = (distance > 2) & (distance < 10)
    red_over_blue = [(p[around][:, 0] - p[around][:, 2]).mean() for p in (hot_image, cold_image)]
    assert red_over_blue[0] > red_over_blue[1] + 50


def test_half_of_the_object_is_darker():
    scene = replace(SCENE, shape=Shape.SQUARE, material=Material.WOOD, colour=Colour.WHITE)
    values = render_image(scene)[sight(scene, still_pose(scene)).distance < -6].mean(axis=1)
    assert np.quantile(values, 0.2) < 0.65 * np.quantile(values, 0.8)
