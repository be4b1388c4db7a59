"""Small indexes of synthetic vectors with known neighbours."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from imagebind.modality import MediaKind
from imagebind.search import Index, IndexRow, Space
from imagebind.search.store import Store

EMBED_DIM = 8


def unit(*numbers: float) -> np.ndarray:
    """Return a unit vector (8,) in the direction of these numbers, followed by zeros."""
    vector = np.zeros(EMBED_DIM, dtype=np.float32)
    vector[: len(numbers)] = numbers
    return vector / np.linalg.norm(vector)


def row(path: str, *numbers: float, kind: MediaKind = MediaKind.IMAGE, **others) -> IndexRow:
    return IndexRow(path=path, kind=kind, vector=unit(*numbers), **others)


def random_rows(
    count: int,
    kind: MediaKind,
    *,
    seed: int = 0,
    centre: int = 0,
    spread: float = 0.3,
    width: int = EMBED_DIM,
) -> list[IndexRow]:
    """Return rows whose vectors are near one axis, as for one media type."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(count, width)).astype(np.float32) * spread
    vectors[:, centre] += 1
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return [
        IndexRow(path=f"/{kind}/{number}", kind=kind, vector=vector) for number, vector in enumerate(vectors)
    ]


def make_index(folder: Path, rows: Sequence[IndexRow] = (), *, width: int = EMBED_DIM) -> Index:
    """Return an index of vectors without a model."""
    space = Space(model="by hand", embed_dim=width)
    store = Store.create(folder, embed_dim=width, about={"space": space.to_json().encode()})
    index = Index(store)
    index.add_rows(rows)
    return index


def paths(hits) -> list[str]:
    return [hit.path for hit in hits]
