"""Prompt templates for zero-shot classification, and files of class names.

The default templates are **CLIP's 80 for every media type but text**, as in the ImageBind paper, whose
zero-shot results of all modalities use them. This fits the training: text was only trained with images, and
the embeddings of audio or depth are close to those of matching images, so texts about images match them. The
small model confirms it: for all its modalities, other templates recognise shapes as well as the 80, within
one point, while the name without a template loses 2 to 7. For text items the default is `SHORT_TEMPLATES`,
since a text need not be about a photo.

Use `SHORT_TEMPLATES` if 80 texts per name are too slow, or if phrases such as "a sculpture of a" do not fit
the class names, such as "dog barking".
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from imagebind.errors import MediaError
from imagebind.modality import BoundModality, MediaKind

# Source: CLIP (OpenAI, MIT licence), as in the package open_clip_torch (MIT licence), in its order.
OPENAI_IMAGENET_TEMPLATES: tuple[str, ...] = (
    "a bad photo of a {}.",
    "a photo of many {}.",
    "a sculpture of a {}.",
    "a photo of the hard to see {}.",
    "a low resolution photo of the {}.",
    "a rendering of a {}.",
    "graffiti of a {}.",
    "a bad photo of the {}.",
    "a cropped photo of the {}.",
    "a tattoo of a {}.",
    "the embroidered {}.",
    "a photo of a hard to see {}.",
    "a bright photo of a {}.",
    "a photo of a clean {}.",
    "a photo of a dirty {}.",
    "a dark photo of the {}.",
    "a drawing of a {}.",
    "a photo of my {}.",
    "the plastic {}.",
    "a photo of the cool {}.",
    "a close-up photo of a {}.",
    "a black and white photo of the {}.",
    "a painting of the {}.",
    "a painting of a {}.",
    "a pixelated photo of the {}.",
    "a sculpture of the {}.",
    "a bright photo of the {}.",
    "a cropped photo of a {}.",
    "a plastic {}.",
    "a photo of the dirty {}.",
    "a jpeg corrupted photo of a {}.",
    "a blurry photo of the {}.",
    "a photo of the {}.",
    "a good photo of the {}.",
    "a rendering of the {}.",
    "a {} in a video game.",
    "a photo of one {}.",
    "a doodle of a {}.",
    "a close-up photo of the {}.",
    "a photo of a {}.",
    "the origami {}.",
    "the {} in a video game.",
    "a sketch of a {}.",
    "a doodle of the {}.",
    "a origami {}.",
    "a low resolution photo of a {}.",
    "the toy {}.",
    "a rendition of the {}.",
    "a photo of the clean {}.",
    "a photo of a large {}.",
    "a rendition of a {}.",
    "a photo of a nice {}.",
    "a photo of a weird {}.",
    "a blurry photo of a {}.",
    "a cartoon {}.",
    "art of a {}.",
    "a sketch of the {}.",
    "a embroidered {}.",
    "a pixelated photo of a {}.",
    "itap of the {}.",
    "a jpeg corrupted photo of the {}.",
    "a good photo of a {}.",
    "a plushie {}.",
    "a photo of the nice {}.",
    "a photo of the small {}.",
    "a photo of the weird {}.",
    "the cartoon {}.",
    "art of the {}.",
    "a drawing of the {}.",
    "a photo of the large {}.",
    "a black and white photo of a {}.",
    "the plushie {}.",
    "a dark photo of a {}.",
    "itap of a {}.",
    "graffiti of the {}.",
    "a toy {}.",
    "itap of my {}.",
    "a photo of a cool {}.",
    "a photo of a small {}.",
    "a tattoo of the {}.",
)

# Source: ours. With an article for objects, and without for other names: "rain", "dog barking".
SHORT_TEMPLATES: Mapping[MediaKind, tuple[str, ...]] = MappingProxyType(
    {
        MediaKind.IMAGE: ("a photo of a {}.", "a photo of the {}.", "a picture of {}.", "this is a {}."),
        MediaKind.VIDEO: ("a video of a {}.", "a video of {}.", "a clip of the {}.", "a photo of {}."),
        MediaKind.AUDIO: (
            "the sound of a {}.",
            "the sound of {}.",
            "a recording of {}.",
            "{} can be heard.",
        ),
        MediaKind.DEPTH: ("a depth map of a {}.", "a depth photo of the {}.", "a photo of a {}."),
        MediaKind.THERMAL: ("a thermal photo of a {}.", "an infrared photo of the {}.", "a photo of a {}."),
        MediaKind.IMU: ("a first-person video of {}.", "a video of someone {}.", "the motion of {}."),
        MediaKind.TEXT: ("{}", "a {}.", "this is about {}.", "a text about a {}."),
    }
)

CLASS_NAME_SEPARATOR = "|"
COMMENT_PREFIX = "#"


def default_templates(kind: MediaKind | str) -> tuple[str, ...]:
    """Return the default templates of a media type; the module docstring explains the choice.

    Raises:
        ValueError: an unknown media type.
    """
    if isinstance(kind, BoundModality):
        return OPENAI_IMAGENET_TEMPLATES
    kind = MediaKind(kind)
    return SHORT_TEMPLATES[kind] if kind is MediaKind.TEXT else OPENAI_IMAGENET_TEMPLATES


def check_template(template: str) -> str:
    """Return the template, after checking that it has one placeholder `{}`.

    Raises:
        ValueError: no placeholder, several, or a named one.
    """
    marker = "\0"
    try:
        placeholders = template.format(marker).count(marker)
    except (ValueError, LookupError, AttributeError):
        placeholders = 0
    if placeholders != 1:
        raise ValueError(f"template: expected {{}} once, in place of the class name, got {template!r}")
    return template


def parse_label(text: str, *, item: str) -> tuple[str, ...]:
    """Return the names of one class: "dog | puppy" -> ("dog", "puppy").

    Args:
        item: the origin of the text in error messages, such as a file and its line.

    Raises:
        MediaError: a name is empty or repeated.
    """
    names = tuple(" ".join(name.split()) for name in text.split(CLASS_NAME_SEPARATOR))
    expected = f"a name, or several separated by {CLASS_NAME_SEPARATOR}"
    if not all(names):
        raise MediaError(item, got=f"an empty name in {text.strip()!r}", expected=expected)
    if len(set(names)) < len(names):
        raise MediaError(item, got=f"a repeated name in {text.strip()!r}", expected=expected)
    return names


def parse_labels(lines: Iterable[str], *, item: str) -> list[tuple[str, ...]]:
    """Return the classes of lines, one per line with names separated by `|`.

    Blank lines and lines that start with # are ignored.

    Args:
        item: the list's name in error messages, which add the line number.

    Raises:
        MediaError: a name is empty or repeated, in one line or in two.
    """
    classes: list[tuple[str, ...]] = []
    line_of: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith(COMMENT_PREFIX):
            continue
        line_item = f"{item}, line {number}"
        names = parse_label(line, item=line_item)
        for name in names:
            if name in line_of:
                raise MediaError(
                    line_item,
                    got=f"{name!r}, which line {line_of[name]} has too",
                    expected="each name in one class",
                )
            line_of[name] = number
        classes.append(names)
    return classes


def read_labels(path: str | os.PathLike[str]) -> Sequence[tuple[str, ...]]:
    """Return the classes of a UTF-8 file in its order; see `parse_labels` for the format.

    Raises:
        MediaError: as `parse_labels`, with file and line; or the file is not UTF-8, or has no class.
        OSError: the file cannot be read.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise MediaError(
            f"{path}, line {line}", got=f"bytes that are not UTF-8 ({error.reason})", expected="text in UTF-8"
        ) from error
    classes = parse_labels(text.splitlines(), item=str(path))
    if not classes:
        raise MediaError(str(path), got="none", expected="one class per line")
    return classes
