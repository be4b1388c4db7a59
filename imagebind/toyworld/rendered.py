"""Rendered worlds: scenes as the model's own tensors, kept in files, for training without decoding anything.

Each sense goes through the library's transforms once, as inference would have it, and is stored small:
pictures as the 8 bits they were, measurements in half precision. About 0.7 MB a scene; files are mapped.
"""

import json
import os
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from imagebind.batching import begin_worker
from imagebind.modality import MediaKind
from imagebind.toyworld.imu import render_imu
from imagebind.toyworld.reading import world_transforms
from imagebind.toyworld.render import FRAME_RATE, FRAMES, render_image, render_video
from imagebind.toyworld.scene import Scene, World
from imagebind.toyworld.sensors import render_depth, render_thermal
from imagebind.toyworld.sound import render_sound
from imagebind.transforms.image import IMAGE_MEAN, IMAGE_STD

ABOUT_NAME = "rendered.json"  # what was rendered; written last
RENDERING = 2  # counts changes of what scenes look like: what an older one wrote is not used
TWO_FRAMES = np.array([0, FRAMES - 1]) / FRAME_RATE  # seconds: those that the video transform takes of a clip
PIXEL_SCALE = 1 / (255 * torch.tensor(IMAGE_STD))  # (3,): (x / 255 - mean) / std as one product and one sum
PIXEL_OFFSET = torch.tensor(IMAGE_MEAN) / torch.tensor(IMAGE_STD)
CHUNK = 50  # scenes a worker takes at a time


class Stored(NamedTuple):
    """How one sense of a scene is kept."""

    shape: tuple[int, ...]
    dtype: type


STORED: Mapping[MediaKind, Stored] = MappingProxyType(
    {
        MediaKind.IMAGE: Stored((3, 224, 224), np.uint8),
        MediaKind.VIDEO: Stored((3, 2, 224, 224), np.uint8),
        MediaKind.DEPTH: Stored((1, 224, 224), np.float16),
        MediaKind.THERMAL: Stored((1, 224, 224), np.float16),
        MediaKind.AUDIO: Stored((1, 128, 204), np.float16),
        MediaKind.IMU: Stored((6, 2000), np.float16),
    }
)


@dataclass(frozen=True, eq=False)
class Rendered:
    """Scenes 0 to `len` - 1 of a world, each sense a mapped array (n, ...)."""

    world: World
    arrays: Mapping[MediaKind, np.ndarray]

    def __len__(self) -> int:
        return len(self.arrays[MediaKind.IMAGE])

    def scene(self, index: int) -> Scene:
        """What a number's tensors were rendered from."""
        return self.world.scene(index)

    def tensor(self, kind: MediaKind, index: int, *, flip: bool = False) -> Tensor:
        """A sense of a scene as a batch of one has it: a clip is (1, 3, 2, 224, 224), a sound
        (1, 1, 128, 204), and what else as in `STORED`; float32. `flip` swaps left and right.
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
    """Scenes 0 to count - 1 of a world, rendered unless the folder has them already.

    Args:
        held_out: only combinations kept from training, or (the default) only the others; None is any.
        workers: processes that render; they change nothing.
    """
    folder = Path(folder)
    world = World(seed=seed, held_out=held_out)
    about = asdict(world) | {"count": count, "rendering": RENDERING}
    if not _is_there(folder, about):
        _render(folder, world, count, workers)
        (folder / ABOUT_NAME).write_text(json.dumps(about), encoding="utf-8")
        open_world.cache_clear()
    return open_world(folder)


@lru_cache(maxsize=8)
def open_world(folder: str | os.PathLike[str]) -> Rendered:
    """What `render_world` left in a folder.

    Raises:
        OSError: nothing did.
    """
    folder = Path(folder)
    about = json.loads((folder / ABOUT_NAME).read_bytes())
    arrays = {kind: np.load(_path(folder, kind), mmap_mode="r") for kind in STORED}
    return Rendered(World(seed=about["seed"], held_out=about["held_out"]), arrays)


def _is_there(folder: Path, about: Mapping[str, object]) -> bool:
    try:
        return json.loads((folder / ABOUT_NAME).read_bytes()) == about
    except (OSError, ValueError):
        return False


def _render(folder: Path, world: World, count: int, workers: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ABOUT_NAME).unlink(missing_ok=True)
    for kind, (shape, dtype) in STORED.items():
        _open(folder, kind, "w+", shape=(count, *shape), dtype=dtype)
    chunks = [range(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]
    fill = partial(_fill, folder, world)
    if workers == 1:
        for chunk in chunks:
            fill(chunk)
        return
    with ProcessPoolExecutor(workers, initializer=begin_worker) as pool:
        for _ in pool.map(fill, chunks):
            pass


def _fill(folder: Path, world: World, numbers: range) -> None:
    """Render some scenes into the files."""
    arrays = {kind: _open(folder, kind, "r+") for kind in STORED}
    for number in numbers:
        for kind, values in rendered_senses(world.scene(number)).items():
            arrays[kind][number] = values


def rendered_senses(scene: Scene) -> dict[MediaKind, np.ndarray]:
    """What `Rendered` keeps of a scene."""
    see: dict[MediaKind, Any] = dict(world_transforms())  # each takes what its own render_ returns
    seconds, samples = render_imu(scene)
    sound, rate = render_sound(scene)
    measured = {
        MediaKind.DEPTH: see[MediaKind.DEPTH](render_depth(scene)),
        MediaKind.THERMAL: see[MediaKind.THERMAL](render_thermal(scene)),
        MediaKind.AUDIO: see[MediaKind.AUDIO]((sound, rate))[0],
        MediaKind.IMU: see[MediaKind.IMU]({"imu": samples, "timestamps": seconds}),
    }
    return {
        MediaKind.IMAGE: np.moveaxis(render_image(scene), -1, 0),  # (h, w, 3) -> (3, h, w)
        MediaKind.VIDEO: np.moveaxis(render_video(scene, TWO_FRAMES), -1, 0),  # -> (3, 2, h, w)
        **{kind: tensor.numpy() for kind, tensor in measured.items()},
    }


def _path(folder: Path, kind: MediaKind) -> Path:
    return folder / f"{kind.value}.npy"


def _open(
    folder: Path, kind: MediaKind, mode: str, shape: tuple[int, ...] | None = None, dtype: type | None = None
) -> np.ndarray:
    return np.lib.format.open_memmap(_path(folder, kind), mode=mode, shape=shape, dtype=dtype)  # type: ignore[arg-type]
