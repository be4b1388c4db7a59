"""Words around the name of a class, for zero-shot classification; and lists of classes in a file.

Which templates are the default for which kind of media: **CLIP's 80 for everything but text**, as in the
ImageBind paper, whose zero-shot figures of all senses come from them. It fits how the space came to be: text
has only ever met pictures there, and a sound or a depth picture lies where its picture does, so words of
pictures find it. The small model bears it out: of its senses, any templates tell shapes as well as the 80 to
within a point, while the bare name loses 2 to 7. What is text is compared with `SHORT_TEMPLATES`: it need not
be about a photograph.

`SHORT_TEMPLATES` are for when 80 texts a name cost too much, or when "a sculpture of a" does not suit a name,
as "dog barking".
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from imagebind.errors import MediaError
from imagebind.modality import MediaKind

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

# Ours. With an article for names of things, and without for what is no thing: "rain", "dog barking".
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

LABEL_SEPARATOR = "|"
COMMENT = "#"


def default_templates(kind: MediaKind | str) -> tuple[str, ...]:
    """What to classify a kind of media with; the module says why."""
    kind = MediaKind(kind)
    return SHORT_TEMPLATES[kind] if kind is MediaKind.TEXT else OPENAI_IMAGENET_TEMPLATES


def check_template(template: str) -> str:
    """The template, if it has one place for a name.

    Raises:
        ValueError: it has none, or more, or one with a name of its own.
    """
    mark = "\0"
    try:
        places = template.format(mark).count(mark)
    except (ValueError, LookupError, AttributeError):
        places = 0
    if places != 1:
        raise ValueError(f"template: expected {{}} once, where the name goes, got {template!r}")
    return template


def parse_label(text: str, *, item: str) -> tuple[str, ...]:
    """The names of one class: "dog | puppy" -> ("dog", "puppy").

    Args:
        item: what to call it in an error.

    Raises:
        MediaError: a name is empty, or there twice.
    """
    names = tuple(" ".join(name.split()) for name in text.split(LABEL_SEPARATOR))
    wanted = f"a name, or several with {LABEL_SEPARATOR} between them"
    if not all(names):
        raise MediaError(item, got=f"{text.strip()!r}, with an empty name", expected=wanted)
    if len(set(names)) < len(names):
        raise MediaError(item, got=f"{text.strip()!r}, with a name twice", expected=wanted)
    return names


def parse_labels(lines: Iterable[str], *, item: str) -> list[tuple[str, ...]]:
    """One class a line, its further names after `|`; blank lines, and those that start with #, are skipped.

    Args:
        item: what to call the list in an error, which adds the number of the line.

    Raises:
        MediaError: a name is empty, or there twice, in one line or in two.
    """
    classes: list[tuple[str, ...]] = []
    line_of: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith(COMMENT):
            continue
        here = f"{item}, line {number}"
        names = parse_label(line, item=here)
        for name in names:
            if name in line_of:
                raise MediaError(
                    here,
                    got=f"{name!r}, which line {line_of[name]} has, too",
                    expected="each name in one class",
                )
            line_of[name] = number
        classes.append(names)
    return classes


def read_labels(path: str | os.PathLike[str]) -> Sequence[tuple[str, ...]]:
    """The classes of a file in UTF-8, in its order, as `parse_labels` reads them.

    Raises:
        MediaError: as `parse_labels`, with file and line; or it is no UTF-8, or has no class.
        OSError: it cannot be read.
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
        raise MediaError(str(path), got="no class in it", expected="one a line")
    return classes
