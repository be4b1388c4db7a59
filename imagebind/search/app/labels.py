"""Zero-shot labels of an upload."""

from collections.abc import Sequence
from functools import lru_cache, partial
from html import escape

import numpy as np

from imagebind.embedder import Embedder
from imagebind.errors import MediaError
from imagebind.modality import MediaKind, ModalityType
from imagebind.prompts import parse_labels
from imagebind.zeroshot import ZeroShotClassifier

KEPT = 4  # classifiers, one for each list of labels
MAX_NAMES = 200  # each is embedded in every template

Names = tuple[str, ...]
Guess = tuple[str, float, float]


class Labeller:
    """Says which of some labels suits a vector best."""

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder
        self._classifier = lru_cache(KEPT)(partial(ZeroShotClassifier, embedder))

    def __call__(self, vector: np.ndarray, kind: MediaKind, labels: str) -> list[Guess]:
        """(label, probability, cosine) of every label, the likeliest first.

        Args:
            labels: one a line, further names of it after `|`.

        Raises:
            MediaError: fewer than two labels, too many, or one that is there twice.
        """
        classes = tuple(parse_labels(labels.splitlines(), item="labels"))
        names = sum(map(len, classes))
        if len(classes) < 2:
            raise MediaError("labels", got=f"{len(classes)}", expected="two or more, one a line")
        if names > MAX_NAMES:
            raise MediaError("labels", got=f"{names} names", expected=f"at most {MAX_NAMES}")
        if ModalityType.TEXT.value not in self.embedder.model.modalities:
            raise MediaError("labels", got="a model without text", expected="one that reads words")
        classifier = self._classifier(classes)
        scores = classifier.vector_scores(vector[None], kind)  # (1, c)
        (probabilities,) = classifier.probabilities(scores, kind).tolist()
        return [
            (classifier.labels[number], probabilities[number], scores[0, number].item())
            for number in scores[0].argsort(descending=True, stable=True).tolist()
        ]


def bars(guesses: Sequence[Guess]) -> str:
    """Guesses as a table with bars."""
    rows = "".join(
        f'<tr><th scope="row"><bdi>{escape(label)}</bdi></th>'
        f'<td><span class="bar" style="width: {100 * probability:.1f}%"></span></td>'
        f"<td>{100 * probability:.1f}%</td><td>{cosine:.3f}</td></tr>"
        for label, probability, cosine in guesses
    )
    return (
        '<table class="labels"><caption>One of these labels is likely even if none suits; the cosine tells.'
        '</caption><thead><tr><th scope="col">label</th>'
        '<th scope="col"><span class="unseen">as a bar</span></th>'
        '<th scope="col">probability</th><th scope="col">cosine</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )
