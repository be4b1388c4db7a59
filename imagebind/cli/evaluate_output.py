"""What `imagebind evaluate` prints: the list of benchmarks, progress, and results."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from imagebind.cli.options import output

if TYPE_CHECKING:
    from imagebind.evaluation.result import Result


@contextmanager
def embedding_progress(*, quiet: bool) -> Iterator[Any]:
    """Yield a function that shows the numbers of items done and in total, with the time left."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("Embedding"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("Embedding", total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield show


def print_list() -> None:
    """Print a table of all benchmarks: what each needs, where to get it, and its licence."""
    from rich.table import Table

    from imagebind.evaluation.benchmarks import benchmark_named, list_benchmarks

    table = Table(box=None)
    for column in ("benchmark", "task", "media", "published", "samples", "needs", "where", "licence"):
        table.add_column(column, overflow="fold")
    for name in list_benchmarks():
        each = benchmark_named(name)
        figure = each.paper.get(each.metric)
        table.add_row(
            name,
            str(each.task),
            str(each.media),
            "" if figure is None else f"{each.metric} {figure:.1f}",
            "" if each.paper_samples is None else f"{each.paper_samples:,}",
            each.needs,
            each.url,
            each.licence,
        )
    output().print(table)


def print_results(results: "Sequence[Result]", not_evaluated: Mapping[str, str]) -> None:
    """Print the figures and the protocol of each result, and why others were not evaluated."""
    from rich.table import Table
    from rich.text import Text

    from imagebind.evaluation.report import not_comparable
    from imagebind.evaluation.result import some_of

    console = output()
    for result in results:
        table = Table(
            box=None, title=Text(f"{result.title} ({result.samples:,} samples)"), title_justify="left"
        )
        for column in ("figure", "measured", "chance", "published"):
            table.add_column(column, justify="left" if column == "figure" else "right", no_wrap=True)
        for name, figure in result.figures.items():
            paper = result.paper.get(name)
            chance = "" if figure.chance is None else f"{figure.chance:.1f}"
            table.add_row(name, str(figure), chance, "" if paper is None else f"{paper:.1f}")
        console.print(table)
        for name, setting in result.protocol.items():
            console.print(Text(f"  {name} = {setting.value} ({setting.reason})", style="dim"), soft_wrap=True)
        if result.missing:
            text = f"  left out: {len(result.missing):,} missing or damaged ({some_of(result.missing)})"
            console.print(Text(text, style="yellow"), soft_wrap=True)
        for note in result.notes:
            console.print(Text(f"  {note}"), soft_wrap=True)
        if result.paper and (reasons := not_comparable(result)):
            console.print(
                Text(f"  not comparable with the published figure: {'; '.join(reasons)}", style="yellow")
            )
    for title, reason in not_evaluated.items():
        console.print(Text(f"{title}: {reason}", style="dim"), soft_wrap=True)
