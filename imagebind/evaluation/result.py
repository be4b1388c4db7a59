"""The result of a benchmark: figures with intervals, every option with its reason, and the items left out."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagebind.errors import ImageBindError

if TYPE_CHECKING:
    import torch

MAX_NAMED_ITEMS = 5  # missing items named in an error
GIVEN_BY_USER = "given by the user"  # the reason of an option that is not a default


class EvaluationError(ImageBindError):
    """A benchmark that cannot be evaluated, for example without its items or a modality of the model."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure in percent, or a median rank, with its 95% bootstrap interval and chance level if known."""

    value: float
    low: float | None = None
    high: float | None = None
    chance: float | None = None

    def __str__(self) -> str:
        interval = "" if self.low is None else f" [{self.low:.1f}, {self.high:.1f}]"
        return f"{self.value:.1f}{interval}"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The value of a protocol's option, and where it is published or why it was chosen."""

    value: Any
    reason: str


@dataclass(frozen=True, kw_only=True)
class Detail:
    """Scores and targets for the plots; not stored.

    Args:
        scores: (n, c) similarities of items with classes, or of queries with candidates.
        target: (n,) class numbers, or (n, c) booleans.
        labels: the class labels, one per column; empty for a retrieval.
    """

    scores: "torch.Tensor"
    target: "torch.Tensor"
    labels: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Result:
    """The outcome of one benchmark with one model.

    Args:
        figures: by name; `metric` is the name of the main one.
        paper: the published figures of the protocol, by name.
        samples: number of items or queries in the figures.
        paper_samples: the paper's number, if it states one.
        num_classes: classes of this zero-shot classification; 0 for other tasks. `published_classes` is their
            number in the whole data set.
        missing: items that are listed but missing or damaged, which the figures leave out.
        notes: remarks on the data for the report, such as the number of videos without audio left out.
        is_partial: whether `limit` left out data; the figures then cannot be compared with the paper's.
        protocol: every option with its value and reason.
        per_class: by class label, the number of its samples and its figure.
        model: the fingerprint of the embedding space.
    """

    benchmark: str
    title: str
    model: str
    metric: str
    figures: Mapping[str, Figure]
    samples: int
    protocol_name: str
    protocol: Mapping[str, Choice]
    paper: Mapping[str, float] = field(default_factory=dict)
    paper_samples: int | None = None
    num_classes: int = 0
    published_classes: int | None = None
    missing: Sequence[str] = ()
    notes: Sequence[str] = ()
    is_partial: bool = False
    per_class: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    seconds: float = 0.0
    version: str = ""
    detail: Detail | None = field(default=None, repr=False, compare=False)

    def to_json(self, *, indent: int | None = 1) -> str:
        """Return all but `detail` as JSON; without `indent` in one line."""
        values = {name: value for name, value in vars(self).items() if name != "detail"}
        values["figures"] = {name: asdict(figure) for name, figure in self.figures.items()}
        values["protocol"] = {name: asdict(setting) for name, setting in self.protocol.items()}
        return json.dumps(values, indent=indent, default=str)

    @classmethod
    def from_json(cls, text: str) -> "Result":
        """Return the result of a text from `to_json`.

        Raises:
            ValueError, TypeError, KeyError, AttributeError: the text is not the JSON of a result.
        """
        values = json.loads(text)
        values["figures"] = {name: Figure(**each) for name, each in values["figures"].items()}
        values["protocol"] = {name: Choice(**each) for name, each in values["protocol"].items()}
        values["per_class"] = {label: tuple(each) for label, each in values["per_class"].items()}
        return cls(**values)

    def save(self, path: Path) -> None:
        """Write `to_json` to a file."""
        path.write_text(self.to_json() + "\n", encoding="utf-8")


def first_items(missing: Sequence[str]) -> str:
    """Return a text with the first missing items and the number of the others."""
    more = f"; and {len(missing) - MAX_NAMED_ITEMS:,} more" if len(missing) > MAX_NAMED_ITEMS else ""
    return "; ".join(missing[:MAX_NAMED_ITEMS]) + more


def nothing_left_error(benchmark: str, missing: Sequence[str], needs: str) -> EvaluationError:
    """Return the error for a benchmark without any readable item."""
    return EvaluationError(
        f"{benchmark}: expected readable items, got none, and {len(missing):,} missing or damaged"
        + (f" ({first_items(missing)})" if missing else "")
        + f". {needs}"
    )


def missing_error(benchmark: str, missing: Sequence[str], total: int, allowed: int) -> EvaluationError:
    """Return the error for too many missing items; it names the first ones."""
    return EvaluationError(
        f"{benchmark}: expected {total:,} readable items, "
        f"got {len(missing):,} missing or damaged ({first_items(missing)}); "
        f"repair them, or pass --allow-missing {len(missing)} (allow_missing=) to leave them out"
        + (f" (the limit is now {allowed})" if allowed else "")
    )
