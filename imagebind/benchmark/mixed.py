"""How right searches are on the toy world: mixed lists with and without calibration, and sums of two senses.

New scenes, of combinations that the small model was trained on, each by all its senses and a caption. Three
quarters are in the index, the others ask.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from imagebind.benchmark.report import Row
from imagebind.benchmark.sizes import Size
from imagebind.checkpoints.factory import imagebind_tiny
from imagebind.embedder import combine
from imagebind.modality import MediaKind
from imagebind.search.calibration import KIND_SAMPLES, Calibration
from imagebind.toyworld import captions_of
from imagebind.toyworld.rendered import STORED, Rendered, render_world
from imagebind.toyworld.scene import SHOWS
from imagebind.training.tiny.figures import embed_sense, embed_texts

SECTION = "mixed"
SEED = 1  # of the world; the small model was trained on that of seed 0
K = 10
CONTENT = ("shape", "motion")  # what hits are to share with the query, as far as its sense shows it

Vectors = Mapping[MediaKind, np.ndarray]  # (n, e) of each kind, in the order of the scenes


def measure(size: Size, folder: Path) -> Iterator[Row]:
    """Render, embed, and search."""
    rendered = render_world(folder / "world", size.scenes, seed=SEED)
    vectors = embed(rendered)
    attributes = [rendered.scene(number).attributes for number in range(size.scenes)]
    stored = size.scenes * 3 // 4
    yield from mixed_rows(vectors, attributes, stored)
    yield from sum_rows(vectors, attributes, stored)


def embed(rendered: Rendered) -> Vectors:
    """Every scene by each of its senses and by the caption of its clip."""
    model = imagebind_tiny(pretrained=True)
    captions = [captions_of(rendered.scene(number))["video"] for number in range(len(rendered))]
    found = {kind: embed_sense(model, rendered, kind).numpy() for kind in STORED}
    return found | {MediaKind.TEXT: embed_texts(model, captions).numpy()}


def mixed_rows(vectors: Vectors, attributes: Sequence[Mapping[str, str]], stored: int) -> Iterator[Row]:
    """The share of the best ten of all kinds that have the query's content, by cosine and by score."""
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
            what=f"by {kind}, all kinds in one list: {' and '.join(_asked(kind))} right among the best {K}",
            value=calibrated,
            unit="",
            detail=f"by cosine {raw:.3f}",
        )
    raw, calibrated = np.mean([*shares.values()], axis=0)
    yield Row(
        section=SECTION,
        what="mean over the kinds",
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
        mean, deviation = calibration.scale(query, each)
        found = rows[:stored] @ query
        cosines.append(found)
        scores.append((found - mean) / deviation)
    right = np.array(
        [all(attributes[n][name] == attributes[number][name] for name in _asked(kind)) for n in range(stored)]
    )
    of_all = np.tile(right, len(vectors))

    def share(ranked: list[np.ndarray]) -> float:
        return float(of_all[np.argsort(-np.concatenate(ranked), kind="stable")[:K]].mean())

    return share(cosines), share(scores)


def _asked(kind: MediaKind) -> list[str]:
    shown = CONTENT if kind is MediaKind.TEXT else SHOWS[kind]
    return [name for name in CONTENT if name in shown]


def sum_rows(vectors: Vectors, attributes: Sequence[Mapping[str, str]], stored: int) -> Iterator[Row]:
    """A picture and another scene's sound: videos with the colour of the one, the motion of the other."""
    videos = vectors[MediaKind.VIDEO][:stored]
    shares: dict[str, list[float]] = {"sum": [], "picture": [], "sound": [], "chance": []}
    for number in range(stored, len(attributes) - 1):
        look, sound = attributes[number], attributes[number + 1]
        if look["colour"] == sound["colour"] or look["motion"] == sound["motion"]:
            continue  # a video like one of them alone would do
        right = np.array(
            [
                attributes[n]["colour"] == look["colour"] and attributes[n]["motion"] == sound["motion"]
                for n in range(stored)
            ]
        )
        picture, heard = vectors[MediaKind.IMAGE][number], vectors[MediaKind.AUDIO][number + 1]
        queries = {"sum": combine([(picture, 0.5), (heard, 0.5)]), "picture": picture, "sound": heard}
        for name, query in queries.items():
            shares[name].append(float(right[np.argsort(-(videos @ query))[:K]].mean()))
        shares["chance"].append(float(right.mean()))
    found = {name: float(np.mean(each)) for name, each in shares.items()}
    yield Row(
        section=SECTION,
        what=f"picture + sound: the one's colour and the other's motion among the best {K} videos",
        value=found["sum"],
        unit="",
        target=round(max(found["picture"], found["sound"]), 3),
        detail=f"picture alone {found['picture']:.3f}, sound alone {found['sound']:.3f}, "
        f"chance {found['chance']:.3f}, {len(shares['sum'])} pairs",
    )
