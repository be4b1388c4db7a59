"""`imagebind train`: run a recipe, on one device or as one of many ranks."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imagebind.training.loop import TrainResult
    from imagebind.training.recipe import Recipe

TINY = "tiny"
PAPER = ("audio", "depth", "thermal", "imu")  # functions of `training.recipes`


def train(
    name: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            help=f"Python that defines recipe = Recipe(...), or one of {TINY}, {', '.join(PAPER)}.",
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("--out", "-o", help="Where to write, instead of the recipe's own folder.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Of a pair of the paper: a manifest of (vision, other) in csv, jsonl or parquet. "
            "Of tiny: the folder its world is rendered into, by default one in the output."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Instead of the recipe's own.")] = None,
    pairing: Annotated[
        str,
        typer.Option(help="Of tiny: vision, or for comparison text or shuffled."),
    ] = "vision",
    check: Annotated[bool, typer.Option("--check", help="Only see that the recipe is sound.")] = False,
) -> None:
    """Train as a recipe says, and go on from its newest checkpoint if it was stopped.

    ```
    imagebind train recipe.py
    torchrun --nproc-per-node 8 -m imagebind.cli.main train recipe.py
    accelerate launch --multi_gpu -m imagebind.cli.main train recipe.py
    imagebind train audio --data pairs.csv      # as the paper's Table 9
    imagebind train tiny                        # the model that comes in the package, from nothing
    ```
    """
    from dataclasses import replace

    from imagebind.training.recipe import RecipeError

    recipes = _recipes(name, output=output, data=data, seed=seed, pairing=pairing)
    if seed is not None:
        recipes = [replace(recipe, seed=seed) for recipe in recipes]
    if check:
        for recipe in recipes:
            typer.echo(f"{name} is sound: {_summary(recipe)}")
        return
    if name == TINY:
        _render(_world(output, data))
    try:
        results = [_run(recipe) for recipe in recipes]
    except ValueError as error:  # what a recipe's parts say of each other once the model and data are there
        raise RecipeError(f"{name}: {error}") from error
    _report(results)


def _recipes(
    name: str, *, output: Path | None, data: Path | None, seed: int | None, pairing: str
) -> "Sequence[Recipe]":
    """The recipes of a name or a file, in order.

    Raises:
        typer.BadParameter: an option that this recipe has not, or one that it needs and was not given.
    """
    from dataclasses import replace

    if data is not None and name not in (TINY, *PAPER):
        raise typer.BadParameter(f"is for {', '.join((TINY, *PAPER))}; got {name}", param_hint="--data")
    if pairing != "vision" and name != TINY:
        raise typer.BadParameter(f"is for {TINY}; got {name}", param_hint="--pairing")
    if name == TINY:
        from imagebind.training.tiny import recipe as tiny

        if pairing not in tiny.PAIRINGS:
            raise typer.BadParameter(
                f"expected one of {', '.join(tiny.PAIRINGS)}; got {pairing!r}", param_hint="--pairing"
            )
        world, folder = _world(output, data), _folder(name, output)
        return tiny.stages(world, output=folder, seed=seed or 0, pairing=pairing)  # type: ignore[arg-type]
    if name in PAPER:
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
    return data or _folder(TINY, output) / "world"


def _render(world: Path) -> None:
    from imagebind.training.tiny import recipe as tiny

    if is_main_rank():
        typer.echo(
            f"rendering {tiny.SCENES:,} scenes into {world}, unless they are there: minutes, 10 GB", err=True
        )
        tiny.worlds(world)


def is_main_rank() -> bool:
    """Whether this process is the one to speak, of those that torchrun or accelerate started."""
    return os.environ.get("RANK", "0") == "0"


def _run(recipe: "Recipe") -> "TrainResult":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from imagebind.training.loop import train

    is_main = is_main_rank()
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

        return train(recipe, progress=show)


def _report(results: "Sequence[TrainResult]") -> None:
    """What the runs left, and the figures of the last."""
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
    kinds = ", ".join(pair.name for pair in recipe.pairs)
    return f"pairs {kinds}, {recipe.batch_size} a step, {recipe.length}, into {recipe.output}"
