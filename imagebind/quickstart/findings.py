"""Similarities and searches among the embeddings of the scenes' files.

`vectors` have unit length, keyed as `KINDS`, in the order of the scenes: (n, e) each. The scenes' attributes
determine which results are correct.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from imagebind.modality import MediaKind, ModalityType
from imagebind.quickstart.scenes import scene_indices
from imagebind.toyworld import Scene

# The names of the files that `write_scene` writes, and their media types.
KINDS = {
    "image": MediaKind.IMAGE,
    "video": MediaKind.VIDEO,
    "audio": MediaKind.AUDIO,
    "depth": MediaKind.DEPTH,
    "thermal": MediaKind.THERMAL,
    "imu": MediaKind.IMU,
    "image_caption": MediaKind.TEXT,
    "video_caption": MediaKind.TEXT,
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Similarities:
    """Cosine similarities of two kinds of files; row i and column i are of the same scene.

    Args:
        rows, columns: keys of `KINDS`.
        cosines: (n, n).
    """

    rows: str
    columns: str
    cosines: np.ndarray

    @property
    def trained_together(self) -> bool:
        """Whether the model was trained with pairs of these two."""
        return trained_together(self.rows, self.columns)

    @property
    def own_nearest(self) -> int:
        """Return the number of rows in which the scene's own file is the nearest."""
        return int((self.cosines.argmax(axis=1) == np.arange(len(self.cosines))).sum())


@dataclass(frozen=True, kw_only=True)
class Search:
    """The files of one kind ranked by similarity to a file or to a sum of files.

    Args:
        query: key of `KINDS` and scene index of each query file.
        among: key of `KINDS` of the searched files.
        ranking: scene indices, nearest first.
        cosines: cosine similarities in the same order.
        correct: indices of the scenes that are correct results.
    """

    query: tuple[tuple[str, int], ...]
    among: str
    ranking: tuple[int, ...]
    cosines: tuple[float, ...]
    correct: tuple[int, ...]

    @property
    def trained_together(self) -> bool:
        """Whether the model was trained with pairs of the searched files and each query file."""
        return all(trained_together(kind, self.among) for kind, _ in self.query)

    @property
    def rank(self) -> int:
        """Return the rank of the first correct result, from 1."""
        return 1 + min(self.ranking.index(scene) for scene in self.correct)

    @property
    def is_correct(self) -> bool:
        """Whether the nearest result is correct."""
        return self.rank == 1


def trained_together(first: str, second: str) -> bool:
    """Whether training has pairs of two kinds of files: ImageBind pairs each modality only with vision."""
    return ModalityType.VISION in (KINDS[first].modality, KINDS[second].modality)


def compare(vectors: Mapping[str, np.ndarray], rows: str, columns: str) -> Similarities:
    """Compare the files of one kind with those of another."""
    return Similarities(rows=rows, columns=columns, cosines=vectors[rows] @ vectors[columns].T)


def retrieve(scenes: Sequence[Scene], vectors: Mapping[str, np.ndarray]) -> Search:
    """Search audio by the IMU recording of the last scene; scenes with the same motion are correct.

    Motion is the only attribute that both modalities show.
    """
    last = len(scenes) - 1
    correct = scene_indices(scenes, motion=scenes[last].attributes["motion"])
    return _search(vectors, (("imu", last),), "audio", correct)


def add(scenes: Sequence[Scene], vectors: Mapping[str, np.ndarray]) -> Search:
    """Search videos of other scenes by the sum of the first scene's image and the second scene's audio.

    Scenes with the colour of the image and the motion of the audio are correct. Audio does not show colour,
    and an image does not show motion.
    """
    image, audio = scenes[0].attributes, scenes[1].attributes
    correct = scene_indices(scenes, colour=image["colour"], motion=audio["motion"])
    # The query's own scenes are left out, since each would find its own video.
    return _search(vectors, (("image", 0), ("audio", 1)), "video", correct, without=(0, 1))


def _search(
    vectors: Mapping[str, np.ndarray],
    query: tuple[tuple[str, int], ...],
    among: str,
    correct: Collection[int],
    *,
    without: Collection[int] = (),
) -> Search:
    total = np.sum([vectors[kind][scene] for kind, scene in query], axis=0)  # (e,)
    cosines = vectors[among] @ (total / np.linalg.norm(total))  # (n,)
    ranking = [int(scene) for scene in np.argsort(-cosines, kind="stable") if scene not in without]
    return Search(
        query=query,
        among=among,
        ranking=tuple(ranking),
        cosines=tuple(float(cosines[scene]) for scene in ranking),
        correct=tuple(scene for scene in correct if scene not in without),
    )
