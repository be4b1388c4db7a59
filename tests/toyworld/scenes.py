"""A scene, and variants of it with one other attribute."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from imagebind.modality import MediaKind
from imagebind.toyworld import (
    Colour,
    Ground,
    Material,
    Motion,
    Scene,
    Shape,
    render_audio,
    render_depth,
    render_image,
    render_imu,
    render_thermal,
    render_video,
)

SCENE = Scene(
    shape=Shape.STAR,
    colour=Colour.RED,
    material=Material.METAL,
    motion=Motion.SPIN,
    ground=Ground.SAND,
    size=0.28,
    temperature=60.0,
    distance=1.0,
    seed=5,
)
OTHER_VALUES = {  # for each attribute, another value
    "shape": Shape.BAR,
    "colour": Colour.BLUE,
    "material": Material.RUBBER,
    "motion": Motion.BOUNCE,
    "ground": Ground.SNOW,
    "size": 0.22,
    "temperature": -8.0,
    "distance": 1.2,
}
ENDS = np.array([0.0, 15 / 8])  # seconds of the first and last frame, which the video transform takes


def changed(attribute: str) -> Scene:
    return replace(SCENE, **{attribute: OTHER_VALUES[attribute]})


def video_ends(scene: Scene) -> np.ndarray:
    """Return the first and the last frame: (2, h, w, 3), as int16 so that they can be subtracted."""
    return render_video(scene, ENDS).astype(np.int16)


RENDERERS: dict[MediaKind, Callable[[Scene], Iterable[np.ndarray]]] = {
    MediaKind.IMAGE: lambda scene: [render_image(scene)],
    MediaKind.VIDEO: lambda scene: [render_video(scene, ENDS)],
    MediaKind.AUDIO: lambda scene: [render_audio(scene)[0]],
    MediaKind.DEPTH: lambda scene: [render_depth(scene)],
    MediaKind.THERMAL: lambda scene: [render_thermal(scene)],
    MediaKind.IMU: render_imu,
}


def same(first: Iterable[np.ndarray], second: Iterable[np.ndarray]) -> bool:
    """Return whether two renderings are bit-identical."""
    return all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))
