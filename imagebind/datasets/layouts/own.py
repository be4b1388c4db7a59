"""The user's own labelled files: chosen by a pattern, with classes from their folders or from a CSV."""

import glob
import os
from pathlib import Path

from imagebind.datasets.labelled import ClassNames, LabelledItem, LabelledSet
from imagebind.datasets.tables import numbered_rows
from imagebind.errors import MediaError, MissingMediaError
from imagebind.modality import MediaKind

FROM_FOLDERS = "folders"
COLUMNS = ("file", "class")


def labelled_files(
    pattern: str, media: MediaKind, *, classes_from: str | os.PathLike[str] = FROM_FOLDERS
) -> LabelledSet:
    """Return the files that match a pattern such as "pets/*/*.jpg" with their classes.

    Underscores in a class name become spaces in prompts.

    Args:
        media: the media type of all files.
        classes_from: "folders" (each file's class is the name of its folder), or a CSV with the columns file
            and class. It names a file by its path, absolute or relative to the CSV, or by its name alone if
            the pattern finds only one such file. Files that the pattern finds but the CSV does not list are
            ignored, and listed files that the pattern does not find are missing.

    Raises:
        MediaError: no file, fewer than two classes, or the CSV cannot be read, or has an incomplete
            or a contradictory row.
    """
    # `Path.expanduser` raises an error for an unknown user; `Path.glob` takes no absolute pattern.
    names = sorted(glob.glob(os.path.expanduser(pattern), recursive=True))  # noqa: PTH111, PTH207
    files = [path for path in map(Path, names) if path.is_file()]
    missing: list[str] = []
    if classes_from == FROM_FOLDERS:
        label_of = {path: path.absolute().parent.name for path in files}
    else:
        label_of, missing = _labels_of_table(Path(classes_from), files)
    if not files:
        raise MissingMediaError(pattern, got="none", expected="files of two classes or more")
    labels = sorted({*label_of.values()})
    if len(labels) < 2:
        raise MediaError(
            pattern,
            got=f"{len(files):,} files of {f'the class {labels[0]} alone' if labels else 'no class'}",
            expected="files of two classes or more",
        )
    ignored = len(files) - len(label_of)
    number_of = {label: number for number, label in enumerate(labels)}
    return LabelledSet(
        classes=[ClassNames(label=label, names=(label.replace("_", " "),)) for label in labels],
        items=[
            LabelledItem(item={media.value: path}, name=str(path), labels=(number_of[label],))
            for path, label in label_of.items()
        ],
        missing=missing,
        notes=[f"{ignored} matching files are not in {classes_from}"] if ignored else [],
    )


def _labels_of_table(table: Path, files: list[Path]) -> tuple[dict[Path, str], list[str]]:
    """Return the class of each file that a CSV lists, and the listed files that are not among `files`."""
    by_path = {path.resolve(): path for path in files}
    by_name: dict[str, list[Path]] = {}
    for path in files:
        by_name.setdefault(path.name, []).append(path)
    labels: dict[Path, str] = {}
    missing: list[str] = []
    for number, row in numbered_rows(table, COLUMNS):
        name, label = row["file"], row["class"]
        if not name or not label:
            raise MediaError(f"{table}, line {number}", got=repr(row), expected="a file and a class")
        found = by_path.get((table.parent / name).resolve())
        if found is None and len(by_name.get(name, ())) == 1:  # a name without its folder
            (found,) = by_name[name]
        if found is None:
            missing.append(name)
            continue
        if labels.setdefault(found, label) != label:
            raise MediaError(
                f"{table}, line {number}",
                got=repr(label),
                expected=f"class {labels[found]!r} for {name}, as in an earlier line",
            )
    return labels, missing
