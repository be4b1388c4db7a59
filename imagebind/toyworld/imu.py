"""Renders IMU: the readings of an accelerometer and a gyroscope that are attached to the object.

The sensor is mounted with a random heading and a random tilt. Without them its axes are x forward, y left and
z up. At rest it measures the ground's reaction as +9.81 m/s² upwards.
"""

import numpy as np

from imagebind.toyworld.motion import GRAVITY, approach_at, drop_height, impacts_of, spin_of
from imagebind.toyworld.scene import CLIP_SECONDS, Motion, Scene
from imagebind.toyworld.view import IMU_STREAM

IMU_RATE = 200.0  # Hz, nominal
JITTER = 0.25  # maximum, in sampling intervals
DROPPED_SHARE = 0.02  # of samples that are lost
MAX_TILT = 0.35  # radians (20°), about both horizontal axes
ACCEL_NOISE = (0.08, 0.25)  # m/s², standard deviation
GYRO_NOISE = (0.01, 0.04)  # rad/s
ACCEL_BIAS = 0.25  # m/s², maximum
GYRO_BIAS = 0.03  # rad/s, maximum

SLIDE_NOISE = (1.6, 2.6)  # m/s²: sliding shakes
IMPACT_SECONDS = 0.012  # duration of an impact; its peak follows from the change of speed
GAIT_RATE = (2.6, 3.8)  # Hz: an approaching object sways as it rolls
GAIT_ACCEL = (1.2, 2.0)  # m/s²
GAIT_TURN = 0.25  # rad/s
WOBBLE_RATE = (1.0, 1.6)  # Hz, of the axis of a spinning object
WOBBLE = 0.25  # rad/s
UP = 2  # index of the vertical axis


def render_imu(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Render two seconds of IMU: uneven timestamps (t,) in s, samples (t, 6) in m/s² and rad/s; t ≈ 392."""
    rng = scene.rng(IMU_STREAM)
    steps = int(CLIP_SECONDS * IMU_RATE)
    seconds = (np.arange(steps) + 0.5 + rng.uniform(-JITTER, JITTER, steps)) / IMU_RATE
    seconds = seconds[rng.uniform(size=steps) >= DROPPED_SHARE]
    mount = _mount(rng)
    noise = np.repeat([rng.uniform(*ACCEL_NOISE), rng.uniform(*GYRO_NOISE)], 3)
    bias = rng.uniform(-1, 1, 6) * np.repeat([ACCEL_BIAS, GYRO_BIAS], 3)
    grain = rng.standard_normal((len(seconds), 6))
    clock = rng.uniform(0, 1000)  # recordings start at arbitrary times
    acceleration, rotation = _readings(scene, seconds, rng)  # (t, 3) each
    samples = np.concatenate([acceleration @ mount.T, rotation @ mount.T], axis=1)  # (t, 6)
    samples = samples + bias + noise * grain
    return clock + seconds, samples.astype(np.float32)


def _readings(scene: Scene, seconds: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return accelerations (t, 3) in m/s² and rotation rates (t, 3) in rad/s in the axes of the object."""
    acceleration, rotation = np.zeros((len(seconds), 3)), np.zeros((len(seconds), 3))
    acceleration[:, UP] = GRAVITY
    phase = 2 * np.pi * rng.uniform(size=2)
    share = scene.vigour
    if scene.motion is Motion.SLIDE:
        noise = SLIDE_NOISE[0] + (SLIDE_NOISE[1] - SLIDE_NOISE[0]) * share
        acceleration += noise * rng.standard_normal(acceleration.shape) * (1.0, 0.6, 0.4)
    elif scene.motion is Motion.BOUNCE:
        acceleration[:, UP] = _bounce_acceleration(drop_height(scene), seconds)
    elif scene.motion is Motion.APPROACH:
        sway = 2 * np.pi * (GAIT_RATE[0] + (GAIT_RATE[1] - GAIT_RATE[0]) * share) * seconds + phase[0]
        strength = GAIT_ACCEL[0] + (GAIT_ACCEL[1] - GAIT_ACCEL[0]) * share
        acceleration[:, 0] += -np.gradient(np.gradient(approach_at(seconds), seconds), seconds)
        acceleration[:, 1] += 0.6 * strength * np.sin(sway / 2)
        acceleration[:, UP] += strength * np.sin(sway)
        rotation[:, 0] += GAIT_TURN * np.cos(sway / 2)
    elif scene.motion is Motion.SPIN:
        turned = scene.direction * spin_of(scene) * (seconds - CLIP_SECONDS / 2)
        acceleration[:, 1], acceleration[:, UP] = GRAVITY * np.sin(turned), GRAVITY * np.cos(turned)
        wobble = 2 * np.pi * (WOBBLE_RATE[0] + (WOBBLE_RATE[1] - WOBBLE_RATE[0]) * share) * seconds
        rotation[:, 0] = scene.direction * spin_of(scene)
        rotation[:, 1] = WOBBLE * np.sin(wobble + phase[1])
    return acceleration, rotation


def _bounce_acceleration(drop: float, seconds: np.ndarray) -> np.ndarray:
    """Return the acceleration of a bouncing object: 0 in flight, a pulse per impact, then gravity."""
    times, speeds = impacts_of(drop)
    after = np.append(speeds[1:], 0.0)  # it leaves the ground with the speed of the next impact
    pulses = np.exp(-(((seconds[:, None] - times) / IMPACT_SECONDS) ** 2))  # (t, impacts)
    peaks = (speeds + after) / (IMPACT_SECONDS * np.sqrt(np.pi))  # a pulse's area is the change of speed
    return pulses @ peaks + GRAVITY * (seconds > times[-1])


def _mount(rng: np.random.Generator) -> np.ndarray:
    """Return a random rotation from the axes of the object to those of the sensor: (3, 3)."""
    heading, (roll, pitch) = rng.uniform(0, 2 * np.pi), rng.uniform(-MAX_TILT, MAX_TILT, 2)
    about_up = np.array(
        [[np.cos(heading), -np.sin(heading), 0], [np.sin(heading), np.cos(heading), 0], [0, 0, 1]]
    )
    about_forward = np.array([[1, 0, 0], [0, np.cos(roll), -np.sin(roll)], [0, np.sin(roll), np.cos(roll)]])
    about_left = np.array([[np.cos(pitch), 0, np.sin(pitch)], [0, 1, 0], [-np.sin(pitch), 0, np.cos(pitch)]])
    return about_left @ about_forward @ about_up
