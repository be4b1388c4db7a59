"""Quick start: writes a few scenes of the toy world as files and embeds them with the included small model.

`quickstart` writes the files, embeds them through the public API, and returns the results; the command prints
them.
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
from imagebind.quickstart.scenes import HEATMAP_NAME, choose_scenes, write_scenes
from imagebind.toyworld import Scene, world_transforms

__all__ = ["Quickstart", "Search", "Similarities", "quickstart"]

SEED = 2  # of the world; not used by `training.tiny`, and not chosen by its results
TABLES = (("image_caption", "image"), ("video_caption", "audio"))  # rows, columns
HEATMAP_KINDS = ("image", "audio", "depth")  # columns of the heat map; the rows are video captions
HEATMAP_DPI = 110


@dataclass(frozen=True, kw_only=True, eq=False)
class Quickstart:
    """The files and results of a quick start.

    Args:
        files: per scene, the files named image, video, audio, depth, thermal, imu, image_caption and
            video_caption.
        retrieval: a search for audio by an IMU recording.
        arithmetic: a search for videos by the sum of one scene's image and another scene's audio.
        heatmap: the image file of the similarities.
    """

    folder: Path
    scenes: tuple[Scene, ...]
    files: tuple[dict[str, Path], ...]
    tables: tuple[Similarities, ...]
    retrieval: Search
    arithmetic: Search
    heatmap: Path

    def caption(self, scene: int, name: str) -> str:
        """Return the caption of a scene by its index from 0; `name` is image_caption or video_caption."""
        return self.files[scene][name].read_text(encoding="utf-8").strip()


def quickstart(folder: str | os.PathLike[str], *, seed: int = SEED) -> Quickstart:
    """Write held-out scenes to files, embed the files, and compare the embeddings.

    Works offline. The folder must be new, empty, or written by this function before.

    Raises:
        FileExistsError: the folder is a file, or has other files; names one.
        CheckpointError: the small model's weights are missing from the installation.
    """
    folder = Path(folder)
    transforms = {kind.value: transform for kind, transform in world_transforms().items()}
    embedder = Embedder(imagebind_tiny(pretrained=True), transforms=transforms)
    scenes = choose_scenes(seed)
    files = write_scenes(scenes, folder)
    vectors = embed_files(embedder, files)
    heatmap = folder / HEATMAP_NAME
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
    """Return unit vectors by file name, as in `KINDS`, in the order of the scenes: (n, e) each."""
    items = [{kind.value: scene[name]} for name, kind in KINDS.items() for scene in files]
    vectors = embedder.encode(items)  # (k·n, e)
    return dict(zip(KINDS, vectors.reshape(len(KINDS), len(files), -1), strict=True))


def draw(path: Path, scenes: Sequence[Scene], vectors: Mapping[str, np.ndarray]) -> None:
    """Draw a heat map of the videos' captions against images, audio and depth."""
    numbered = list(enumerate(scenes, start=1))
    rows = [f"{number} {_in_words(scene)}" for number, scene in numbered]
    columns = [f"{kind} {number} {scene.shape.value}" for kind in HEATMAP_KINDS for number, scene in numbered]
    cosines = np.concatenate([vectors["video_caption"] @ vectors[kind].T for kind in HEATMAP_KINDS], axis=1)
    similarity_heatmap(cosines, rows, columns).savefig(path, dpi=HEATMAP_DPI)


def _in_words(scene: Scene) -> str:
    return f"{scene.colour.value} {scene.shape.value} {scene.motion.value}"
