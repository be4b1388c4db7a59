"""Renders images and videos of a scene."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from imagebind.toyworld.motion import Pose, pose_at, still_pose
from imagebind.toyworld.scene import CLIP_SECONDS, Scene
from imagebind.toyworld.surface import OPACITY, face_pixels, ground_pixels, planes
from imagebind.toyworld.view import IMAGE_STREAM, PIXELS, cover, sight

FRAME_RATE = 8  # frames per second; the video transform takes the first and the last of 16 frames
FRAMES = int(CLIP_SECONDS * FRAME_RATE)

NOISE_STD = (2.0, 5.0)  # out of 255
TINT = 0.06  # maximum relative change of each channel
LIGHT_FALL_OFF = 0.18  # from the centre to the edge of the image
SHADOW_DARKENING = 0.45  # share of the light
SHADOW_PIXELS = 9.0  # length, and width of the soft border
RIM_PIXELS = 5.0  # width of the darkened rim of the object
RIM_SHADE = 0.5  # share of the light that the outline loses

# Temperature is shown around the object, so that the colour does not change. Only glass lets it show through.
HALO_REACH = 0.32  # radii
GLOW = (255.0, 96.0, 20.0)
GLOW_STRENGTH = 0.85
RIME = (150.0, 205.0, 255.0)  # blue enough to be visible on snow
RIME_STRENGTH = 1.25  # opaque near the object
RIME_CELSIUS = 15.0  # °C; at or below it, the ground around the object has rime
GLOW_CELSIUS = 37.0  # °C; at or above it, the ground around the object glows


def render_image(scene: Scene) -> np.ndarray:
    """Render an image: (224, 224, 3) uint8. It does not depend on the motion."""
    return render_frame([Shown(scene, still_pose(scene))], Backdrop(scene), exposure=0)


def render_video(scene: Scene, seconds: np.ndarray | None = None) -> np.ndarray:
    """Render two seconds of video, (t, 224, 224, 3) uint8, at `FRAME_RATE`, or only the frames at `seconds`.

    A frame is bit-identical whether it is rendered alone or with others.
    """
    backdrop = Backdrop(scene)
    return render_frames(lambda moment: [Shown(scene, pose_at(scene, moment))], backdrop, seconds)


def render_frames(
    shown_at: Callable[[float], Sequence["Shown"]], backdrop: "Backdrop", seconds: np.ndarray | None = None
) -> np.ndarray:
    """Render frames of the objects shown at each time: (t, h, w, 3) uint8."""
    times = np.arange(FRAMES) / FRAME_RATE if seconds is None else seconds
    frames = [
        render_frame(shown_at(moment), backdrop, exposure=1 + round(moment * FRAME_RATE))
        for moment in map(float, times)
    ]
    return np.stack(frames)


class Shown(NamedTuple):
    """An object and its pose."""

    scene: Scene
    pose: Pose


class Backdrop:
    """The ground, the light on it and the noise level of the camera, which all frames of a scene share."""

    def __init__(self, scene: Scene, pixels: int = PIXELS) -> None:
        rng = scene.rng(IMAGE_STREAM)
        self.scene, self.pixels = scene, pixels
        self.noise = np.float32(rng.uniform(*NOISE_STD))
        rng.uniform()  # skips the number that `_mark_of` uses
        tint = 1 + rng.uniform(-TINT, TINT, 3)
        axis = np.linspace(-1, 1, pixels)
        slope = math.cos(scene.light) * axis + math.sin(scene.light) * axis[:, None]  # (h, w)
        light = scene.brightness * (1 + LIGHT_FALL_OFF * slope)
        self.light = (light * tint[:, None, None]).astype(np.float32)  # (3, h, w)
        self.ground = ground_pixels(scene, pixels) * self.light  # (3, h, w)


def _mark_of(scene: Scene) -> float:
    """Return the direction of the darker half on an object, in radians."""
    rng = scene.rng(IMAGE_STREAM)
    rng.uniform()  # skips the noise level, which `Backdrop` uses
    return rng.uniform(0, 2 * math.pi)


def _halo_of(temperature: float) -> tuple[tuple[float, float, float], float]:
    """Return the colour of the ground around an object, and its strength at the outline."""
    if temperature >= GLOW_CELSIUS:
        return GLOW, GLOW_STRENGTH
    return RIME, RIME_STRENGTH if temperature <= RIME_CELSIUS else 0.0


def render_frame(things: Sequence[Shown], backdrop: Backdrop, *, exposure: int) -> np.ndarray:
    """Render one frame: (h, w, 3) uint8. Later objects are drawn over earlier ones.

    `exposure` numbers the frames of a scene, each of which has noise of its own.
    """
    light = backdrop.scene.light
    rng = backdrop.scene.rng(IMAGE_STREAM, exposure)
    grain = backdrop.noise * rng.standard_normal((backdrop.pixels, backdrop.pixels), dtype=np.float32)
    image = backdrop.ground.copy()  # (3, h, w)
    sightings = [sight(thing.scene, thing.pose, backdrop.pixels) for thing in things]
    for thing, sighting in zip(things, sightings, strict=True):
        colour, strength = _halo_of(thing.scene.temperature)
        reach = np.float32(HALO_REACH * sighting.radius)
        halo = (strength * np.exp(-sighting.distance.clip(min=0) / reach)).clip(max=1)  # (h, w)
        image += (planes(colour) * backdrop.light - image) * halo
    for sighting in sightings:
        shaded = sighting.moved(-SHADOW_PIXELS * math.cos(light), -SHADOW_PIXELS * math.sin(light))
        image *= 1 - SHADOW_DARKENING * (0.5 - shaded / SHADOW_PIXELS).clip(0, 1)  # soft at its border
    for thing, sighting in zip(things, sightings, strict=True):
        within = sighting.distance[sighting.box]
        rim = 1 - RIM_SHADE * (1 + within / RIM_PIXELS).clip(0, 1)
        region = (slice(None), *sighting.box)
        face = face_pixels(thing.scene, sighting, _mark_of(thing.scene)) * rim * backdrop.light[region]
        opacity = OPACITY.get(thing.scene.material, 1.0) * cover(within)
        image[region] += (face - image[region]) * opacity
    image += grain
    eight = image.clip(0, 255, out=image).astype(np.uint8)
    return np.ascontiguousarray(eight.transpose(1, 2, 0))  # (3, h, w) -> (h, w, 3)
