"""AudioSet: a list of segments of YouTube videos, and a folder of downloaded clips."""

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from imagebind.datasets.layouts.found import Found, files_by_stem, folder_at, found, seconds_in
from imagebind.datasets.pairs import Pair
from imagebind.errors import MediaError
from imagebind.modality import ModalityType

CLIP_NAME_PATTERN = "{ytid}_{start:g}"  # "--PJHxphWEs_30"
Folder = str | os.PathLike[str]


class Segment(NamedTuple):
    """A line of the list: a video, the start and end in seconds, and its labels ("/m/09x0r")."""

    ytid: str
    start: float
    end: float
    labels: tuple[str, ...]


def audioset(
    segments: Folder,
    clips: Folder,
    *,
    pattern: str = CLIP_NAME_PATTERN,
    sound: Folder | None = None,
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
        MediaError: the list cannot be read, or none of its clips exists.
        ValueError: the pattern has an unknown field.
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
    return found("AudioSet", clips, pairs, missing)


def read_segments(path: Folder) -> Iterator[Segment]:
    """Yield the segments of a list; lines that start with # are its header.

    Raises:
        MediaError: the file cannot be read, or a line is not a segment.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise MediaError(
            str(path), got=f"cannot be read ({error})", expected="a list of segments (CSV)"
        ) from error
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        item = f"{path}, line {number}"
        row = next(csv.reader([line], skipinitialspace=True))
        if len(row) < 4:
            raise MediaError(item, got=f"{len(row)} columns", expected="YTID, start, end, labels")
        start, end = (seconds_in(text, item) for text in row[1:3])
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
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(f"pattern: expected fields of {', '.join(fields)}, got {pattern!r}") from error
