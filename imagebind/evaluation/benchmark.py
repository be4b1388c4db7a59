"""Defines `Benchmark`: a reader of its data, the options of its protocol, and the paper's figures.

    PETS = Benchmark(
        name="pets",
        title="Pets",
        task=Task.CLASSIFICATION,
        media=MediaKind.IMAGE,
        read=read_pets,  # (root) -> LabelledSet
        needs="images/<class>_<number>.jpg",
    )
    result = evaluate(PETS, embedder, data="pets/")

`evaluate` takes any `Benchmark`, or the name of one in `imagebind.evaluation.benchmarks`.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from imagebind.datasets.labelled import LabelledSet, RetrievalSet
from imagebind.embedder import Embedder
from imagebind.evaluation.options import checked_value, options_for
from imagebind.evaluation.result import GIVEN_BY_USER, Choice
from imagebind.modality import MediaKind
from imagebind.toyworld.rendered import Rendered

PAPER_PROTOCOL = "paper"


class MeasuredData(Protocol):
    """Data of the toy world with figures of its own."""

    def measure(self, embedder: Embedder) -> Mapping[str, Any]:
        """Return the fields of the result: "figures", by name, and "samples"."""


class Task(str, Enum):
    """The task of a benchmark, which determines its figures."""

    CLASSIFICATION = "classification"  # zero-shot, one class per item: top-1 and top-5 accuracy
    MULTI_LABEL = "multi-label classification"  # zero-shot, several classes per item: mean average precision
    TOY_WORLD = "toy world"  # figures of the toy world
    RETRIEVAL = "retrieval"  # recall at 1, 5 and 10 in both directions, and the median rank

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, kw_only=True)
class FewShot:
    """The training of a linear classifier on few labelled embeddings of each class, by AdamW."""

    lr: float
    weight_decay: float
    epochs: int


CLIP_TEMPLATES = Choice(value="clip-80", reason="the paper: CLIP's 80 ImageNet templates, for every modality")
DEFAULT_TEMPLATES = Choice(value="clip-80", reason="default")


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A task on a data set. Figures are in percent, except median ranks.

    Args:
        media: the media type that is classified, or of the candidates of a retrieval.
        read: reads the data: (root, **options) -> LabelledSet, RetrievalSet, Rendered or `MeasuredData`.
            Options of the protocol that are its parameters are passed to it.
        options: the options of the paper's protocol, by name. `imagebind.evaluation.options` lists the names
            that are not parameters of `read`.
        protocols: other protocols: for each, the options that differ.
        metric: the main figure, by default the task's.
        paper: the paper's figures of the released weights, by name.
        other_figures: for other protocols, their published figures.
        paper_samples: the paper's number of test samples (or queries).
        num_classes: the number of classes of the data set.
        few_shot: the paper's training on few examples. The reader needs an option `split` ("train", "test"),
            or folds.
        needs: the files below the root.
        url: the page of the data set; one with "://" is named when files are missing.
        licence: of the data, as its owner states it.
        folder: the usual name of the root, besides the name and the title.
        needs_root: whether `read` needs the folder of the data; False for the user's own files.
    """

    name: str
    title: str
    task: Task
    media: MediaKind
    read: Callable[..., LabelledSet | RetrievalSet | Rendered | MeasuredData]
    options: Mapping[str, Choice] = field(default_factory=dict)
    protocols: Mapping[str, Mapping[str, Choice]] = field(default_factory=dict)
    metric: str = ""
    paper: Mapping[str, float] = field(default_factory=dict)
    other_figures: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    paper_samples: int | None = None
    num_classes: int | None = None
    few_shot: FewShot | None = None
    needs: str = ""
    url: str = ""
    licence: str = ""
    folder: str = ""
    needs_root: bool = True

    def __post_init__(self) -> None:
        if not self.metric:
            object.__setattr__(self, "metric", _MAIN_METRICS[self.task])

    def protocol(
        self, name: str = PAPER_PROTOCOL, given: Mapping[str, Any] | None = None
    ) -> dict[str, Choice]:
        """Return the options of a protocol, after `given` values replaced some.

        Raises:
            ValueError: an unknown protocol or option, or an invalid value.
        """
        if name != PAPER_PROTOCOL and name not in self.protocols:
            names = ", ".join((PAPER_PROTOCOL, *self.protocols))
            raise ValueError(f"{self.name}: protocol: expected one of {names}, got {name!r}")
        chosen = dict(self.options) | dict(self.protocols.get(name, {}))
        if self.task in (Task.CLASSIFICATION, Task.MULTI_LABEL) and "templates" not in chosen:
            chosen = {"templates": DEFAULT_TEMPLATES, **chosen}
        known = self.known_options()
        for option, value in (given or {}).items():
            if option not in known:
                raise ValueError(f"{self.name}: option: expected one of {', '.join(known)}, got {option!r}")
            value = self._checked(option, value)
            if option not in chosen or chosen[option].value != value:
                chosen[option] = Choice(value=value, reason=GIVEN_BY_USER)
        return chosen

    def published(self, protocol: str) -> Mapping[str, float]:
        """Return the published figures of a protocol, by name."""
        return self.paper if protocol == PAPER_PROTOCOL else self.other_figures.get(protocol, {})

    def _checked(self, option: str, value: Any) -> Any:
        """Return the value of an option after checking its type.

        Raises:
            ValueError: another type than the protocol's or the reader's value, or a value out of range.
        """
        parameter = inspect.signature(self.read).parameters.get(option)
        default = self.options[option].value if option in self.options else parameter and parameter.default
        try:
            return checked_value(option, value, default)
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from error

    def known_options(self) -> tuple[str, ...]:
        """Return the names of all options: the reader's parameters, then those of the evaluation."""
        options = dict.fromkeys((*self.reader_options(), *self._evaluation_options()))  # one may concern both
        if {"video_clips", "audio_clips"} & options.keys():  # each item sets these, so `clips` has no effect
            options.pop("clips", None)
        return tuple(options)

    def _evaluation_options(self) -> tuple[str, ...]:
        if self.task is Task.TOY_WORLD:
            return ()
        return options_for(self.media, is_retrieval=self.task is Task.RETRIEVAL)

    def reader_options(self) -> tuple[str, ...]:
        """Return the names of the reader's parameters after the root."""
        return tuple(inspect.signature(self.read).parameters)[1:]


_MAIN_METRICS = {
    Task.CLASSIFICATION: "top1",
    Task.MULTI_LABEL: "mAP",
    Task.TOY_WORLD: "audio_shape",
    Task.RETRIEVAL: "R@1",
}
