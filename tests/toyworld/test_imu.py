"""IMU: readings of an accelerometer and a gyroscope for each motion, with noise, bias and an uneven clock."""

from dataclasses import replace

import numpy as np
import pytest

from imagebind.toyworld import CLIP_SECONDS, Motion, World, render_imu
from imagebind.toyworld.motion import drop_height, impacts_of, spin_of
from imagebind.transforms.imu import ImuTransform
from tests.toyworld.scenes import SCENE

IMU = ImuTransform(window_seconds=CLIP_SECONDS, accel_unit="m/s2")


def magnitudes(motion: Motion) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return seconds from the first sample, and magnitudes of acceleration and rotation rate: (t,) each."""
    seconds, samples = render_imu(replace(SCENE, motion=motion))
    return seconds - seconds[0], *(np.linalg.norm(part, axis=1) for part in np.split(samples, 2, axis=1))


def test_timestamps_increase_unevenly_and_some_samples_are_missing():
    seconds, samples = render_imu(SCENE)
    steps = np.diff(seconds)
    assert len(seconds) == len(samples) < 400 and samples.shape[1] == 6
    assert (steps > 0).all() and steps.std() > 0.0005 and steps.max() < 0.05
    assert seconds[-1] - seconds[0] == pytest.approx(CLIP_SECONDS, abs=0.03)


@pytest.mark.parametrize("motion", Motion)
def test_the_imu_transform_accepts_every_motion(motion):
    for number in range(5):
        scene = replace(World(seed=0).scene(number), motion=motion)
        seconds, samples = render_imu(scene)
        tensor = IMU({"imu": samples, "timestamps": seconds})
        assert tensor.shape == (6, 2000) and tensor.isfinite().all()


def test_the_acceleration_of_a_resting_object_is_gravity():
    _, acceleration, rotation = magnitudes(Motion.REST)
    assert acceleration.mean() == pytest.approx(9.81, abs=0.5) and acceleration.std() < 0.4
    assert rotation.max() < 0.3


def test_the_acceleration_of_a_bouncing_object_is_0_in_flight_and_large_at_an_impact():
    seconds, acceleration, _ = magnitudes(Motion.BOUNCE)
    times, _ = impacts_of(drop_height(SCENE))
    assert np.median(acceleration[seconds < times[0] - 0.05]) < 1.5
    assert acceleration[np.abs(seconds - times[0]) < 0.03].max() > 40
    assert acceleration[seconds > times[-1] + 0.1].mean() == pytest.approx(9.81, abs=0.5)


def test_the_acceleration_of_an_impact_adds_up_to_the_change_of_speed():
    seconds, acceleration, _ = magnitudes(Motion.BOUNCE)
    times, speeds = impacts_of(drop_height(SCENE))
    near = np.abs(seconds - times[0]) < 0.05
    at_impact, intervals = acceleration[near], np.diff(seconds[near])
    change = (intervals * (at_impact[1:] + at_impact[:-1]) / 2).sum()
    assert change == pytest.approx(speeds[0] + speeds[1], rel=0.2)


def test_the_rotation_rate_of_a_spinning_object_is_that_of_the_video():
    _, _, rotation = magnitudes(Motion.SPIN)
    assert np.median(rotation) == pytest.approx(spin_of(SCENE), abs=0.15)


def test_acceleration_changes_fast_in_sliding_and_slowly_in_approaching():
    def fast_share(motion: Motion) -> float:
        """Return the share of the variance that is between neighbouring samples."""
        _, acceleration, _ = magnitudes(motion)
        return np.diff(acceleration).var() / 2 / acceleration.var()

    assert fast_share(Motion.SLIDE) > 0.7 > 0.3 > fast_share(Motion.APPROACH)


def test_the_orientation_of_the_sensor_is_random():
    directions = []
    for seed in range(20):
        _, samples = render_imu(replace(SCENE, motion=Motion.SPIN, seed=seed))
        directions.append(samples[:, 3:].mean(axis=0))
    assert np.linalg.norm(np.mean(directions, axis=0)) < 0.6  # rad/s; equal orientations would give 1.25
