"""What emerges: train the tiny model three times over, with what it is held against, and print the table.

    python examples/emergence.py --out runs/emergence

Three seeds; of the first also the two variations, with shuffled pairs and with pairs of text. On two cores a
seed takes some 20 minutes, and the table of the README comes out within noise.
"""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev

from imagebind.training import tiny
from imagebind.training.loop import train
from imagebind.training.recipe import Recipe, Steps
from imagebind.training.world.figures import ASKED, can_be_known, chance_of, classification_name
from imagebind.training.world.nearest import raw_accuracy

PREFIX = "world/"  # of the figures of `tiny`'s evaluation
SHUFFLED, TEXT = "shuffled", "text"

Figures = Mapping[str, float]


def run(recipes: tuple[Recipe, ...], steps: int | None) -> Figures:
    """Train one after the other, going on from what is there; returns the last one's figures."""
    figures: Figures = {}
    for recipe in recipes:
        length = recipe.length if steps is None else Steps(total=steps)
        figures = train(replace(recipe, length=length, trackers=())).evaluation
    return {name.removeprefix(PREFIX): share for name, share in figures.items()}


def raw_figures(world: Path) -> Figures:
    """The nearest neighbour's, of each sense on its raw inputs."""
    training, held_out = (tiny.open_world(world / name) for name in (tiny.TRAIN_NAME, tiny.HELD_OUT_NAME))
    return {
        classification_name(kind, attribute): share
        for kind, attributes in ASKED.items()
        for attribute, share in raw_accuracy(training, held_out, kind, attributes).items()
    }


def table(seeds: list[Figures], shuffled: Figures, text: Figures, raw: Figures) -> Iterator[str]:
    """Markdown, in percent; what a sense cannot show is marked."""
    hidden = {
        classification_name(kind, attribute)
        for kind, attributes in ASKED.items()
        for attribute in attributes
        if not can_be_known(kind, attribute)
    }
    yield "| | tiny | spread | chance | shuffled pairs | paired with text | nearest raw input |"
    yield "|---|---|---|---|---|---|---|"
    for name in seeds[0]:
        shares = [figures[name] for figures in seeds]
        spread = stdev(shares) if len(shares) > 1 else 0.0
        cells = [mean(shares), spread, chance_of(name), shuffled[name], text[name], raw.get(name)]
        label = name.replace("_to_", " → ").replace("_", " ") + (
            " (cannot be known)" if name in hidden else ""
        )
        yield f"| {label} | " + " | ".join("" if x is None else f"{100 * x:.1f}" for x in cells) + " |"


def main(arguments: list[str] | None = None) -> list[str]:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/emergence"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--scenes", type=int, default=tiny.SCENES)
    parser.add_argument("--held-out", type=int, default=tiny.HELD_OUT_SCENES)
    parser.add_argument("--steps", type=int, help="of each recipe, instead of its own number")
    options = parser.parse_args(arguments)

    world = options.out / "world"
    tiny.worlds(world, scenes=options.scenes, held_out=options.held_out)
    outputs = {seed: options.out / f"seed-{seed}" for seed in options.seeds}
    seeds = [
        run(tiny.stages(world, output=output, seed=seed), options.steps) for seed, output in outputs.items()
    ]
    first = options.seeds[0]
    shuffled, text = (
        run(tiny.stages(world, output=outputs[first], seed=first, pairing=pairing), options.steps)
        for pairing in (SHUFFLED, TEXT)
    )
    lines = list(table(seeds, shuffled, text, raw_figures(world)))
    print("\n".join(lines))
    return lines


if __name__ == "__main__":
    main()
