"""Motion: the pose of the object at each time of the two seconds, and the times of its impacts.

Every motion passes through the pose in which a still is taken, so a still does not depend on the motion.
Except for resting, the first and the last frame of a clip clearly differ: the object moves sideways (sliding)
or down (bouncing) by more than its radius, grows by more than half (approaching), or rotates by more than a
quarter turn (spinning).
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from imagebind.toyworld.scene import CLIP_SECONDS, Motion, Scene

GRAVITY = 9.81  # m/s²
FloatOrArray = TypeVar("FloatOrArray", float, np.ndarray)
HALF_CLIP_SECONDS = CLIP_SECONDS / 2

SLIDE_SPEED = (0.20, 0.25)  # m/s: 78 to 128 pixels from the first frame to the last
DROP_HEIGHT = (0.34, 0.42)  # metres: 71 to 115 pixels
RESTITUTION = 0.7  # of speed, at each impact: a drop of 0.38 m comes to rest after 1.5 s
IMPACTS = 9  # after them it has 4% of its speed, and rests
APPROACH = (0.38, -0.32)  # metres relative to the pose of the still, at the start and at the end
SPIN_SPEED = (1.0, 1.5)  # rad/s: 107° to 161° from the first frame to the last


@dataclass(frozen=True, kw_only=True)
class Pose:
    """Metres right (x), down (y) and from the camera, and a clockwise angle in radians."""

    x: float
    y: float
    distance: float
    angle: float


def still_pose(scene: Scene) -> Pose:
    """Return the pose in which a still is taken; the same for every motion."""
    return Pose(x=scene.x, y=scene.y, distance=scene.distance, angle=scene.angle)


def pose_at(scene: Scene, seconds: float) -> Pose:
    """Return the pose at a time of the clip."""
    x, y, distance, angle = scene.x, scene.y, scene.distance, scene.angle
    if scene.motion is Motion.SLIDE:
        x += scene.direction * speed_of(scene) * (seconds - HALF_CLIP_SECONDS)
    elif scene.motion is Motion.BOUNCE:
        drop = drop_height(scene)
        y += drop / 2 - height_at(drop, seconds)
    elif scene.motion is Motion.APPROACH:
        distance += approach_at(seconds)
    elif scene.motion is Motion.SPIN:
        angle += scene.direction * spin_of(scene) * (seconds - HALF_CLIP_SECONDS)
    return Pose(x=x, y=y, distance=distance, angle=angle)


def speed_of(scene: Scene) -> float:
    """Return the sliding speed in m/s."""
    return _interpolate(SLIDE_SPEED, scene.vigour)


def spin_of(scene: Scene) -> float:
    """Return the spinning speed in rad/s."""
    return _interpolate(SPIN_SPEED, scene.vigour)


def drop_height(scene: Scene) -> float:
    """Return the height in metres from which a bouncing object is dropped."""
    return _interpolate(DROP_HEIGHT, scene.vigour)


def approach_at(seconds: FloatOrArray) -> FloatOrArray:
    """Return the metres by which an approaching object is farther than in a still; uniform acceleration."""
    start, end = APPROACH
    return start + (end - start) * (seconds / CLIP_SECONDS) ** 2


def impacts_of(drop: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the times and speeds of the impacts of an object dropped at 0 s: (n,) s, (n,) m/s.

    A flight lasts twice the speed over gravity, so impacts follow each other ever faster.
    """
    speeds = np.sqrt(2 * GRAVITY * drop) * RESTITUTION ** np.arange(IMPACTS)
    flights = 2 * speeds[1:] / GRAVITY
    times = speeds[0] / GRAVITY + np.concatenate([[0.0], np.cumsum(flights)])
    return times, speeds


def height_at(drop: float, seconds: float) -> float:
    """Return the height above the ground in metres, some seconds after the drop."""
    times, speeds = impacts_of(drop)
    impacts = int(np.searchsorted(times, seconds, side="right"))  # so far
    if impacts == 0:
        return drop - GRAVITY * seconds**2 / 2
    if impacts == len(times):
        return 0.0
    since = seconds - times[impacts - 1]
    return max(float(speeds[impacts] * since - GRAVITY * since**2 / 2), 0.0)


def _interpolate(bounds: tuple[float, float], share: float) -> float:
    return bounds[0] + (bounds[1] - bounds[0]) * share
