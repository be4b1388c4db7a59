"""Labelled files in folders of their class: <root>/<split>/<class>/<file>."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from imagebind.datasets.labelled import LabelledItem
from imagebind.errors import MediaError

MAX_NAMED_CLASSES = 5  # classes named in an error


def has_class_folders(folder: Path) -> bool:
    """Whether a folder exists and contains folders."""
    return folder.is_dir() and any(path.is_dir() for path in folder.iterdir())


def class_folders(folder: Path) -> list[Path]:
    """Return the folders in a folder, sorted, without hidden ones."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def items_in_folders(
    folder: Path, number_of: Mapping[str, int], item_of: Callable[[Path], Any]
) -> list[LabelledItem]:
    """Return the files in <folder>/<class>/, sorted, without hidden ones.

    Args:
        folder: the folder of a split.
        number_of: the class number of each folder name; case, space, "_", "-" and "/" make no difference.
        item_of: returns the item of a file.

    Raises:
        MediaError: the name of a folder is not that of a class, or there are no files.
    """
    known = {plain_name(name): number for name, number in number_of.items()}
    items = []
    for each in class_folders(folder):
        if plain_name(each.name) not in known:
            names = ", ".join([*number_of][:MAX_NAMED_CLASSES])
            names += ", …" if len(number_of) > MAX_NAMED_CLASSES else ""
            raise MediaError(
                str(each), got=repr(each.name), expected=f"a folder with the name of a class ({names})"
            )
        number = known[plain_name(each.name)]
        items += [
            LabelledItem(item=item_of(path), name=f"{each.name}/{path.name}", labels=(number,))
            for path in sorted(each.iterdir())
            if path.is_file() and not path.name.startswith(".")
        ]
    if not items:
        raise MediaError(str(folder), got="none", expected="files named <class>/<file>")
    return items


def plain_name(name: str) -> str:
    """Return a class name in lower case, with "_" in place of spaces, "-" and "/"."""
    return name.lower().replace(" ", "_").replace("-", "_").replace("/", "_")
