"""MSR-VTT: videos with the captions of MSRVTT_JSFUSION_test.csv, or those of MSRVTT_data.json.

The CSV is the split 1k-A with a caption of each of 1,000 videos. The JSON has 20 captions of each video, and
the data set's own test split, of 2,990 videos.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

from imagebind.datasets.labelled import RetrievalSet
from imagebind.datasets.layouts.captions import captioned
from imagebind.datasets.layouts.clips import recordings
from imagebind.datasets.layouts.found import file_below, folder_at
from imagebind.datasets.layouts.sound import audio_item, has_audio, video_item, video_with_audio
from imagebind.datasets.tables import json_at, table_at
from imagebind.errors import MediaError
from imagebind.modality import MediaKind

COLUMNS = ("video_id", "sentence")
TABLE = "MSRVTT_JSFUSION_test.csv"
FOLDERS = ("", "annotation/", "annotations/", "csv/", "msrvtt_data/")
JSON_TABLES = ("MSRVTT_data.json", "test_videodatainfo.json")
EXPECTED_JSON = 'JSON with "videos" (video_id, split) and "sentences" (video_id, caption)'
ONE_K, FULL = "1k-A", "full"
SPLITS = (ONE_K, FULL)
AUDIO_WEIGHT = 0.05  # the paper's
SILENT_OPTIONS = ("leave_out", "silence")  # for videos without an audio track
SILENCE = {"audio": np.zeros((1, 32_000), dtype=np.float32), "rate": 16_000}  # 2 s


def msrvtt_video(
    root: str | os.PathLike[str],
    *,
    split: str = ONE_K,
    captions: int = 1,
    video_clips: int = 5,
    crops: int = 3,
) -> RetrievalSet:
    """Return the captions as queries, and the videos.

    Args:
        split: "1k-A", the videos of the CSV, or "full", the test split of the JSON.
        captions: use this many captions of each video, from the first on. For 1k-A, one caption is taken from
            the CSV, several are taken from the JSON.

    Raises:
        MediaError: the folder or a table is missing, or a table is damaged or empty.
        ValueError: the split is unknown, or `captions` is less than 1.
    """
    root = folder_at(root)
    texts, videos, missing = _read(root, split, captions)
    items = {name: video_item(path, video_clips, crops) for name, path in videos.items()}
    return captioned(root, items, texts, missing=missing)


def msrvtt_audio(
    root: str | os.PathLike[str],
    *,
    split: str = ONE_K,
    captions: int = 1,
    silent: str = "leave_out",
    audio_clips: int = 5,
) -> RetrievalSet:
    """Return the captions as queries, and the audio of the videos; a note states the number of silent videos.

    Args:
        split, captions: as for `msrvtt_video`.
        silent: "leave_out" leaves out videos without an audio track and their captions; "silence" embeds two
            seconds of zeros for each. Silent videos have equal scores, and ties count as misses: if there are
            several, their captions never find them first.

    Raises:
        MediaError: the folder or a table is missing, or a table is damaged or empty.
        ValueError: an unknown split or value of `silent`, or `captions` is less than 1.
    """
    if silent not in SILENT_OPTIONS:
        raise ValueError(f"silent: expected one of {', '.join(SILENT_OPTIONS)}, got {silent!r}")
    root = folder_at(root)
    texts, videos, missing = _read(root, split, captions)
    items: dict[str, Any] = {}
    num_silent = 0
    for name, path in videos.items():
        if has_audio(path):
            items[name] = audio_item(path, audio_clips)
            continue
        num_silent += 1
        if silent == "silence":
            items[name] = SILENCE
    how = "their captions are left out" if silent == "leave_out" else "silence is embedded"
    notes = [f"{num_silent:,} of {len(videos):,} videos have no audio track: {how}"]
    return captioned(root, items, texts, missing=missing, notes=notes if num_silent else [])


def msrvtt_audio_video(
    root: str | os.PathLike[str],
    *,
    split: str = ONE_K,
    captions: int = 1,
    audio_weight: float = AUDIO_WEIGHT,
    video_clips: int = 5,
    crops: int = 3,
    audio_clips: int = 5,
) -> RetrievalSet:
    """Return the captions as queries, and the videos with their audio added by weight.

    Of a video without an audio track, only the video is used; a note states the number of these. The
    arguments `split` and `captions` are those of `msrvtt_video`.

    Raises:
        MediaError: the folder or a table is missing, or a table is damaged or empty.
        ValueError: the split is unknown, `captions` is less than 1, or the weight is not between 0 and 1.
    """
    root = folder_at(root)
    texts, videos, missing = _read(root, split, captions)
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
    return captioned(root, items, texts, missing=missing, notes=notes if silent else [])


def _read(root: Path, split: str, captions: int) -> tuple[list[tuple[str, str]], dict[str, Path], list[str]]:
    """Return the captions of videos, the files of the videos, and the missing files."""
    if split not in SPLITS:
        raise ValueError(f"split: expected one of {', '.join(SPLITS)}, got {split!r}")
    if captions < 1:
        raise ValueError(f"captions: expected at least 1, got {captions}")
    if split == ONE_K:
        table = file_below(root, [f"{folder}{TABLE}" for folder in FOLDERS])
        texts = [(row["video_id"], row["sentence"]) for row in table_at(table, COLUMNS)]
        names = [*dict.fromkeys(name for name, _ in texts)]
    if split == FULL or captions > 1:
        test_names, texts_of = _captions_of_json(root)
        names = test_names if split == FULL else names
        texts = [(name, text) for name in names for text in texts_of.get(name, [])[:captions]]
    files = recordings(root, MediaKind.VIDEO)
    missing = [str(root / "**" / f"{name}.mp4") for name in names if name not in files]
    return texts, {name: files[name] for name in names if name in files}, missing


def _captions_of_json(root: Path) -> tuple[list[str], dict[str, list[str]]]:
    """Return the videos of the test split, and the captions of all videos in the order of their ids."""
    table = file_below(root, [f"{folder}{name}" for name in JSON_TABLES for folder in FOLDERS])
    content = json_at(table, EXPECTED_JSON)
    texts_of: dict[str, list[str]] = {}
    try:
        names = [each["video_id"] for each in content["videos"] if each.get("split", "test") == "test"]
        for each in sorted(content["sentences"], key=lambda each: int(each.get("sen_id", 0))):
            texts_of.setdefault(each["video_id"], []).append(str(each["caption"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        got = f"a file that cannot be read ({type(error).__name__}: {error})"
        raise MediaError(str(table), got=got, expected=EXPECTED_JSON) from error
    if uncaptioned := [name for name in names if name not in texts_of]:
        raise MediaError(
            str(table), got=f"a file without a caption of {uncaptioned[0]}", expected=EXPECTED_JSON
        )
    return names, texts_of
