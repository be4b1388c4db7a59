"""MSR-VTT, the split 1k-A: MSRVTT_JSFUSION_test.csv with a caption of each video, and the videos."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from imagebind.datasets.labelled import RetrievalSet
from imagebind.datasets.layouts.captions import captioned
from imagebind.datasets.layouts.clips import recordings
from imagebind.datasets.layouts.found import file_below, folder_at
from imagebind.datasets.layouts.sound import audio_item, has_audio, video_item, video_with_audio
from imagebind.datasets.tables import table_at
from imagebind.modality import MediaKind

COLUMNS = ("video_id", "sentence")
TABLE = "MSRVTT_JSFUSION_test.csv"
TABLES = (TABLE, f"annotation/{TABLE}", f"annotations/{TABLE}", f"csv/{TABLE}", f"msrvtt_data/{TABLE}")
AUDIO_WEIGHT = 0.05
SILENT = ("leave_out", "silence")
SILENCE = {"audio": np.zeros((1, 32_000), dtype=np.float32), "rate": 16_000}  # 2 s


def msrvtt_video(root: str | os.PathLike[str], *, video_clips: int = 5, crops: int = 3) -> RetrievalSet:
    """Return the captions as queries, and the videos.

    Raises:
        MediaError: the table is missing or damaged.
    """
    root = folder_at(root)
    captions, videos, missing = _read(root)
    items = {name: video_item(path, video_clips, crops) for name, path in videos.items()}
    return captioned(root, items, captions, missing=missing)


def msrvtt_audio(
    root: str | os.PathLike[str], *, silent: str = "leave_out", audio_clips: int = 5
) -> RetrievalSet:
    """Return the captions as queries, and the audio of the videos; a note has the number of silent videos.

    Args:
        silent: "leave_out" leaves out videos without an audio track and their captions; "silence" embeds two
            seconds of zeros for each. As equal scores count as misses, their captions find nothing then.

    Raises:
        MediaError: the table is missing or damaged.
        ValueError: an unknown value of `silent`.
    """
    if silent not in SILENT:
        raise ValueError(f"silent: expected one of {', '.join(SILENT)}, got {silent!r}")
    root = folder_at(root)
    captions, videos, missing = _read(root)
    items: dict[str, Any] = {}
    count = 0
    for name, path in videos.items():
        if has_audio(path):
            items[name] = audio_item(path, audio_clips)
            continue
        count += 1
        if silent == "silence":
            items[name] = SILENCE
    how = "their captions are left out" if silent == "leave_out" else "silence is embedded"
    notes = [f"{count:,} of {len(videos):,} videos have no audio track: {how}"]
    return captioned(root, items, captions, missing=missing, notes=notes if count else [])


def msrvtt_audio_video(
    root: str | os.PathLike[str],
    *,
    audio_weight: float = AUDIO_WEIGHT,
    video_clips: int = 5,
    crops: int = 3,
    audio_clips: int = 5,
) -> RetrievalSet:
    """Return the captions as queries, and the videos with their audio added by weight.

    A video without an audio track is used alone; a note has the number of these.

    Raises:
        MediaError: the table is missing or damaged.
        ValueError: the weight is not between 0 and 1.
    """
    root = folder_at(root)
    captions, videos, missing = _read(root)
    items: dict[str, Any] = {}
    silent = 0
    for name, path in videos.items():
        if has_audio(path):
            items[name] = video_with_audio(
                path, path, audio_weight, video_clips=video_clips, crops=crops, audio_clips=audio_clips
            )
        else:
            items[name] = video_item(path, video_clips, crops)
            silent += 1
    notes = [f"{silent:,} of {len(videos):,} videos have no audio track: their video alone is used"]
    return captioned(root, items, captions, missing=missing, notes=notes if silent else [])


def _read(root: Path) -> tuple[list[tuple[str, str]], dict[str, Path], list[str]]:
    """Return the captions of videos, the files of the videos, and the missing files."""
    captions = [
        (row["video_id"], row["sentence"] or "") for row in table_at(file_below(root, TABLES), COLUMNS)
    ]
    files = recordings(root, MediaKind.VIDEO)
    names = list(dict.fromkeys(name for name, _ in captions))
    missing = [str(root / "**" / f"{name}.mp4") for name in names if name not in files]
    return captions, {name: files[name] for name in names if name in files}, missing
