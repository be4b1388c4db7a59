"""Divide long recordings into overlapping windows, so that each hit has a time.

A recording no longer than a window is one item, embedded as by `Embedder.encode`. In a longer recording each
window has a vector, the mean over the clips that cover the window. A few windows at a time (a stretch) are
embedded together, so that an hour takes no more memory than a minute.
"""

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from numbers import Rational
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from imagebind.embedder import Embedder
from imagebind.errors import MediaError
from imagebind.intake.requests import Request
from imagebind.io.source import name_of, open_source
from imagebind.media.clips import Span, as_floats, clip_spans
from imagebind.media.imu_recording import ImuRecording
from imagebind.media.sequential_audio import SequentialAudio, probe_audio
from imagebind.media.video_file import MIN_DECODED_SHARE, VideoFile, open_video
from imagebind.modality import MediaKind
from imagebind.transforms.audio import AudioTransform
from imagebind.transforms.imu import ImuTransform, load_imu
from imagebind.transforms.video import VideoTransform

WINDOW_SECONDS = 10.0  # five clips of 2 s, as many as the released transform takes from a whole video
HOP_SECONDS = 5.0  # half a window: an event at the border of one window is in the middle of the next
MIN_HOP_SECONDS = 0.04  # a frame at 25 frames per second: nearer windows are almost the same
MIN_REST_HOPS = Fraction(1, 10)  # a shorter rest at the end of a recording extends its last window
STRETCH_VIEWS = 60  # views embedded together; for video 4 windows, 70 MB
AUDIO_MARGIN_SECONDS = 1  # decoded around a stretch of audio: more than a resampling kernel reaches

Window = tuple[Fraction, Fraction]  # [start, end) in seconds
RecordingTransform = VideoTransform | AudioTransform | ImuTransform
Options = Mapping[str, Any]


def window_spans(duration: Fraction, *, window: Fraction, hop: Fraction) -> list[Window]:
    """Return the windows of a recording: they start at 0, one hop apart; the last ends with the recording.

    The last may start less than a hop after the one before it, or be up to a tenth of a hop longer.

    A recording at most a tenth of a hop longer than a window has one window, the whole recording.
    """
    starts = [hop * n for n in range(max(math.floor((duration - window) / hop), 0) + 1)]
    spans = [(start, min(start + window, duration)) for start in starts]
    rest = duration - spans[-1][1]
    if rest > MIN_REST_HOPS * hop:
        spans.append((duration - window, duration))
    elif rest > 0:
        spans[-1] = (spans[-1][0], duration)
    return spans


def clips_of(transform: RecordingTransform, window: Window) -> list[Span]:
    """Return the clips of a window: as many as the transform takes, or more if needed to cover the window."""
    start, end = window
    length = clip_seconds(transform)
    count = max(getattr(transform, "clips", 1), round((end - start) / length))
    clips = clip_spans(end - start, clip_seconds=length, clips=count)
    return [(start + first, start + last) for first, last in clips]


def clip_seconds(transform: RecordingTransform) -> Fraction:
    """Return the length of one clip in seconds."""
    seconds = transform.window_seconds if isinstance(transform, ImuTransform) else transform.clip_seconds
    return Fraction(seconds)


class LazyImuRecording:
    """A long IMU recording, held in memory only while its stretches are read.

    Indexing plans hundreds of files ahead, whose recordings would not fit into memory together.
    """

    def __init__(self, load: Callable[[], ImuRecording]) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._held: ImuRecording | None = None

    def recording(self, *, last: bool) -> ImuRecording:
        """Return the whole recording; release it after the last stretch."""
        with self._lock:
            held = self._held or self._load()
            self._held = None if last else held
            return held


OpenedRecording = VideoFile | SequentialAudio | LazyImuRecording | ImuRecording


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Some windows of one recording, embedded together.

    Args:
        whole: whether the recording has a single window, which covers all of it.
        opened: the opened recording; None if it must be opened by its path.
        options: the user's options for the transform.
        number: counts the stretches of a recording from 0; `last` marks the last.
    """

    path: Path
    windows: Sequence[Window]
    whole: bool
    opened: OpenedRecording | None = None
    options: Options = field(default_factory=dict)
    number: int = 0
    last: bool = False


@dataclass(frozen=True, kw_only=True)
class StretchTransform:
    """Turns a `Stretch` into the views of its windows, (s·k, ...), with the clips of a base transform."""

    base: RecordingTransform

    @property
    def clips(self) -> int:
        """The least number of clips in a window."""
        return getattr(self.base, "clips", 1)

    @property
    def crops(self) -> int:
        """The number of views of a clip."""
        return getattr(self.base, "crops", 1)

    def __call__(self, stretch: Stretch) -> Tensor:
        return self.with_spans(stretch)[0]

    def with_spans(self, stretch: Stretch) -> tuple[Tensor, list[tuple[float, float]]]:
        """Return the views, grouped by window, and the windows in seconds.

        Raises:
            MediaError: the base transform cannot read the recording.
        """
        transform: Any = replace(self.base, **stretch.options)
        windows, opened = as_floats(stretch.windows), stretch.opened
        clips: list[Span] | None = None
        if not stretch.whole:
            clips = [clip for window in stretch.windows for clip in clips_of(transform, window)]
        if isinstance(opened, LazyImuRecording):
            opened = opened.recording(last=stretch.last)
        if isinstance(opened, VideoFile):
            return _video_views(transform, stretch.path, opened, clips), windows
        if isinstance(opened, SequentialAudio) and clips is not None:
            first = max(math.floor(stretch.windows[0][0]) - AUDIO_MARGIN_SECONDS, 0)
            last = math.ceil(stretch.windows[-1][1]) + AUDIO_MARGIN_SECONDS
            audio = opened.read(stretch.number, first, last)
            clips = [(start - first, end - first) for start, end in clips]
            return transform.with_spans(audio, clips)[0], windows
        return transform.with_spans(stretch.path if opened is None else opened, clips)[0], windows


class WindowPlanner:
    """Plans the requests of a file: stretches for a recording, the file itself for other media."""

    def __init__(self, embedder: Embedder, *, window_seconds: float, hop_seconds: float) -> None:
        """Wrap the embedder's transforms of recordings, so that they accept stretches.

        Args:
            window_seconds: length of a window; it is extended to a clip of its media type if that is longer.
            hop_seconds: time from the start of one window to the start of the next.

        Raises:
            ValueError: `hop_seconds` is less than 0.04 or more than `window_seconds`, or this is infinite.
        """
        if not MIN_HOP_SECONDS <= hop_seconds <= window_seconds < math.inf:
            raise ValueError(
                f"windows: expected finite seconds with {MIN_HOP_SECONDS:g} <= hop <= window, "
                f"got a hop of {hop_seconds:g} and a window of {window_seconds:g}"
            )
        self._window, self._hop = (
            Fraction(each if isinstance(each, Rational) else float(each))
            for each in (window_seconds, hop_seconds)
        )
        transforms = {kind: embedder.transform(kind) for kind in MediaKind}
        self._bases = {
            kind: base for kind, base in transforms.items() if isinstance(base, RecordingTransform)
        }
        self.embedder = embedder.with_transforms(
            {kind: StretchTransform(base=base) for kind, base in self._bases.items()}
        )

    def requests(
        self, path: Path, kind: MediaKind, options: Options, *, with_audio: bool = True
    ) -> Iterator[Request]:
        """Yield requests for `embedder`: one for each stretch of a recording, one for other media.

        If a video has audio and the model has an audio trunk, its audio follows its frames, unless
        `with_audio` is false. If the embedder has a custom transform, a recording is one request.

        Raises:
            MediaError: a recording cannot be read, or is too long.
        """
        has_audio = False
        if kind not in self._bases:
            yield Request(kind=kind, payload=path, name=name_of(path), options=options)
        elif kind is MediaKind.IMU:
            yield from self._imu(path, options)
        elif kind is MediaKind.AUDIO:
            yield from self._audio(path, options)
        else:
            base: Any = self._transform(kind, options)
            with open_video(path, limits=base.limits) as video:
                has_audio = video.info.has_audio
            yield from self._stretches(path, kind, options, Fraction(video.clock.duration), video)
        if with_audio and has_audio and MediaKind.AUDIO.modality.value in self.embedder.model.modalities:
            yield from self._audio(path, {})

    def _audio(self, path: Path, options: Options) -> Iterator[Request]:
        kind = MediaKind.AUDIO
        if kind not in self._bases:
            yield Request(kind=kind, payload=path, name=name_of(path), options=options)
            return
        limits = self._transform(kind, options).limits
        probed = probe_audio(path, limits=limits)
        if probed is not None:
            seconds, in_stretches = probed
            opened = None if in_stretches else SequentialAudio(path, limits=limits)
            yield from self._stretches(path, kind, options, seconds, opened)

    def _imu(self, path: Path, options: Options) -> Iterator[Request]:
        transform: Any = self._transform(MediaKind.IMU, options)
        load = partial(load_imu, path, **transform.reading)
        recording = load()
        seconds = Fraction(recording.duration)
        is_short = seconds <= self._window
        yield from self._stretches(
            path, MediaKind.IMU, options, seconds, recording if is_short else LazyImuRecording(load)
        )

    def _stretches(
        self, path: Path, kind: MediaKind, options: Options, seconds: Fraction, opened: OpenedRecording | None
    ) -> Iterator[Request]:
        """Yield the requests of a recording that lasts `seconds`.

        Raises:
            MediaError: the recording is longer than the transform's `limits` allow. Only a video with at
                least one frame per hop may be longer. The limit is for damaged headers, which may state
                centuries.
        """
        transform = self._transform(kind, options)
        window = max(self._window, clip_seconds(transform))
        frames = opened.info.frames if isinstance(opened, VideoFile) else 0
        if seconds > transform.limits.max_seconds and seconds > frames * self._hop:
            raise MediaError(
                name_of(path),
                got=f"{float(seconds):,.6g} s" + (f" of {frames} frames" if frames else ""),
                expected=f"at most {transform.limits.max_seconds:,g} s (max_seconds)"
                + (f", or a frame in each {float(self._hop):g} s" if frames else ""),
            )
        windows = window_spans(seconds, window=window, hop=self._hop)
        whole = len(windows) == 1
        if whole and isinstance(opened, SequentialAudio):  # decode it as `encode` does
            opened = None
        windows_per_stretch = 1
        if not whole:
            views = len(clips_of(transform, windows[0])) * getattr(transform, "crops", 1)
            windows_per_stretch = max(STRETCH_VIEWS // views, 1)
        for number, first in enumerate(range(0, len(windows), windows_per_stretch)):
            stretch = Stretch(
                path=path,
                windows=windows[first : first + windows_per_stretch],
                whole=whole,
                opened=opened,
                options=options,
                number=number,
                last=first + windows_per_stretch >= len(windows),
            )
            yield Request(kind=kind, payload=stretch, name=name_of(path))

    def _transform(self, kind: MediaKind, options: Options) -> RecordingTransform:
        return replace(self._bases[kind], **options)


def _video_views(
    transform: VideoTransform, path: Path, video: VideoFile, clips: Sequence[Span] | None
) -> Tensor:
    """Return the views of a video's clips, (s·crops, 3, t, size, size), with few frames in memory at once.

    Without `clips`, they are the clips that the transform takes from the whole video.
    """
    whole = clips is None
    if clips is None:
        seconds = Fraction(transform.clip_seconds)
        clips = clip_spans(video.clock.duration, clip_seconds=seconds, clips=transform.clips)
    clip_frames = [tuple(video.clock.frames_in(clip, transform.frames)) for clip in clips]
    views: dict[tuple[int, ...], Tensor] = {}  # by frame numbers, which many clips of a short video share
    pending: dict[int, np.ndarray] = {}
    one_frame = replace(transform, frames=1)
    with open_source(path, limits=video.limits) as file:
        needed = sorted({index for frames in clip_frames for index in frames})
        video = replace(video, file=file)
        min_share = MIN_DECODED_SHARE if whole else 0  # one damaged stretch must not exclude the whole video
        frames_read = video.decode(needed, square_pixels=transform.square_pixels, min_share=min_share)
        with closing(frames_read) as decoded:  # type: ignore[type-var]
            for frames in sorted(set(clip_frames)):
                pending = {index: frame for index, frame in pending.items() if index >= frames[0]}
                while not pending or max(pending) < frames[-1]:
                    index, frame = next(decoded)
                    pending[index] = frame
                stills = [torch.from_numpy(pending[index]).permute(2, 0, 1).unsqueeze(1) for index in frames]
                # Transform each (3, 1, h, w) separately: the frame size may change midway.
                views[frames] = torch.cat([one_frame({"video": still}) for still in stills], dim=2)
    return torch.cat([views[frames] for frames in clip_frames])
