"""Benchmarks search accuracy on the toy world: mixed media types with and without calibration, and sums.

The scenes are new, with attribute combinations that the small model was trained on, in all modalities and
with a caption. Three quarters are in the index, the others are queries.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from imagebind.benchmark.report import Row
from imagebind.benchmark.sizes import Size
from imagebind.calibration import KIND_SAMPLES, Calibration
from imagebind.checkpoints.factory import imagebind_tiny
from imagebind.embedder import combine
from imagebind.evaluation.toyworld import embed_scenes, embed_texts
from imagebind.modality import MediaKind
from imagebind.toyworld import captions_of
from imagebind.toyworld.rendered import STORED, Rendered, render_world
from imagebind.toyworld.scene import SHOWN_ATTRIBUTES

SECTION = "mixed"
WORLD_SEED = 1  # the small model was trained on the world of seed 0
TOP_K = 10
# Attributes that hits should share with the query, if its modality shows them.
CONTENT_ATTRIBUTES = ("shape", "motion")

Vectors = Mapping[MediaKind, np.ndarray]  # (n, e) of each media type, in the order of the scenes


def measure(size: Size, folder: Path) -> Iterator[Row]:
    """Render and embed scenes, and yield the accuracy of the searches."""
    rendered = render_world(folder / "world", size.scenes, seed=WORLD_SEED)
    vectors = embed(rendered)
    attributes = [rendered.scene(number).attributes for number in range(size.scenes)]
    stored = size.scenes * 3 // 4
    yield from mixed_rows(vectors, attributes, stored)
    yield from sum_rows(vectors, attributes, stored)


def embed(rendered: Rendered) -> Vectors:
    """Embed every scene in each media type, and the caption of its video."""
    model = imagebind_tiny(pretrained=True)
    captions = [captions_of(rendered.scene(number))["video"] for number in range(len(rendered))]
    found = {kind: embed_scenes(model, rendered, kind).numpy() for kind in STORED}
    return found | {MediaKind.TEXT: embed_texts(model, captions).numpy()}


def mixed_rows(vectors: Vectors, attributes: Sequence[Mapping[str, str]], stored: int) -> Iterator[Row]:
    """Yield the share of the top ten hits of all media types that share the query's content."""
    rng = np.random.default_rng(0)
    chosen = rng.choice(stored, min(KIND_SAMPLES, stored), replace=False)
    calibration = Calibration({kind: each[:stored][chosen] for kind, each in vectors.items()})
    shares = {
        kind: np.array(
            [
                _relevant(vectors, attributes, stored, calibration, kind, number)
                for number in range(stored, len(attributes))
            ]
        ).mean(axis=0)
        for kind in vectors
    }
    for kind, (raw, calibrated) in shares.items():
        yield Row(
            section=SECTION,
            name=f"by {kind}, all media types in one list: {' and '.join(_query_attributes(kind))} right in "
            f"the top {TOP_K}",
            value=calibrated,
            unit="",
            detail=f"by cosine {raw:.3f}",
        )
    raw, calibrated = np.mean([*shares.values()], axis=0)
    yield Row(
        section=SECTION,
        name="mean over the media types",
        value=calibrated,
        unit="",
        target=round(float(raw), 3),
        detail=f"plain cosine, the baseline: {raw:.3f}",
    )


def _relevant(
    vectors: Vectors,
    attributes: Sequence[Mapping[str, str]],
    stored: int,
    calibration: Calibration,
    kind: MediaKind,
    number: int,
) -> tuple[float, float]:
    query = vectors[kind][number]
    cosines, scores = [], []
    for each, rows in vectors.items():
        found = rows[:stored] @ query
        cosines.append(found)
        scores.append(calibration.scale(query, each).score(found))
    right = np.array(
        [
            all(attributes[n][name] == attributes[number][name] for name in _query_attributes(kind))
            for n in range(stored)
        ]
    )
    of_all = np.tile(right, len(vectors))

    def share(ranked: list[np.ndarray]) -> float:
        return float(of_all[np.argsort(-np.concatenate(ranked), kind="stable")[:TOP_K]].mean())

    return share(cosines), share(scores)


def _query_attributes(kind: MediaKind) -> list[str]:
    shown = CONTENT_ATTRIBUTES if kind is MediaKind.TEXT else SHOWN_ATTRIBUTES[kind]
    return [name for name in CONTENT_ATTRIBUTES if name in shown]


def sum_rows(vectors: Vectors, attributes: Sequence[Mapping[str, str]], stored: int) -> Iterator[Row]:
    """Yield the share of correct videos for the sum of an image and another scene's audio."""
    videos = vectors[MediaKind.VIDEO][:stored]
    shares: dict[str, list[float]] = {"sum": [], "image": [], "audio": [], "chance": []}
    for number in range(stored, len(attributes) - 1):
        look, moved = attributes[number], attributes[number + 1]
        if look["colour"] == moved["colour"] or look["motion"] == moved["motion"]:
            continue  # a video similar to only one of them would be correct
        right = np.array(
            [
                attributes[n]["colour"] == look["colour"] and attributes[n]["motion"] == moved["motion"]
                for n in range(stored)
            ]
        )
        image, audio = vectors[MediaKind.IMAGE][number], vectors[MediaKind.AUDIO][number + 1]
        queries = {"sum": combine([(image, 0.5), (audio, 0.5)]), "image": image, "audio": audio}
        for name, query in queries.items():
            shares[name].append(float(right[np.argsort(-(videos @ query))[:TOP_K]].mean()))
        shares["chance"].append(float(right.mean()))
    found = {name: float(np.mean(each)) for name, each in shares.items()}
    yield Row(
        section=SECTION,
        name=f"image + audio: share of the top {TOP_K} videos with the image's colour, the audio's motion",
        value=found["sum"],
        unit="",
        target=round(max(found["image"], found["audio"]), 3),
        detail=f"image alone {found['image']:.3f}, audio alone {found['audio']:.3f}, "
        f"chance {found['chance']:.3f}, {len(shares['sum'])} pairs",
    )
