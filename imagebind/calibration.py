"""Calibrated scores: cosines of different pairs of modalities have different scales.

A text has a cosine of about 0.2 with images that it describes and 0.9 with texts of the same meaning, so hits
sorted by cosine are sorted by media type. The score of a hit is therefore the number of standard deviations
by which its cosine exceeds the mean cosine of the same query with a sample of the hit's media type, stored
with the index. It needs no vectors of the query's modality in the index, and also works for weighted sums of
items. Source: ours.

If the query carries no information about a media type, that standard deviation is mostly noise, and dividing
by it would inflate meaningless differences. So it is at least the pooled one of all media types. In the toy
world this matters most for IMU recordings; see `imagebind benchmark mixed`.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import numpy as np

from imagebind.modality import MediaKind, stored_kind

KIND_SAMPLES = 512  # vectors: the error of their mean cosine is a twentieth of a standard deviation
MIN_SAMPLES = 8  # with fewer, a media type's own standard deviation is not used
MIN_DEVIATION = 1e-3  # smaller standard deviations come from nearly identical items

Cosines = TypeVar("Cosines", float, np.ndarray)


class Scale(NamedTuple):
    """The mean and standard deviation of a query's cosines with a media type."""

    mean: float
    deviation: float

    def score(self, cosines: Cosines) -> Cosines:
        """Return by how many standard deviations cosines exceed the mean."""
        return (cosines - self.mean) / self.deviation


@dataclass(frozen=True, eq=False)
class Calibration:
    """A sample of unit vectors of each media type: {kind: (n, e)}."""

    samples: Mapping[MediaKind, np.ndarray] = field(default_factory=dict)

    def scale(self, query: np.ndarray, kind: MediaKind) -> Scale:
        """Return the mean and standard deviation of the cosines of a query (e,) with a media type's sample.

        The standard deviation is at least the pooled one of all media types, and equals it with fewer than
        `MIN_SAMPLES` vectors. The mean is the media type's own even then: with the mean of others, three
        texts among a thousand images would come first in every search by text. A media type without a sample
        has the mean of all samples with `MIN_SAMPLES` vectors together. If there are none, the values are 0
        and 1, and scores are cosines.
        """
        cosines = {each: sample @ query for each, sample in self.samples.items()}  # (n, e) @ (e,) -> (n,)
        enough = [each for each in cosines.values() if len(each) >= MIN_SAMPLES]
        if not enough:
            return Scale(0.0, 1.0)
        pooled = float(np.sqrt(np.mean([each.var() for each in enough])))
        own = cosines.get(kind, np.concatenate(enough))
        deviation = float(own.std()) if len(own) >= MIN_SAMPLES else 0.0
        return Scale(float(own.mean()), max(deviation, pooled, MIN_DEVIATION))

    def to_bytes(self) -> bytes:
        """Serialise the samples for an index."""
        file = io.BytesIO()
        arrays: dict[str, Any] = {kind.value: sample for kind, sample in self.samples.items()}
        np.savez(file, **arrays)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> "Calibration":
        """Read the output of `to_bytes`."""
        with np.load(io.BytesIO(content)) as arrays:
            return cls({stored_kind(name): arrays[name] for name in arrays.files})
