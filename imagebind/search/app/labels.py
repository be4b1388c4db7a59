"""Zero-shot labels of an upload."""

from functools import lru_cache, partial

import numpy as np

from imagebind.embedder import Embedder
from imagebind.errors import MediaError
from imagebind.modality import MediaKind, ModalityType
from imagebind.prompts import parse_labels
from imagebind.zeroshot import LabelScore, ZeroShotClassifier

MAX_KEPT_CLASSIFIERS = 4  # one for each list of labels, the last ones used
MAX_CLASS_NAMES = 200  # each is embedded in every template


class UploadClassifier:
    """A zero-shot classifier of uploads, with labels given at each call."""

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder
        self._classifier = lru_cache(MAX_KEPT_CLASSIFIERS)(partial(ZeroShotClassifier, embedder))

    def __call__(self, vector: np.ndarray, kind: MediaKind, labels: str) -> list[LabelScore]:
        """Return the score of each label, the most probable first.

        Args:
            labels: one class per line, its names separated by `|`; the first is the label. Blank lines and
                lines that start with # are left out.

        Raises:
            MediaError: fewer than two labels, too many names, an empty or repeated name, or a model without
                a text trunk.
            ValueError: the vector's length is not the model's `embed_dim`.
        """
        classes = tuple(parse_labels(labels.splitlines(), item="labels"))
        names = sum(map(len, classes))
        if len(classes) < 2:
            raise MediaError("labels", got=f"{len(classes)}", expected="two or more, one per line")
        if names > MAX_CLASS_NAMES:
            raise MediaError("labels", got=str(names), expected=f"at most {MAX_CLASS_NAMES} names")
        if ModalityType.TEXT.value not in self.embedder.model.modalities:
            raise MediaError("labels", got="one without", expected="a model with a text trunk")
        return self._classifier(classes).ranking(vector, kind)
