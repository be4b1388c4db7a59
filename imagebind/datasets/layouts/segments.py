"""Read the segments of videos that a data set lists; a file contains its segment or the whole video.

A file with the start in its name, such as <id>_30.wav, contains the segment. So does a file that is named by
the id alone, unless it lasts over 2 s longer: then it contains the whole video.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from imagebind.datasets.labelled import LazyItem
from imagebind.errors import MediaError
from imagebind.media.audio_file import open_audio
from imagebind.media.video_file import probe_video
from imagebind.modality import MediaKind

CUT_TOLERANCE_SECONDS = 2.0  # ours: cutting at the next keyframe and an encoder's padding add less


def segment_item(path: Path, ytid: str, start: float | None, end: float | None, media: MediaKind) -> Any:
    """Return an audio or video file as an item; for the audio of a whole video, an item of its segment.

    Raises:
        MediaError: a whole video ends before the segment starts, or is used as video, which cannot be cut.
    """
    whole = {media.value: path}
    if start is None or end is None or path.stem not in (ytid, f"Y{ytid}"):
        return whole
    try:
        seconds = _duration(path, media)
    except MediaError:
        return whole  # embedding it raises the error
    if seconds <= end - start + CUT_TOLERANCE_SECONDS:
        return whole
    segment = f"the segment from {start:g} to {end:g} s"
    if media is not MediaKind.AUDIO:
        raise MediaError(str(path), got=f"a file of {seconds:.1f} s", expected=f"{segment} alone")
    if seconds <= start:
        raise MediaError(
            str(path), got=f"a file of {seconds:.1f} s", expected=f"{segment}, or the whole video"
        )
    return LazyItem(load=partial(_audio_between, path, start, end), sources=(path, start, end))


def cut_notes(items: Sequence[Any]) -> list[str]:
    """Return a note with the number of segments that are cut from whole videos, if there are any."""
    cut = sum(isinstance(item, LazyItem) for item in items)
    return (
        [f"{cut:,} of {len(items):,} files contain the whole video: only its segment is used"] if cut else []
    )


def _duration(path: Path, media: MediaKind) -> float:
    if media is not MediaKind.AUDIO:
        return probe_video(path).duration
    with open_audio(path) as recording:
        return recording.samples / recording.rate


def _audio_between(path: Path, start: float, end: float) -> dict[str, Any]:
    """Return the audio from start to end, or to the end of the file, as an item."""
    with open_audio(path) as recording:
        first = round(start * recording.rate)
        waveform = recording.read(first, min(round(end * recording.rate), recording.samples))
        recording.check_losses()
        return {"audio": waveform, "rate": recording.rate}
