"""Rendered worlds: scenes stored as model inputs in memory-mapped files, for training without decoding.

Depth, thermal, audio and IMU pass once through the transforms of inference and are stored in half precision.
Images and videos are stored as 8-bit pixels and normalised when they are read. A scene takes about 0.7 MB.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from imagebind.batching import begin_worker
from imagebind.modality import MediaKind
from imagebind.toyworld.audio import render_audio
from imagebind.toyworld.imu import render_imu
from imagebind.toyworld.reading import world_transforms
from imagebind.toyworld.render import FRAME_RATE, FRAMES, render_image, render_video
from imagebind.toyworld.scene import Scene, World
from imagebind.toyworld.sensors import render_depth, render_thermal
from imagebind.transforms.image import IMAGE_MEAN, IMAGE_STD

ABOUT_NAME = "rendered.json"  # describes the rendered world; written last
RENDERER_VERSION = 2  # files written by other versions are ignored
TWO_FRAMES = np.array([0, FRAMES - 1]) / FRAME_RATE  # seconds of the frames that the video transform takes
PIXEL_SCALE = 1 / (255 * torch.tensor(IMAGE_STD))  # (3,): (x / 255 - mean) / std as x * scale - offset
PIXEL_OFFSET = torch.tensor(IMAGE_MEAN) / torch.tensor(IMAGE_STD)
SCENES_PER_TASK = 50  # for worker processes


class StoredArray(NamedTuple):
    """Shape and type of a scene's array of one media type."""

    shape: tuple[int, ...]
    dtype: type


STORED: Mapping[MediaKind, StoredArray] = MappingProxyType(
    {
        MediaKind.IMAGE: StoredArray((3, 224, 224), np.uint8),
        MediaKind.VIDEO: StoredArray((3, 2, 224, 224), np.uint8),
        MediaKind.DEPTH: StoredArray((1, 224, 224), np.float16),
        MediaKind.THERMAL: StoredArray((1, 224, 224), np.float16),
        MediaKind.AUDIO: StoredArray((1, 128, 204), np.float16),
        MediaKind.IMU: StoredArray((6, 2000), np.float16),
    }
)


@dataclass(frozen=True, eq=False)
class Rendered:
    """Scenes 0 to `len` - 1 of a world, with a memory-mapped array (n, ...) per media type."""

    world: World
    arrays: Mapping[MediaKind, np.ndarray]

    def __len__(self) -> int:
        return len(self.arrays[MediaKind.IMAGE])

    def scene(self, index: int) -> Scene:
        """Return the scene at an index."""
        return self.world.scene(index)

    def tensor(self, kind: MediaKind, index: int, *, flip: bool = False) -> Tensor:
        """Return a model input without the batch dimension, float32.

        Video is (1, 3, 2, 224, 224), audio (1, 1, 128, 204), the others are as in `STORED`. `flip` reverses
        the last dimension: left and right, but time in audio and IMU.
        """
        stored = torch.from_numpy(np.array(self.arrays[kind][index]))
        tensor = (stored.flip(-1) if flip else stored).float()
        if kind in (MediaKind.IMAGE, MediaKind.VIDEO):
            shape = (3,) + (1,) * (tensor.ndim - 1)
            tensor = tensor.mul_(PIXEL_SCALE.view(shape)).sub_(PIXEL_OFFSET.view(shape))
        return tensor[None] if kind in (MediaKind.VIDEO, MediaKind.AUDIO) else tensor


def render_world(
    folder: str | os.PathLike[str], count: int, *, seed: int, held_out: bool | None = False, workers: int = 1
) -> Rendered:
    """Return scenes 0 to count - 1 of a world; render them unless the folder has them, or more scenes.

    Args:
        held_out: True for only the held-out combinations, False (default) for only the others, None for all.
        workers: rendering processes; the result does not depend on their number.
    """
    folder = Path(folder)
    world = World(seed=seed, held_out=held_out)
    about = asdict(world) | {"rendering": RENDERER_VERSION}
    if _rendered_count(folder, about) < count:
        _render(folder, world, count, workers)
        (folder / ABOUT_NAME).write_text(json.dumps(about | {"count": count}), encoding="utf-8")
        open_world.cache_clear()
    rendered = open_world(folder)
    return replace(rendered, arrays={kind: array[:count] for kind, array in rendered.arrays.items()})


@lru_cache(maxsize=8)
def open_world(folder: str | os.PathLike[str]) -> Rendered:
    """Open a world that `render_world` wrote.

    Raises:
        OSError: the folder has no rendered world.
    """
    folder = Path(folder)
    about = json.loads((folder / ABOUT_NAME).read_bytes())
    arrays = {kind: np.load(_path(folder, kind), mmap_mode="r") for kind in STORED}
    return Rendered(World(seed=about["seed"], held_out=about["held_out"]), arrays)


def _rendered_count(folder: Path, about: Mapping[str, object]) -> int:
    """Return the number of scenes in a folder, or 0 if they are of another world or renderer."""
    try:
        found = json.loads((folder / ABOUT_NAME).read_bytes())
        count = int(found.pop("count"))
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        return 0
    return count if found == about else 0


def _render(folder: Path, world: World, count: int, workers: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ABOUT_NAME).unlink(missing_ok=True)
    for kind, (shape, dtype) in STORED.items():
        _open(folder, kind, "w+", shape=(count, *shape), dtype=dtype)
    chunks = [range(start, min(start + SCENES_PER_TASK, count)) for start in range(0, count, SCENES_PER_TASK)]
    fill = partial(_fill, folder, world)
    if workers == 1:
        for chunk in chunks:
            fill(chunk)
        return
    with ProcessPoolExecutor(workers, initializer=begin_worker) as pool:
        for _ in pool.map(fill, chunks):
            pass


def _fill(folder: Path, world: World, numbers: range) -> None:
    """Render scenes into the files."""
    arrays = {kind: _open(folder, kind, "r+") for kind in STORED}
    for number in numbers:
        for kind, values in render_modalities(world.scene(number)).items():
            arrays[kind][number] = values


def render_modalities(scene: Scene) -> dict[MediaKind, np.ndarray]:
    """Return the arrays of a scene that `Rendered` stores."""
    transforms: dict[MediaKind, Any] = dict(world_transforms())  # each takes the result of its render_...
    seconds, samples = render_imu(scene)
    waveform, rate = render_audio(scene)
    measured = {
        MediaKind.DEPTH: transforms[MediaKind.DEPTH](render_depth(scene)),
        MediaKind.THERMAL: transforms[MediaKind.THERMAL](render_thermal(scene)),
        MediaKind.AUDIO: transforms[MediaKind.AUDIO]((waveform, rate))[0],
        MediaKind.IMU: transforms[MediaKind.IMU]({"imu": samples, "timestamps": seconds}),
    }
    return {
        MediaKind.IMAGE: np.moveaxis(render_image(scene), -1, 0),  # (h, w, 3) -> (3, h, w)
        MediaKind.VIDEO: np.moveaxis(render_video(scene, TWO_FRAMES), -1, 0),  # -> (3, 2, h, w)
        **{kind: tensor.numpy() for kind, tensor in measured.items()},
    }


@contextmanager
def image_renderer(world: World, *, workers: int) -> Iterator[Callable[[range], Iterator[Tensor]]]:
    """Yield a function that renders only images: scene indices -> chunks (n, 3, 224, 224) uint8, in order."""
    with ProcessPoolExecutor(workers, initializer=begin_worker) as pool:

        def render(numbers: range) -> Iterator[Tensor]:
            starts = range(0, len(numbers), SCENES_PER_TASK)
            chunks = [numbers[start : start + SCENES_PER_TASK] for start in starts]
            return map(torch.from_numpy, pool.map(partial(_images, world), chunks))

        yield render


def _images(world: World, numbers: range) -> np.ndarray:
    """Return images of scenes: (n, 3, 224, 224) uint8."""
    return np.stack([np.moveaxis(render_image(world.scene(number)), -1, 0) for number in numbers])


def _path(folder: Path, kind: MediaKind) -> Path:
    return folder / f"{kind.value}.npy"


def _open(
    folder: Path, kind: MediaKind, mode: str, shape: tuple[int, ...] | None = None, dtype: type | None = None
) -> np.ndarray:
    return np.lib.format.open_memmap(_path(folder, kind), mode=mode, shape=shape, dtype=dtype)  # type: ignore[arg-type]
