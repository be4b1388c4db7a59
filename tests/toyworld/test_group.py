"""Groups: several objects in one image or video."""

import numpy as np
import pytest

from imagebind.toyworld.group import (
    GroupWorld,
    boxes_of,
    group_masks,
    render_group_image,
    render_group_video,
    sample_group,
)
from imagebind.toyworld.scene import is_held_out
from imagebind.toyworld.surface import DARK_HALF, PAINTS

WORLD = GroupWorld(seed=3)


def test_a_group_depends_only_on_seed_and_index():
    assert WORLD.group(2) == GroupWorld(seed=3).group(2) != WORLD.group(1)
    np.testing.assert_array_equal(render_group_image(WORLD.group(2)), render_group_image(WORLD.group(2)))


@pytest.mark.parametrize("held_out", [True, False])
def test_objects_of_a_group_differ_in_shape_colour_and_motion_and_share_the_ground(held_out):
    for index in range(20):
        things = GroupWorld(seed=3, held_out=held_out).group(index).things
        for name in ("shape", "colour", "motion"):
            assert len({thing.attributes[name] for thing in things}) == len(things) == 3
        assert len({thing.ground for thing in things}) == 1
        assert {thing.attributes["temperature"] for thing in things} == {"hot", "cold"}
        assert all(is_held_out(thing.shape, thing.colour, thing.motion) == held_out for thing in things)


def test_objects_that_no_other_object_fits_are_sampled_again():
    # After four of the objects of this group, no held-out combination has another shape, colour and motion.
    group = GroupWorld(seed=1, held_out=True, things=5, pixels=700).group(67)
    assert len({thing.motion for thing in group.things}) == 5


def test_masks_of_a_still_do_not_overlap_and_are_inside_the_image():
    for index in range(20):
        masks = group_masks(WORLD.group(index))
        boxes = boxes_of(masks)
        assert masks.sum(axis=0).max() == 1
        assert (boxes[:, :2] > 0).all() and (boxes[:, 2:] < masks.shape[1]).all()
        sides = boxes[:, 2:] - boxes[:, :2]
        assert sides.max(axis=1).min() > 50 and sides.max() < 180


def test_a_mask_covers_the_pixels_of_its_objects_colour():
    for index in range(5):
        group = WORLD.group(index)
        image = render_group_image(group).astype(float)
        for thing, mask in zip(group.things, group_masks(group), strict=True):
            paint = np.array(PAINTS[thing.colour], dtype=float)
            shown = np.median(image[mask], axis=0)
            cosine = shown @ paint / np.linalg.norm(shown) / np.linalg.norm(paint)
            assert cosine > 0.9, (index, thing.colour)
            assert shown.max() > DARK_HALF * 0.5 * paint.max()


def test_the_mask_of_a_resting_object_stays_and_that_of_a_sliding_one_moves():
    group = next(
        group
        for group in map(WORLD.group, range(50))
        if {"resting", "sliding"} <= {thing.motion.value for thing in group.things}
    )
    frames = render_group_video(group, np.array([0, 15 / 8]))
    first, last = boxes_of(group_masks(group, 0.0)), boxes_of(group_masks(group, 15 / 8))
    assert frames.shape == (2, 448, 448, 3)
    for thing, before, after in zip(group.things, first, last, strict=True):
        if thing.motion.value == "resting":
            np.testing.assert_array_equal(before, after)
        elif thing.motion.value == "sliding":
            assert (after[0] - before[0]) * thing.direction > 20 or after[0] == 0 or after[2] == 448


def test_masks_do_not_overlap_at_any_moment_of_a_video():
    for index in range(30):
        group = WORLD.group(index)
        for seconds in (0.0, 1.0, 15 / 8):
            assert group_masks(group, seconds).sum(axis=0).max() <= 1


def test_too_many_objects_or_too_few_pixels_are_an_error():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="things: expected 1 to 5, got 6"):
        sample_group(rng, things=6)
    with pytest.raises(ValueError, match=r"pixels: expected at least \d+ for 3 things, got 224"):
        sample_group(rng, pixels=224)


def test_the_box_of_an_empty_mask_is_zero():
    assert not boxes_of(np.zeros((1, 8, 8), dtype=bool)).any()
