"""Time windows that a video and another recording share, and frequency masks on spectrograms."""

import math
import os
from dataclasses import replace
from functools import lru_cache

import numpy as np
from torch import Tensor

from imagebind.datasets.pairs import Pair
from imagebind.errors import MediaError
from imagebind.intake.requests import Request
from imagebind.io.source import is_source
from imagebind.media.audio_file import open_audio
from imagebind.media.imu_recording import ImuRecording, to_recording
from imagebind.media.video_file import probe_video
from imagebind.modality import MediaKind
from imagebind.transforms.imu import IMU_TABLE_OPTIONS, ImuTransform, load_imu

CACHED_DURATIONS = 2**14  # IMU files whose durations are cached, a few MB
IMU_ARRAY_OPTIONS = ("rate", "accel_unit", "gyro_unit", "time_unit")  # options of `to_recording`
FREQUENCY_MASK = 12  # the largest number of masked mel bins. Source: paper

Window = tuple[float, float]


def shared_window(pair: Pair, vision: Request, other: Request) -> Window:
    """Return the seconds that both recordings cover within the pair's span, on the clock of the vision.

    An image covers all times. The length of an IMU recording is not considered: see `imu_seconds`.

    Raises:
        MediaError: the recordings do not overlap, or one cannot be read.
    """
    span = (0.0, math.inf) if pair.span is None else pair.span
    vision_window = (0.0, seconds_of(vision) if vision.kind is MediaKind.VIDEO else math.inf)
    audio_window = (-math.inf, math.inf)
    if other.kind is MediaKind.AUDIO and not _same_file(vision, other):
        audio_window = (-pair.offset, seconds_of(other) - pair.offset)
    vision_window = intersect_windows(span, vision_window, name=pair.name)
    return intersect_windows(vision_window, audio_window, name=pair.name)


def intersect_windows(one: Window, other: Window, *, name: str) -> Window:
    """Return the intersection of two windows.

    Raises:
        MediaError: it is empty; names the pair.
    """
    low, high = max(one[0], other[0]), min(one[1], other[1])
    if not low < high:
        raise MediaError(
            name,
            got=f"a common start at {low:.4g} s and end at {high:.4g} s",
            expected="recordings that overlap in time",
        )
    return low, high


def seconds_of(request: Request) -> float:
    """Return the seconds of a video or audio; files are not decoded if their format states the length.

    Raises:
        MediaError: it cannot be read, or is a clip without a frame rate.
    """
    payload = request.payload
    if request.kind is MediaKind.VIDEO:
        if is_source(payload):
            return probe_video(payload).duration
        frames, rate = payload if isinstance(payload, tuple) else (payload, request.options.get("fps"))
        if rate is None:
            raise MediaError(
                request.name, got="a clip without fps", expected="a video file, or frames and their fps"
            )
        return len(frames) / float(rate)
    rate = request.options.get("rate")
    with open_audio(payload if rate is None else (payload, rate)) as recording:
        return recording.samples / recording.rate


def imu_seconds(request: Request, imu: ImuTransform) -> float:
    """Return the seconds of an IMU recording; those of a file are cached.

    Args:
        imu: the transform that reads it, for its rate, units and limits.

    Raises:
        MediaError: see `load_imu`.
    """
    payload, options = request.payload, dict(request.options)
    if isinstance(payload, ImuRecording):
        return payload.duration
    if isinstance(payload, tuple):
        payload, options["rate"] = payload
    imu = replace(imu, **{name: options[name] for name in IMU_TABLE_OPTIONS if name in options})
    if isinstance(payload, (str, os.PathLike)):
        return _seconds_of_file(os.fspath(payload), imu)
    if is_source(payload):
        return load_imu(payload, **imu.reading).duration
    reading = {name: getattr(imu, name) for name in IMU_ARRAY_OPTIONS}
    timestamps = options.get("timestamps")
    return to_recording(payload, timestamps=timestamps, name=request.name, **reading).duration


def window_in(outer: Window, seconds: float, rng: np.random.Generator | None) -> Window:
    """Return a window of some length at a random position in `outer`, or without `rng` in its middle.

    If `outer` is shorter, the window starts at its start and ends after it. If `outer` has no end, the window
    is at its start.
    """
    low, high = outer
    room = max(high - low - seconds, 0.0) if high < math.inf else 0.0
    start = low + room * (0.5 if rng is None else rng.random())
    return start, start + seconds


def window_around(
    window: Window, seconds: float, *, earliest: float = 0.0, latest: float = math.inf
) -> Window:
    """Return a window of another length with the same middle, moved to lie between `earliest` and `latest`.

    If it is longer than that range, it starts at `earliest`.
    """
    start = min((window[0] + window[1] - seconds) / 2, latest - seconds)
    start = max(start, earliest)
    return start, start + seconds


def mask_frequencies(clips: Tensor, rng: np.random.Generator, *, most: int = FREQUENCY_MASK) -> Tensor:
    """Set a random band of 0 to `most` mel bins to 0, the mean after normalisation: (..., mel, t).

    Source: SpecAugment (arXiv 1904.08779), one mask.
    """
    bins = clips.shape[-2]
    width = int(rng.integers(min(most, bins) + 1))
    first = int(rng.integers(bins - width + 1))
    masked = clips.clone()
    masked[..., first : first + width, :] = 0
    return masked


@lru_cache(maxsize=CACHED_DURATIONS)
def _seconds_of_file(path: str, imu: ImuTransform) -> float:
    return load_imu(path, **imu.reading).duration


def _same_file(vision: Request, other: Request) -> bool:
    """Whether the audio is the video's own track."""
    if vision.payload is other.payload:
        return True
    return is_source(vision.payload) and is_source(other.payload) and vision.payload == other.payload
