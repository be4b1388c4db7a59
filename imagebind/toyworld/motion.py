"""Motion: where the thing is at each moment of its two seconds, and when it strikes the ground.

Every motion passes through the same place, where a still is taken: a still tells nothing of it. All but
resting leave, between the first and the last frame of a clip, a difference that cannot be missed: most of the
thing's radius aside (sliding) or down (bouncing), half as large again (approaching), a quarter turn and more
(spinning).
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from imagebind.toyworld.scene import CLIP_SECONDS, Motion, Scene

GRAVITY = 9.81  # m/s²
Seconds = TypeVar("Seconds", float, np.ndarray)
HALF = CLIP_SECONDS / 2

SLIDE_SPEED = (0.20, 0.25)  # m/s: 78 to 128 pixels from the first frame to the last
DROP_HEIGHT = (0.34, 0.42)  # metres: 71 to 115 pixels
RESTITUTION = 0.7  # of speed, at each impact: a drop of 0.38 m comes to rest after 1.6 s
IMPACTS = 9  # after them it has 4% of its speed, and lies
APPROACH = (0.38, -0.32)  # metres from where the still is taken, at the start and at the end
SPIN_SPEED = (1.0, 1.5)  # rad/s: 107° to 161° from the first frame to the last


@dataclass(frozen=True, kw_only=True)
class Pose:
    """Metres right, down and away from the camera, and radians turned clockwise."""

    x: float
    y: float
    distance: float
    angle: float


def still_pose(scene: Scene) -> Pose:
    """Where the thing is when a still is taken; the same for every motion."""
    return Pose(x=scene.x, y=scene.y, distance=scene.distance, angle=scene.angle)


def pose_at(scene: Scene, seconds: float) -> Pose:
    """Where the thing is, seconds into the clip."""
    x, y, distance, angle = scene.x, scene.y, scene.distance, scene.angle
    if scene.motion is Motion.SLIDE:
        x += scene.direction * speed_of(scene) * (seconds - HALF)
    elif scene.motion is Motion.BOUNCE:
        drop = drop_height(scene)
        y += drop / 2 - height_at(drop, seconds)
    elif scene.motion is Motion.APPROACH:
        distance += approach_at(seconds)
    elif scene.motion is Motion.SPIN:
        angle += scene.direction * spin_of(scene) * (seconds - HALF)
    return Pose(x=x, y=y, distance=distance, angle=angle)


def speed_of(scene: Scene) -> float:
    """Of sliding, m/s."""
    return _within(SLIDE_SPEED, scene.vigour)


def spin_of(scene: Scene) -> float:
    """Of spinning, rad/s."""
    return _within(SPIN_SPEED, scene.vigour)


def drop_height(scene: Scene) -> float:
    """From where a bouncing thing is dropped, metres."""
    return _within(DROP_HEIGHT, scene.vigour)


def approach_at(seconds: Seconds) -> Seconds:
    """Metres that an approaching thing is farther than where the still is taken; evenly accelerated."""
    start, end = APPROACH
    return start + (end - start) * (seconds / CLIP_SECONDS) ** 2


def impacts_of(drop: float) -> tuple[np.ndarray, np.ndarray]:
    """When a thing dropped at 0 s strikes the ground, and at what speed: (n,) s, (n,) m/s.

    The times between are twice speed over gravity, so the blows come faster and faster.
    """
    speeds = np.sqrt(2 * GRAVITY * drop) * RESTITUTION ** np.arange(IMPACTS)
    flights = 2 * speeds[1:] / GRAVITY
    times = speeds[0] / GRAVITY + np.concatenate([[0.0], np.cumsum(flights)])
    return times, speeds


def height_at(drop: float, seconds: float) -> float:
    """Metres above the ground, seconds after the drop."""
    times, speeds = impacts_of(drop)
    blows = int(np.searchsorted(times, seconds, side="right"))  # so far
    if blows == 0:
        return drop - GRAVITY * seconds**2 / 2
    if blows == len(times):
        return 0.0
    since = seconds - times[blows - 1]
    return max(float(speeds[blows] * since - GRAVITY * since**2 / 2), 0.0)


def _within(bounds: tuple[float, float], share: float) -> float:
    return bounds[0] + (bounds[1] - bounds[0]) * share
