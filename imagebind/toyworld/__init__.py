"""The toy world: random scenes of one object on a ground, rendered for all six modalities.

`World(seed=0).scene(7)` is a scene. `render_image` and similar functions render it, `caption` describes it,
and `write_world` writes many scenes as files. `world_transforms` returns the library's transforms for those
files. `rendered` stores scenes as tensors for fast training; `nearest` is a baseline without training.
"""

from imagebind.toyworld.audio import render_audio
from imagebind.toyworld.captions import MIXED, SHAPE_FIRST, CaptionStyle, caption, class_prompts
from imagebind.toyworld.files import captions_of, read_manifest, write_scene, write_world
from imagebind.toyworld.imu import render_imu
from imagebind.toyworld.reading import world_transforms
from imagebind.toyworld.render import FRAME_RATE, render_image, render_video
from imagebind.toyworld.scene import (
    ATTRIBUTES,
    CLIP_SECONDS,
    SHOWN_ATTRIBUTES,
    Colour,
    Ground,
    Material,
    Motion,
    Scene,
    Shape,
    World,
    combinations,
    is_held_out,
    sample_scene,
)
from imagebind.toyworld.sensors import (
    BASELINE,
    THERMAL_HIGH,
    THERMAL_LOW,
    render_depth,
    render_thermal,
)
from imagebind.toyworld.view import FOCAL

__all__ = [
    "ATTRIBUTES",
    "BASELINE",
    "CLIP_SECONDS",
    "FOCAL",
    "FRAME_RATE",
    "MIXED",
    "SHAPE_FIRST",
    "SHOWN_ATTRIBUTES",
    "THERMAL_HIGH",
    "THERMAL_LOW",
    "CaptionStyle",
    "Colour",
    "Ground",
    "Material",
    "Motion",
    "Scene",
    "Shape",
    "World",
    "caption",
    "captions_of",
    "class_prompts",
    "combinations",
    "is_held_out",
    "read_manifest",
    "render_audio",
    "render_depth",
    "render_image",
    "render_imu",
    "render_thermal",
    "render_video",
    "sample_scene",
    "world_transforms",
    "write_scene",
    "write_world",
]
