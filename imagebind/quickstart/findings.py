"""What is found among the vectors of the scenes' files: similarities, and answers that are right or not.

`vectors` are of unit length, by kind of file, in the order of the scenes: (n, e) each. Whether an answer is
as one would hope follows from the scenes' attributes.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from imagebind.modality import MediaKind, ModalityType
from imagebind.quickstart.scenes import places_of
from imagebind.toyworld import Scene

# Each kind of file that `write_scene` writes, and what it is to the embedder.
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
    """Cosines of one kind of file with another: row i and column i are of the same scene.

    Args:
        rows, columns: kinds of files, keys of `KINDS`.
        cosines: (n, n).
    """

    rows: str
    columns: str
    cosines: np.ndarray

    @property
    def trained_together(self) -> bool:
        """Whether training ever showed pairs of these two."""
        return trained_together(self.rows, self.columns)

    @property
    def own_nearest(self) -> int:
        """In how many rows the scene's own file is the nearest."""
        return int((self.cosines.argmax(axis=1) == np.arange(len(self.cosines))).sum())


@dataclass(frozen=True, kw_only=True)
class Search:
    """Files of one kind, nearest first, to a file or to the sum of several.

    Args:
        query: (kind, scene's place) of each file that was asked with.
        among: the kind of the files that were searched.
        ranking: places of scenes, nearest first.
        cosines: of each, in the same order.
        hoped: places of the scenes that would be right.
    """

    query: tuple[tuple[str, int], ...]
    among: str
    ranking: tuple[int, ...]
    cosines: tuple[float, ...]
    hoped: tuple[int, ...]

    @property
    def trained_together(self) -> bool:
        """Whether training showed pairs of what was searched and everything that was asked with."""
        return all(trained_together(kind, self.among) for kind, _ in self.query)

    @property
    def rank(self) -> int:
        """At which place, from 1 on, the first right answer comes."""
        return 1 + min(self.ranking.index(place) for place in self.hoped)

    @property
    def as_hoped(self) -> bool:
        """Whether the nearest is right."""
        return self.rank == 1


def trained_together(first: str, second: str) -> bool:
    """Whether training pairs two kinds of files: ImageBind pairs each sense with vision, and no others."""
    return ModalityType.VISION in (KINDS[first].modality, KINDS[second].modality)


def compare(vectors: Mapping[str, np.ndarray], rows: str, columns: str) -> Similarities:
    """Each scene's file of one kind with each scene's of another."""
    return Similarities(rows=rows, columns=columns, cosines=vectors[rows] @ vectors[columns].T)


def retrieve(scenes: Sequence[Scene], vectors: Mapping[str, np.ndarray]) -> Search:
    """The motion recording of the last scene finds sounds: right is what moves the same way.

    Motion is all that these two senses both show.
    """
    last = len(scenes) - 1
    alike = places_of(scenes, motion=scenes[last].attributes["motion"])
    return _search(vectors, (("imu", last),), "audio", alike)


def add(scenes: Sequence[Scene], vectors: Mapping[str, np.ndarray]) -> Search:
    """The picture of the first scene and the sound of the second, added, find a video of another scene.

    Right is what has the picture's colour, which no sound tells, and the sound's motion, which no picture
    shows.
    """
    picture, sound = scenes[0].attributes, scenes[1].attributes
    both = places_of(scenes, colour=picture["colour"], motion=sound["motion"])
    # Each half would find its own scene's video.
    return _search(vectors, (("image", 0), ("audio", 1)), "video", both, without=(0, 1))


def _search(
    vectors: Mapping[str, np.ndarray],
    query: tuple[tuple[str, int], ...],
    among: str,
    right: Collection[int],
    *,
    without: Collection[int] = (),
) -> Search:
    total = np.sum([vectors[kind][place] for kind, place in query], axis=0)  # (e,)
    cosines = vectors[among] @ (total / np.linalg.norm(total))  # (n,)
    ranking = [int(place) for place in np.argsort(-cosines, kind="stable") if place not in without]
    return Search(
        query=query,
        among=among,
        ranking=tuple(ranking),
        cosines=tuple(float(cosines[place]) for place in ranking),
        hoped=tuple(place for place in right if place not in without),
    )
