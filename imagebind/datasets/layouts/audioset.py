"""AudioSet: a list of segments of videos on YouTube, and a folder of the clips that somebody downloaded."""

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from imagebind.datasets.layouts.found import Found, files_by_stem, folder_at, found, seconds_in
from imagebind.datasets.pairs import Pair
from imagebind.errors import MediaError
from imagebind.modality import ModalityType

PATTERN = "{ytid}_{start:g}"  # "--PJHxphWEs_30"
Folder = str | os.PathLike[str]


class Segment(NamedTuple):
    """A line of the list: a video, from when to when in seconds, and its labels ("/m/09x0r")."""

    ytid: str
    start: float
    end: float
    labels: tuple[str, ...]


def audioset(
    segments: Folder,
    clips: Folder,
    *,
    pattern: str = PATTERN,
    sound: Folder | None = None,
    cut: bool = True,
) -> Found:
    """Video and its sound for each segment of a list such as `balanced_train_segments.csv`.

    Args:
        clips: folder of the videos, with folders within or not.
        pattern: a clip's name without its suffix; of {ytid}, {start} and {end} in seconds, {start_ms} and
            {end_ms}, with Python's formats, as in "{ytid}_{start:.3f}".
        sound: folder of the sound in files of its own, named alike; by default the videos' own tracks.
        cut: whether a file holds its segment alone; else it is the whole video.

    Raises:
        MediaError: a list that cannot be read, or no clip of it is there.
        ValueError: a pattern with another field.
    """
    pictures = files_by_stem(folder_at(clips))
    sounds = pictures if sound is None else files_by_stem(folder_at(sound))
    pairs, missing = [], []
    for segment in read_segments(segments):
        stem = _name(pattern, segment)
        absent = [
            str(Path(folder) / f"{stem}.*")
            for folder, files in ((clips, pictures), (sound, sounds))
            if folder is not None and stem not in files
        ]
        missing += absent
        if not absent:
            pairs.append(
                Pair(
                    vision={"video": pictures[stem]},
                    other={"audio": sounds[stem]},
                    modality=ModalityType.AUDIO,
                    name=f"AudioSet {stem}",
                    span=None if cut else (segment.start, segment.end),
                )
            )
    return found("AudioSet", clips, pairs, missing)


def read_segments(path: Folder) -> Iterator[Segment]:
    """The lines of a list of segments; those that start with # are its head.

    Raises:
        MediaError: no such file, or a line that is no segment.
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
        place = f"{path}, line {number}"
        row = next(csv.reader([line], skipinitialspace=True))
        if len(row) < 4:
            raise MediaError(place, got=f"{len(row)} columns", expected="YTID, start, end, labels")
        start, end = (seconds_in(text, place) for text in row[1:3])
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
