"""Kinetics-400: a table of clips for each split, and the clips in one folder, or in folders of classes."""

import os
from dataclasses import replace
from typing import Any

from imagebind.datasets.labelled import LabelledSet
from imagebind.datasets.layouts.clips import ListedClip, clips_in_folders, labelled_clips
from imagebind.datasets.layouts.folders import has_class_folders
from imagebind.datasets.layouts.found import file_below, folder_at, seconds_in
from imagebind.datasets.layouts.sound import has_audio, video_item, video_with_audio
from imagebind.datasets.tables import numbered_rows
from imagebind.modality import MediaKind

COLUMNS = ("label", "youtube_id", "time_start", "time_end")
SPLITS = {  # split: its names in files and tables
    "val": ("val", "validate"),
    "test": ("test",),
    "train": ("train",),
}
TABLES = ("annotations/{}.csv", "{}.csv", "kinetics400_{}.csv", "kinetics_400_{}.csv")
AUDIO_WEIGHT = 0.05  # the paper's for MSR-VTT


def kinetics400(root: str | os.PathLike[str], *, split: str = "val") -> LabelledSet:
    """Return the clips of a split with their classes, as listed in the first of `TABLES` that exists.

    Without a table, it reads <root>/<split>/<class>/<file>.

    Raises:
        MediaError: the folder or the table is missing, or the table is damaged or empty.
        ValueError: the split is unknown.
    """
    if split not in SPLITS:
        raise ValueError(f"split: expected one of {', '.join(SPLITS)}, got {split!r}")
    root = folder_at(root)
    tables = [form.format(name) for name in SPLITS[split] for form in TABLES]
    if not any((root / name).is_file() for name in tables) and has_class_folders(root / split):
        return clips_in_folders(root / split, MediaKind.VIDEO)
    table = file_below(root, tables)
    clips = []
    for number, row in numbered_rows(table, COLUMNS):
        item = f"{table}, line {number}"
        if row.get("split", split) not in SPLITS[split]:
            continue
        start, end = (seconds_in(row[column], item) for column in COLUMNS[2:])
        clips.append(ListedClip(row["youtube_id"], start, end, row["label"]))
    return labelled_clips(root, clips, sorted({clip.label for clip in clips}), MediaKind.VIDEO)


def kinetics400_with_sound(
    root: str | os.PathLike[str],
    *,
    split: str = "val",
    audio_weight: float = AUDIO_WEIGHT,
    video_clips: int = 5,
    crops: int = 3,
    audio_clips: int = 5,
) -> LabelledSet:
    """Return the clips of a split; a clip's audio is added to its video with a weight.

    Of a clip without an audio track, only the video is used; a note states the number of these clips.

    Raises:
        MediaError, ValueError: as `kinetics400`, or a weight that is not between 0 and 1.
    """
    found = kinetics400(root, split=split)
    items, silent = [], 0
    item: Any
    for each in found.items:
        path = each.item["video"]
        if has_audio(path):
            item = video_with_audio(
                path, path, audio_weight, video_clips=video_clips, crops=crops, audio_clips=audio_clips
            )
        else:
            silent += 1
            item = video_item(path, video_clips, crops)
        items.append(replace(each, item=item))
    notes = [f"{silent:,} of {len(items):,} clips have no audio track: their video alone is used"]
    return replace(found, items=items, notes=notes if silent else [])
