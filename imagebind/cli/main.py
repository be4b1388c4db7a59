"""The `imagebind` command. Each subcommand is a module in this folder, with heavy imports in its function."""

import logging
import sys
from typing import Any

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup

from imagebind import __version__
from imagebind.cli.app import app as web_page
from imagebind.cli.benchmark import benchmark
from imagebind.cli.classify import classify
from imagebind.cli.compare import compare
from imagebind.cli.detect import detect
from imagebind.cli.embed import embed
from imagebind.cli.evaluate import INTERRUPTED, evaluate
from imagebind.cli.generate import generate
from imagebind.cli.index import index
from imagebind.cli.info import info
from imagebind.cli.moments import moments
from imagebind.cli.quickstart import quickstart
from imagebind.cli.search import search
from imagebind.cli.train import train
from imagebind.cli.weights import weights
from imagebind.errors import ImageBindError

TYPER_ERROR = "value_error"  # pydantic's type of the errors that typer raises, whose messages state the value


class Commands(TyperGroup):
    """Adds the value to typer's errors about an option's range or type, which state only the expected one."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            # Newer versions of typer check values by pydantic, whose error has the value.
            errors = getattr(error.__cause__, "errors", None)
            if errors is not None:
                first = errors()[0]
                states_value = first["type"] == TYPER_ERROR
                error.message = (
                    str(first["ctx"]["error"]) if states_value else f"{error.message}, got {first['input']!r}"
                )
            raise


app = typer.Typer(
    name="imagebind",
    cls=Commands,
    help="Images, video, text, audio, depth, thermal and IMU in one embedding space.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(quickstart)
app.command()(embed)
app.command()(compare)
app.command()(index)
app.command()(search)
app.command()(classify)
app.command()(detect)
app.command()(generate)
app.command()(moments)
app.command()(evaluate)
app.command("app")(web_page)
app.command()(info)
app.command()(benchmark)
app.command()(train)
app.add_typer(weights, name="weights")


def _print_version(is_set: bool) -> None:
    if is_set:
        typer.echo(f"imagebind {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
    ),
    verbose: bool = typer.Option(False, "--verbose", "-v", help="Print log messages."),
) -> None:
    logging.basicConfig(level=logging.INFO if verbose else logging.ERROR, format="%(message)s")


def main() -> None:
    """Run a command. An ImageBindError or OSError is printed in one line, with exit code 1."""
    try:
        app()
    except (ImageBindError, OSError) as error:
        Console(stderr=True).print(Text("error: ", style="bold red") + Text(_message(error)), soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)


def _message(error: Exception) -> str:
    """Return an error's message; for an error of the operating system, its file and reason, no number."""
    if isinstance(error, ImageBindError) or not isinstance(error, OSError) or not error.strerror:
        return str(error)
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror


if __name__ == "__main__":
    main()
