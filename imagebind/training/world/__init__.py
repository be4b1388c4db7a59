"""A six-sense world to train on: one thing on a ground, as every sense would have it.

`World(seed=0).scene(7)` is a scene; `render_image` and its like are what each sense makes of it, `caption`
what is said of it, and `write_world` puts many on disk. `world_transforms` are the library's transforms that
take all of it. To train fast, `rendered` keeps many scenes as tensors and `pairs` draws pairs from them;
`figures` is what a model knows of the world, and `nearest` what no learning reaches.
"""

from imagebind.training.world.captions import MIXED, SHAPE_FIRST, CaptionStyle, caption, class_prompts
from imagebind.training.world.files import captions_of, read_manifest, write_scene, write_world
from imagebind.training.world.imu import render_imu
from imagebind.training.world.reading import world_transforms
from imagebind.training.world.render import FRAME_RATE, render_image, render_video
from imagebind.training.world.scene import (
    ATTRIBUTES,
    CLIP_SECONDS,
    SHOWS,
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
from imagebind.training.world.sensors import (
    BASELINE,
    THERMAL_HIGH,
    THERMAL_LOW,
    render_depth,
    render_thermal,
)
from imagebind.training.world.sound import render_sound
from imagebind.training.world.view import FOCAL

__all__ = [
    "ATTRIBUTES",
    "BASELINE",
    "CLIP_SECONDS",
    "FOCAL",
    "FRAME_RATE",
    "MIXED",
    "SHAPE_FIRST",
    "SHOWS",
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
    "render_depth",
    "render_image",
    "render_imu",
    "render_sound",
    "render_thermal",
    "render_video",
    "sample_scene",
    "world_transforms",
    "write_scene",
    "write_world",
]
