"""Zero-shot labels of an upload."""

from collections.abc import Sequence
from functools import lru_cache
from html import escape

import numpy as np
from torch import Tensor

from imagebind.embedder import Embedder
from imagebind.errors import MediaError
from imagebind.modality import MediaKind, ModalityType
from imagebind.prompts import default_templates, parse_labels
from imagebind.zeroshot import (
    build_zero_shot_classifier,
    class_groups,
    class_probabilities,
    class_scores,
    default_temperature,
)

KEPT = 8  # classifiers: of a list of labels one for each way that kinds are asked about
MAX_NAMES = 200  # each is embedded in every template

Names = tuple[str, ...]
Guess = tuple[str, float, float]


class Labeller:
    """Says which of some labels suits a vector best."""

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder
        self._classifier = lru_cache(KEPT)(self._build)

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
        classifier = self._classifier(classes, default_templates(kind))
        scores = class_scores(vector[None], classifier, class_groups(classes))  # (1, c)
        temperature = default_temperature(self.embedder.model, kind.modality)
        (probabilities,) = class_probabilities(scores, temperature).tolist()
        return [
            (classes[place][0], probabilities[place], scores[0, place].item())
            for place in scores[0].argsort(descending=True, stable=True).tolist()
        ]

    def _build(self, classes: tuple[Names, ...], templates: tuple[str, ...]) -> Tensor:
        return build_zero_shot_classifier(
            self.embedder.model,
            self.embedder.transform(MediaKind.TEXT),
            classes,
            templates,
            device=self.embedder.device,
        ).cpu()


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
