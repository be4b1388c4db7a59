"""What a user says files are: `depth/**.png=depth:kinect_v1`, a pattern of paths and what those hold."""

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, get_args, get_type_hints

from imagebind.intake.requests import default_transform
from imagebind.media.discover import FoundFile
from imagebind.media.paths import glob_pattern, path_text
from imagebind.modality import MediaKind
from imagebind.transforms.options import item_options

NOT_MAPPED = frozenset({"limits", "crop", "start", "columns"})  # objects, or chosen by the crawl
WORD_OPTIONS = {MediaKind.THERMAL: "unit", MediaKind.IMU: "layout"}  # the option that a bare word sets
_FORM = re.compile(r"(?P<glob>.+?)=(?P<kind>\w+)(?::(?P<options>.*))?", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class PathMapping:
    """Files of a pattern of paths are of a kind, with options for its transform: {"sensor": "kinect_v1"}.

    In the pattern `*` and `?` stay within a folder and `**` goes across folders. It is of the path below the
    root that a file was found under, or of the whole path where it starts with `/`.
    """

    glob: str
    kind: MediaKind
    options: Mapping[str, Any] = field(default_factory=dict)

    def matches(self, found: FoundFile) -> bool:
        """Whether it speaks of a file."""
        whole = os.path.isabs(self.glob)  # noqa: PTH117
        text = path_text(found.path)
        if not whole:
            text = text[len(path_text(found.top).rstrip(os.sep)) :]  # begins with a slash
        pattern = self.glob if whole else "/" + self.glob
        return _compiled(pattern).match(text) is not None


def parse_mapping(text: str) -> PathMapping:
    """Read GLOB=KIND, GLOB=KIND:OPTION=VALUE,… or GLOB=KIND:WORD; see `parse_kind`.

    Raises:
        ValueError: another form, a pattern that is too long, no such kind, an option that the kind does not
            have, or a wrong value.
    """
    form = _FORM.fullmatch(text)
    if form is None:
        raise ValueError(
            f"{text!r}: expected GLOB=KIND or GLOB=KIND:OPTION=VALUE,…, as '**/thermal/*.tiff=thermal'"
        )
    _compiled(form["glob"])  # complains of one that is too long
    kind, options = parse_kind(form["kind"] + (f":{form['options']}" if form["options"] is not None else ""))
    return PathMapping(glob=form["glob"], kind=kind, options=options)


def parse_kind(text: str) -> tuple[MediaKind, dict[str, Any]]:
    """Read KIND, KIND:OPTION=VALUE,…, or a word: depth:SENSOR-OR-UNIT, thermal:UNIT, or imu:LAYOUT.

    A layout is a logger's name or a JSON file.

    Raises:
        ValueError: as `parse_mapping`.
    """
    name, colon, listed = text.strip().partition(":")
    try:
        kind = MediaKind(name)
    except ValueError:
        raise ValueError(f"{text!r}: expected one of {', '.join(kind.value for kind in MediaKind)}") from None
    options = {}
    for entry in listed.split(",") if colon else ():
        option, equals, value = entry.partition("=")
        if not equals and kind is MediaKind.DEPTH:
            option, value = _option_of_depth(option.strip()), option
        elif not equals and kind in WORD_OPTIONS:
            option, value = WORD_OPTIONS[kind], option
        options[option.strip()] = _value(value.strip())
    _check(kind, options, text)
    return kind, options


def mapping_for(mappings: Sequence[PathMapping], found: FoundFile) -> PathMapping | None:
    """The first that speaks of a file, if any does."""
    return next((mapping for mapping in mappings if mapping.matches(found)), None)


@lru_cache
def _compiled(glob: str) -> re.Pattern[str]:
    return re.compile(glob_pattern(glob))


def _option_of_depth(word: str) -> str:
    """Return the depth option that a bare word sets: "sensor" or "unit"."""
    from imagebind.transforms.depth import BASELINES
    from imagebind.transforms.depth_units import UNITS, stored_depth

    if word in BASELINES:
        return "sensor"
    try:
        stored_depth(word)
    except ValueError:
        raise ValueError(
            f"depth: expected a sensor ({', '.join(BASELINES)}) or a unit ({', '.join(UNITS)}, or metres per "
            f"stored step, such as 1/256), got {word!r}"
        ) from None
    return "unit"


def _value(text: str) -> str | int | float | bool:
    """A number, true or false where it reads as one, else a word."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, int | float) and math.isfinite(value) else text


def _check(kind: MediaKind, options: Mapping[str, Any], text: str) -> None:
    """Refuse options that would fail with every file."""
    transform = default_transform(kind)
    known = sorted(item_options(transform) - NOT_MAPPED)
    hints = get_type_hints(type(transform))
    for option, value in options.items():
        if option not in known:
            raise ValueError(
                f"{text!r}: {kind} has no option {option!r}; expected {', '.join(known) or 'none at all'}"
            )
        taken = get_args(hints[option]) or (hints[option],)
        if type(value) not in taken and not (type(value) is int and float in taken):
            names = " or ".join(sorted({"a word" if t is str else t.__name__ for t in taken} & _NAMES))
            raise ValueError(f"{text!r}: {option}: expected {names}, got {value!r}")
    try:
        replace(transform, **options)  # type: ignore[type-var]
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from error


_NAMES = {"a word", "int", "float", "bool"}
