"""The audio tracks of videos: whether there is one, and a video together with its audio."""

from pathlib import Path
from typing import Any

from imagebind.datasets.labelled import WeightedItems
from imagebind.errors import MediaError
from imagebind.media.video_file import probe_video


def has_audio(path: Path) -> bool:
    """Whether a video has an audio track; True for a damaged file, so that embedding it raises its error."""
    try:
        return probe_video(path).has_audio
    except MediaError:
        return True


def video_with_audio(
    video: Path, audio: Path, weight: float, *, video_clips: int, crops: int, audio_clips: int
) -> WeightedItems:
    """Return a video and its audio as one weighted item: audio by `weight`, video by 1 - `weight`.

    Raises:
        ValueError: the weight is not between 0 and 1.
    """
    if not 0 < weight < 1:
        raise ValueError(f"audio_weight: expected a number between 0 and 1, got {weight}")
    return WeightedItems(
        parts=(
            (video_item(video, video_clips, crops), 1 - weight),
            (audio_item(audio, audio_clips), weight),
        )
    )


def video_item(video: Path, clips: int, crops: int) -> dict[str, Any]:
    """Return a video as an item with its numbers of clips and crops."""
    return {"video": video, "clips": clips, "crops": crops}


def audio_item(audio: Path, clips: int) -> dict[str, Any]:
    """Return an audio file, or a video's audio, as an item with its number of clips."""
    return {"audio": audio, "clips": clips}
