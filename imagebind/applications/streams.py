"""Embed the streams of a recording in windows: its images, its audio, and an IMU file.

The windows of all streams have times in seconds of the recording, so their scores can be added.
"""

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from imagebind.batching import Embedding
from imagebind.embedder import BATCH_SIZE, Embedder
from imagebind.errors import MediaError, warn_of
from imagebind.intake.requests import Request, identify
from imagebind.io.source import DEFAULT_LIMITS, Source, name_of, open_source
from imagebind.io.store_path import as_path
from imagebind.media.audio_file import open_audio
from imagebind.media.container import fraction_of
from imagebind.media.sequential_audio import SequentialAudio, probe_audio
from imagebind.media.video_file import probe_video
from imagebind.media.video_stream import opened_video
from imagebind.modality import MediaKind
from imagebind.query import is_silent
from imagebind.windows import WindowPlanner

WINDOW_SECONDS = 2.0  # the length of a clip of the released transforms of video and audio
HOP_SECONDS = 0.5
STREAMS = (MediaKind.VIDEO, MediaKind.AUDIO, MediaKind.IMU)
# Smaller delays of the audio are ignored: Opus in WebM has one of 6.5 ms, for samples that FFmpeg removes.
MIN_DELAY_SECONDS = 0.01

Progress = Callable[[int], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class StreamWindows:
    """The windows of a stream in order: `starts` and `ends` (n,) in seconds, unit `vectors` (n, e)."""

    starts: np.ndarray
    ends: np.ndarray
    vectors: np.ndarray

    def shifted(self, seconds: float) -> "StreamWindows":
        """Return the windows with all times shifted by `seconds`."""
        return replace(self, starts=self.starts + seconds, ends=self.ends + seconds)

    @property
    def centres(self) -> np.ndarray:
        """The middle of each window, in seconds: (n,)."""
        return (self.starts + self.ends) / 2


@dataclass(frozen=True, kw_only=True, eq=False)
class RecordingVectors:
    """The vectors of a recording: the windows of each stream, with times in seconds of the recording."""

    name: str
    seconds: float
    streams: Mapping[MediaKind, StreamWindows]

    def only(self, streams: Iterable[MediaKind]) -> "RecordingVectors":
        """Return the recording with only the given streams.

        Raises:
            MediaError: the recording lacks one of them.
        """
        wanted = list(streams)
        for kind in wanted:
            if kind not in self.streams:
                raise MediaError(
                    self.name, got=f"one with {', '.join(self.streams)}", expected=f"a recording with {kind}"
                )
        return replace(self, streams={kind: self.streams[kind] for kind in wanted})


def embed_recording(
    embedder: Embedder,
    recording: Any,
    *,
    imu: Any = None,
    imu_offset: float = 0.0,
    streams: Iterable[MediaKind | str] | None = None,
    window_seconds: float = WINDOW_SECONDS,
    hop_seconds: float = HOP_SECONDS,
    batch_size: int = BATCH_SIZE,
    progress: Progress | None = None,
) -> RecordingVectors:
    """Embed a video, an audio file or an IMU file of any length in windows, with bounded memory.

    Args:
        recording: a path or URI, or {"imu": path, "layout": "phyphox"} with options, as `Embedder.encode`.
        imu: an IMU file recorded at the same time, or {"imu": file, "accel_unit": "g"} with options.
        imu_offset: the second of the recording at which the IMU file starts; negative if it starts earlier.
        streams: video (the images), audio or imu; by default all that the recording and the model have.
        window_seconds: length of a window; it is extended to a clip of the transform if that is longer.
        hop_seconds: time from the start of one window to the start of the next.
        progress: called with the number of windows embedded since the last call.

    Raises:
        MediaError: a file cannot be read or is not a recording, a requested stream does not exist, has no
            trunk in the model or is silent, or the IMU file does not overlap with the recording.
        ValueError: a stream is unknown or `streams` is empty, `hop_seconds` is less than 0.04 or more than
            `window_seconds`, `window_seconds` is infinite, `imu_offset` is not finite or is given without
            `imu`, or `imu` is given with an IMU recording.
    """
    if not math.isfinite(imu_offset):
        raise ValueError(f"imu_offset: expected finite seconds, got {imu_offset}")
    if imu_offset and imu is None:
        raise ValueError(f"imu_offset: expected with imu=, the file to shift, got {imu_offset:g} alone")
    planner = _planner(embedder, window_seconds=window_seconds, hop_seconds=hop_seconds)
    own = identify(recording if isinstance(recording, Mapping | Request) else as_path(recording))
    sources = _sources(planner.embedder, own, imu, streams)
    seconds = _seconds_of(own) if own.kind is not MediaKind.IMU else None
    found: dict[MediaKind, StreamWindows] = {}
    # IMU first: it is read fastest, so errors show soonest.
    for kind in sorted(sources, key=lambda each: each is not MediaKind.IMU):
        source = sources[kind]
        requests = planner.requests(as_path(source.payload), kind, source.options, with_audio=False)
        opened: list[Any] = []
        results = planner.embedder.encode_stream(
            _keeping_opened(requests, opened),
            batch_size=batch_size,
            clips=True,
            inspect=lambda views: is_silent(views, embedder),
        )
        windows, has_signal = _collected(results, progress)
        if not has_signal:
            if streams is not None or len(sources) == 1:
                raise MediaError(source.name, got="silence", expected="audio that can be heard")
            warn_of(source.name, "the audio is silent and left out")
            continue
        if kind is MediaKind.AUDIO:
            assert seconds is not None
            windows, seconds = _aligned(windows, own, opened, seconds)
        elif kind is MediaKind.IMU and seconds is not None:
            windows = _within(windows.shifted(imu_offset), seconds, source.name)
        found[kind] = windows
    found = {kind: found[kind] for kind in sources if kind in found}
    longest = max(float(windows.ends[-1]) for windows in found.values())
    return RecordingVectors(
        name=own.name,
        seconds=longest if seconds is None else seconds,
        streams=found,
    )


def _seconds_of(recording: Request) -> float:
    """Return the duration of a video, or of an audio file as its packets state it.

    Raises:
        MediaError: it cannot be read.
    """
    path = as_path(recording.payload)
    if recording.kind is MediaKind.VIDEO:
        return probe_video(path).duration
    probed = probe_audio(path, limits=DEFAULT_LIMITS)
    if probed is None:
        raise MediaError(recording.name, got="a file without audio", expected="an audio file")
    return float(probed[0])


def _planner(embedder: Embedder, *, window_seconds: float, hop_seconds: float) -> WindowPlanner:
    """Return a planner whose windows have one clip, or as many as cover a longer window."""
    transforms: dict[MediaKind, Any] = {
        kind: embedder.transform(kind) for kind in (MediaKind.VIDEO, MediaKind.AUDIO)
    }
    single = embedder.with_transforms(
        {kind: replace(each, clips=1) for kind, each in transforms.items() if hasattr(each, "clips")}
    )
    return WindowPlanner(single, window_seconds=window_seconds, hop_seconds=hop_seconds)


def _sources(
    embedder: Embedder, request: Request, imu: Any, streams: Iterable[MediaKind | str] | None
) -> dict[MediaKind, Request]:
    """Return the streams to embed, each with its file.

    Raises:
        MediaError: the file is not a recording, or a requested stream or its trunk does not exist.
        ValueError: a requested stream is unknown, `streams` is empty, or there are two IMU recordings.
    """
    if request.kind not in STREAMS:
        raise MediaError(request.name, got=str(request.kind), expected="a video, audio or IMU recording")
    sources = {request.kind: request}
    if request.kind is MediaKind.VIDEO and has_audio(as_path(request.payload)):
        sources[MediaKind.AUDIO] = replace(request, kind=MediaKind.AUDIO)
    if imu is not None:
        other = identify(imu, modality=MediaKind.IMU)
        if request.kind is MediaKind.IMU:
            raise ValueError(f"imu: expected none with the IMU recording {request.name}, got {other.name}")
        if MediaKind.IMU.value not in embedder.model.modalities:
            raise MediaError(other.name, got="an IMU file", expected="a model with an IMU trunk for it")
        sources[MediaKind.IMU] = other
    available = ", ".join(sources)
    without_trunk = [kind for kind in sources if kind.modality not in embedder.model.modalities]
    sources = {kind: each for kind, each in sources.items() if kind not in without_trunk}
    if streams is None and not sources:
        raise MediaError(request.name, got="one without", expected=f"a model with a trunk for {request.kind}")
    if streams is None:
        return sources
    names = [str(kind) for kind in dict.fromkeys(streams)]
    if not names or not {*names} <= {*map(str, STREAMS)}:
        raise ValueError(f"streams: expected some of {', '.join(STREAMS)}, got {', '.join(names) or 'none'}")
    wanted = [MediaKind(name) for name in names]
    for kind in wanted:
        if kind in without_trunk:
            raise MediaError(request.name, got=f"{kind}", expected="a model with a trunk for it")
        if kind not in sources:
            way_out = "pass an IMU file of the same time" if kind is MediaKind.IMU else ""
            raise MediaError(
                request.name, got=f"only {available}", expected=f"a recording with {kind}", hint=way_out
            )
    return {kind: sources[kind] for kind in sources if kind in wanted}


def _collected(
    results: Generator[Embedding, None, None], progress: Progress | None
) -> tuple[StreamWindows, bool]:
    """Return the windows of one stream, and whether any of them is not silent.

    Raises:
        MediaError: a part of the stream cannot be embedded.
    """
    spans: list[tuple[float, float]] = []
    vectors: list[np.ndarray] = []
    has_signal = False
    with closing(results) as stream:
        for result in stream:
            if result.error is not None:
                raise result.error
            assert result.clips is not None
            spans += result.spans
            vectors.append(result.clips)
            has_signal = has_signal or not result.inspected
            if progress is not None:
                progress(len(result.spans))
    starts, ends = np.array(spans, dtype=np.float64).T
    return StreamWindows(starts=starts, ends=ends, vectors=np.concatenate(vectors)), has_signal


def _keeping_opened(requests: Iterable[Request], opened: list[Any]) -> Iterator[Request]:
    """Yield requests, and keep the opened recording of the latest one in a list."""
    for request in requests:
        opened[:] = [getattr(request.payload, "opened", None)]
        yield request


def _aligned(
    audio: StreamWindows, recording: Request, opened: Sequence[Any], seconds: float
) -> tuple[StreamWindows, float]:
    """Return the windows of a recording's audio in seconds of the recording, and its duration.

    The windows end with the last decoded sample: packets may state more, such as the padding of an encoder.

    Args:
        opened: the recording that the last window was read from, or None.
        seconds: the stated duration; that of a video is returned, unless its audio has later windows.
    """
    path = as_path(recording.payload)
    end = next((each.seconds for each in opened if isinstance(each, SequentialAudio)), None)
    if end is None:
        with open_audio(path) as whole:
            end = whole.samples / whole.rate
    delay = audio_delay(path)
    windows = replace(audio, ends=np.minimum(audio.ends, end)).shifted(delay)
    if recording.kind is MediaKind.VIDEO and windows.centres[-1] <= seconds:
        return windows, seconds
    return windows, end + delay


def _within(imu: StreamWindows, seconds: float, name: str) -> StreamWindows:
    """Return the windows of an IMU file whose middle is between 0 and the end of the recording, `seconds`.

    Raises:
        MediaError: there are no such windows.
    """
    kept = (imu.centres >= 0) & (imu.centres <= seconds)
    if not kept.any():
        raise MediaError(
            name,
            got=f"IMU data from {imu.starts[0]:.4g} to {imu.ends[-1]:.4g} s",
            expected=f"samples between 0 and {seconds:.4g} s of the recording",
            hint="check the offset",
        )
    return StreamWindows(starts=imu.starts[kept], ends=imu.ends[kept], vectors=imu.vectors[kept])


def has_audio(path: Path) -> bool:
    """Whether a video file has an audio stream."""
    return _start_times(path)[1] is not None


def audio_delay(source: Source) -> float:
    """Return how many seconds after its first frame a video's audio starts; 0 for other files."""
    images, audio = _start_times(source)
    delay = 0.0 if images is None or audio is None else audio - images
    return delay if abs(delay) >= MIN_DELAY_SECONDS else 0.0


def _start_times(source: Source) -> tuple[float | None, float | None]:
    """Return the start times of images and audio in seconds; without images both are None."""
    try:
        with open_source(source) as file, opened_video(file, name_of(source), DEFAULT_LIMITS) as opened:
            container, video = opened
            audio = container.streams.audio
            return _start_of(video), _start_of(audio[0]) if audio else None
    except MediaError:  # no video stream, or an animated WebP, which FFmpeg cannot read
        return None, None


def _start_of(stream: Any) -> float:
    return float((stream.start_time or 0) * (fraction_of(stream.time_base) or 0))
