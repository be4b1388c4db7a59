"""ESC-50: meta/esc50.csv with filename, fold, target and category, and the recordings in audio/."""

import os
import re
from dataclasses import replace
from pathlib import Path

from imagebind.datasets.labelled import ClassNames, LabelledItem, LabelledSet
from imagebind.datasets.layouts.clips import clips_in_folders
from imagebind.datasets.layouts.folders import has_class_folders
from imagebind.datasets.layouts.found import folder_at
from imagebind.datasets.tables import numbered_rows
from imagebind.errors import MediaError
from imagebind.modality import MediaKind

TABLE, AUDIO_FOLDER = "meta/esc50.csv", "audio"
COLUMNS = ("filename", "fold", "target", "category")
SPLIT = "test"  # the folder with class folders; the data set has folds instead of splits
FILE_NAME = re.compile(r"(\d)-\w+-[A-Z]-\d+\.\w+")  # fold, recording, take, target: 1-100032-A-0.wav


def esc50(root: str | os.PathLike[str], *, folds: bool = True) -> LabelledSet:
    """Return all 2,000 recordings of ESC-50 with their classes.

    Without the table, reads <root>/test/<class>/<file>.

    Args:
        folds: whether items have the number of their fold; otherwise all are one set.

    Raises:
        MediaError: the folder or the table is missing, the table is empty or has an invalid row, or, with
            `folds`, the name of a file in a folder of a class does not state the fold.
    """
    root = folder_at(root)
    table = root / TABLE
    if not table.is_file() and has_class_folders(root / SPLIT):
        found = clips_in_folders(root / SPLIT, MediaKind.AUDIO)
        return replace(
            found,
            items=[replace(each, fold=_fold(each.item["audio"]) if folds else None) for each in found.items],
        )
    items, missing = [], []
    categories: dict[int, str] = {}
    targets_of: dict[str, int] = {}
    names: set[str] = set()
    for number, row in numbered_rows(table, COLUMNS):
        try:
            fold, target = int(row["fold"]), int(row["target"])
        except ValueError as error:
            raise MediaError(
                f"{table}, line {number}",
                got=f"fold {row['fold']!r} and target {row['target']!r}",
                expected="integers",
            ) from error
        if categories.setdefault(target, row["category"]) != row["category"]:
            raise MediaError(
                f"{table}, line {number}",
                got=repr(row["category"]),
                expected=f"category {categories[target]!r} for target {target}, as in an earlier line",
            )
        if targets_of.setdefault(row["category"], target) != target:
            raise MediaError(
                f"{table}, line {number}",
                got=str(target),
                expected=f"target {targets_of[row['category']]} for category {row['category']!r}, as in an "
                "earlier line",
            )
        if row["filename"] in names:
            raise MediaError(
                f"{table}, line {number}",
                got=f"{row['filename']} for the second time",
                expected="each recording once",
            )
        names.add(row["filename"])
        path = root / AUDIO_FOLDER / row["filename"]
        if not path.is_file():
            missing.append(str(path))
            continue
        items.append(
            LabelledItem(
                item={"audio": path}, name=row["filename"], labels=(target,), fold=fold if folds else None
            )
        )
    if not categories:
        raise MediaError(str(table), got="none", expected=f"rows with {', '.join(COLUMNS)}")
    targets = sorted(categories)
    class_of = {target: index for index, target in enumerate(targets)}
    return LabelledSet(
        classes=[
            ClassNames(label=categories[target], names=(categories[target].replace("_", " "),))
            for target in targets
        ],
        items=[
            LabelledItem(item=each.item, name=each.name, labels=(class_of[each.labels[0]],), fold=each.fold)
            for each in items
        ],
        missing=missing,
    )


def _fold(path: Path) -> int:
    """Return the fold in the published name of a recording."""
    named = FILE_NAME.fullmatch(path.name)
    if named is None:
        raise MediaError(
            str(path),
            got="a name without fold",
            expected="<fold>-<recording>-<take>-<target>.wav",
            hint="without folds, pass --option folds=false",
        )
    return int(named[1])
