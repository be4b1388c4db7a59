"""Stretches of time that a video and another recording of the same moment share, and masks on sound."""

import math

import numpy as np
from torch import Tensor

from imagebind.errors import MediaError
from imagebind.modality import MediaKind
from imagebind.training.pairs import Pair
from imagebind.transforms.audio_file import open_audio
from imagebind.transforms.intake import Request
from imagebind.transforms.source import is_source
from imagebind.transforms.video_file import probe_video

FREQUENCY_MASK = 12  # mel bins at most (paper)

Window = tuple[float, float]


def shared_stretch(pair: Pair, vision: Request, other: Request) -> Window:
    """From when to when both recordings last, on the vision's clock, within the pair's span.

    A still lasts for ever. Of a motion recording the length is not looked up, for that would be reading it
    twice; a window beyond it is refused when it is read.

    Raises:
        MediaError: they have no time in common, or one cannot be read.
    """
    low, high = (0.0, math.inf) if pair.span is None else pair.span
    if vision.kind is MediaKind.VIDEO:
        high = min(high, seconds_of(vision))
    if other.kind is MediaKind.AUDIO and not _same_file(vision, other):
        low, high = max(low, -pair.offset), min(high, seconds_of(other) - pair.offset)
    if not low < high:
        raise MediaError(
            pair.name,
            seen=f"nothing between {low:.4g} and {high:.4g} s",
            wanted="a moment in both recordings",
        )
    return low, high


def seconds_of(request: Request) -> float:
    """How long a video or a sound is; files are looked through, not decoded, where their format allows it.

    Raises:
        MediaError: it cannot be read, or a clip that was cut before.
    """
    payload = request.payload
    if request.kind is MediaKind.VIDEO:
        if is_source(payload):
            return probe_video(payload).duration
        frames, rate = payload if isinstance(payload, tuple) else (payload, request.options.get("fps"))
        if rate is None:
            raise MediaError(
                request.name, seen="a clip without a clock", wanted="a video file, or frames and their fps"
            )
        return len(frames) / float(rate)
    rate = request.options.get("rate")
    with open_audio(payload if rate is None else (payload, rate)) as recording:
        return recording.samples / recording.rate


def window_in(stretch: Window, seconds: float, rng: np.random.Generator | None) -> Window:
    """A window of some length at a random place of a stretch, or without `rng` in its middle.

    In a stretch that is shorter it starts where that starts, and ends after it. A stretch without end counts
    as its first window.
    """
    low, high = stretch
    room = max(high - low - seconds, 0.0) if high < math.inf else 0.0
    start = low + room * (0.5 if rng is None else rng.random())
    return start, start + seconds


def around(window: Window, seconds: float, *, earliest: float = 0.0) -> Window:
    """A window of another length with the same middle, moved so that it starts no earlier than `earliest`."""
    start = max((window[0] + window[1] - seconds) / 2, earliest)
    return start, start + seconds


def mask_frequencies(clips: Tensor, rng: np.random.Generator, *, most: int = FREQUENCY_MASK) -> Tensor:
    """Set a band of 0 to `most` mel bins to 0, the mean of what was normalised: (..., mel, t) -> the same.

    Source: SpecAugment (arXiv 1904.08779), one mask.
    """
    bins = clips.shape[-2]
    width = int(rng.integers(min(most, bins) + 1))
    first = int(rng.integers(bins - width + 1))
    masked = clips.clone()
    masked[..., first : first + width, :] = 0
    return masked


def _same_file(vision: Request, other: Request) -> bool:
    """Whether the sound is the video's own track."""
    if vision.payload is other.payload:
        return True
    return is_source(vision.payload) and is_source(other.payload) and vision.payload == other.payload
