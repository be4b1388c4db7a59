"""What no learning reaches: the attribute of the training scene whose raw input is nearest."""

import torch
from torch import Tensor

from imagebind.modality import MediaKind
from imagebind.toyworld.rendered import Rendered

NEIGHBOURS = 4_000  # training scenes to choose from
CHUNK = 250  # of them in memory at a time


def nearest_neighbours(
    train: Rendered, test: Rendered, kind: MediaKind, *, neighbours: int = NEIGHBOURS, queries: int = 256
) -> Tensor:
    """For each of the first scenes of `test` the number of the nearest of `train`, by the distance of the
    trunk's own input tensors: (queries,).
    """
    wanted = _rows(test, kind, range(min(queries, len(test))))  # (q, x)
    best = torch.full((len(wanted),), torch.inf)
    number = torch.zeros(len(wanted), dtype=torch.long)
    for start in range(0, min(neighbours, len(train)), CHUNK):
        rows = _rows(train, kind, range(start, min(start + CHUNK, neighbours, len(train))))
        distance, index = torch.cdist(wanted, rows).min(dim=1)
        nearer = distance < best
        best[nearer], number[nearer] = distance[nearer], start + index[nearer]
    return number


def raw_accuracy(
    train: Rendered,
    test: Rendered,
    kind: MediaKind,
    attributes: "tuple[str, ...]",
    *,
    neighbours: int = NEIGHBOURS,
    queries: int = 256,
) -> dict[str, float]:
    """By attribute, the share of scenes for which the nearest neighbour's is right, from 0 to 1."""
    numbers = nearest_neighbours(train, test, kind, neighbours=neighbours, queries=queries).tolist()
    found = [train.scene(number).attributes for number in numbers]
    right = [test.scene(number).attributes for number in range(len(found))]
    return {
        attribute: sum(a[attribute] == b[attribute] for a, b in zip(found, right, strict=True)) / len(found)
        for attribute in attributes
    }


def _rows(rendered: Rendered, kind: MediaKind, numbers: range) -> Tensor:
    return torch.stack([rendered.tensor(kind, number).flatten() for number in numbers])
