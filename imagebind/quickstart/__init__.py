"""The first minute: a few scenes of a toy world as files, embedded by the small model that comes along.

`quickstart` writes the files, embeds them as any user would, and returns what it found; printing it is the
command's part.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imagebind.checkpoints.factory import imagebind_tiny
from imagebind.embedder import Embedder
from imagebind.plot import similarity_heatmap
from imagebind.quickstart.findings import KINDS, Search, Similarities, add, compare, retrieve
from imagebind.quickstart.scenes import HEATMAP, choose_scenes, write_scenes
from imagebind.toyworld import Scene, world_transforms

__all__ = ["Quickstart", "Search", "Similarities", "quickstart"]

SEED = 2  # of the world: of none that `training.tiny` trains on or measures by; not chosen for its answers
TABLES = (("image_caption", "image"), ("video_caption", "audio"))  # rows, columns
DRAWN = ("image", "audio", "depth")  # against the clips' captions, in the heat map
HEATMAP_DPI = 110


@dataclass(frozen=True, kw_only=True, eq=False)
class Quickstart:
    """What a quick start wrote and found.

    Args:
        files: of each scene, by kind: image, video, audio, depth, thermal, imu, image_caption, video_caption.
        retrieval: a motion recording finds sounds.
        arithmetic: the picture of one scene and the sound of another find a video.
        heatmap: the picture of the similarities.
    """

    folder: Path
    scenes: tuple[Scene, ...]
    files: tuple[dict[str, Path], ...]
    tables: tuple[Similarities, ...]
    retrieval: Search
    arithmetic: Search
    heatmap: Path

    def caption(self, place: int, kind: str) -> str:
        """What a scene's file says, of kind image_caption or video_caption."""
        return self.files[place][kind].read_text(encoding="utf-8").strip()


def quickstart(folder: str | os.PathLike[str], *, seed: int = SEED) -> Quickstart:
    """Write scenes whose like the model has not seen, embed them from their files, and compare.

    Offline. The folder is made, or is one that this wrote before.

    Raises:
        FileExistsError: it holds something else; names it.
        CheckpointError: the small model's weights are not in this installation.
    """
    folder = Path(folder)
    transforms = {kind.value: transform for kind, transform in world_transforms().items()}
    embedder = Embedder(imagebind_tiny(pretrained=True), transforms=transforms)
    scenes = choose_scenes(seed)
    files = write_scenes(scenes, folder)
    vectors = embed_files(embedder, files)
    heatmap = folder / HEATMAP
    draw(heatmap, scenes, vectors)
    return Quickstart(
        folder=folder,
        scenes=scenes,
        files=files,
        tables=tuple(compare(vectors, rows, columns) for rows, columns in TABLES),
        retrieval=retrieve(scenes, vectors),
        arithmetic=add(scenes, vectors),
        heatmap=heatmap,
    )


def embed_files(embedder: Embedder, files: Sequence[Mapping[str, Path]]) -> dict[str, np.ndarray]:
    """Unit vectors of each kind of file, in the order of the scenes: (n, e) each."""
    items = [{kind.value: scene[name]} for name, kind in KINDS.items() for scene in files]
    vectors = embedder.encode(items)  # (k·n, e)
    return dict(zip(KINDS, vectors.reshape(len(KINDS), len(files), -1), strict=True))


def draw(path: Path, scenes: Sequence[Scene], vectors: Mapping[str, np.ndarray]) -> None:
    """A heat map of the clips' captions against pictures, sounds and depth."""
    numbered = list(enumerate(scenes, start=1))
    rows = [f"{number} {_in_words(scene)}" for number, scene in numbered]
    columns = [f"{kind} {number} {scene.shape.value}" for kind in DRAWN for number, scene in numbered]
    cosines = np.concatenate([vectors["video_caption"] @ vectors[kind].T for kind in DRAWN], axis=1)
    similarity_heatmap(cosines, rows, columns).savefig(path, dpi=HEATMAP_DPI)


def _in_words(scene: Scene) -> str:
    return f"{scene.colour.value} {scene.shape.value} {scene.motion.value}"
