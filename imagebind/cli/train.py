"""`imagebind train`: run a training recipe on one device, or as one of many ranks."""

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from imagebind.training.loop import TrainResult
    from imagebind.training.recipe import Recipe

TINY_RECIPE, DECODER_RECIPE = "tiny", "tiny-decoder"
PAPER_RECIPES = ("audio", "depth", "thermal", "imu")  # functions of `training.recipes`


def train(
    name: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            help="A Python file that defines `recipe`, or one of "
            f"{', '.join((TINY_RECIPE, DECODER_RECIPE, *PAPER_RECIPES))}.",
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("--out", "-o", help="Output folder, by default the recipe's own.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="For a recipe of the paper: a manifest of (vision, other) pairs in csv, jsonl or parquet. "
            "For tiny: the folder for its rendered scenes, by default one in the output folder."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Random seed, by default the recipe's own.")] = None,
    pairing: Annotated[
        str,
        typer.Option(help="For tiny: pairs with vision, or for comparison text or shuffled."),
    ] = "vision",
    check: Annotated[bool, typer.Option("--check", help="Check the recipe without training.")] = False,
) -> None:
    """Train by a recipe, and resume from its newest checkpoint if the run was interrupted.

    ```
    imagebind train recipe.py
    torchrun --nproc-per-node 8 -m imagebind.cli.main train recipe.py
    imagebind train audio --data pairs.csv      # as the paper's Table 9
    imagebind train tiny                        # the small model of the package, from scratch
    imagebind train tiny-decoder                # its decoder, which generates images
    ```
    """
    from dataclasses import replace

    from imagebind.training.recipe import RecipeError

    if name == DECODER_RECIPE:
        if data is not None or pairing != "vision" or check:
            raise typer.BadParameter(f"{name}: expected no option but --out and --seed")
        _train_decoder(_folder(name, output), seed or 0)
        return
    recipes = _recipes(name, output=output, data=data, seed=seed, pairing=pairing)
    if seed is not None:
        recipes = [replace(recipe, seed=seed) for recipe in recipes]
    if check:
        for recipe in recipes:
            typer.echo(f"{name} is valid: {_summary(recipe)}")
        return
    if name == TINY_RECIPE:
        _render(_world(output, data))
    try:
        results = [_run(recipe) for recipe in recipes]
    except ValueError as error:  # inconsistencies that only show with the model and the data
        raise RecipeError(f"{name}: {error}") from error
    _report(results)


def _recipes(
    name: str, *, output: Path | None, data: Path | None, seed: int | None, pairing: str
) -> "Sequence[Recipe]":
    """Return the recipes of a name or a file, in order.

    Raises:
        typer.BadParameter: an option is missing, is not one of the recipe, or has an invalid value.
    """
    from dataclasses import replace

    if data is not None and name not in (TINY_RECIPE, *PAPER_RECIPES):
        raise typer.BadParameter(
            f"expected one of the recipes {', '.join((TINY_RECIPE, *PAPER_RECIPES))}, got {name}",
            param_hint="--data",
        )
    if pairing != "vision" and name != TINY_RECIPE:
        raise typer.BadParameter(f"expected the recipe {TINY_RECIPE}, got {name}", param_hint="--pairing")
    if name == TINY_RECIPE:
        from imagebind.training.tiny import recipe as tiny

        if pairing not in tiny.PAIRINGS:
            raise typer.BadParameter(
                f"expected one of {', '.join(tiny.PAIRINGS)}, got {pairing!r}", param_hint="--pairing"
            )
        world, folder = _world(output, data), _folder(name, output)
        return tiny.stages(world, output=folder, seed=seed or 0, pairing=pairing)  # type: ignore[arg-type]
    if name in PAPER_RECIPES:
        from imagebind.datasets.manifest import read_pairs
        from imagebind.training import recipes

        if data is None:
            raise typer.BadParameter(f"{name}: expected a manifest of its pairs", param_hint="--data")
        pairs = [pair for pair in read_pairs(data) if str(pair.modality) == name]
        if not pairs:
            raise typer.BadParameter(f"{data}: expected pairs with {name}, got none", param_hint="--data")
        return [getattr(recipes, name)(lambda: pairs, output=_folder(name, output), seed=seed or 0)]
    from imagebind.training.recipe import load_recipe

    recipe = load_recipe(name)
    return [recipe if output is None else replace(recipe, output=output)]


def _folder(name: str, output: Path | None) -> Path:
    return output or Path("runs") / name


def _world(output: Path | None, data: Path | None) -> Path:
    return data or _folder(TINY_RECIPE, output) / "world"


def _render(world: Path) -> None:
    from imagebind.training.tiny import recipe as tiny

    if is_main_rank():
        typer.echo(
            f"rendering {tiny.SCENES:,} scenes into {world} unless they exist; this takes minutes and 10 GB",
            err=True,
        )
        tiny.worlds(world)


def is_main_rank() -> bool:
    """Whether this process is rank 0 of torchrun, or the only one; no other rank prints."""
    return os.environ.get("RANK", "0") == "0"


def _run(recipe: "Recipe") -> "TrainResult":
    from imagebind.training.loop import train

    with _progress(is_main_rank()) as show:
        return train(recipe, progress=show)


def _train_decoder(output: Path, seed: int) -> None:
    from imagebind.training.tiny.decoder import SCENES, train_decoder

    typer.echo(
        f"rendering and embedding {SCENES:,} images into {output} unless they exist; this takes minutes",
        err=True,
    )
    with _progress(True) as show:
        path = train_decoder(output, seed=seed, progress=show)
    typer.echo(f"the decoder is in {path}")


@contextmanager
def _progress(is_main: bool) -> "Iterator[Callable[[int, int, float], None]]":
    """Yield a function that shows the step, the number of steps and the loss."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
    )
    console = Console(stderr=True, quiet=not is_main)
    with Progress(*columns, console=console, disable=not is_main) as bar:
        task = bar.add_task("training", total=None, loss=float("nan"))

        def show(step: int, total: int, loss: float) -> None:
            bar.update(task, completed=step, total=total, loss=loss)

        yield show


def _report(results: "Sequence[TrainResult]") -> None:
    """Print the outputs of all runs, and the metrics of the last one."""
    if not is_main_rank():
        return
    for result in results:
        typer.echo(f"{result.step} steps; the model is in {result.model}")
        if result.adapter is not None:
            typer.echo(f"the adapter is in {result.adapter}")
        for line in result.broken:
            typer.echo(line)
    for name, value in results[-1].evaluation.items():
        typer.echo(f"{name} {value:.4g}")


def _summary(recipe: "Recipe") -> str:
    names = ", ".join(pair.name for pair in recipe.pairs)
    return f"pairs {names}, batch size {recipe.batch_size}, {recipe.length}, into {recipe.output}"
