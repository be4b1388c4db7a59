"""Print the list of benchmarks, the progress and the results of `imagebind evaluate`."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from imagebind.cli.options import output

if TYPE_CHECKING:
    from rich.table import Table

    from imagebind.evaluation.result import Figure, Result


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
    """Print a table of all benchmarks with the requirements, data source and licence of each."""
    from rich.table import Table

    from imagebind.evaluation.benchmarks import benchmark_named, list_benchmarks

    table = Table(box=None)
    for column in ("benchmark", "task", "media type", "published", "samples", "needs", "source", "licence"):
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


def print_results(
    results: "Sequence[Result]", not_evaluated: Mapping[str, str], *, varied: str | None = None
) -> None:
    """Print the figures and the protocol of each result, and why other benchmarks were not evaluated.

    Args:
        varied: the option that varies between a benchmark's results; its values are columns of one table.
    """
    from rich.text import Text

    from imagebind.evaluation.report import not_comparable
    from imagebind.evaluation.result import first_items

    console = output()
    by_benchmark: dict[str, list[Result]] = {}
    for number, result in enumerate(results):
        by_benchmark.setdefault(f"{number}" if varied is None else result.benchmark, []).append(result)
    for group in by_benchmark.values():
        result = group[0]
        console.print(_figures_table(result) if varied is None else _varied_table(group, varied))
        console.print(Text(f"  protocol: {result.protocol_name}", style="dim"))
        for name, setting in result.protocol.items():
            if name != varied:
                text = f"  {name} = {setting.value} ({setting.reason})"
                console.print(Text(text, style="dim"), soft_wrap=True)
        if result.missing:
            text = f"  left out: {len(result.missing):,} missing or damaged ({first_items(result.missing)})"
            console.print(Text(text, style="yellow"), soft_wrap=True)
        for note in dict.fromkeys(note for each in group for note in each.notes):
            console.print(Text(f"  {note}"), soft_wrap=True)
        if varied is None and result.paper and (reasons := not_comparable(result)):
            text = f"  not comparable with the published figure: {'; '.join(reasons)}"
            console.print(Text(text, style="yellow"), soft_wrap=True)
        if result.is_partial and not (varied is None and result.paper):
            console.print(Text("  limited: a partial result", style="yellow"), soft_wrap=True)
    for title, reason in not_evaluated.items():
        console.print(Text(f"{title}: {reason}", style="dim"), soft_wrap=True)


def _figures_table(result: "Result") -> "Table":
    """Return a table of a result's figures, with chance and the published ones."""
    table = _table(result, ("measured", "chance", "published"))
    for name, figure in result.figures.items():
        paper = result.paper.get(name)
        table.add_row(name, str(figure), _chance(figure), "" if paper is None else f"{paper:.1f}")
    return table


def _varied_table(results: "Sequence[Result]", varied: str) -> "Table":
    """Return a table of the figures of a benchmark with each value of an option."""
    values = [str(result.protocol[varied].value) for result in results]
    table = _table(results[0], (*(f"{varied}={value}" for value in values), "chance"))
    for name in results[0].figures:
        figures = [result.figures[name] for result in results if name in result.figures]
        chances = {_chance(figure) for figure in figures}
        cells = [str(result.figures.get(name, "")) for result in results]
        table.add_row(name, *cells, chances.pop() if len(chances) == 1 else "")
    return table


def _table(result: "Result", columns: Sequence[str]) -> "Table":
    from rich.table import Table
    from rich.text import Text

    from imagebind.evaluation.report import samples_of

    table = Table(box=None, title=Text(f"{result.title} ({samples_of(result)})"), title_justify="left")
    table.add_column("figure", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _chance(figure: "Figure") -> str:
    return "" if figure.chance is None else f"{figure.chance:.1f}"
