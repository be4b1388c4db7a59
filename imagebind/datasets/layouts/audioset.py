"""AudioSet: a list of segments of YouTube videos, and a folder of downloaded clips."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from imagebind.datasets.labelled import LabelledItem, LabelledSet
from imagebind.datasets.layouts.clips import (
    clip_file,
    clip_stems,
    clips_in_folders,
    label_classes,
    recordings,
)
from imagebind.datasets.layouts.folders import has_class_folders
from imagebind.datasets.layouts.found import (
    Found,
    check_span,
    file_below,
    files_by_stem,
    folder_at,
    found_pairs,
    seconds_in,
)
from imagebind.datasets.layouts.segments import cut_notes, segment_item
from imagebind.datasets.pairs import Pair
from imagebind.datasets.tables import StrPath, numbered_cells, table_at
from imagebind.errors import MediaError
from imagebind.modality import MediaKind, ModalityType

SPLITS = ("eval", "balanced_train", "unbalanced_train")
TABLE_FOLDERS = ("", "metadata/", "csv/")  # below the root
CLASS_COLUMNS = ("index", "mid", "display_name")
NAME_WITH_ID = re.compile(r"Y?[\w-]{11}(_[\d.]+)*\.\w+")  # "--PJHxphWEs_30_40.wav"
CLIP_NAME_PATTERN = "{ytid}_{start:g}"  # "--PJHxphWEs_30"


class Segment(NamedTuple):
    """A line of the list: a video, the start and end in seconds, and its labels ("/m/09x0r")."""

    ytid: str
    start: float
    end: float
    labels: tuple[str, ...]


def audioset(
    segments: StrPath,
    clips: StrPath,
    *,
    pattern: str = CLIP_NAME_PATTERN,
    sound: StrPath | None = None,
    cut: bool = True,
) -> Found:
    """Return pairs of video and audio for the segments of a list such as `balanced_train_segments.csv`.

    Args:
        clips: folder of the videos, searched recursively.
        pattern: a clip's name without its suffix, with the fields {ytid}, {start} and {end} in seconds,
            {start_ms} and {end_ms}, and Python's format specifications, as in "{ytid}_{start:.3f}".
        sound: folder of separate audio files with the same names; by default the videos' own tracks.
        cut: whether a file contains only its segment; otherwise it is the whole video.

    Raises:
        MediaError: a folder does not exist, the list cannot be read, or none of its clips exists.
        ValueError: the pattern has an unknown field or an invalid format.
    """
    video_files = files_by_stem(folder_at(clips))
    audio_files = video_files if sound is None else files_by_stem(folder_at(sound))
    pairs, missing = [], []
    for segment in read_segments(segments):
        stem = _name(pattern, segment)
        absent = [
            str(Path(folder) / f"{stem}.*")
            for folder, files in ((clips, video_files), (sound, audio_files))
            if folder is not None and stem not in files
        ]
        missing += absent
        if not absent:
            pairs.append(
                Pair(
                    vision={"video": video_files[stem]},
                    other={"audio": audio_files[stem]},
                    modality=ModalityType.AUDIO,
                    name=f"AudioSet {stem}",
                    span=None if cut else (segment.start, segment.end),
                )
            )
    return found_pairs("AudioSet", clips, pairs, missing)


def audioset_clips(root: StrPath, *, split: str = "eval") -> LabelledSet:
    """Return the audio of a split's clips with all their classes.

    Reads <split>_segments.csv and class_labels_indices.csv. The clips may be in any folder, one file for each
    segment, named by the video's id, optionally with the start and end. A file named by the id alone that
    lasts over 2 s longer than the segment is the whole video: the segment is cut from its audio. Without the
    table of segments, reads <root>/<split>/<class>/<file>, where a clip of several classes is in the folder
    of each, with the same name, which contains the video's id.

    Raises:
        MediaError: the folder or a table is missing, or a table is damaged.
        ValueError: the split is unknown.
    """
    if split not in SPLITS:
        raise ValueError(f"split: expected one of {', '.join(SPLITS)}, got {split!r}")
    root = folder_at(root)
    segment_tables, class_tables = (
        [f"{folder}{name}" for folder in TABLE_FOLDERS]
        for name in (f"{split}_segments.csv", "class_labels_indices.csv")
    )
    if has_class_folders(root / split) and not any((root / name).is_file() for name in segment_tables):
        return _clips_in_folders(root / split)
    table, indices = file_below(root, segment_tables), file_below(root, class_tables)
    rows = table_at(indices, CLASS_COLUMNS)
    number_of = {row["mid"]: number for number, row in enumerate(rows)}
    files = recordings(root, MediaKind.AUDIO)
    items, missing, damaged = [], [], []
    for segment in read_segments(table):
        if unknown := [label for label in segment.labels if label not in number_of]:
            raise MediaError(
                f"{table}, segment {segment.ytid}", got=repr(unknown[0]), expected=f"a label of {indices}"
            )
        path = clip_file(files, *segment[:3])
        if path is None:
            missing.append(str(root / "**" / f"{clip_stems(segment.ytid)[0]}.*"))
            continue
        try:
            item = segment_item(path, *segment[:3], MediaKind.AUDIO)
        except MediaError as error:
            damaged.append(str(error))
            continue
        labels = tuple(number_of[label] for label in segment.labels)
        items.append(LabelledItem(item=item, name=path.name, labels=labels))
    return LabelledSet(
        classes=label_classes([row["display_name"] for row in rows]),
        items=items,
        missing=missing,
        damaged=damaged,
        notes=cut_notes([each.item for each in items]),
    )


def _clips_in_folders(folder: Path) -> LabelledSet:
    """Return the clips in class folders; files with the same name, if it has an id, are one clip."""
    labelled = clips_in_folders(folder, MediaKind.AUDIO)
    clips: dict[str, LabelledItem] = {}
    for each in labelled.items:
        name = each.item["audio"].name
        key = name if NAME_WITH_ID.fullmatch(name) else each.name
        labels = (*clips[key].labels, *each.labels) if key in clips else each.labels
        clips[key] = replace(clips.get(key, each), labels=labels)
    return replace(labelled, items=[*clips.values()])


def read_segments(path: StrPath) -> Iterator[Segment]:
    """Yield the segments of a list; blank lines and lines that start with # are left out.

    Raises:
        MediaError: the file cannot be read, or a line is not a segment.
    """
    for number, row in numbered_cells(path, "a list of segments (CSV)"):
        item = f"{path}, line {number}"
        if len(row) < 4:
            raise MediaError(item, got=f"{len(row)} columns", expected="the columns YTID, start, end, labels")
        start, end = (seconds_in(text, item) for text in row[1:3])
        check_span(start, end, item)
        yield Segment(row[0], start, end, tuple(row[3].split(",")))


def _name(pattern: str, segment: Segment) -> str:
    fields = {
        "ytid": segment.ytid,
        "start": segment.start,
        "end": segment.end,
        "start_ms": round(1000 * segment.start),
        "end_ms": round(1000 * segment.end),
    }
    try:
        return pattern.format(**fields)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"pattern: expected fields of {', '.join(fields)}, got {pattern!r} ({error})"
        ) from error
