"""VGGSound: vggsound.csv (id, start, class, split, without a header), and clips of 10 s in any folder."""

import os
from pathlib import Path

from imagebind.datasets.labelled import LabelledSet
from imagebind.datasets.layouts.clips import ListedClip, clips_in_folders, labelled_clips
from imagebind.datasets.layouts.folders import has_class_folders
from imagebind.datasets.layouts.found import file_below, folder_at, seconds_in
from imagebind.datasets.tables import numbered_cells
from imagebind.errors import MediaError
from imagebind.modality import MediaKind

TABLES = ("vggsound.csv", "data/vggsound.csv")
SPLITS = ("test", "train")
CLIP_SECONDS = 10.0


def vggsound(root: str | os.PathLike[str], *, split: str = "test") -> LabelledSet:
    """Return the audio of a split's clips with their classes.

    The file of a clip is <id>_<start>.*, with the start in seconds as six digits or in another form of
    `clip_stems`, or <id>.*, the clip or the whole video. Without the table, reads
    <root>/<split>/<class>/<file>.

    Raises:
        MediaError: the folder or the table is missing, or the table is damaged or empty.
        ValueError: the split is unknown.
    """
    root = folder_at(root)
    if split in SPLITS and has_class_folders(root / split) and not any((root / t).is_file() for t in TABLES):
        return clips_in_folders(root / split, MediaKind.AUDIO)
    clips, labels = vggsound_list(root, split)
    return labelled_clips(root, clips, labels, MediaKind.AUDIO)


def vggsound_list(root: Path, split: str) -> tuple[list[ListedClip], list[str]]:
    """Return the clips of a split, and the classes of all splits in alphabetical order.

    Raises:
        MediaError: the table is missing or damaged.
        ValueError: the split is unknown.
    """
    if split not in SPLITS:
        raise ValueError(f"split: expected one of {', '.join(SPLITS)}, got {split!r}")
    table = file_below(root, TABLES)
    clips, labels = [], set()
    for number, row in numbered_cells(table, "lines of id, start, class and split"):
        item = f"{table}, line {number}"
        if len(row) != 4 or row[3] not in SPLITS:
            raise MediaError(
                item, got=repr(",".join(row)), expected=f"id, start, class, and {' or '.join(SPLITS)}"
            )
        ytid, label = row[0], row[2]
        labels.add(label)
        start = seconds_in(row[1], item)
        if row[3] == split:
            clips.append(ListedClip(ytid, start, start + CLIP_SECONDS, label))
    return clips, sorted(labels)
