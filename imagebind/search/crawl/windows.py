"""Long recordings in overlapping windows, so that what is found has a time.

A recording no longer than a window is one item, embedded as `Embedder.encode` does it. Of a longer one each
window has a vector, the mean over clips that leave nothing of it out. Windows go through the model in
stretches of a few, so that an hour takes no more memory than a minute.
"""

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
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
from imagebind.media.video_file import MIN_DECODED_SHARE, VideoFile, open_video
from imagebind.modality import MediaKind
from imagebind.search.crawl.tape import Tape, probe_sound
from imagebind.transforms.audio import AudioTransform
from imagebind.transforms.imu import ImuTransform, load_imu
from imagebind.transforms.video import VideoTransform

WINDOW_SECONDS = 10.0  # five clips of 2 s, as many as the released transform takes of a whole video
HOP_SECONDS = 5.0  # half of it: what falls on the border of one window is in the middle of the next
SLIVER = Fraction(1, 10)  # of a hop; so little at a recording's end makes its last window longer
STRETCH_VIEWS = 60  # of the windows that are embedded together: of video 4 windows, 70 MB
MARGIN = 1  # seconds around a stretch of sound: more than a resampling kernel reaches

Window = tuple[Fraction, Fraction]  # [start, end) in seconds
RecordingTransform = VideoTransform | AudioTransform | ImuTransform
Options = Mapping[str, Any]


def window_spans(duration: Fraction, *, window: Fraction, hop: Fraction) -> list[Window]:
    """Windows over a recording: from 0 on, each a hop after the one before; the last ends with the recording.

    A recording hardly longer than a window has one, which is all of it.
    """
    starts = [hop * n for n in range(max(math.floor((duration - window) / hop), 0) + 1)]
    spans = [(start, min(start + window, duration)) for start in starts]
    rest = duration - spans[-1][1]
    if rest > SLIVER * hop:
        spans.append((duration - window, duration))
    elif rest > 0:
        spans[-1] = (spans[-1][0], duration)
    return spans


def clips_of(transform: RecordingTransform, window: Window) -> list[Span]:
    """Clips of a window: as many as its transform takes of a recording, or as leave nothing of it out."""
    start, end = window
    length = clip_seconds(transform)
    count = max(getattr(transform, "clips", 1), round((end - start) / length))
    clips = clip_spans(end - start, clip_seconds=length, clips=count)
    return [(start + first, start + last) for first, last in clips]


def clip_seconds(transform: RecordingTransform) -> Fraction:
    """How long one clip is."""
    seconds = transform.window_seconds if isinstance(transform, ImuTransform) else transform.clip_seconds
    return Fraction(seconds)


class Reel:
    """A long recording of motion: not in memory before its first stretch, nor when its last is done.

    Hundreds of files are looked into before their turn.
    """

    def __init__(self, load: Callable[[], ImuRecording]) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._held: ImuRecording | None = None

    def recording(self, *, last: bool) -> ImuRecording:
        """All of it."""
        with self._lock:
            held = self._held or self._load()
            self._held = None if last else held
            return held


Opened = VideoFile | Tape | Reel | ImuRecording


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Some windows of one recording, embedded together; `whole`: one window, which is all of it.

    Args:
        opened: what has been read of the file so far, if it is to be read on from there.
        options: for its transform, as its user said.
        number: counts the stretches of a recording from 0; `last` is the last of them.
    """

    path: Path
    windows: Sequence[Window]
    whole: bool
    opened: Opened | None = None
    options: Options = field(default_factory=dict)
    number: int = 0
    last: bool = False


@dataclass(frozen=True, kw_only=True)
class StretchTransform:
    """A `Stretch` to the views of all its windows, (s·k, ...), by the base's clips of each."""

    base: RecordingTransform

    @property
    def clips(self) -> int:
        """Clips of a window, at least."""
        return getattr(self.base, "clips", 1)

    @property
    def crops(self) -> int:
        """Views of a clip."""
        return getattr(self.base, "crops", 1)

    def __call__(self, stretch: Stretch) -> Tensor:
        return self.with_spans(stretch)[0]

    def with_spans(self, stretch: Stretch) -> tuple[Tensor, list[tuple[float, float]]]:
        """The views, those of a window together, and the windows.

        Raises:
            MediaError: as the base.
        """
        transform: Any = replace(self.base, **stretch.options)
        windows, opened = as_floats(stretch.windows), stretch.opened
        clips: list[Span] | None = None
        if not stretch.whole:
            clips = [clip for window in stretch.windows for clip in clips_of(transform, window)]
        if isinstance(opened, Reel):
            opened = opened.recording(last=stretch.last)
        if isinstance(opened, VideoFile):
            return _views_of_film(transform, stretch.path, opened, clips), windows
        if isinstance(opened, Tape) and clips is not None:
            first = max(math.floor(stretch.windows[0][0]) - MARGIN, 0)
            last = math.ceil(stretch.windows[-1][1]) + MARGIN
            sound = opened.read(stretch.number, first, last)
            clips = [(start - first, end - first) for start, end in clips]
            return transform.with_spans(sound, clips)[0], windows
        return transform.with_spans(stretch.path if opened is None else opened, clips)[0], windows


class Windows:
    """How files become what is embedded: recordings as stretches, everything else as it is."""

    def __init__(self, embedder: Embedder, *, window_seconds: float, hop_seconds: float) -> None:
        """Take the embedder's transforms as they are.

        Args:
            window_seconds, hop_seconds: no window is shorter than a clip of its kind.

        Raises:
            ValueError: windows that would leave something out between them, or without length.
        """
        if not 0 < hop_seconds <= window_seconds < math.inf:
            raise ValueError(
                f"expected 0 < hop <= window in seconds, got a hop of {hop_seconds:g} and a window of "
                f"{window_seconds:g}"
            )
        self._window, self._hop = Fraction(window_seconds), Fraction(hop_seconds)
        transforms: dict[MediaKind | str, Any] = {kind: embedder.transform(kind) for kind in MediaKind}
        self._bases = {
            MediaKind(kind): base for kind, base in transforms.items() if isinstance(base, RecordingTransform)
        }
        transforms |= {kind: StretchTransform(base=base) for kind, base in self._bases.items()}
        self.embedder = Embedder(
            embedder.model,
            transforms=transforms,
            autocast=embedder.autocast,
            num_workers=embedder.num_workers,
        )

    def requests(self, path: Path, kind: MediaKind, options: Options) -> Iterator[Request]:
        """What `embedder` takes of a file: one request, or of a long recording one a stretch.

        A video's sound comes after its pictures, where it has any and the model can hear. A transform that is
        not the library's own cuts recordings as it likes.

        Raises:
            MediaError: a recording that cannot be read.
        """
        has_sound = False
        if kind not in self._bases:
            yield Request(kind=kind, payload=path, name=name_of(path), options=options)
        elif kind is MediaKind.IMU:
            yield from self._motion(path, options)
        elif kind is MediaKind.AUDIO:
            yield from self._sound(path, options)
        else:
            base: Any = self._transform(kind, options)
            with open_video(path, limits=base.limits) as film:
                has_sound = film.info.has_audio
            yield from self._stretches(path, kind, options, Fraction(film.clock.duration), film)
        if has_sound and MediaKind.AUDIO.modality.value in self.embedder.model.modalities:
            yield from self._sound(path, {})

    def _sound(self, path: Path, options: Options) -> Iterator[Request]:
        kind = MediaKind.AUDIO
        if kind not in self._bases:
            yield Request(kind=kind, payload=path, name=name_of(path), options=options)
            return
        limits = self._transform(kind, options).limits
        probed = probe_sound(path, limits=limits)
        if probed is not None:
            seconds, in_stretches = probed
            tape = None if in_stretches else Tape(path, limits=limits)
            yield from self._stretches(path, kind, options, seconds, tape)

    def _motion(self, path: Path, options: Options) -> Iterator[Request]:
        transform: Any = self._transform(MediaKind.IMU, options)
        load = partial(load_imu, path, **transform.reading)
        recording = load()
        clock = recording.seconds
        seconds = Fraction(float(clock[-1] + np.median(np.diff(clock))))  # each sample stands for a step
        is_short = seconds <= self._window
        yield from self._stretches(
            path, MediaKind.IMU, options, seconds, recording if is_short else Reel(load)
        )

    def _stretches(
        self, path: Path, kind: MediaKind, options: Options, seconds: Fraction, opened: Opened | None
    ) -> Iterator[Request]:
        """Requests of a recording of so many seconds.

        Raises:
            MediaError: it is longer than the transform's `limits` allow. A video may be longer if it has at
                least a frame in each window; a damaged header may state centuries.
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
        if whole and isinstance(opened, Tape):  # shall be decoded at once, as `encode` does it
            opened = None
        together = 1
        if not whole:
            views = len(clips_of(transform, windows[0])) * getattr(transform, "crops", 1)
            together = max(STRETCH_VIEWS // views, 1)
        for number, first in enumerate(range(0, len(windows), together)):
            stretch = Stretch(
                path=path,
                windows=windows[first : first + together],
                whole=whole,
                opened=opened,
                options=options,
                number=number,
                last=first + together >= len(windows),
            )
            yield Request(kind=kind, payload=stretch, name=name_of(path))

    def _transform(self, kind: MediaKind, options: Options) -> RecordingTransform:
        return replace(self._bases[kind], **options)


def _views_of_film(
    transform: VideoTransform, path: Path, film: VideoFile, clips: Sequence[Span] | None
) -> Tensor:
    """Clips of a video that has been looked through: (s·crops, 3, t, size, size), few frames held at once.

    Without clips they are those that the transform takes of it.
    """
    whole = clips is None
    if clips is None:
        seconds = Fraction(transform.clip_seconds)
        clips = clip_spans(film.clock.duration, clip_seconds=seconds, clips=transform.clips)
    places = [tuple(film.clock.frames_in(clip, transform.frames)) for clip in clips]
    views: dict[tuple[int, ...], Tensor] = {}  # of a clip's frames: in a short video many are the same
    held: dict[int, np.ndarray] = {}
    one = replace(transform, frames=1)
    with open_source(path, limits=film.limits) as file:
        wanted = sorted({index for frames in places for index in frames})
        film = replace(film, file=file)
        min_share = MIN_DECODED_SHARE if whole else 0  # one damaged stretch must not refuse the video
        frames_read = film.decode(wanted, square_pixels=transform.square_pixels, min_share=min_share)
        with closing(frames_read) as decoded:  # type: ignore[type-var]
            for frames in sorted(set(places)):
                held = {index: frame for index, frame in held.items() if index >= frames[0]}
                while not held or max(held) < frames[-1]:
                    index, frame = next(decoded)
                    held[index] = frame
                stills = [torch.from_numpy(held[index]).permute(2, 0, 1).unsqueeze(1) for index in frames]
                # Transform each (3, 1, h, w) separately: the frame size may change midway.
                views[frames] = torch.cat([one({"video": still}) for still in stills], dim=2)
    return torch.cat([views[frames] for frames in places])
