"""Clips of YouTube videos: the names that downloaders give their files, and lists of clips with classes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from imagebind.datasets.labelled import ClassNames, LabelledItem, LabelledSet
from imagebind.datasets.layouts.folders import class_folders, items_in_folders
from imagebind.datasets.layouts.segments import cut_notes, segment_item
from imagebind.errors import MediaError
from imagebind.modality import MediaKind

VIDEO_SUFFIXES = (".mp4", ".mkv", ".webm", ".avi", ".mov")
AUDIO_SUFFIXES = (".wav", ".flac", ".mp3", ".m4a", ".ogg", ".opus", ".aac")
SUFFIXES = {  # in order of preference; the audio of a video is read from its file
    MediaKind.VIDEO: VIDEO_SUFFIXES,
    MediaKind.AUDIO: AUDIO_SUFFIXES + VIDEO_SUFFIXES,
}


class ListedClip(NamedTuple):
    """A clip of a list: the id of its video, its start and end in seconds if stated, and its class."""

    ytid: str
    start: float | None
    end: float | None
    label: str


def recordings(folder: Path, media: MediaKind) -> dict[str, Path]:
    """Return the video files below a folder, or its audio and video files, by name without suffix.

    If a name repeats, the file whose suffix comes first in `SUFFIXES` is used, then the first by path.
    """
    suffixes = SUFFIXES[media]
    paths = [path for path in folder.rglob("*") if path.suffix.lower() in suffixes]
    stems: dict[str, Path] = {}
    for path in sorted(paths, key=lambda path: (suffixes.index(path.suffix.lower()), path)):
        stems.setdefault(path.stem, path)
    return stems


def clip_stems(ytid: str, start: float | None = None, end: float | None = None) -> list[str]:
    """Return the names without suffix that downloaders give a clip.

    The most specific is first; after all of them, the same with "Y" before the id.
    """
    stems = []
    if start is not None and end is not None:
        stems += [f"{ytid}_{start:06.0f}_{end:06.0f}", f"{ytid}_{start:g}_{end:g}"]
        stems += [f"{ytid}_{start:.3f}_{end:.3f}", f"{ytid}_{1000 * start:.0f}_{1000 * end:.0f}"]
    if start is not None:
        stems += [f"{ytid}_{start:06.0f}", f"{ytid}_{start:g}", f"{ytid}_{1000 * start:.0f}"]
    return [*stems, ytid, *(f"Y{stem}" for stem in (*stems, ytid))]


def clip_file(
    files: Mapping[str, Path], ytid: str, start: float | None = None, end: float | None = None
) -> Path | None:
    """Return the file of a clip among `recordings`, or None."""
    return next((files[stem] for stem in clip_stems(ytid, start, end) if stem in files), None)


def labelled_clips(
    root: Path, clips: Sequence[ListedClip], labels: Sequence[str], media: MediaKind
) -> LabelledSet:
    """Return the clips of a list whose files are below a folder, with all classes of the data set.

    Raises:
        MediaError: the list is empty.
    """
    if not clips:
        raise MediaError(str(root), got="an empty one", expected="a list of the clips of the split")
    number_of = {label: number for number, label in enumerate(labels)}
    files = recordings(root, media)
    items, missing, damaged = [], [], []
    for clip in clips:
        path = clip_file(files, *clip[:3])
        if path is None:
            missing.append(str(root / "**" / f"{clip_stems(*clip[:3])[0]}.*"))
            continue
        try:
            item = segment_item(path, *clip[:3], media)
        except MediaError as error:
            damaged.append(str(error))
            continue
        items.append(LabelledItem(item=item, name=path.name, labels=(number_of[clip.label],)))
    notes = cut_notes([each.item for each in items])
    return LabelledSet(
        classes=label_classes(labels), items=items, missing=missing, damaged=damaged, notes=notes
    )


def clips_in_folders(folder: Path, media: MediaKind) -> LabelledSet:
    """Return the clips in <folder>/<class>/; the classes are the names of the folders.

    Raises:
        MediaError: there are no files.
    """
    labels = [path.name for path in class_folders(folder)]
    number_of = {label: number for number, label in enumerate(labels)}
    items = items_in_folders(folder, number_of, lambda path: {media.value: path})
    return LabelledSet(classes=label_classes(labels), items=items)


def label_classes(labels: Sequence[str]) -> list[ClassNames]:
    """Return a class for each label; its name for prompts is the label with spaces for underscores."""
    return [ClassNames(label=label, names=(label.replace("_", " "),)) for label in labels]
