"""`imagebind benchmark`: measure speed on this machine and compare it with targets."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from imagebind.benchmark.report import Row


def benchmark(
    sections: Annotated[
        list[str] | None,
        typer.Argument(
            help="load, text, image, audio, video, forward, encode, detect, training, search, mixed, index, "
            "generate, app, moments; default all"
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option("--weights", "-w", metavar="FILE", help="imagebind_huge.pth, to measure loading."),
    ] = None,
    size: Annotated[str, typer.Option(help="Model size: huge, or small for a test in seconds.")] = "huge",
    naive: Annotated[
        bool, typer.Option("--naive", help="Also load by torch.load: half a minute and 10 GB.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Also write the results to this file.")
    ] = None,
) -> None:
    """Measure speed on this machine, section by section, and compare it with targets.

    Without --weights, `load` writes random weights to the temporary folder and deletes them at the end. They
    take 4.8 GB, twice that while they are split, and 6.3 GB of free memory. All sections take half an hour
    on two cores and need `pip install "imagebind[app,train]"`. After an error, earlier results are still
    shown and written.

    ```
    imagebind benchmark
    imagebind benchmark load --weights imagebind_huge.pth --naive
    imagebind benchmark text video --json figures.json
    ```
    """
    from rich.console import Console

    from imagebind.benchmark.report import this_machine, to_json
    from imagebind.benchmark.run import SECTIONS, measure
    from imagebind.benchmark.sizes import SIZES

    chosen = sections or list(SECTIONS)
    if size not in SIZES:
        raise typer.BadParameter(f"expected one of {', '.join(SIZES)}, got {size!r}", param_hint="--size")
    try:
        found = measure(chosen, size=SIZES[size], weights=weights, naive=naive)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="SECTIONS") from error
    machine = this_machine()
    notes = [_note(weights, chosen, size)]
    console = Console()
    console.print(str(machine), *notes, sep="\n", style="bold", highlight=False)
    rows: list[Row] = []
    try:
        with Console(stderr=True).status("measuring"):
            for row in found:
                rows.append(row)
                Console(stderr=True).print(f"{row.section}: {row.name}: {_shown(row)}", style="dim")
    except BaseException as error:  # also Ctrl+C: keep the results so far
        notes.append(f"Cut short by {type(error).__name__}: {error}".removesuffix(": "))
        raise
    finally:
        if rows:
            _print_table(rows)
        if rows and json_file is not None:
            report = json.dumps(to_json(machine, rows, notes), indent=2)
            json_file.write_text(report + "\n", encoding="utf-8")


def _note(weights: Path | None, sections: list[str], size: str) -> str:
    model = f"a model of size {size} with new random weights"
    if "load" not in sections:
        return f"Measured on {model}."
    if weights is None:
        return f"Measured on {model}; loading on a temporary file of its weights."
    return f"Measured on {model}; loading on {weights}."


def _print_table(rows: "list[Row]") -> None:
    from rich.console import Console
    from rich.table import Table

    verdicts = {True: "[green]met[/]", False: "[red]fell short[/]", None: ""}
    table = Table("section", "measurement", "measured", "target", "", "detail")
    for row in rows:
        bound = "" if row.target is None else f"{'≤' if row.at_most else '≥'} {row.target:,g}"
        table.add_row(row.section, row.name, _shown(row), bound, verdicts[row.met], row.detail)
    Console().print(table)


def _shown(row: "Row") -> str:
    value = f"{row.value:,.0f}" if row.value >= 1000 else f"{row.value:.3g}"
    return f"{value} {row.unit}".strip()
