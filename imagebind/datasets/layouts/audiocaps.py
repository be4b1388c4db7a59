"""AudioCaps: a table of captions for each split, and clips of 10 s of YouTube videos in any folder."""

import os
from typing import Any

from imagebind.datasets.labelled import RetrievalSet
from imagebind.datasets.layouts.captions import captioned
from imagebind.datasets.layouts.clips import clip_file, clip_stems, recordings
from imagebind.datasets.layouts.found import file_below, folder_at, seconds_in
from imagebind.datasets.layouts.segments import cut_notes, segment_item
from imagebind.datasets.tables import lines_at, numbered_rows
from imagebind.errors import MediaError
from imagebind.modality import MediaKind

COLUMNS = ("audiocap_id", "youtube_id", "start_time", "caption")
SPLITS = ("test", "val", "train")
CLIP_SECONDS = 10.0


def audiocaps(
    root: str | os.PathLike[str],
    *,
    split: str = "test",
    split_file: str | os.PathLike[str] | None = None,
) -> RetrievalSet:
    """Return the captions of a split as queries, five for each clip of the test split, and the clips.

    Reads <split>.csv or dataset/<split>.csv. The file of a clip is <youtube_id>.*, optionally with its start
    and end in the name, or <audiocap_id>.*. A file <youtube_id>.* of over 12 s is the whole video: its clip
    is cut.

    Args:
        split_file: a file with the ids of the videos to use, one a line; by default all of the table.

    Raises:
        MediaError: the folder, the table or `split_file` is missing or damaged, or no caption is left.
        ValueError: the split is unknown.
    """
    if split not in SPLITS:
        raise ValueError(f"split: expected one of {', '.join(SPLITS)}, got {split!r}")
    root = folder_at(root)
    table = file_below(root, [f"{split}.csv", f"dataset/{split}.csv"])
    kept = None if split_file is None else set(lines_at(split_file, "the ids of videos, one a line"))
    files = recordings(root, MediaKind.AUDIO)
    items: dict[str, Any] = {}
    damaged: dict[str, str] = {}
    captions = []
    missing: dict[str, str] = {}
    for number, row in numbered_rows(table, COLUMNS):
        ytid = row["youtube_id"]
        if kept is not None and ytid not in kept:
            continue
        start = seconds_in(row["start_time"], f"{table}, line {number}")
        captions.append((ytid, row["caption"]))
        path = clip_file(files, ytid, start, start + CLIP_SECONDS) or files.get(row["audiocap_id"])
        if ytid in items or ytid in damaged:
            continue
        if path is not None:
            try:
                items[ytid] = segment_item(path, ytid, start, start + CLIP_SECONDS, MediaKind.AUDIO)
            except MediaError as error:
                damaged[ytid] = str(error)
        else:
            missing.setdefault(ytid, str(root / "**" / f"{clip_stems(ytid)[0]}.*"))
    absent = [name for ytid, name in missing.items() if ytid not in items]
    notes = cut_notes([*items.values()])
    return captioned(root, items, captions, missing=absent, damaged=[*damaged.values()], notes=notes)
