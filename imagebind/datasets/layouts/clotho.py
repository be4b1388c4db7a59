"""Clotho: clotho_captions_<split>.csv with five captions per recording, and the recordings in <split>/."""

import os

from imagebind.datasets.labelled import RetrievalSet
from imagebind.datasets.layouts.captions import captioned
from imagebind.datasets.layouts.found import file_below, folder_at
from imagebind.datasets.tables import table_at
from imagebind.errors import MissingMediaError

CAPTION_COLUMNS = tuple(f"caption_{number}" for number in range(1, 6))
SPLITS = ("evaluation", "validation", "development")
AUDIO_FOLDERS = ("{}", "clotho_audio_{}", "clotho_audio_{}/{}", "clotho_audio_files/{}", "audio/{}")


def clotho(root: str | os.PathLike[str], *, split: str = "evaluation") -> RetrievalSet:
    """Return five captions of each recording of a split as queries, and the recordings.

    Raises:
        MediaError: a folder or the table is missing, or the table is damaged or empty.
        ValueError: the split is unknown.
    """
    if split not in SPLITS:
        raise ValueError(f"split: expected one of {', '.join(SPLITS)}, got {split!r}")
    root = folder_at(root)
    table = file_below(root, [f"clotho_captions_{split}.csv", f"csv/clotho_captions_{split}.csv"])
    folders = [root / pattern.format(split, split) for pattern in AUDIO_FOLDERS]
    folder = next((each for each in folders if each.is_dir()), None)
    if folder is None:
        raise MissingMediaError(
            str(folders[0]), got="no such folder", hint=f"it should contain the recordings of {table.name}"
        )
    items, captions, missing = {}, [], []
    for row in table_at(table, ("file_name", *CAPTION_COLUMNS)):
        name = row["file_name"]
        path = folder / name
        if not path.is_file():
            missing.append(str(path))
            continue
        items[name] = {"audio": path}
        captions += [(name, row[column]) for column in CAPTION_COLUMNS]
    return captioned(root, items, captions, missing=missing)
