"""IMU: the motion as an accelerometer and a gyroscope on the thing feel it.

The sensor is stuck on anyhow: turned about the vertical at will, and tilted. Its axes are x forward, y left,
z up when it is neither; it feels the ground's push as +9.81 m/s² upwards.
"""

import numpy as np

from imagebind.toyworld.motion import GRAVITY, approach_at, drop_height, impacts_of, spin_of
from imagebind.toyworld.scene import CLIP_SECONDS, Motion, Scene
from imagebind.toyworld.view import IMU

RATE = 200.0  # Hz, nominally
JITTER = 0.25  # of a sample's step, either way
DROPPED = 0.02  # share of samples that never arrive
TILT = 0.35  # radians (20°), either way, about both level axes
ACCEL_NOISE = (0.08, 0.25)  # m/s², standard deviation
GYRO_NOISE = (0.01, 0.04)  # rad/s
ACCEL_BIAS = 0.25  # m/s²
GYRO_BIAS = 0.03  # rad/s

RUB = (1.6, 2.6)  # m/s²: sliding stutters
BLOW_SECONDS = 0.012  # an impact's length; its height follows from the change of speed
GAIT_RATE = (2.6, 3.8)  # Hz: what comes nearer sways as it rolls
GAIT = (1.2, 2.0)  # m/s²
GAIT_TURN = 0.25  # rad/s
WOBBLE_RATE = (1.0, 1.6)  # Hz, of the axis of what spins
WOBBLE = 0.25  # rad/s
UP = 2  # the axis of gravity


def render_imu(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Two seconds of motion: timestamps (t,) in s, uneven, and (t, 6) in m/s² and rad/s, t about 392."""
    rng = scene.rng(IMU)
    steps = int(CLIP_SECONDS * RATE)
    seconds = (np.arange(steps) + 0.5 + rng.uniform(-JITTER, JITTER, steps)) / RATE
    seconds = seconds[rng.uniform(size=steps) >= DROPPED]
    mount = _mount(rng)
    noise = np.repeat([rng.uniform(*ACCEL_NOISE), rng.uniform(*GYRO_NOISE)], 3)
    bias = rng.uniform(-1, 1, 6) * np.repeat([ACCEL_BIAS, GYRO_BIAS], 3)
    grain = rng.standard_normal((len(seconds), 6))
    clock = rng.uniform(0, 1000)  # a recording starts at any time
    push, turn = _felt(scene, seconds, rng)  # (t, 3) each
    samples = np.concatenate([push @ mount.T, turn @ mount.T], axis=1) + bias + noise * grain  # (t, 6)
    return clock + seconds, samples.astype(np.float32)


def _felt(scene: Scene, seconds: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """What the thing feels, in its own axes before the sensor's mounting: (t, 3) m/s², (t, 3) rad/s."""
    push, turn = np.zeros((len(seconds), 3)), np.zeros((len(seconds), 3))
    push[:, UP] = GRAVITY
    phase = 2 * np.pi * rng.uniform(size=2)
    share = scene.vigour
    if scene.motion is Motion.SLIDE:
        rub = RUB[0] + (RUB[1] - RUB[0]) * share
        push += rub * rng.standard_normal(push.shape) * (1.0, 0.6, 0.4)
    elif scene.motion is Motion.BOUNCE:
        push[:, UP] = _bounced(drop_height(scene), seconds)
    elif scene.motion is Motion.APPROACH:
        sway = 2 * np.pi * (GAIT_RATE[0] + (GAIT_RATE[1] - GAIT_RATE[0]) * share) * seconds + phase[0]
        strength = GAIT[0] + (GAIT[1] - GAIT[0]) * share
        push[:, 0] += -np.gradient(np.gradient(approach_at(seconds), seconds), seconds)
        push[:, 1] += 0.6 * strength * np.sin(sway / 2)
        push[:, UP] += strength * np.sin(sway)
        turn[:, 0] += GAIT_TURN * np.cos(sway / 2)
    elif scene.motion is Motion.SPIN:
        turned = scene.direction * spin_of(scene) * (seconds - CLIP_SECONDS / 2)
        push[:, 1], push[:, UP] = GRAVITY * np.sin(turned), GRAVITY * np.cos(turned)
        wobble = 2 * np.pi * (WOBBLE_RATE[0] + (WOBBLE_RATE[1] - WOBBLE_RATE[0]) * share) * seconds
        turn[:, 0] = scene.direction * spin_of(scene)
        turn[:, 1] = WOBBLE * np.sin(wobble + phase[1])
    return push, turn


def _bounced(drop: float, seconds: np.ndarray) -> np.ndarray:
    """The ground's push on a bouncing thing: none in flight, a blow at each impact, its weight at the end."""
    times, speeds = impacts_of(drop)
    after = np.append(speeds[1:], 0.0)  # it leaves the ground with the next impact's speed
    blows = np.exp(-(((seconds[:, None] - times) / BLOW_SECONDS) ** 2))  # (t, impacts)
    heights = (speeds + after) / (BLOW_SECONDS * np.sqrt(np.pi))  # so that their area is the change of speed
    return blows @ heights + GRAVITY * (seconds > times[-1])


def _mount(rng: np.random.Generator) -> np.ndarray:
    """The thing's axes to the sensor's: (3, 3)."""
    heading, (roll, pitch) = rng.uniform(0, 2 * np.pi), rng.uniform(-TILT, TILT, 2)
    about_up = np.array(
        [[np.cos(heading), -np.sin(heading), 0], [np.sin(heading), np.cos(heading), 0], [0, 0, 1]]
    )
    about_forward = np.array([[1, 0, 0], [0, np.cos(roll), -np.sin(roll)], [0, np.sin(roll), np.cos(roll)]])
    about_left = np.array([[np.cos(pitch), 0, np.sin(pitch)], [0, 1, 0], [-np.sin(pitch), 0, np.cos(pitch)]])
    return about_left @ about_forward @ about_up
