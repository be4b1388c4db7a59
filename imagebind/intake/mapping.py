"""Mappings from path patterns to media types and options, as in `depth/**.png=depth:kinect_v1`."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass, replace
from functools import lru_cache
from typing import Any, get_args, get_type_hints

from imagebind.checks import is_number
from imagebind.intake.requests import Transform, default_transform
from imagebind.media.discover import FoundFile
from imagebind.media.paths import glob_pattern, path_text
from imagebind.modality import BoundModality, MediaKind, media_kind
from imagebind.transforms.options import item_options

# Not for `--map`: objects, or set by the crawler.
UNMAPPED_OPTIONS = frozenset({"limits", "crop", "start", "columns"})
WORD_OPTIONS = {MediaKind.THERMAL: "unit", MediaKind.IMU: "layout"}  # the option that a word without `=` sets
BoundTransforms = Mapping[BoundModality, Transform]  # of packs
NO_TRANSFORMS: BoundTransforms = {}
_MAPPING_FORM = re.compile(r"(?P<glob>.+?)=(?P<kind>\w+)(?::(?P<options>.*))?", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class PathMapping:
    """The media type of files that match a pattern, with options for its transform: {"sensor": "kinect_v1"}.

    In the pattern, `*` and `?` match within a folder and `**` across folders. The pattern is matched against
    the path below the root that a file was found under, or the whole path if the pattern starts with `/`.
    """

    glob: str
    kind: MediaKind
    options: Mapping[str, Any] = field(default_factory=dict)

    def matches(self, found: FoundFile) -> bool:
        """Whether the pattern matches a file."""
        whole = os.path.isabs(self.glob)  # noqa: PTH117
        text = path_text(found.path)
        if not whole:
            text = text[len(path_text(found.top).rstrip(os.sep)) :]  # starts with a slash
        pattern = self.glob if whole else "/" + self.glob
        return _compiled(pattern).match(text) is not None


def parse_mapping(text: str, bound: BoundTransforms = NO_TRANSFORMS) -> PathMapping:
    """Parse GLOB=TYPE, GLOB=TYPE:OPTION=VALUE,… or GLOB=TYPE:WORD; see `parse_kind`.

    Raises:
        ValueError: the form is wrong, the pattern is too long or has too many wildcards, the media type or an
            option is unknown, or a value is wrong.
    """
    form = _MAPPING_FORM.fullmatch(text)
    if form is None:
        raise ValueError(
            f"{text!r}: expected GLOB=TYPE or GLOB=TYPE:OPTION=VALUE,…, as '**/thermal/*.tiff=thermal'"
        )
    _compiled(form["glob"])  # raises if the pattern has too many characters or wildcards
    listed = "" if form["options"] is None else f":{form['options']}"
    kind, options = parse_kind(form["kind"] + listed, bound)
    return PathMapping(glob=form["glob"], kind=kind, options=options)


def parse_kind(text: str, bound: BoundTransforms = NO_TRANSFORMS) -> tuple[MediaKind, dict[str, Any]]:
    """Parse TYPE, TYPE:OPTION=VALUE,…, or a word: depth:SENSOR-OR-UNIT, thermal:UNIT, or imu:LAYOUT.

    TYPE is a media type, or the modality of a pack. A layout is the name of a logger, or a JSON file.

    Args:
        bound: the transforms of packs, by modality.

    Raises:
        ValueError: the media type or an option is unknown, or a value is wrong.
    """
    name, colon, listed = text.strip().partition(":")
    try:
        kind = media_kind(name, bound)
    except ValueError:
        names = ", ".join([*(kind.value for kind in MediaKind), *bound])
        raise ValueError(f"{text!r}: expected one of {names}, or the modality of a pack") from None
    options = {}
    for entry in listed.split(",") if colon else ():
        option, equals, value = entry.partition("=")
        if not equals and kind is MediaKind.DEPTH:
            option, value = _depth_option(option.strip()), option
        elif not equals and kind in WORD_OPTIONS:
            option, value = WORD_OPTIONS[kind], option
        options[option.strip()] = _option_value(value.strip())
    transform = bound[kind] if isinstance(kind, BoundModality) else default_transform(kind)
    _check_options(kind, options, text, transform)
    return kind, options


def mapping_for(mappings: Sequence[PathMapping], found: FoundFile) -> PathMapping | None:
    """Return the first mapping that matches a file, or None."""
    return next((mapping for mapping in mappings if mapping.matches(found)), None)


@lru_cache
def _compiled(glob: str) -> re.Pattern[str]:
    return re.compile(glob_pattern(glob))


def _depth_option(word: str) -> str:
    """Return the depth option that a word without `=` sets: "sensor" or "unit"."""
    from imagebind.transforms.depth import BASELINES
    from imagebind.transforms.depth_units import DEPTH_UNITS, stored_depth

    if word in BASELINES:
        return "sensor"
    try:
        stored_depth(word)
    except ValueError:
        raise ValueError(
            f"depth: expected a sensor ({', '.join(BASELINES)}) or a unit ({', '.join(DEPTH_UNITS)}, or "
            f"metres per stored step, such as 1/256), got {word!r}"
        ) from None
    return "unit"


def _option_value(text: str) -> str | int | float | bool:
    """Parse a finite number, true or false; return other text unchanged."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):  # no JSON, or nested too deeply
        return text
    return value if isinstance(value, bool) or is_number(value) else text


def _check_options(kind: MediaKind, options: Mapping[str, Any], text: str, transform: Transform) -> None:
    """Refuse options that would fail for every file."""
    known: list[str] = []
    if is_dataclass(transform):
        known = sorted(item_options(transform) - UNMAPPED_OPTIONS)
    hints = get_type_hints(type(transform))
    for option, value in options.items():
        if option not in known:
            raise ValueError(
                f"{text!r}: expected an option of {kind} ({', '.join(known) or 'none'}), got {option!r}"
            )
        accepted = get_args(hints[option]) or (hints[option],)
        if type(value) not in accepted and not (type(value) is int and float in accepted):
            names = " or ".join(
                sorted({"a word" if t is str else t.__name__ for t in accepted} & _OPTION_TYPES)
            )
            raise ValueError(f"{text!r}: {option}: expected {names}, got {value!r}")
    if not options:
        return
    try:
        replace(transform, **options)  # type: ignore[type-var]
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from error


_OPTION_TYPES = {"a word", "int", "float", "bool"}
