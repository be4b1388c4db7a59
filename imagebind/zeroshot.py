"""Zero-shot classification: classes made of words, scores against them, probabilities, and their calibration.

A class is one name, or several ("dog", "puppy"). Within a name, the texts of all templates are averaged, as
CLIP does; between the names of a class, **the best one counts**: the score of a class is the maximum cosine
over its names, as in the paper's NYU-D, where "other" is eighteen kinds of room. Names are never averaged, so
a further name takes nothing from the others. But a class of many names has as many chances to score high.

Probabilities are a softmax over cosines / temperature. How far to trust them has to be measured, on data like
that which they are for: `fit_temperature` on some samples whose labels are known, and
`expected_calibration_error` on others.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from imagebind.losses import MAX_LOGIT_SCALE
from imagebind.modality import MediaKind, ModalityType
from imagebind.prompts import check_template, default_templates

Matrix = Tensor | np.ndarray
ClassName = str | Sequence[str]
Template = str | Callable[[str], str]

# Where a fitted temperature ends, for cosines. Ours
LOWEST_TEMPERATURE = 1e-3  # a class that is 0.01 nearer is then e^10 times as likely
HIGHEST_TEMPERATURE = 10.0  # one that is 2 nearer, which is all there is, e^0.2 times: no difference
CALIBRATION_BINS = 15  # Source: Guo et al. 2017
HALVINGS = 30  # of the interval between their logarithms, 9.2: what is left is 1e-8 of the temperature

LOGIT_SCALE_NAME = "modality_postprocessors.{}.1.log_logit_scale"  # as the checkpoint has it


class ZeroShotClassifier:
    """Classify items by the names of classes.

    classifier = ZeroShotClassifier(Embedder("imagebind_huge"), ["dog", "car"])
    labels, probabilities = classifier.predict([Path("park.jpg"), Path("engine.wav")])
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
            templates: as `build_zero_shot_classifier` takes them; by default `prompts.default_templates` of
                each item's media type.
            temperature: divides cosines; by default `default_temperature` of each item's modality.

        Raises:
            ValueError: no class, a class without a name, no template, or a temperature that is not above 0.
        """
        self.embedder = embedder
        self.classes = _names(classes)
        self.labels = [names[0] for names in self.classes]
        if templates is not None and (isinstance(templates, str) or not templates):
            raise ValueError(f"templates: expected a sequence of at least one, got {templates!r}")
        self.templates = None if templates is None else tuple(templates)
        if temperature is not None:
            _check_temperature(temperature)
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
        """Return the cosine of each item with each class, (n, c) float32; of several names the largest.

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
            ValueError: a label that is not one of the classes', or another number of labels than items.
        """
        if unknown := [label for label in labels if isinstance(label, str) and label not in self.labels]:
            raise ValueError(f"labels: expected some of {', '.join(self.labels)}, got {unknown[0]!r}")
        numbers = [self.labels.index(label) if isinstance(label, str) else label for label in labels]
        self.temperature = fit_temperature(self.scores(items, modality=modality), torch.tensor(numbers))
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
    """A column for each name of each class, in order: (e, n), float32 on `device`, where the model is.

    Every name in every template; each text's embedding unit length, their mean, unit length again. Where
    every class has one name, that is a column a class, as open_clip's function of this name and signature
    has it; else `class_groups` says which column belongs to which class.

    Args:
        model: one of ours, or any with open_clip's `encode_text(tokens, normalize=True)`.
        classnames: of each class its name, or a sequence of its names.
        templates: "a photo of a {}.", or functions of a name.
        num_classes_per_batch: names a forward pass, each in all templates; None takes all at once.
        use_tqdm: whether to show progress.

    Raises:
        ValueError: no class, no template, a class without a name, or a template without a place for one.
    """
    names = [name for of_class in _names(classnames) for name in of_class]
    if isinstance(templates, str) or not templates:
        raise ValueError(f"templates: expected a sequence of at least one, got {templates!r}")
    fills = [template if callable(template) else check_template(template).format for template in templates]
    size = len(names) if num_classes_per_batch is None else num_classes_per_batch
    if size < 1:
        raise ValueError(f"num_classes_per_batch: expected at least 1, or None, got {num_classes_per_batch}")
    batches: Iterable[list[str]] = [names[start : start + size] for start in range(0, len(names), size)]
    columns = []
    for batch in _with_progress(batches) if use_tqdm else batches:
        texts = [fill(name) for name in batch for fill in fills]
        embeddings = _embed_texts(model, tokenizer(texts).to(device))  # (names · templates, e)
        means = embeddings.unflatten(0, (len(batch), len(fills))).mean(dim=1)  # (names, e)
        columns.append(F.normalize(means, dim=-1).T)
    return torch.cat(columns, dim=1)


def class_groups(classnames: Sequence[ClassName]) -> Tensor:
    """The class of each column that `build_zero_shot_classifier` makes: (n,), from 0.

    Raises:
        ValueError: no class, or one without a name.
    """
    return torch.tensor([number for number, of_class in enumerate(_names(classnames)) for _ in of_class])


def class_scores(embeddings: Matrix, classifier: Matrix, groups: Matrix | None = None) -> Tensor:
    """The cosine of each embedding with each class, of several names the largest: (b, e), (e, n) -> (b, c).

    Both are brought to unit length here. Without `groups` (n,) every column is a class.

    Raises:
        ValueError: shapes that don't fit, or a class between 0 and the last that no column belongs to.
    """
    columns = torch.as_tensor(classifier)
    rows = torch.as_tensor(embeddings, device=columns.device)
    if rows.ndim != 2 or columns.ndim != 2 or rows.shape[1] != columns.shape[0]:
        raise ValueError(
            "expected embeddings (b, e) and a classifier (e, n), "
            f"got {tuple(rows.shape)} and {tuple(columns.shape)}"
        )
    cosines = F.normalize(rows.float(), dim=1) @ F.normalize(columns.float(), dim=0)  # (b, n)
    if groups is None:
        return cosines
    of_column = torch.as_tensor(groups, device=columns.device)
    classes = of_column.unique()
    if of_column.shape != columns.shape[1:] or not torch.equal(
        classes, torch.arange(len(classes), device=classes.device)
    ):
        raise ValueError(
            f"groups: expected a class for each of {columns.shape[1]} columns, from 0 and none left out, "
            f"got {of_column.tolist()}"
        )
    scores = cosines.new_full((len(rows), len(classes)), -torch.inf)
    return scores.scatter_reduce(1, of_column.expand_as(cosines), cosines, "amax")


def class_probabilities(scores: Matrix, temperature: float) -> Tensor:
    """Softmax over classes of scores / temperature: (b, c) -> (b, c), float32.

    Raises:
        ValueError: a temperature that is not above 0.
    """
    _check_temperature(temperature)
    return (torch.as_tensor(scores).float() / temperature).softmax(dim=-1)


def default_temperature(model: nn.Module, modality: ModalityType | str) -> float:
    """A temperature for cosines of a modality with text, from the logit scales that a model was trained with.

    Pictures and video have been trained with text, and text's scale is the inverse of that temperature. Other
    senses have been trained with pictures, at a scale of their own, and get to text by way of pictures: of
    both scales the geometric mean. Ours, measured on the toy world with text at 0.07: where depth was trained
    at 0.02, 0.07 or 0.2, its shapes are told best at 0.042, 0.075 and 0.10, and this gives 0.037, 0.07 and
    0.118, each with a calibration error of 0.035; text's temperature alone, or depth's, give up to 0.21. For
    the released weights, whose text has a scale of at most 100, it is 0.01 for pictures and video, 0.022 for
    audio, 0.032 for thermal, 0.045 for depth and IMU; what is best there is not known.

    Raises:
        ValueError: a model whose text has no logit scale.
    """
    text = _logit_scale(model, ModalityType.TEXT)
    if text is None:
        raise ValueError(
            f"expected a model with {LOGIT_SCALE_NAME.format(ModalityType.TEXT)}, got one without"
        )
    own = _logit_scale(model, ModalityType(modality))
    return 1 / math.sqrt(text * (text if own is None else own))


def fit_temperature(scores: Matrix, labels: Matrix) -> float:
    """The temperature whose probabilities make known labels likeliest: (n, c), (n,) of class numbers.

    The least negative log-likelihood: temperature scaling (Guo et al. 2017, arXiv 1706.04599). It changes no
    order of classes, so no accuracy. Where every label scores highest, ever lower temperatures are likelier,
    and `LOWEST_TEMPERATURE` comes back, which says little but that more samples are wanted; where labels
    score no better than others on average, `HIGHEST_TEMPERATURE`. Both bounds are for cosines.

    Raises:
        ValueError: shapes that don't fit, scores that are not finite, or a label that is no class.
    """
    scores, labels = _checked(scores, labels, "scores")
    right = scores.gather(1, labels[:, None]).mean()

    def slope(scale: float) -> float:
        """Of the negative log-likelihood, by scale = 1 / temperature: it is convex, so this only rises."""
        return (((scores * scale).softmax(dim=1) * scores).sum(dim=1).mean() - right).item()

    low, high = math.log(1 / HIGHEST_TEMPERATURE), math.log(1 / LOWEST_TEMPERATURE)
    if slope(math.exp(low)) >= 0:
        return HIGHEST_TEMPERATURE
    if slope(math.exp(high)) <= 0:
        return LOWEST_TEMPERATURE
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(math.exp(middle)) < 0 else (low, middle)
    return math.exp(-low)


def expected_calibration_error(
    probabilities: Matrix, labels: Matrix, *, bins: int = CALIBRATION_BINS
) -> float:
    """How far confidence is from accuracy, on average over samples: (n, c), (n,) -> [0, 1], 0 is best.

    Samples are sorted by the probability of their likeliest class into `bins` of one width; of each, the
    difference of its mean confidence and its share of right answers, weighted by its samples. Source: Guo et
    al. 2017.

    Raises:
        ValueError: shapes that don't fit, what is no probability, or a label that is no class.
    """
    probabilities, labels = _checked(probabilities, labels, "probabilities")
    if probabilities.min() < 0 or probabilities.max() > 1 + 1e-6:
        raise ValueError(
            f"probabilities: expected numbers from 0 to 1, got {probabilities.min():g} to "
            f"{probabilities.max():g}"
        )
    if bins < 1:
        raise ValueError(f"bins: expected at least 1, got {bins}")
    confidence, answer = probabilities.max(dim=1)
    surplus = confidence - (answer == labels).double()
    place = (confidence * bins).ceil().long().clamp(1, bins) - 1  # a bin has its upper end
    sums = surplus.new_zeros(bins).index_add(0, place, surplus)
    return (sums.abs().sum() / len(labels)).item()


def _check_temperature(temperature: float) -> None:
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature: expected a number above 0, got {temperature}")


def _names(classnames: Sequence[ClassName]) -> list[tuple[str, ...]]:
    """Of each class its names."""
    if isinstance(classnames, str) or not len(classnames):
        raise ValueError(f"classnames: expected a sequence of at least one, got {classnames!r}")
    classes = [(each,) if isinstance(each, str) else tuple(each) for each in classnames]
    for number, names in enumerate(classes):
        if not names or not all(isinstance(name, str) for name in names):
            raise ValueError(f"class {number}: expected a name, or several, got {classnames[number]!r}")
    return classes


def _embed_texts(model: Any, tokens: Tensor) -> Tensor:
    """Unit length, float32: (b, l) -> (b, e); in evaluation mode, and then in that of before."""
    modules = model.modules() if isinstance(model, nn.Module) else ()
    training = [module for module in modules if module.training]
    for module in training:
        module.training = False
    try:
        if hasattr(model, "encode_text"):
            embeddings = model.encode_text(tokens, normalize=True)
        else:
            embeddings = model({ModalityType.TEXT.value: tokens})[ModalityType.TEXT.value]
    finally:
        for module in training:
            module.training = True
    return F.normalize(embeddings.float(), dim=-1)


def _logit_scale(model: nn.Module, modality: ModalityType) -> float | None:
    name = LOGIT_SCALE_NAME.format(modality)
    for named, stored in (*model.named_parameters(), *model.named_buffers()):
        if named == name:
            return min(math.exp(stored.item()), MAX_LOGIT_SCALE)
    return None


def _checked(values: Matrix, labels: Matrix, name: str) -> tuple[Tensor, Tensor]:
    """Scores of known samples, in double precision: (n, c), (n,)."""
    rows = torch.as_tensor(values).double()
    known = torch.as_tensor(labels, device=rows.device)
    if rows.ndim != 2 or 0 in rows.shape or known.shape != rows.shape[:1]:
        raise ValueError(
            f"expected {name} (n, c) and labels (n,), got {tuple(rows.shape)} and {tuple(known.shape)}"
        )
    if not rows.isfinite().all():
        raise ValueError(
            f"{name}: expected finite numbers, got others in row {_first(~rows.isfinite().all(dim=1))}"
        )
    if known.is_floating_point() or known.dtype == torch.bool:
        raise ValueError(f"labels: expected class numbers, got {known.dtype}")
    if (outside := (known < 0) | (known >= rows.shape[1])).any():
        row = _first(outside)
        raise ValueError(f"labels: expected 0 to {rows.shape[1] - 1}, got {int(known[row])} in row {row}")
    return rows, known.long()


def _first(flags: Tensor) -> int:
    return int(flags.nonzero()[0])


def _with_progress(batches: Iterable[list[str]]) -> Iterator[list[str]]:
    from tqdm.auto import tqdm

    return iter(tqdm(batches, desc="Class names"))
