"""Zero-shot classification from class names: classifier, scores, probabilities and calibration.

A class has one name or several ("dog", "puppy"). For each name, the embeddings of all templates are averaged,
as in CLIP. **The score of a class is the maximum** cosine similarity over its names, as in the paper's NYU-D
evaluation, where "other" is eighteen kinds of room. Names are never averaged, so another name does not weaken
the others. But a class with many names has more chances of a high score.

Probabilities are a softmax over cosine similarities / temperature. Measure how reliable they are on data like
yours: `fit_temperature` on some labelled samples, and `expected_calibration_error` on others.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from imagebind.checks import check_positive, check_whole
from imagebind.config import MAX_LOGIT_SCALE
from imagebind.metrics import Matrix, as_numbers, first_row
from imagebind.modality import BoundModality, MediaKind, ModalityType
from imagebind.models.evaluation import evaluation_mode
from imagebind.prompts import check_template, default_templates

ClassName = str | Sequence[str]
Template = str | Callable[[str], str]

# Bounds of a fitted temperature, for cosine similarities. Source: ours
MIN_TEMPERATURE = 1e-3  # a difference of 0.01 in similarity makes a class e^10 times as likely
MAX_TEMPERATURE = 10.0  # the largest difference, 2, makes it e^0.2 times as likely
CALIBRATION_BINS = 15  # Source: Guo et al. 2017
BISECTION_STEPS = 30  # of the interval of log temperatures, 9.2: relative error 1e-8

LOGIT_SCALE_NAME = "modality_postprocessors.{}.1.log_logit_scale"  # in the checkpoint


class LabelScore(NamedTuple):
    """The score of one label for an item."""

    label: str
    probability: float
    cosine: float


class ZeroShotClassifier:
    """Classify items by the names of classes.

        classifier = ZeroShotClassifier(Embedder("imagebind_huge"), ["dog", "car"])
        labels, probabilities = classifier.predict([Path("park.jpg"), Path("engine.wav")])

    The items of one call may be of several modalities.
    """

    def __init__(
        self,
        embedder: Any,
        classes: Sequence[ClassName],
        templates: Sequence[Template] | None = None,
        temperature: float | None = None,
    ) -> None:
        """Keep the classes; their texts are embedded at the first use.

        Args:
            embedder: an `Embedder` whose model has text.
            classes: the name of each class, or a sequence of its names, of which the first is its label.
            templates: as in `build_zero_shot_classifier`; by default `prompts.default_templates` of each
                item's media type.
            temperature: divides cosine similarities; by default `default_temperature` of each item's
                modality.

        Raises:
            ValueError: no class, a class without a name, no template, a template without exactly one
                placeholder, or a temperature that is not positive and finite.
        """
        self.embedder = embedder
        self.classes = _class_names(classes)
        self.labels = [names[0] for names in self.classes]
        self.templates = None if templates is None else _checked_templates(templates)
        if temperature is not None:
            check_positive(temperature=temperature)
        self.temperature = temperature
        self._classifiers: dict[tuple[Template, ...], Tensor] = {}

    def predict(
        self, items: Any, *, modality: ModalityType | str | None = None
    ) -> tuple[list[str], np.ndarray]:
        """Return the most probable label of each item, and the probabilities of all classes, (n, c).

        Raises:
            MediaError: an item that cannot be embedded.
        """
        rows = [self.probabilities(scores, kind)[0].numpy() for scores, kind in self._scored(items, modality)]
        return [self.labels[row.argmax()] for row in rows], np.array(rows).reshape(-1, len(self.labels))

    def scores(self, items: Any, *, modality: ModalityType | str | None = None) -> Tensor:
        """Return the cosine similarity of each item with each class, (n, c) float32; maximum over names.

        Raises:
            MediaError: an item that cannot be embedded.
        """
        rows = [scores for scores, _ in self._scored(items, modality)]
        return torch.cat(rows) if rows else torch.empty(0, len(self.labels))

    def fit_temperature(
        self, items: Any, labels: Sequence[str | int], *, modality: ModalityType | str | None = None
    ) -> float:
        """Set `temperature` from items of known classes, labels or class numbers, and return it.

        See the function `fit_temperature`.

        Raises:
            MediaError: an item that cannot be embedded.
            ValueError: a label that is not a class, or a number of labels other than that of items.
        """
        if unknown := [label for label in labels if isinstance(label, str) and label not in self.labels]:
            raise ValueError(f"labels: expected some of {', '.join(self.labels)}, got {unknown[0]!r}")
        numbers = [self.labels.index(label) if isinstance(label, str) else label for label in labels]
        self.temperature = fit_temperature(self.scores(items, modality=modality), numbers)
        return self.temperature

    def vector_scores(self, vectors: Matrix, kind: MediaKind) -> Tensor:
        """Return `scores` of vectors of one media type: (n, e) -> (n, c)."""
        templates = default_templates(kind) if self.templates is None else self.templates
        if templates not in self._classifiers:
            self._classifiers[templates] = build_zero_shot_classifier(
                self.embedder.model,
                self.embedder.transform(MediaKind.TEXT),
                self.classes,
                templates,
                device=self.embedder.device,
            ).cpu()
        return class_scores(vectors, self._classifiers[templates], class_groups(self.classes))

    def probabilities(self, scores: Matrix, kind: MediaKind) -> Tensor:
        """Return the probabilities of scores of one media type: (n, c) -> (n, c)."""
        temperature = self.temperature
        if temperature is None:
            temperature = default_temperature(self.embedder.model, kind.modality)
        return class_probabilities(scores, temperature)

    def ranking(self, vector: Matrix, kind: MediaKind) -> list[LabelScore]:
        """Return the scores of all labels for one vector (e,) of a media type, the most probable first."""
        scores = self.vector_scores(vector[None], kind)  # (1, c)
        (probabilities,) = self.probabilities(scores, kind).tolist()
        return [
            LabelScore(self.labels[index], probabilities[index], scores[0, index].item())
            for index in scores[0].argsort(descending=True, stable=True).tolist()
        ]

    def _scored(self, items: Any, modality: ModalityType | str | None) -> Iterator[tuple[Tensor, MediaKind]]:
        for result in self.embedder.encode_stream(items, modality=modality):
            if result.error is not None:
                raise result.error
            yield self.vector_scores(result.vector[None], result.kind), result.kind  # (1, c)


@torch.no_grad()
def build_zero_shot_classifier(
    model: Any,
    tokenizer: Callable[[list[str]], Tensor],
    classnames: Sequence[ClassName],
    templates: Sequence[Template],
    num_classes_per_batch: int | None = 10,
    device: torch.device | str = "cpu",
    use_tqdm: bool = False,
) -> Tensor:
    """Return one column per class name, in order: (e, n), float32 on `device`, the device of the model.

    A column is the normalised mean of the normalised text embeddings of a name in all templates. If every
    class has one name, there is one column per class, as in open_clip's function of this name and signature;
    otherwise `class_groups` maps columns to classes.

    Args:
        model: an `ImageBindModel`, or any model with open_clip's `encode_text(tokens, normalize=True)`.
        classnames: for each class its name, or a sequence of its names.
        templates: strings such as "a photo of a {}.", or functions of a name.
        num_classes_per_batch: names per forward pass, each in all templates; None means all at once.
        use_tqdm: whether to show progress.

    Raises:
        ValueError: no class, no template, a class without a name, a template without exactly one placeholder,
            or `num_classes_per_batch` that is not a whole number of at least 1.
    """
    names = [name for of_class in _class_names(classnames) for name in of_class]
    fills = [each if callable(each) else each.format for each in _checked_templates(templates)]
    size = len(names) if num_classes_per_batch is None else num_classes_per_batch
    check_whole(1, num_classes_per_batch=size)
    batches: Iterable[list[str]] = [names[start : start + size] for start in range(0, len(names), size)]
    if use_tqdm:
        from tqdm.auto import tqdm

        batches = tqdm(batches, desc="Class names")
    columns = []
    for batch in batches:
        texts = [fill(name) for name in batch for fill in fills]
        embeddings = _embed_texts(model, tokenizer(texts).to(device))  # (names · templates, e)
        means = embeddings.unflatten(0, (len(batch), len(fills))).mean(dim=1)  # (names, e)
        columns.append(F.normalize(means, dim=-1).T)
    return torch.cat(columns, dim=1)


def class_groups(classnames: Sequence[ClassName]) -> Tensor:
    """Return the class of each column of `build_zero_shot_classifier`: (n,), from 0.

    Raises:
        ValueError: no class, or a class without a name.
    """
    classes = _class_names(classnames)
    return torch.tensor([number for number, names in enumerate(classes) for _ in names])


def class_scores(embeddings: Matrix, classifier: Matrix, groups: Matrix | None = None) -> Tensor:
    """Return each class's maximum cosine similarity over its columns: (b, e), (e, n) -> (b, c).

    Both arguments are normalised here. Without `groups` (n,), every column is a class.

    Raises:
        ValueError: shapes that do not match, values that are not numbers, or a class number without a column.
    """
    columns = as_numbers(classifier, "classifier")
    rows = as_numbers(embeddings, "embeddings", device=columns.device)
    if rows.ndim != 2 or columns.ndim != 2 or rows.shape[1] != columns.shape[0]:
        raise ValueError(
            "embeddings: expected (b, e) and a classifier (e, n), "
            f"got {tuple(rows.shape)} and {tuple(columns.shape)}"
        )
    cosines = F.normalize(rows.float(), dim=1) @ F.normalize(columns.float(), dim=0)  # (b, n)
    if groups is None:
        return cosines
    of_column = _class_numbers(groups, "groups", columns.device)
    classes = of_column.unique()
    has_gaps = not torch.equal(classes, torch.arange(len(classes), device=classes.device))
    if has_gaps or of_column.shape != columns.shape[1:]:
        raise ValueError(
            f"groups: expected a class for each of {columns.shape[1]} columns, from 0 without gaps, "
            f"got {of_column.tolist()}"
        )
    scores = cosines.new_full((len(rows), len(classes)), -torch.inf)
    return scores.scatter_reduce(1, of_column.expand_as(cosines), cosines, "amax")


def class_probabilities(scores: Matrix, temperature: float) -> Tensor:
    """Return the softmax over classes of scores / temperature: (b, c) -> (b, c), float32.

    Raises:
        ValueError: scores that are not numbers, or a temperature that is not positive and finite.
    """
    check_positive(temperature=temperature)
    return (as_numbers(scores, "scores").float() / temperature).softmax(dim=-1)


def default_temperature(model: nn.Module, modality: ModalityType | str) -> float:
    """Return a temperature for a modality's similarities with text, from the logit scales of training.

    Vision was trained with text, at the inverse of text's logit scale. Other modalities were trained with
    images, at their own logit scale, and are related to text through images; for them the geometric mean of
    both scales is used. Source: ours, measured on the toy world with text trained at 0.07: for depth trained
    at 0.02, 0.07 or 0.2, the best temperatures for its shapes are 0.042, 0.075 and 0.10, and this function
    returns 0.037, 0.07 and 0.118, each with a calibration error of 0.035; the temperature of text or of depth
    alone has an error of up to 0.21. For the released weights, where text's scale is at most 100, it returns
    0.01 for vision, 0.022 for audio, 0.032 for thermal, 0.045 for depth and IMU; the best values are unknown.

    Raises:
        ValueError: text has no logit scale in this model, or the modality is unknown.
    """
    text = logit_scale(model, ModalityType.TEXT)
    if text is None:
        raise ValueError(
            f"model: expected one with {LOGIT_SCALE_NAME.format(ModalityType.TEXT)}, got one without"
        )
    known = modality if isinstance(modality, BoundModality) else ModalityType(modality)
    own = logit_scale(model, known)
    return 1 / math.sqrt(text * (text if own is None else own))


def fit_temperature(scores: Matrix, labels: Matrix | Sequence[int]) -> float:
    """Return the temperature that maximises the likelihood of known labels: (n, c), (n,) of class numbers.

    This is temperature scaling (Guo et al. 2017, arXiv 1706.04599). It changes neither the order of classes
    nor the accuracy. If every label has the highest score, the likelihood always grows with lower
    temperatures, and the result is `MIN_TEMPERATURE`, a sign that more samples are needed; if labels score no
    better than other classes on average, it is `MAX_TEMPERATURE`. Both bounds are for cosine similarities.

    Raises:
        ValueError: shapes that do not match, scores that are not finite, or a label that is not a class.
    """
    scores, labels = _checked(scores, labels, "scores")
    mean_label_score = scores.gather(1, labels[:, None]).mean()

    def slope(scale: float) -> float:
        """Return the derivative of the negative log-likelihood by 1 / temperature; it only increases."""
        return (((scores * scale).softmax(dim=1) * scores).sum(dim=1).mean() - mean_label_score).item()

    low, high = math.log(1 / MAX_TEMPERATURE), math.log(1 / MIN_TEMPERATURE)
    if slope(math.exp(low)) >= 0:
        return MAX_TEMPERATURE
    if slope(math.exp(high)) <= 0:
        return MIN_TEMPERATURE
    for _ in range(BISECTION_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(math.exp(middle)) < 0 else (low, middle)
    return math.exp(-low)


def expected_calibration_error(
    probabilities: Matrix, labels: Matrix, *, bins: int = CALIBRATION_BINS
) -> float:
    """Return the mean gap between confidence and accuracy: (n, c), (n,) -> [0, 1], 0 is best.

    Samples are divided by the probability of their likeliest class into `bins` of equal width. The result is
    the mean over bins of |mean confidence - accuracy|, weighted by their samples. Source: Guo et al. 2017.

    Raises:
        ValueError: shapes that do not match, a value outside [0, 1], a label that is no class, or no bins.
    """
    probabilities, labels = _checked(probabilities, labels, "probabilities")
    low, high = probabilities.aminmax()
    if low < 0 or high > 1 + 1e-6:
        raise ValueError(f"probabilities: expected numbers from 0 to 1, got {low:g} to {high:g}")
    check_whole(1, bins=bins)
    confidence, answer = probabilities.max(dim=1)
    surplus = confidence - (answer == labels).double()
    bin_index = (confidence * bins).ceil().long().clamp(1, bins) - 1  # bins include their upper end
    sums = surplus.new_zeros(bins).index_add(0, bin_index, surplus)
    return (sums.abs().sum() / len(labels)).item()


def _class_names(classnames: Sequence[ClassName]) -> list[tuple[str, ...]]:
    """Return the tuple of names of each class."""
    listed = [] if isinstance(classnames, str) or not isinstance(classnames, Iterable) else list(classnames)
    if not listed:
        raise ValueError(f"classnames: expected a sequence of at least one, got {classnames!r}")
    classes = []
    for number, each in enumerate(listed):
        names = (each,) if isinstance(each, str) else tuple(each) if isinstance(each, Iterable) else ()
        if not names or not all(isinstance(name, str) for name in names):
            raise ValueError(f"class {number}: expected a name or several, got {each!r}")
        classes.append(names)
    return classes


def _checked_templates(templates: Sequence[Template]) -> tuple[Template, ...]:
    listed = () if templates is None or isinstance(templates, str) else tuple(templates)
    if not listed:
        raise ValueError(f"templates: expected a sequence of at least one, got {templates!r}")
    return tuple(each if callable(each) else check_template(each) for each in listed)


def _embed_texts(model: Any, tokens: Tensor) -> Tensor:
    """Embed texts in evaluation mode, and restore the mode: (b, l) -> (b, e) of unit length, float32."""
    with evaluation_mode(model) if isinstance(model, nn.Module) else nullcontext():
        if hasattr(model, "encode_text"):
            embeddings = model.encode_text(tokens, normalize=True)
        else:
            embeddings = model({ModalityType.TEXT.value: tokens})[ModalityType.TEXT.value]
    return F.normalize(embeddings.float(), dim=-1)


def logit_scale(model: nn.Module, modality: ModalityType | BoundModality) -> float | None:
    """Return the scale that a modality was trained with, at most `MAX_LOGIT_SCALE`; None if it has none."""
    name = LOGIT_SCALE_NAME.format(modality)
    for named, stored in (*model.named_parameters(), *model.named_buffers()):
        if named == name:
            return min(math.exp(stored.item()), MAX_LOGIT_SCALE)
    return None


def _class_numbers(values: Any, name: str, device: torch.device) -> Tensor:
    numbers = as_numbers(values, name, device=device)
    if numbers.numel() and (numbers.is_floating_point() or numbers.dtype == torch.bool):
        raise ValueError(f"{name}: expected class numbers, got {numbers.dtype}")
    return numbers.long()  # PyTorch cannot compare unsigned integers


def _checked(values: Matrix, labels: Any, name: str) -> tuple[Tensor, Tensor]:
    """Return checked scores, in double precision, and labels: (n, c), (n,)."""
    rows = as_numbers(values, name).double()
    class_numbers = _class_numbers(labels, "labels", rows.device)
    if rows.ndim != 2 or 0 in rows.shape or class_numbers.shape != rows.shape[:1]:
        raise ValueError(
            f"{name}: expected (n, c) and labels (n,), "
            f"got {tuple(rows.shape)} and {tuple(class_numbers.shape)}"
        )
    if (bad := ~rows.isfinite().all(dim=1)).any():
        raise ValueError(f"{name}: expected finite numbers, got others in row {first_row(bad)}")
    if (outside := (class_numbers < 0) | (class_numbers >= rows.shape[1])).any():
        row = first_row(outside)
        raise ValueError(
            f"labels: expected 0 to {rows.shape[1] - 1}, got {int(class_numbers[row])} in row {row}"
        )
    return rows, class_numbers
