"""Evaluates moments on the toy world: is the best moment of a long recording the scene that a query shows?

A query is another rendering with the attributes of one scene of the recording, or a text that names its
colour, shape and motion. No two scenes of a recording have the same shape and motion, but most modalities do
not show all attributes. So a moment is correct if its temporal IoU is at least 0.5 with any scene that has
the attributes which the query shows. A stream cannot find attributes that it does not show: an IMU, for
example, does not show the shape.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from imagebind.applications.moments import find_moments
from imagebind.applications.streams import HOP_SECONDS, STREAMS, WINDOW_SECONDS, embed_recording
from imagebind.embedder import Embedder
from imagebind.evaluation.bootstrap import mean_interval
from imagebind.evaluation.result import Figure
from imagebind.evaluation.scoring import percent
from imagebind.media.clips import Span
from imagebind.modality import MediaKind
from imagebind.toyworld.audio import render_audio
from imagebind.toyworld.captions import with_article
from imagebind.toyworld.imu import render_imu
from imagebind.toyworld.reading import world_transforms
from imagebind.toyworld.recordings import Recording, Shot
from imagebind.toyworld.render import render_image
from imagebind.toyworld.scene import Scene, similar_scene
from imagebind.toyworld.sensors import render_depth, render_thermal

MIN_IOU = 0.5
QUERY_SEED = 0
# By media type of the query, the attributes that a correct scene has in common with it.
SHOWN: Mapping[MediaKind, tuple[str, ...]] = MappingProxyType(
    {
        MediaKind.TEXT: ("shape", "colour", "motion"),
        MediaKind.IMAGE: ("shape", "colour"),
        MediaKind.AUDIO: ("shape", "motion"),
        MediaKind.DEPTH: ("shape",),
        MediaKind.THERMAL: ("shape", "temperature"),
        MediaKind.IMU: ("motion",),
    }
)
# The streams of the recording whose scores are added, by name.
STREAM_SETS: Mapping[str, tuple[MediaKind, ...]] = MappingProxyType(
    {"images": STREAMS[:1], "audio": STREAMS[1:2], "imu": STREAMS[2:], "sum": STREAMS}
)


@dataclass(frozen=True, eq=False)
class MomentRecordings:
    """Recordings of the toy world; each of their scenes is queried in each modality."""

    recordings: Sequence[Recording]

    def measure(self, embedder: Embedder) -> dict[str, Any]:
        """Return R@1 in percent, by query and streams, and the number of queries per modality."""
        embedder = embedder.with_transforms(world_transforms())
        kinds = [kind for kind in SHOWN if kind.modality in embedder.model.modalities]
        correct: dict[tuple[MediaKind, str], list[bool]] = {}
        chances: dict[MediaKind, list[float]] = {kind: [] for kind in kinds}
        rng = np.random.default_rng(QUERY_SEED)
        for recording in self.recordings:
            vectors = embed_recording(embedder, recording.video, imu=recording.imu)
            queries = _queries(embedder, recording.shots, kinds, rng)
            for kind in kinds:
                for shot, query in zip(recording.shots, queries[kind], strict=True):
                    matching = matching_spans(recording.shots, shot, kind)
                    chances[kind].append(chance_of_window(matching, vectors.seconds))
                    for name, streams in STREAM_SETS.items():
                        if {*streams} <= {*vectors.streams}:
                            (best,) = find_moments(vectors.only(streams), query, top=1)
                            is_correct = is_found((best.start, best.end), matching)
                            correct.setdefault((kind, name), []).append(is_correct)
        return {
            "figures": {
                f"{kind}_by_{name}": _figure(found, float(np.mean(chances[kind])))
                for (kind, name), found in correct.items()
            },
            "samples": sum(len(recording.shots) for recording in self.recordings),
        }


def text_of(scene: Scene) -> str:
    """Return a text that names colour, shape and motion: "a red star spinning"."""
    words = scene.attributes
    return with_article(f"{words['colour']} {words['shape']} {words['motion']}")


def matching_spans(shots: Sequence[Shot], queried: Shot, kind: MediaKind) -> list[Span]:
    """Return the times of the scenes that have the attributes which a query of this media type shows."""
    wanted = queried.scene.attributes
    return [
        (shot.start, shot.end)
        for shot in shots
        if all(shot.scene.attributes[name] == wanted[name] for name in SHOWN[kind])
    ]


def temporal_iou(first: Span, second: Span) -> float:
    """Return the duration of the intersection of two spans over that of their union."""
    shared = max(min(first[1], second[1]) - max(first[0], second[0]), 0.0)
    return float(shared / (first[1] - first[0] + second[1] - second[0] - shared))


def is_found(span: Span, matching: Sequence[Span]) -> bool:
    """Whether a span has a temporal IoU of at least `MIN_IOU` with one of the matching spans."""
    return any(temporal_iou(span, each) >= MIN_IOU for each in matching)


def chance_of_window(matching: Sequence[Span], seconds: float) -> float:
    """Return the share of a recording's windows that are correct."""
    starts = np.arange(0, seconds - WINDOW_SECONDS + HOP_SECONDS / 2, HOP_SECONDS).tolist()
    return float(np.mean([is_found((start, start + WINDOW_SECONDS), matching) for start in starts]))


def _figure(found: Sequence[bool], chance: float) -> Figure:
    values = torch.tensor(found).double()
    return percent(values.mean().item(), *mean_interval(values), chance=chance)


def _queries(
    embedder: Embedder, shots: Sequence[Shot], kinds: Sequence[MediaKind], rng: np.random.Generator
) -> dict[MediaKind, np.ndarray]:
    """Return the vectors of one query per scene, by media type: {kind: (n, e)}."""
    scenes = [similar_scene(shot.scene, rng) for shot in shots]
    return {kind: embedder.encode([item_of(scene, kind) for scene in scenes]) for kind in kinds}


def item_of(scene: Scene, kind: MediaKind) -> Any:
    """Return an item for `Embedder.encode` that shows a scene in one media type of `SHOWN`."""
    match kind:
        case MediaKind.TEXT:
            return text_of(scene)
        case MediaKind.IMAGE:
            return {"image": render_image(scene)}
        case MediaKind.AUDIO:
            audio, rate = render_audio(scene)
            return {"audio": audio, "rate": rate}
        case MediaKind.DEPTH:
            return {"depth": render_depth(scene)}
        case MediaKind.THERMAL:
            return {"thermal": render_thermal(scene)}
    seconds, samples = render_imu(scene)
    return {"imu": samples, "timestamps": seconds}
