"""Scores that compare: cosines of different pairs of modalities live on different scales.

A text has cosines of about 0.2 with pictures it describes and 0.9 with texts that say the same: sorted by
cosine, a mixed list is sorted by kind. So each query's cosines with a kind are held against those that the
very same query has with a sample of that kind, kept with the index: the score is by how many deviations the
cosine is above their mean. That needs no vectors of the query's modality in the index, and holds for sums of
several. Source: ours.

A kind of which a query can tell nothing has small deviations, all noise, which dividing by them would make as
large as what is meant: no kind's are taken for less than those of all kinds together. In the toy world that
matters most for motion recordings; see `imagebind benchmark mixed`.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from imagebind.modality import MediaKind

SAMPLED = 512  # vectors of a kind: their mean cosine is known to a twentieth of a deviation
MIN_SAMPLED = 8  # fewer do not tell how a kind's cosines spread
NARROW = 1e-3  # deviations below this come from items that are all alike


@dataclass(frozen=True, eq=False)
class Calibration:
    """A sample of each kind's vectors: {kind: (n, e)}, of unit length."""

    samples: Mapping[MediaKind, np.ndarray] = field(default_factory=dict)

    def scale(self, query: np.ndarray, kind: MediaKind) -> tuple[float, float]:
        """Mean and deviation that a query's cosines with a kind are held against: (e,) -> two numbers.

        Of a kind with too few to tell how they spread, the deviation is that of all kinds together. The mean
        is its own even then: with that of others, the three texts among a thousand pictures would lead every
        list that a text asks for. Where all kinds are so few these are 0 and 1, and scores are cosines.
        """
        cosines = {each: sample @ query for each, sample in self.samples.items()}  # (n, e) @ (e,) -> (n,)
        enough = [each for each in cosines.values() if len(each) >= MIN_SAMPLED]
        if not enough:
            return 0.0, 1.0
        together = float(np.sqrt(np.mean([each.var() for each in enough])))
        own = cosines.get(kind, np.concatenate(enough))
        spread = float(own.std()) if len(own) >= MIN_SAMPLED else 0.0
        return float(own.mean()), max(spread, together, NARROW)

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
