"""A baseline without training: the attribute of the training scene whose raw input is nearest."""

import torch
from torch import Tensor

from imagebind.modality import MediaKind
from imagebind.toyworld.rendered import Rendered

NUM_NEIGHBOURS = 4_000  # training scenes to search
NEIGHBOUR_CHUNK = 250  # training scenes in memory at a time


def nearest_neighbours(
    train: Rendered, test: Rendered, kind: MediaKind, *, neighbours: int = NUM_NEIGHBOURS, queries: int = 256
) -> Tensor:
    """Return the index of the nearest scene of `train` for each of the first scenes of `test`: (queries,).

    The distance is Euclidean, between the input tensors of the trunk.
    """
    query_rows = _rows(test, kind, range(min(queries, len(test))))  # (q, x)
    best = torch.full((len(query_rows),), torch.inf)
    number = torch.zeros(len(query_rows), dtype=torch.long)
    for start in range(0, min(neighbours, len(train)), NEIGHBOUR_CHUNK):
        rows = _rows(train, kind, range(start, min(start + NEIGHBOUR_CHUNK, neighbours, len(train))))
        distance, index = torch.cdist(query_rows, rows).min(dim=1)
        nearer = distance < best
        best[nearer], number[nearer] = distance[nearer], start + index[nearer]
    return number


def raw_accuracy(
    train: Rendered,
    test: Rendered,
    kind: MediaKind,
    attributes: tuple[str, ...],
    *,
    neighbours: int = NUM_NEIGHBOURS,
    queries: int = 256,
) -> dict[str, float]:
    """Return, by attribute, the share of scenes whose nearest neighbour has the same value, from 0 to 1."""
    numbers = nearest_neighbours(train, test, kind, neighbours=neighbours, queries=queries).tolist()
    found = [train.scene(number).attributes for number in numbers]
    right = [test.scene(number).attributes for number in range(len(found))]
    return {
        attribute: sum(a[attribute] == b[attribute] for a, b in zip(found, right, strict=True)) / len(found)
        for attribute in attributes
    }


def _rows(rendered: Rendered, kind: MediaKind, numbers: range) -> Tensor:
    return torch.stack([rendered.tensor(kind, number).flatten() for number in numbers])
