"""The option --map, and messages about files: left out, warnings and failures."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imagebind.errors import MediaError
from imagebind.modality import MediaKind

if TYPE_CHECKING:
    from rich.console import Console

    from imagebind.failures import Failure
    from imagebind.intake.mapping import PathMapping
    from imagebind.intake.requests import Request, Transform
    from imagebind.modality import BoundModality

SHOWN_SUFFIXES = 5
SHOWN_FAILURES = 10
SHOWN_WARNINGS = 10

Maps = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="GLOB=TYPE[:OPTIONS]",
        help="Media type of files that are ambiguous by their content: 'depth/**.png=depth:kitti', "
        "'scans/*.tiff=thermal:centikelvin,low=0,high=40'. The first GLOB that matches a file counts.",
    ),
]


def read_maps(
    texts: Sequence[str] | None, bound: "Mapping[BoundModality, Transform] | None" = None
) -> "list[PathMapping]":
    """Parse the values of --map.

    Args:
        bound: the transforms of packs, by the modality.

    Raises:
        typer.BadParameter: a value cannot be parsed.
    """
    from imagebind.intake.mapping import parse_mapping

    try:
        return [parse_mapping(text, bound or {}) for text in texts or ()]
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--map") from error


def request_of(
    path: Path, mappings: "Sequence[PathMapping]", *, modality: MediaKind | None = None
) -> "Request":
    """Return the request of a file: from the first mapping that matches, else `modality`, else its content.

    Raises:
        AmbiguousMediaError: several media types are possible; the message has --map values to choose one.
        MediaError: the file cannot be read, or has no known media type.
    """
    from imagebind.intake.files import kind_of
    from imagebind.intake.mapping import mapping_for
    from imagebind.intake.requests import identify
    from imagebind.media.discover import FoundFile, absolute_path, stat_file

    absolute = absolute_path(path)
    found = stat_file(absolute, absolute)
    if not isinstance(found, FoundFile):  # missing, or a folder with the files of an IMU recording
        return identify(path, modality=modality)
    if modality is not None and mapping_for(mappings, found) is None:
        return identify(path, modality=modality)
    try:
        kind, options = kind_of(found, mappings)
    except MediaError as error:
        raise error.renamed(str(path)) from error
    return identify({kind.value: path, **options})


def error_path(out: str) -> Path:
    """Return the path of a command's error file: beside its output, or for a URI in the working folder."""
    from imagebind.io.uri import is_uri, without_file_scheme

    out = without_file_scheme(out)
    path = Path(out.rstrip("/"))
    return (Path() if is_uri(out) else path.parent) / f"{path.name}.errors.jsonl"


def left_out(not_media: Counter[str]) -> str:
    """Return a message with the numbers of files that were left out, by suffix."""
    most_common = not_media.most_common(SHOWN_SUFFIXES)
    rest = not_media.total() - sum(count for _, count in most_common)
    listed = ", ".join(f"{count} {suffix or 'without suffix'}" for suffix, count in most_common)
    return f"{files(not_media.total())} left out (not media, or part of a recording): {listed}" + (
        f", {rest} more" if rest else ""
    )


def print_warnings(
    console: "Console", warnings: Sequence[tuple[str, str]], *, where: Path | None = None
) -> None:
    """Print warnings about files that could still be read, as pairs (file, text).

    Args:
        where: the file that lists all warnings; if given, only the first few are printed.
    """
    from rich.text import Text

    for name, text in warnings if where is None else warnings[:SHOWN_WARNINGS]:
        console.print(Text(f"  {name}: {text}", style="yellow"), soft_wrap=True)
    if where is not None and warnings:
        count = "1 warning" if len(warnings) == 1 else f"{len(warnings)} warnings"
        affected = files(len({name for name, _ in warnings}))
        console.print(Text(f"{count} about {affected} in {where}"), soft_wrap=True)


def print_failures(console: "Console", failures: "Sequence[Failure]", *, where: Path | str) -> None:
    """Print the first reasons of failures, one line each, and the path of the file that lists all."""
    from rich.text import Text

    from imagebind.failures import grouped

    if not failures:
        return
    lines = grouped(failures)
    for line in lines[:SHOWN_FAILURES]:
        console.print(Text(f"  {line}", style="red"), soft_wrap=True)
    more = len(lines) - SHOWN_FAILURES
    rest = f"  and {more} more; " if more > 0 else ""
    console.print(Text(f"{rest}all failures are in {where}"), soft_wrap=True)


def files(count: int) -> str:
    """Return a number of files as text."""
    return "1 file" if count == 1 else f"{count} files"
