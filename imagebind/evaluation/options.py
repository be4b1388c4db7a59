"""The options of a protocol that do not concern reading: prompt templates, clips, crops and transforms."""

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from imagebind.checks import is_number
from imagebind.datasets.layouts.ego4d_scenarios import NARRATION_PASSES
from imagebind.embedder import Embedder
from imagebind.modality import MediaKind
from imagebind.prompts import OPENAI_IMAGENET_TEMPLATES, SHORT_TEMPLATES, check_template
from imagebind.toyworld.group import MAX_THINGS

# By option: the media types with it, and the field of their transform.
TRANSFORM_OPTIONS: Mapping[str, tuple[tuple[MediaKind, ...], str]] = {
    "clips": ((MediaKind.VIDEO, MediaKind.AUDIO), "clips"),
    "crops": ((MediaKind.VIDEO,), "crops"),
    "depth_preset": ((MediaKind.DEPTH,), "preset"),
    "thermal_low": ((MediaKind.THERMAL,), "low"),
    "thermal_high": ((MediaKind.THERMAL,), "high"),
    "imu_window": ((MediaKind.IMU,), "window_seconds"),
}
# Clips and scenes are held in memory or rendered: larger numbers are mistakes. 100 clips of 2 s are 200 s.
LARGEST_VALUES = {
    **{"clips": 100, "video_clips": 100, "audio_clips": 100, "crops": 3},
    **{"scenes": 100_000, "groups": 10_000, "things": MAX_THINGS, "pixels": 4096, "recordings": 1000},
}
MAX_WINDOW_SECONDS = 3600
TEMPLATE_SETS = ("clip-80", "short", "name")


def options_for(media: MediaKind, *, is_retrieval: bool) -> tuple[str, ...]:
    """Return the names of the options for a classification of a media type, or for a retrieval."""
    kinds = {*MediaKind} if is_retrieval else {media}
    return (
        *(() if is_retrieval else ("templates", "names")),
        *(name for name, (its_kinds, _) in TRANSFORM_OPTIONS.items() if kinds & {*its_kinds}),
    )


def checked_value(option: str, value: Any, default: Any = None) -> Any:
    """Return the value of an option, after checking its type by the option's name or its default.

    Raises:
        ValueError: a value of another type, or out of range.
    """
    if option in _CHECKS:
        is_valid, expected = _CHECKS[option](value)
    elif option in LARGEST_VALUES:
        is_valid = type(value) is int and 1 <= value <= LARGEST_VALUES[option]
        expected = f"a whole number from 1 to {LARGEST_VALUES[option]:,}"
    elif option == "imu_window":
        is_valid = is_number(value) and 0 < value <= MAX_WINDOW_SECONDS
        expected = f"a number of seconds above 0, up to {MAX_WINDOW_SECONDS:,}"
    elif option == "seed":
        is_valid, expected = type(value) is int and value >= 0, "a whole number of at least 0"
    elif option in ("thermal_low", "thermal_high") or isinstance(default, float):
        is_valid, expected = is_number(value), "a number"
    elif isinstance(default, bool):
        is_valid, expected = isinstance(value, bool), "true or false"
    elif isinstance(default, int):
        is_valid, expected = type(value) is int and value >= 1, "a whole number of at least 1"
    elif option.endswith("_file"):
        is_valid, expected = isinstance(value, str | os.PathLike) and bool(str(value)), "a path"
    elif isinstance(default, str) or option == "depth_preset":
        is_valid, expected = isinstance(value, str), "a text"
    else:
        return value
    if not is_valid:
        raise ValueError(f"{option}: expected {expected}, got {value!r}")
    return value


def _check_templates(value: Any) -> tuple[bool, str]:
    """Return whether a value is valid, and the expected form."""
    texts = isinstance(value, str) or all(isinstance(each, str) for each in _listed(value))
    return bool(value) and texts, f"{', '.join(TEMPLATE_SETS)}, a template with {{}}, or a list of templates"


def _check_names(value: Any) -> tuple[bool, str]:
    is_valid = isinstance(value, Mapping) and all(map(_is_names, value.values()))
    return is_valid, 'labels with a name or a list of names each, such as {"dog": ["dog", "puppy"]}'


def _check_passes(value: Any) -> tuple[bool, str]:
    return bool(value) and all(each in NARRATION_PASSES for each in _listed(value)), "[1], [2] or [1, 2]"


_CHECKS = {"templates": _check_templates, "names": _check_names, "passes": _check_passes}


def _listed(value: Any) -> Any:
    """Return a list or tuple as it is; for another value, a list that no check accepts."""
    return value if isinstance(value, list | tuple) else [None]


def _is_names(names: Any) -> bool:
    listed = [names] if isinstance(names, str) else _listed(names)
    return bool(listed) and all(isinstance(name, str) and name.strip() for name in listed)


def templates_named(name: Any, kind: MediaKind) -> tuple[str, ...]:
    """Return the prompt templates for a set's name, one template, or a sequence of templates.

    The sets are clip-80 (CLIP's 80 for ImageNet), short (`prompts.SHORT_TEMPLATES`) and name (only the name).

    Raises:
        ValueError: neither a set's name nor a template with one placeholder, or "short" where it is missing.
    """
    match name:
        case "clip-80":
            return OPENAI_IMAGENET_TEMPLATES
        case "short" if kind not in SHORT_TEMPLATES:
            raise ValueError(
                f"templates: expected clip-80, name or a template with {{}} for {kind}, got 'short'"
            )
        case "short":
            return SHORT_TEMPLATES[kind]
        case "name":
            return ("{}",)
        case str() if "{" in name:
            return (check_template(name),)
        case str():
            raise ValueError(
                f"templates: expected {', '.join(TEMPLATE_SETS)}, or a template with {{}}, got {name!r}"
            )
    return tuple(map(check_template, name))


def embedder_with(embedder: Embedder, options: Mapping[str, Any]) -> Embedder:
    """Return an embedder of the same model whose transforms have a protocol's options.

    Raises:
        ValueError: a transform refuses a value.
    """
    for option, (kinds, name) in TRANSFORM_OPTIONS.items():
        for kind in kinds if option in options else ():
            if kind.modality in embedder.model.modalities:
                changed = replace(embedder.transform(kind), **{name: options[option]})  # type: ignore[type-var]
                embedder = embedder.with_transforms({kind: changed})
    return embedder
