"""The files that arguments name, and what a command makes of each."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imagebind.modality import MediaKind

if TYPE_CHECKING:
    from rich.console import Console

    from imagebind.errors import MediaError
    from imagebind.intake.mapping import PathMapping
    from imagebind.intake.requests import Request
    from imagebind.search.crawl.report import Failure

SHOWN_SUFFIXES = 5
SHOWN_FAILURES = 10
SHOWN_WARNINGS = 10

Maps = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="GLOB=KIND[:OPTIONS]",
        help="Media type of files that are ambiguous by their content: 'depth/**.png=depth:kitti', "
        "'scans/*.tiff=thermal:centikelvin,low=0,high=40'. The first GLOB that matches a file counts.",
    ),
]


@dataclass(kw_only=True)
class Taken:
    """What some arguments name: items to embed, and why others are none.

    `not_media` counts files that were met in a folder and are none of the kinds, by their suffix.
    """

    requests: "list[Request]" = field(default_factory=list)
    failures: "list[MediaError]" = field(default_factory=list)
    not_media: Counter[str] = field(default_factory=Counter)


def take(
    paths: Iterable[Path],
    *,
    modality: MediaKind | None,
    mappings: "Sequence[PathMapping]",
    without: Iterable[Path] = (),
) -> Taken:
    """Tell what each file is: by a mapping, else as `modality` says, else by its first bytes.

    A file that was asked for by its name is never passed over: one that is no media is a failure.
    """
    from imagebind.errors import MediaError
    from imagebind.io.source import name_of
    from imagebind.search.crawl.examine import NotMediaError

    taken = Taken()
    without = list(without)
    for root in paths:
        for path in expand([root], without=without):
            try:
                taken.requests.append(_request(path, root, modality, mappings))
            except NotMediaError:
                taken.not_media[path.suffix.lower()] += 1
            except MediaError as error:
                taken.failures.append(error.renamed(name_of(path)))
    return taken


def _request(
    path: Path, root: Path, modality: MediaKind | None, mappings: "Sequence[PathMapping]"
) -> "Request":
    from imagebind.intake.mapping import mapping_for
    from imagebind.intake.requests import identify
    from imagebind.media.discover import Found, look, whole_path
    from imagebind.search.crawl.examine import kind_of

    found = look(whole_path(path), whole_path(root))
    if not isinstance(found, Found):  # not there, or no file
        return identify(path, modality=modality)
    asked_for = path == root or modality is not None
    if asked_for and mapping_for(mappings, found) is None:
        return identify(path, modality=modality)
    kind, options = kind_of(found, mappings)
    return identify({kind.value: path, **options})


def expand(paths: Iterable[Path], *, without: Iterable[Path] = ()) -> Iterator[Path]:
    """Files as they are, folders as all files below them by name; hidden ones inside are left out.

    So are the files `without`, a command's own output of an earlier run. A folder that cannot be listed
    comes out itself, and is an error to whoever opens it.
    """
    left_out = {path.absolute() for path in without}
    unlisted: list[Path] = []
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for folder, subfolders, names in os.walk(path, onerror=lambda e: unlisted.append(Path(e.filename))):
            subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
            for name in sorted(names):
                file = Path(folder) / name
                if not name.startswith(".") and file.absolute() not in left_out:
                    yield file
    yield from unlisted


def read_maps(texts: Sequence[str] | None) -> "list[PathMapping]":
    """What --map says.

    Raises:
        typer.BadParameter: one that says nothing that can be understood.
    """
    from imagebind.intake.mapping import parse_mapping

    try:
        return [parse_mapping(text) for text in texts or ()]
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--map") from error


def left_out(not_media: Counter[str]) -> str:
    """In words, how many files of which suffixes are no media."""
    most = not_media.most_common(SHOWN_SUFFIXES)
    rest = not_media.total() - sum(count for _, count in most)
    named = ", ".join(f"{count} {suffix or 'without ending'}" for suffix, count in most)
    return f"{files(not_media.total())} left out (not media, or part of a recording): {named}" + (
        f", {rest} more" if rest else ""
    )


def print_warnings(
    console: "Console", warnings: Sequence[tuple[str, str]], *, where: Path | None = None
) -> None:
    """Print warnings, pairs (file, text), about files that were still read.

    Args:
        where: the file that lists all warnings; if given, only the first few are printed.
    """
    from rich.text import Text

    for name, text in warnings if where is None else warnings[:SHOWN_WARNINGS]:
        console.print(Text(f"  {name}: {text}", style="yellow"), soft_wrap=True)
    if where is not None and warnings:
        count = "1 warning" if len(warnings) == 1 else f"{len(warnings)} warnings"
        of = files(len({name for name, _ in warnings}))
        console.print(Text(f"{count} about {of} in {where}"), soft_wrap=True)


def print_failures(console: "Console", failures: "Sequence[Failure]", *, where: Path | str) -> None:
    """Print failures, one line for all files with one reason, and the file that lists all of them."""
    from rich.text import Text

    from imagebind.search.crawl.report import grouped

    if not failures:
        return
    lines = grouped(failures)
    for line in lines[:SHOWN_FAILURES]:
        console.print(Text(f"  {line}", style="red"), soft_wrap=True)
    more = len(lines) - SHOWN_FAILURES
    rest = f"  and {more} more; " if more > 0 else ""
    console.print(Text(f"{rest}all failures are in {where}"), soft_wrap=True)


def files(count: int) -> str:
    """A number of files."""
    return "1 file" if count == 1 else f"{count} files"
