"""Stretches of time that a video and another recording of the same moment share, and masks on sound."""

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

REMEMBERED_FILES = 2**14  # whose lengths are kept, some MB
ARRAY_OPTIONS = ("rate", "accel_unit", "gyro_unit", "time_unit")  # of `to_recording`
FREQUENCY_MASK = 12  # mel bins at most (paper)

Window = tuple[float, float]


def shared_stretch(pair: Pair, vision: Request, other: Request) -> Window:
    """From when to when both recordings last, on the vision's clock, within the pair's span.

    A still lasts for ever. Motion is not looked at here: see `motion_seconds`.

    Raises:
        MediaError: they have no time in common, or one cannot be read.
    """
    span = (0.0, math.inf) if pair.span is None else pair.span
    seen = (0.0, seconds_of(vision) if vision.kind is MediaKind.VIDEO else math.inf)
    heard = (-math.inf, math.inf)
    if other.kind is MediaKind.AUDIO and not _same_file(vision, other):
        heard = (-pair.offset, seconds_of(other) - pair.offset)
    return in_both(in_both(span, seen, name=pair.name), heard, name=pair.name)


def in_both(one: Window, other: Window, *, name: str) -> Window:
    """What two stretches have in common.

    Raises:
        MediaError: nothing; names the pair.
    """
    low, high = max(one[0], other[0]), min(one[1], other[1])
    if not low < high:
        raise MediaError(
            name, got=f"nothing between {low:.4g} and {high:.4g} s", expected="a moment in both recordings"
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
                request.name, got="a clip without a clock", expected="a video file, or frames and their fps"
            )
        return len(frames) / float(rate)
    rate = request.options.get("rate")
    with open_audio(payload if rate is None else (payload, rate)) as recording:
        return recording.samples / recording.rate


def motion_seconds(request: Request, imu: ImuTransform) -> float:
    """How long a recording of motion is; the length of a file is remembered.

    Args:
        imu: what reads it, for its rate, units and limits.

    Raises:
        MediaError: as `load_imu`.
    """
    payload, options = request.payload, dict(request.options)
    if isinstance(payload, ImuRecording):
        return _duration(payload)
    if isinstance(payload, tuple):
        payload, options["rate"] = payload
    imu = replace(imu, **{name: options[name] for name in IMU_TABLE_OPTIONS if name in options})
    if isinstance(payload, (str, os.PathLike)):
        return _seconds_of_file(os.fspath(payload), imu)
    if is_source(payload):
        return _duration(load_imu(payload, **imu.reading))
    how = {name: getattr(imu, name) for name in ARRAY_OPTIONS}
    return _duration(to_recording(payload, timestamps=options.get("timestamps"), name=request.name, **how))


def window_in(stretch: Window, seconds: float, rng: np.random.Generator | None) -> Window:
    """A window of some length at a random place of a stretch, or without `rng` in its middle.

    In a stretch that is shorter it starts where that starts, and ends after it. A stretch without end counts
    as its first window.
    """
    low, high = stretch
    room = max(high - low - seconds, 0.0) if high < math.inf else 0.0
    start = low + room * (0.5 if rng is None else rng.random())
    return start, start + seconds


def around(window: Window, seconds: float, *, earliest: float = 0.0, latest: float = math.inf) -> Window:
    """A window of another length with the same middle, moved to lie between `earliest` and `latest`.

    Where it is longer than that, it starts at `earliest`.
    """
    start = min((window[0] + window[1] - seconds) / 2, latest - seconds)
    start = max(start, earliest)
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


@lru_cache(maxsize=REMEMBERED_FILES)
def _seconds_of_file(path: str, imu: ImuTransform) -> float:
    return _duration(load_imu(path, **imu.reading))


def _duration(recording: ImuRecording) -> float:
    """Each sample stands for a step."""
    return float(recording.seconds[-1] + np.median(np.diff(recording.seconds)))


def _same_file(vision: Request, other: Request) -> bool:
    """Whether the sound is the video's own track."""
    if vision.payload is other.payload:
        return True
    return is_source(vision.payload) and is_source(other.payload) and vision.payload == other.payload
