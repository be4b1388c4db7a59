"""Sizes of the benchmarks: HUGE, with the released architecture, for measuring; SMALL for tests, in seconds.

Sections that always use imagebind_tiny take only their amounts of data from a size.
"""

from dataclasses import dataclass

from imagebind import config as configs
from imagebind.config import (
    AudioConfig,
    ImageBindConfig,
    ImuConfig,
    OneChannelConfig,
    TextConfig,
    VisionConfig,
)


@dataclass(frozen=True, kw_only=True)
class Size:
    """A model configuration and the amounts of data for each benchmark."""

    name: str
    config: ImageBindConfig
    captions: int  # to tokenise
    caption_batch: int  # captions per forward pass of the text trunk
    batch: int  # of `forward`, `encode` and `training`
    pass_seconds: float  # approximate limit of one timed pass through a trunk's blocks
    audio_seconds: int
    video_seconds: float
    video_size: tuple[int, int]  # width, height
    moment_seconds: float  # length of the video whose windows are embedded; memory is measured on longer ones
    images: int
    mapped_images: int  # whose similarity maps imagebind_tiny computes
    image_size: tuple[int, int]  # width, height
    repeats: int
    table_rows: tuple[int, ...]  # vectors in each searched table
    scenes: int  # of the toy world; a quarter of them are queries
    indexed_scenes: int  # of eight files each
    users: int  # of the web page
    searches: int  # per user


HUGE = Size(
    name="huge",
    config=configs.huge_config(),
    captions=20_000,
    caption_batch=16,
    batch=8,
    pass_seconds=3.0,
    audio_seconds=3600,
    video_seconds=20.0,
    video_size=(640, 360),
    moment_seconds=60.0,
    images=24,
    mapped_images=100,
    image_size=(1280, 960),
    repeats=5,
    table_rows=(10_000, 100_000, 1_000_000),
    scenes=1024,
    indexed_scenes=625,
    users=20,
    searches=10,
)

SMALL = Size(
    name="small",
    config=ImageBindConfig(
        embed_dim=16,
        vision=VisionConfig(embed_dim=16, num_blocks=2, num_heads=2),
        text=TextConfig(embed_dim=16, num_blocks=2, num_heads=2),
        audio=AudioConfig(embed_dim=16, num_blocks=2, num_heads=2),
        depth=OneChannelConfig(embed_dim=16, num_blocks=2, num_heads=2),
        thermal=OneChannelConfig(embed_dim=16, num_blocks=2, num_heads=2),
        imu=ImuConfig(embed_dim=16, num_blocks=2, num_heads=2),
    ),
    captions=200,
    caption_batch=2,
    batch=1,
    pass_seconds=0.01,
    audio_seconds=5,
    video_seconds=4.0,
    video_size=(64, 48),
    moment_seconds=4.0,
    images=4,
    mapped_images=4,
    image_size=(64, 48),
    repeats=1,
    table_rows=(60, 600),
    scenes=24,
    indexed_scenes=5,
    users=2,
    searches=2,
)

SIZES = {size.name: size for size in (HUGE, SMALL)}
