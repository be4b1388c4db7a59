"""AVE: Annotations.txt, testSet.txt with some of its lines, and videos of 10 s in AVE/<id>.mp4."""

import os
from pathlib import Path

from imagebind.datasets.labelled import LabelledSet
from imagebind.datasets.layouts.clips import ListedClip, clips_in_folders, labelled_clips
from imagebind.datasets.layouts.folders import has_class_folders
from imagebind.datasets.layouts.found import folder_at
from imagebind.datasets.tables import numbered_lines
from imagebind.errors import MediaError
from imagebind.modality import MediaKind

ANNOTATIONS, HEADER = "Annotations.txt", "Category&VideoID&Quality&StartTime&EndTime"
SPLIT_FILES = {"test": "testSet.txt", "val": "valSet.txt", "train": "trainSet.txt"}


def ave(root: str | os.PathLike[str], *, split: str = "test") -> LabelledSet:
    """Return the audio of a split's videos with their classes.

    Without Annotations.txt, reads <root>/<split>/<class>/<file>.

    Raises:
        MediaError: the folder or a table is missing, or a table is damaged or empty.
        ValueError: the split is unknown.
    """
    root = folder_at(root)
    if split in SPLIT_FILES and has_class_folders(root / split) and not (root / ANNOTATIONS).is_file():
        return clips_in_folders(root / split, MediaKind.AUDIO)
    clips, labels = ave_list(root, split)
    return labelled_clips(root, clips, labels, MediaKind.AUDIO)


def ave_list(root: Path, split: str) -> tuple[list[ListedClip], list[str]]:
    """Return the videos of a split, each once, and the classes of all splits in alphabetical order.

    A line of a split's file is a line of Annotations.txt, or only the id of a video.

    Raises:
        MediaError: a table is missing or damaged.
        ValueError: the split is unknown.
    """
    if split not in SPLIT_FILES:
        raise ValueError(f"split: expected one of {', '.join(SPLIT_FILES)}, got {split!r}")
    label_of = {}
    for number, line in numbered_lines(root / ANNOTATIONS, f"lines of {HEADER}"):
        parts = line.split("&")
        if line == HEADER:
            continue
        if len(parts) != len(HEADER.split("&")):
            raise MediaError(f"{root / ANNOTATIONS}, line {number}", got=repr(line), expected=HEADER)
        label_of[parts[1]] = parts[0]
    listed = root / SPLIT_FILES[split]
    clips: dict[str, ListedClip] = {}
    for number, line in numbered_lines(listed, f"lines of {ANNOTATIONS}, or the ids of videos"):
        parts = line.split("&")
        ytid = parts[1] if len(parts) > 1 else parts[0]
        if line == HEADER:
            continue
        if ytid not in label_of:
            raise MediaError(f"{listed}, line {number}", got=repr(ytid), expected=f"a video of {ANNOTATIONS}")
        clips[ytid] = ListedClip(ytid, None, None, parts[0] if len(parts) > 1 else label_of[ytid])
    return list(clips.values()), sorted({*label_of.values(), *(clip.label for clip in clips.values())})
