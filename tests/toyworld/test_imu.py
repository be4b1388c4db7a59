"""IMU: what the motion does to an accelerometer and a gyroscope, through noise, bias and an uneven clock."""

from dataclasses import replace

import numpy as np
import pytest

from imagebind.toyworld import CLIP_SECONDS, Motion, World, render_imu
from imagebind.toyworld.motion import drop_height, impacts_of, spin_of
from imagebind.transforms.imu import ImuTransform
from tests.toyworld.scenes import SCENE

IMU = ImuTransform(window_seconds=CLIP_SECONDS, accel_unit="m/s2")


def felt(motion: Motion) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Seconds from the clip's start, about; magnitudes of the push and of the turning."""
    seconds, samples = render_imu(replace(SCENE, motion=motion))
    return seconds - seconds[0], *(np.linalg.norm(part, axis=1) for part in np.split(samples, 2, axis=1))


def test_timestamps_rise_unevenly_and_some_samples_are_missing():
    seconds, samples = render_imu(SCENE)
    steps = np.diff(seconds)
    assert len(seconds) == len(samples) < 400 and samples.shape[1] == 6
    assert (steps > 0).all() and steps.std() > 0.0005 and steps.max() < 0.05
    assert seconds[-1] - seconds[0] == pytest.approx(CLIP_SECONDS, abs=0.03)


@pytest.mark.parametrize("motion", Motion)
def test_the_imu_transform_takes_every_motion(motion):
    for number in range(5):
        scene = replace(World(seed=0).scene(number), motion=motion)
        seconds, samples = render_imu(scene)
        tensor = IMU({"imu": samples, "timestamps": seconds})
        assert tensor.shape == (6, 2000) and tensor.isfinite().all()


def test_a_resting_thing_feels_its_weight_only():
    _, push, turn = felt(Motion.REST)
    assert push.mean() == pytest.approx(9.81, abs=0.5) and push.std() < 0.4
    assert turn.max() < 0.3


def test_a_bouncing_thing_feels_nothing_in_flight_and_much_in_a_blow():
    seconds, push, _ = felt(Motion.BOUNCE)
    times, _ = impacts_of(drop_height(SCENE))
    assert np.median(push[seconds < times[0] - 0.05]) < 1.5
    assert push[np.abs(seconds - times[0]) < 0.03].max() > 40
    assert push[seconds > times[-1] + 0.1].mean() == pytest.approx(9.81, abs=0.5)


def test_a_blow_takes_away_the_speed_it_falls_with_and_gives_the_speed_it_rises_with():
    seconds, push, _ = felt(Motion.BOUNCE)
    times, speeds = impacts_of(drop_height(SCENE))
    near = np.abs(seconds - times[0]) < 0.05
    felt_then, between = push[near], np.diff(seconds[near])
    change = (between * (felt_then[1:] + felt_then[:-1]) / 2).sum()
    assert change == pytest.approx(speeds[0] + speeds[1], rel=0.2)


def test_a_spinning_thing_turns_as_fast_as_it_is_seen_to():
    _, _, turn = felt(Motion.SPIN)
    assert np.median(turn) == pytest.approx(spin_of(SCENE), abs=0.15)


def test_sliding_trembles_and_approaching_sways():
    def fast_share(motion: Motion) -> float:
        """How much of the push's variance is from one sample to the next."""
        _, push, _ = felt(motion)
        return np.diff(push).var() / 2 / push.var()

    assert fast_share(Motion.SLIDE) > 0.7 > 0.3 > fast_share(Motion.APPROACH)


def test_the_sensor_is_stuck_on_anyhow():
    directions = []
    for seed in range(20):
        _, samples = render_imu(replace(SCENE, motion=Motion.SPIN, seed=seed))
        directions.append(samples[:, 3:].mean(axis=0))
    assert np.linalg.norm(np.mean(directions, axis=0)) < 0.6  # of 1.25 rad/s, were they all alike
