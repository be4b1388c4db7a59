"""Parse the options of `imagebind evaluate`: options of a protocol, JSON files of them, lists of values."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from imagebind.errors import MediaError


def options_given(texts: Sequence[str]) -> dict[str, Any]:
    """Return the options of texts NAME=VALUE, each given once."""
    options: dict[str, Any] = {}
    for name, value in map(_option, texts):
        if name in options:
            raise typer.BadParameter(f"{name}: expected once, got it twice", param_hint="--option")
        options[name] = value
    return options


def _option(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"{text!r}: expected NAME=VALUE", param_hint="--option")
    return name, _value(value)


def options_of(path: Path, own: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the options in a JSON file by benchmark; `own` has the name of the user's own files, if any."""
    from imagebind.datasets.tables import json_at
    from imagebind.evaluation.benchmarks import list_benchmarks

    expected = "an object of objects, {benchmark: {name: value}}"
    try:
        options = json_at(path, expected)
    except MediaError as error:
        raise typer.BadParameter(str(error), param_hint="--options") from error
    if not isinstance(options, dict) or not all(isinstance(each, dict) for each in options.values()):
        raise typer.BadParameter(f"{path}: expected {expected}", param_hint="--options")
    known = (*list_benchmarks(), *own)
    if unknown := [name for name in options if name not in known]:
        raise typer.BadParameter(
            f"{path}: expected benchmarks among {', '.join(known)}, got {unknown[0]!r}",
            param_hint="--options",
        )
    return options


def _value(text: str) -> Any:
    """Return JSON values as such, and other texts unchanged: 3, true, {"label": "name"}, clip-80."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def variants(vary: str | None, given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the given options, once with each value of the option to vary.

    Args:
        vary: NAME=A,B; or NAME=["A","B"] in JSON, for values that contain commas.
    """
    if vary is None:
        yield dict(given)
        return
    name, equals, values = vary.partition("=")
    listed = _value(values)
    if not isinstance(listed, list):
        listed = [_value(value) for value in values.split(",")]
    if not equals or not values or not listed:
        raise typer.BadParameter(f"{vary!r}: expected NAME=A,B", param_hint="--vary")
    for value in listed:
        yield {**given, name: value}


def numbers_in(text: str) -> list[int]:
    """Return the whole numbers of --shots, separated by spaces or commas."""
    try:
        return [int(each) for each in text.replace(",", " ").split()]
    except ValueError as error:
        raise typer.BadParameter(f"{text!r}: expected whole numbers", param_hint="--shots") from error
