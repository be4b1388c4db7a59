"""Places365: categories_places365.txt, places365_val.txt, and the images in val_256/ or val_large/."""

import os
from collections.abc import Iterable
from pathlib import Path

from imagebind.datasets.labelled import ClassNames, LabelledItem, LabelledSet
from imagebind.datasets.layouts.folders import class_folders, has_class_folders, items_in_folders
from imagebind.datasets.layouts.found import folder_at
from imagebind.datasets.tables import numbered_lines
from imagebind.errors import MediaError, MissingMediaError

SPLIT = "val"
CATEGORIES, TABLE = "categories_places365.txt", "places365_val.txt"
IMAGE_FOLDERS = ("val_256", "val_large")
QUALIFIERS = ("before", "after")


def places365(root: str | os.PathLike[str], *, qualifier: str = "before") -> LabelledSet:
    """Return the validation images with their classes.

    Without the folder of images, reads <root>/val/<class>/<file>.

    Args:
        qualifier: the position of a name's second part: /a/balcony/exterior is "exterior balcony" ("before")
            or "balcony exterior" ("after").

    Raises:
        MediaError: a folder or table is missing, or a line is invalid.
        ValueError: the qualifier is unknown.
    """
    if qualifier not in QUALIFIERS:
        raise ValueError(f"qualifier: expected one of {', '.join(QUALIFIERS)}, got {qualifier!r}")
    root = folder_at(root)
    folder = next((root / name for name in IMAGE_FOLDERS if (root / name).is_dir()), None)
    if folder is None and has_class_folders(root / SPLIT):
        names = [path.name for path in class_folders(root / SPLIT)]
        number_of = {name: number for number, name in enumerate(names)}
        if (root / CATEGORIES).is_file():
            number_of = _categories(root)
        items = items_in_folders(root / SPLIT, number_of, lambda path: {"image": path})
        return LabelledSet(classes=_classes(number_of, qualifier), items=items)
    if folder is None:
        raise MissingMediaError(
            str(root),
            got="none",
            expected=f"the folder {' or '.join(IMAGE_FOLDERS)} with the validation images",
        )
    number_of = _categories(root)
    table = root / TABLE
    items, missing = [], []
    for number, line in numbered_lines(table, "the list of validation images with their classes"):
        name, _, label = line.rpartition(" ")
        if not name or not label.isdecimal() or int(label) >= len(number_of):
            raise MediaError(
                f"{table}, line {number}",
                got=repr(line),
                expected=f"a file and a class from 0 to {len(number_of) - 1}",
            )
        path = folder / name.strip().lstrip("/")
        if not path.is_file():
            missing.append(str(path))
            continue
        items.append(LabelledItem(item={"image": path}, name=path.name, labels=(int(label),)))
    return LabelledSet(classes=_classes(number_of, qualifier), items=items, missing=missing)


def _categories(root: Path) -> dict[str, int]:
    """Return the class number of each name, without its letter: "/a/balcony/exterior 41"."""
    number_of = {}
    lines = numbered_lines(root / CATEGORIES, "the names of the classes")
    for expected, (line_number, line) in enumerate(lines):
        name, _, number = line.rpartition(" ")
        parts = name.split("/", 2)  # "", "a", "balcony/exterior"
        if number != str(expected) or len(parts) != 3 or not parts[2]:
            raise MediaError(
                f"{root / CATEGORIES}, line {line_number}",
                got=repr(line),
                expected=f"a name such as /a/airfield and the number {expected}",
            )
        number_of[parts[2]] = expected
    return number_of


def _classes(names: Iterable[str], qualifier: str) -> list[ClassNames]:
    """Return a class for each name; a folder cannot have "/" in its name, so "-" also starts a qualifier."""
    classes = []
    for name in names:
        parts = name.replace("_", " ").replace("-", "/").split("/")
        text = " ".join(reversed(parts) if qualifier == "before" else parts)
        classes.append(ClassNames(label=name, names=(text,)))
    return classes
