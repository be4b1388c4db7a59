"""Groups: several objects on one ground, in one image or video, with a box and a mask for each object.

Each object is a `Scene`. Its text, audio, depth, thermal and IMU are those of a scene with only this object.
Objects have the same sizes in pixels as in a scene, so a group's image is larger than 224 x 224.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from imagebind.toyworld.motion import pose_at, still_pose
from imagebind.toyworld.render import Backdrop, Shown, render_frame, render_frames
from imagebind.toyworld.scene import (
    DISTANCES,
    SIZES,
    TEMPERATURES,
    Colour,
    Motion,
    Scene,
    Shape,
    sample_scene,
)
from imagebind.toyworld.shapes import REACH
from imagebind.toyworld.view import FOCAL, PIXELS, cover, sight

GROUP_PIXELS = 2 * PIXELS
THINGS = 3  # objects in a group
MAX_THINGS = min(len(Shape), len(Colour), len(Motion))
GAP_PIXELS = 8  # between objects in the image
PLACEMENTS = 1000  # attempts before other objects are sampled
MAX_CONFLICTS = 1000  # rejected objects, before all are sampled again because none may fit
SHARED_FIELDS = ("ground", "light", "brightness", "slant")


@dataclass(frozen=True, kw_only=True)
class Group:
    """Several objects with different shapes, colours and motions on one ground.

    Args:
        things: a scene for each object; all have the `SHARED_FIELDS` of the first one.
        centres: centre of each object in the image, in pixels right and down from the top left corner.
        pixels: pixels per side of the image.
    """

    things: tuple[Scene, ...]
    centres: tuple[tuple[float, float], ...]
    pixels: int = GROUP_PIXELS

    def placed(self) -> tuple[Scene, ...]:
        """Return the objects with their positions in the group's image."""
        return tuple(
            replace(
                thing,
                x=(across - self.pixels / 2) * thing.distance / FOCAL,
                y=(down - self.pixels / 2) * thing.distance / FOCAL,
            )
            for thing, (across, down) in zip(self.things, self.centres, strict=True)
        )


@dataclass(frozen=True, kw_only=True)
class GroupWorld:
    """Groups by index. Each group depends only on the fields and its index.

    Args:
        held_out: True for only the combinations held out from training, False for only the others, None for
            all.
    """

    seed: int
    held_out: bool | None = None
    things: int = THINGS
    pixels: int = GROUP_PIXELS

    def group(self, index: int) -> Group:
        """Return the group at an index."""
        rng = np.random.default_rng([self.seed, index])
        return sample_group(rng, things=self.things, pixels=self.pixels, held_out=self.held_out)


def sample_group(
    rng: np.random.Generator,
    *,
    things: int = THINGS,
    pixels: int = GROUP_PIXELS,
    held_out: bool | None = None,
) -> Group:
    """Sample objects of different shapes, colours and motions that do not overlap; hot and cold alternate.

    Raises:
        ValueError: `things` is out of range, or too large for the size of the image.
    """
    if not 1 <= things <= MAX_THINGS:
        raise ValueError(f"things: expected 1 to {MAX_THINGS}, got {things}")
    area = things * (2 * REACH * FOCAL * SIZES["large"][1] / DISTANCES["near"][0]) ** 2
    if area > pixels**2:
        raise ValueError(
            f"pixels: expected at least {math.ceil(math.sqrt(area))} for {things} things, got {pixels}"
        )
    while True:
        sampled = _sample_things(rng, things, held_out)
        for _ in range(PLACEMENTS):
            centres = _sample_centres(rng, sampled, pixels)
            if centres is not None:
                return Group(things=sampled, centres=centres, pixels=pixels)


def _sample_things(rng: np.random.Generator, count: int, held_out: bool | None) -> tuple[Scene, ...]:
    things: list[Scene] = []
    conflicts = 0
    warmth = list(TEMPERATURES.values())
    first_warmth = int(rng.integers(len(warmth)))
    while len(things) < count:
        thing = sample_scene(rng, held_out=held_out)
        if any(
            getattr(thing, name) is getattr(other, name)
            for other in things
            for name in ("shape", "colour", "motion")
        ):
            conflicts += 1
            if conflicts == MAX_CONFLICTS:
                conflicts = 0
                things.clear()
            continue
        temperature = rng.uniform(*warmth[(first_warmth + len(things)) % len(warmth)])
        first = things[0] if things else thing
        things.append(
            replace(thing, temperature=temperature, **{name: getattr(first, name) for name in SHARED_FIELDS})
        )
    return tuple(things)


def _sample_centres(
    rng: np.random.Generator, things: Sequence[Scene], pixels: int
) -> tuple[tuple[float, float], ...] | None:
    """Return the centres of objects in pixels, or None if they overlap."""
    radii = [REACH * FOCAL * thing.size / thing.distance for thing in things]
    centres: list[tuple[float, float]] = []
    for radius in radii:
        across, down = rng.uniform(radius, pixels - radius, 2)
        for other, (x, y) in zip(radii, centres, strict=False):
            if math.hypot(across - x, down - y) < radius + other + GAP_PIXELS:
                return None
        centres.append((float(across), float(down)))
    return tuple(centres)


def render_group_image(group: Group) -> np.ndarray:
    """Render an image: (pixels, pixels, 3) uint8."""
    return render_frame(_shown(group, None), Backdrop(group.things[0], group.pixels), exposure=0)


def render_group_video(group: Group, seconds: np.ndarray | None = None) -> np.ndarray:
    """Render two seconds of video, or the frames at the given times: (t, pixels, pixels, 3) uint8.

    Nearer objects cover farther ones, and objects may leave the image.
    """
    backdrop = Backdrop(group.things[0], group.pixels)
    return render_frames(lambda moment: _shown(group, moment), backdrop, seconds)


def group_masks(group: Group, seconds: float | None = None) -> np.ndarray:
    """Return masks of each object's visible pixels, in the image or the frame at a time: (n, h, w) bool."""
    masks = np.zeros((len(group.things), group.pixels, group.pixels), dtype=bool)
    poses = _poses(group, seconds)
    for number in _far_to_near(poses):
        scene, pose = poses[number]
        mask = cover(sight(scene, pose, group.pixels).distance) > 0.5
        masks[:, mask] = False
        masks[number] = mask
    return masks


def boxes_of(masks: np.ndarray) -> np.ndarray:
    """Return the box of each mask: (n, h, w) -> (n, 4) float32 left, top, right, bottom in pixels.

    A mask without pixels has a box of zeros.
    """
    boxes = np.zeros((len(masks), 4), dtype=np.float32)
    for box, mask in zip(boxes, masks, strict=True):
        columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
        if len(rows):
            box[:] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return boxes


def _poses(group: Group, seconds: float | None) -> list[Shown]:
    """Return the poses of the objects in their order, in the image or at a time of the video."""
    return [
        Shown(scene, still_pose(scene) if seconds is None else pose_at(scene, seconds))
        for scene in group.placed()
    ]


def _far_to_near(poses: Sequence[Shown]) -> list[int]:
    return sorted(range(len(poses)), key=lambda number: -poses[number].pose.distance)


def _shown(group: Group, seconds: float | None) -> list[Shown]:
    poses = _poses(group, seconds)
    return [poses[number] for number in _far_to_near(poses)]
