"""`imagebind train`: run a recipe, on one device or as one of many ranks."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from imagebind.training.recipe import Recipe


def train(
    file: Annotated[Path, typer.Argument(metavar="RECIPE", help="Python that defines recipe = Recipe(...).")],
    output: Annotated[
        Path | None, typer.Option("--out", "-o", help="Where to write, instead of the recipe's own folder.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Only see that the recipe is sound.")] = False,
) -> None:
    """Train as a recipe says, and go on from its newest checkpoint if it was stopped.

    ```
    imagebind train recipe.py
    torchrun --nproc-per-node 8 -m imagebind.cli.main train recipe.py
    accelerate launch --multi_gpu -m imagebind.cli.main train recipe.py
    ```
    """
    from dataclasses import replace

    from imagebind.training.recipe import RecipeError, load_recipe

    recipe = load_recipe(file)
    if output is not None:
        recipe = replace(recipe, output=output)
    if check:
        typer.echo(f"{file} is sound: {_summary(recipe)}")
        return
    try:
        _run(recipe)
    except ValueError as error:  # what a recipe's parts say of each other once the model and data are there
        raise RecipeError(f"{file}: {error}") from error


def _run(recipe: "Recipe") -> None:
    import os

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from imagebind.training.loop import train

    is_main = os.environ.get("RANK", "0") == "0"
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

        result = train(recipe, progress=show)
    if not is_main:
        return
    typer.echo(f"{result.step} steps; the model is in {result.model}")
    if result.adapter is not None:
        typer.echo(f"the adapter is in {result.adapter}")
    for name, value in result.evaluation.items():
        typer.echo(f"{name} {value:.4g}")
    for line in result.broken:
        typer.echo(line)


def _summary(recipe: "Recipe") -> str:
    kinds = ", ".join(pair.name for pair in recipe.pairs)
    return f"pairs {kinds}, {recipe.batch_size} a step, {recipe.length}, into {recipe.output}"
