"""Scores that compare: cosines of different pairs of modalities live on different scales.

A text has cosines of about 0.2 with pictures it describes and 0.9 with texts that say the same: sorted by
cosine, a mixed list is sorted by kind. So each query's cosines with a kind are held against those that the
very same query has with a sample of that kind, kept with the index: the score is by how many standard
deviations the cosine is above their mean. That needs no vectors of the query's modality in the index, and
holds for sums of several. Source: ours.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from imagebind.modality import MediaKind

SAMPLED = 512  # vectors of a kind: their mean cosine is known to a twentieth of a deviation
MIN_SAMPLED = 8  # fewer say nothing about their kind
NARROW = 1e-3  # deviations below this come from items that are all alike


@dataclass(frozen=True, eq=False)
class Calibration:
    """A sample of each kind's vectors: {kind: (n, e)}, of unit length."""

    samples: Mapping[MediaKind, np.ndarray] = field(default_factory=dict)

    def scale(self, query: np.ndarray, kind: MediaKind) -> tuple[float, float]:
        """Mean and standard deviation of a query's cosines with a kind: (e,) -> two numbers.

        Of a kind with too few to tell, those of all others; with none at all 0 and 1, so scores are cosines.
        """
        sample = self.samples.get(kind)
        if sample is None or len(sample) < MIN_SAMPLED:
            sample = np.concatenate([np.empty((0, len(query)), np.float32), *self.samples.values()])
        if len(sample) < MIN_SAMPLED:
            return 0.0, 1.0
        cosines = sample @ query  # (n, e) @ (e,) -> (n,)
        return float(cosines.mean()), max(float(cosines.std()), NARROW)

    def score(self, query: np.ndarray, kind: MediaKind, cosine: float) -> float:
        """A cosine in deviations above the mean."""
        mean, deviation = self.scale(query, kind)
        return (cosine - mean) / deviation

    def to_bytes(self) -> bytes:
        """As an index stores it."""
        file = io.BytesIO()
        arrays: dict[str, Any] = {kind.value: sample for kind, sample in self.samples.items()}
        np.savez(file, **arrays)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> "Calibration":
        """What `to_bytes` wrote."""
        with np.load(io.BytesIO(content)) as arrays:
            return cls({MediaKind(name): arrays[name] for name in arrays.files})
