"""Motion: results computed by hand, and the pose of the still, through which every motion passes."""

from dataclasses import astuple, replace

import numpy as np
import pytest

from imagebind.toyworld import CLIP_SECONDS, Motion
from imagebind.toyworld.motion import height_at, impacts_of, pose_at, still_pose
from tests.toyworld.scenes import SCENE

LAST = 15 / 8  # seconds of the last frame


def moving(motion: Motion, **fields: object):
    return replace(SCENE, motion=motion, **fields)


def test_an_object_dropped_from_a_metre_falls_for_0_45_seconds_and_rises_half_as_high():
    times, speeds = impacts_of(1.0)
    assert times[0] == pytest.approx(0.4515, abs=1e-3)  # √(2 / 9.81)
    assert speeds[0] == pytest.approx(4.429, abs=1e-3)  # √(2 · 9.81)
    assert height_at(1.0, (times[0] + times[1]) / 2) == pytest.approx(0.49, abs=1e-3)  # 0.7² of a metre


def test_impacts_become_more_frequent_and_weaker_until_the_object_rests():
    times, speeds = impacts_of(0.4)
    assert (np.diff(np.diff(times)) < 0).all() and (np.diff(speeds) < 0).all()
    assert times[-1] < CLIP_SECONDS
    assert height_at(0.4, times[-1] + 0.01) == 0


def test_a_bouncing_object_is_never_below_the_ground():
    heights = [height_at(0.4, seconds) for seconds in np.linspace(0, 2, 401)]
    assert min(heights) >= 0 and max(heights) == heights[0] == 0.4


@pytest.mark.parametrize("motion", Motion)
@pytest.mark.parametrize("vigour", [0.0, 1.0])
def test_every_motion_passes_through_the_pose_of_the_still(motion, vigour):
    scene = moving(motion, vigour=vigour)
    still = np.array(astuple(still_pose(scene)))
    moments = np.linspace(0, 2, 401)
    nearest = min(np.abs(np.array(astuple(pose_at(scene, moment))) - still).max() for moment in moments)
    assert nearest < 0.015


def test_the_pose_of_the_still_does_not_depend_on_the_motion():
    assert len({still_pose(moving(motion)) for motion in Motion}) == 1


def test_sliding_is_horizontal_and_in_either_direction():
    for direction in (1, -1):
        scene = moving(Motion.SLIDE, direction=direction)
        start, end = pose_at(scene, 0), pose_at(scene, LAST)
        assert direction * (end.x - start.x) > SCENE.size
        assert (start.y, start.distance, start.angle) == (end.y, end.distance, end.angle)


def test_a_bouncing_object_ends_lower_than_it_began():
    scene = moving(Motion.BOUNCE)
    start, end = pose_at(scene, 0), pose_at(scene, LAST)
    assert end.y - start.y > SCENE.size and start.x == end.x


def test_approaching_reduces_the_distance_by_at_least_two_fifths():
    scene = moving(Motion.APPROACH)
    assert pose_at(scene, LAST).distance < 0.6 * pose_at(scene, 0).distance


def test_spinning_rotates_by_more_than_a_quarter_and_less_than_half_a_turn():
    for vigour in (0.0, 1.0):
        scene = moving(Motion.SPIN, vigour=vigour, direction=-1)
        turned = pose_at(scene, LAST).angle - pose_at(scene, 0).angle
        assert -np.pi < turned < -np.pi / 2


def test_a_resting_object_keeps_its_pose():
    scene = moving(Motion.REST)
    assert pose_at(scene, 0) == pose_at(scene, LAST) == still_pose(scene)
