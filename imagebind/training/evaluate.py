"""Evaluations between epochs for `Recipe.evaluations`: functions from a model to named figures."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from imagebind.checks import check_whole
from imagebind.datasets.pairs import collate
from imagebind.embedder import Embedder
from imagebind.evaluation.benchmark import Benchmark
from imagebind.evaluation.run import evaluate
from imagebind.metrics import cosines, median_of_ranks, target_ranks
from imagebind.modality import ModalityType
from imagebind.models.model import ImageBindModel
from imagebind.training.data.mixture import Pairs


@dataclass(frozen=True, kw_only=True)
class BenchmarkFigures:
    """The figures of a benchmark of `imagebind.evaluation`, in percent; a median rank is a rank.

    The arguments are as in `imagebind.evaluation.evaluate`. `cache` is missing: weights change between calls.
    """

    benchmark: str | Benchmark
    data: str | os.PathLike[str] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    limit: int | None = None
    allow_missing: int = 0

    def __call__(self, model: ImageBindModel) -> dict[str, float]:
        result = evaluate(
            self.benchmark,
            Embedder(model),
            self.data,
            options=self.options,
            limit=self.limit,
            allow_missing=self.allow_missing,
        )
        return {name: figure.value for name, figure in result.figures.items()}


@dataclass(frozen=True, kw_only=True)
class Retrieval:
    """Cross-modal retrieval within held-out pairs: recalls and the median rank, in both directions.

    Recalls are shares from 0 to 1. `data` returns the pairs, held out from training and without augmentation.
    Broken pairs are skipped.
    """

    data: Callable[[], Pairs]
    batch_size: int = 64
    ks: tuple[int, ...] = (1, 5, 10)

    def __post_init__(self) -> None:
        check_whole(1, batch_size=self.batch_size)
        for k in self.ks:
            check_whole(1, ks=k)

    def __call__(self, model: ImageBindModel) -> dict[str, float]:
        pairs = self.data()
        vision, other = self._embed(model, pairs)
        similarity = cosines(vision, other)  # (n, n)
        figures: dict[str, float] = {}
        directions = (("from_vision", similarity), ("to_vision", similarity.T))
        for name, matrix in directions:
            ranks = target_ranks(matrix)
            figures |= {f"{name}_r{k}": (ranks <= k).double().mean().item() for k in self.ks}
            figures[f"{name}_median_rank"] = median_of_ranks(ranks)
        return figures

    def _embed(self, model: ImageBindModel, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Embed both sides of all pairs, unit length, in float32: (n, e), (n, e)."""
        device = next(model.parameters()).device
        sides: tuple[list[Tensor], list[Tensor]] = ([], [])
        for start in range(0, len(pairs), self.batch_size):
            indices = range(start, min(start + self.batch_size, len(pairs)))
            batch = collate([pairs.sample(index, turn=0) for index in indices])
            if not batch.inputs:
                continue
            for side, modality in zip(sides, (ModalityType.VISION, batch.modality), strict=True):
                embeddings = model.embed(str(modality), batch.inputs[str(modality)].to(device))
                side.append(F.normalize(embeddings.float(), dim=-1))
        if not sides[0]:
            raise ValueError(f"retrieval: expected readable pairs, got none out of {len(pairs)}")
        return torch.cat(sides[0]), torch.cat(sides[1])
