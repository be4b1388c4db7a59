"""Train the small model with three random seeds, and print tables of its trained and emergent pairs.

    python examples/emergence.py --out runs/emergence

With the first seed, two controls are trained too: with shuffled pairs, and with pairs of text. On two cores,
a seed takes 30 to 45 minutes. docs/results.md has these tables. The same command resumes an interrupted run.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev

from imagebind.checkpoints.factory import load_model
from imagebind.evaluation.toyworld import (
    CLASSIFIED_ATTRIBUTES,
    HELD_OUT_SCENES,
    HELD_OUT_SEED,
    RETRIEVALS,
    WorldFigures,
    chance_of,
    classification_name,
    is_shown_by,
    retrieval_name,
)
from imagebind.modality import MediaKind, ModalityType
from imagebind.toyworld.nearest import raw_accuracy
from imagebind.toyworld.rendered import Rendered, render_world
from imagebind.training.loop import train
from imagebind.training.recipe import Recipe, Steps
from imagebind.training.tiny import recipe as tiny

UNSEEN_NAME = "unseen"  # new scenes with combinations of attributes that were trained on
TRAINED_PAIRS = {(kind, MediaKind.TEXT) for kind in (MediaKind.IMAGE, MediaKind.VIDEO)} | {
    (MediaKind(modality.value), vision) for modality, vision in tiny.PAIRED_VISION.items()
}

Figures = Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Shares from 0 to 1 by name.

    Args:
        seeds: for the model of each random seed, on scenes whose combinations of attributes were held out.
        unseen: the same, on new scenes with combinations of attributes that were trained on.
        shuffled: for a model trained with shuffled pairs.
        text: for a model trained with pairs of text.
        raw: for nearest neighbours on the raw inputs.
        scenes: number of scenes of each measurement, for the chance level.
    """

    seeds: list[Figures]
    unseen: list[Figures]
    shuffled: Figures
    text: Figures
    raw: Figures
    scenes: int


def run(recipes: tuple[Recipe, ...], steps: int | None) -> Path:
    """Train recipes one after the other, resuming interrupted ones; return the folder of the last model."""
    for recipe in recipes:
        length = recipe.length if steps is None else Steps(total=steps)
        result = train(replace(recipe, length=length, trackers=()))
    return result.model


def figures_of(model: Path, rendered: Rendered) -> Figures:
    """Return the figures of a model in float32; in half precision, as in training, some cosines are equal."""
    return WorldFigures(rendered)(load_model(model))


def raw_figures(world: Path) -> Figures:
    """Return the accuracy of nearest neighbours on the raw inputs of each media type."""
    training, held_out = (tiny.open_world(world / name) for name in (tiny.TRAIN_NAME, tiny.HELD_OUT_NAME))
    return {
        classification_name(kind, attribute): share
        for kind, attributes in CLASSIFIED_ATTRIBUTES.items()
        for attribute, share in raw_accuracy(training, held_out, kind, attributes).items()
    }


def classification_table(found: Measured) -> Iterator[str]:
    """Yield the lines of a Markdown table of zero-shot accuracies of each media type, in percent."""
    yield "| | tiny | new scenes | chance | shuffled | with text | raw |"
    yield "|---|---|---|---|---|---|---|"
    for kind, attributes in CLASSIFIED_ATTRIBUTES.items():
        for attribute in attributes:
            name = classification_name(kind, attribute)
            label = f"{kind} → {attribute}"
            label += " (trained)" if kind.modality is ModalityType.VISION else ""
            label += "" if is_shown_by(kind, attribute) else " (it cannot show)"
            yield _row(label, found, [name], raw=True)


def retrieval_table(found: Measured) -> Iterator[str]:
    """Yield the lines of a Markdown table of recall at 1 and at 10, in percent, among up to 256 scenes."""
    yield "| | tiny | new scenes | chance | shuffled | with text |"
    yield "|---|---|---|---|---|---|"
    for query, candidates in RETRIEVALS:
        trained = {(query, candidates), (candidates, query)} & TRAINED_PAIRS
        label = f"{query} → {candidates}{' (trained)' if trained else ''}"
        yield _row(label, found, [retrieval_name(query, candidates, k) for k in (1, 10)], raw=False)


def _row(label: str, found: Measured, names: list[str], *, raw: bool) -> str:
    columns: list[Callable[[str], str]] = [
        lambda name: _spread([figures[name] for figures in found.seeds]),
        lambda name: _percent(mean(figures[name] for figures in found.unseen)),
        lambda name: _percent(chance_of(name, found.scenes)),
        lambda name: _percent(found.shuffled[name]),
        lambda name: _percent(found.text[name]),
    ]
    if raw:
        columns.append(lambda name: _percent(found.raw[name]))
    return " | ".join([f"| {label}", *(" / ".join(map(column, names)) for column in columns)]) + " |"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _spread(shares: list[float]) -> str:
    middle = _percent(mean(shares))
    return f"{middle} ± {_percent(stdev(shares))}" if len(shares) > 1 else middle


def main(arguments: list[str] | None = None) -> list[str]:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/emergence"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--scenes", type=int, default=tiny.SCENES)
    parser.add_argument("--held-out", type=int, default=HELD_OUT_SCENES)
    parser.add_argument("--steps", type=int, help="steps of each recipe; by default its own number")
    options = parser.parse_args(arguments)

    world = options.out / "world"
    tiny.worlds(world, scenes=options.scenes, held_out=options.held_out)

    def trained(seed: int, pairing: tiny.Pairing = "vision") -> Path:
        output = options.out / f"seed-{seed}"
        return run(tiny.stages(world, output=output, seed=seed, pairing=pairing), options.steps)

    held_out = tiny.open_world(world / tiny.HELD_OUT_NAME)
    unseen = render_world(world / UNSEEN_NAME, options.held_out, seed=HELD_OUT_SEED)
    models = [trained(seed) for seed in options.seeds]
    first = options.seeds[0]
    found = Measured(
        seeds=[figures_of(model, held_out) for model in models],
        unseen=[figures_of(model, unseen) for model in models],
        shuffled=figures_of(trained(first, "shuffled"), held_out),
        text=figures_of(trained(first, "text"), held_out),
        raw=raw_figures(world),
        scenes=options.held_out,
    )
    lines = [*classification_table(found), "", *retrieval_table(found)]
    print("\n".join(lines))
    return lines


if __name__ == "__main__":
    main()
