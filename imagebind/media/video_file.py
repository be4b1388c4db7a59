"""Video files: single frames, the same as a decode of the whole file gives, without decoding all others."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, takewhile
from typing import BinaryIO, NamedTuple

import numpy as np
from av.video.frame import VideoFrame

from imagebind.errors import MediaError, warn_of
from imagebind.io.source import DEFAULT_LIMITS, Limits, Source, name_of, open_source
from imagebind.media.video_clock import Clock
from imagebind.media.video_pixels import to_rgb
from imagebind.media.video_scan import Timeline, VideoInfo, scan_video, scan_webp
from imagebind.media.video_stream import Decoding, FalseKeyError, LostTrackError, moving_pictures
from imagebind.media.webp import is_animated_webp, webp_frames

__all__ = ["Clock", "VideoFile", "VideoInfo", "moving_pictures", "open_video", "probe_video"]

MIN_SHARE = 0.5  # of the frames that are needed
EARLIER_KEYFRAMES = 2  # to go back by if a frame does not come: a decoder may take long to recover
UNDAMAGED = "a video that is not damaged"

Frame = VideoFrame | np.ndarray


class Picked(NamedTuple):
    """A decoded frame for a place in the order of showing: its own, or if it is not exact the nearest."""

    place: int
    frame: Frame | None  # None: none at all is decoded there
    is_exact: bool


def probe_video(source: Source, *, limits: Limits = DEFAULT_LIMITS) -> VideoInfo:
    """Look through a video file: its packets are read, but only a few frames decoded.

    Raises:
        MediaError: not a video, or without frames, or over a limit.
    """
    with open_video(source, limits=limits) as video:
        return video.info


@contextlib.contextmanager
def open_video(source: Source, *, limits: Limits = DEFAULT_LIMITS) -> "Iterator[VideoFile]":
    """Look through a video file and leave it open for `VideoFile.decode`.

    Of several video streams the one counts that FFmpeg's command takes: a default one, the largest.
    An animated image (GIF, APNG, WebP, AVIF) is a video here.
    `limits.max_seconds` doesn't apply: a long video costs no more memory than a short one.

    Raises:
        MediaError: not a video, or without frames, or over a limit.
    """
    name = name_of(source)
    with open_source(source, limits=limits) as file:
        scan = scan_webp if is_animated_webp(file) else scan_video
        info, timeline = scan(file, name, limits)
        yield VideoFile(name=name, file=file, limits=limits, info=info, timeline=timeline)


@dataclass(frozen=True, kw_only=True)
class VideoFile:
    """A video file that has been looked through, by `open_video`.

    Its frames are those of a decode of the whole file by FFmpeg (edit lists honoured), in number, order and
    time, turned and mirrored as the display matrix says. If the size changes midway, each frame has its own.
    """

    name: str
    file: BinaryIO
    limits: Limits
    info: VideoInfo
    timeline: Timeline

    @property
    def clock(self) -> Clock:
        """When the frames show."""
        return self.timeline.clock

    @property
    def stamps(self) -> Sequence[int]:
        """When each frame shows, in the stream's ticks; its number where the file does not tell."""
        return self.timeline.stamps

    def decode(
        self, indices: Sequence[int], *, square_pixels: bool = False, min_share: float = MIN_SHARE
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (index, frame (h, w, 3)) for each of the rising `indices`: uint8 RGB, upright.

        No more than two frames are held at once. Where a frame cannot be decoded, the one nearest to it in
        time stands in, and `warn_of` reports how many such frames there were (ours).

        Args:
            square_pixels: stretch frames whose pixels are not square to the aspect at which they are shown.
            min_share: of the frames that must decode.

        Raises:
            MediaError: no frame can be decoded, or a smaller share than `min_share`.
        """
        aspect = self.timeline.pixel_aspect if square_pixels else Fraction(1)
        lost = 0
        for done, (index, frame, is_exact) in enumerate(self._pick(indices), start=1):
            lost += not is_exact
            if frame is None:
                raise MediaError(self.name, got="no frame can be decoded", expected=UNDAMAGED)
            self._check(lost, done, len(indices), min_share)
            yield index, frame if isinstance(frame, np.ndarray) else self._pixels(frame, aspect)

    def _pick(self, indices: Sequence[int]) -> Iterator[Picked]:
        """The frame for each of the rising indices."""
        index, done = self.timeline.index, 0
        if index is None:
            yield from self._nearest(webp_frames(self.file), indices)
            return
        with Decoding(self.file, self.name, self.limits, index) as decoding:
            while done < len(indices):
                try:
                    for picked in self._pick_some(decoding, indices[done:]):
                        done += 1
                        yield picked
                except LostTrackError:
                    decoding.count_packets()
                except FalseKeyError:
                    continue  # from an earlier one

    def _pick_some(self, decoding: Decoding, indices: Sequence[int]) -> Iterator[Picked]:
        """The first of the frames asked for: those that one pass serves, up to one that cannot be decoded.

        A pass goes on as long as no later keyframe leads to the next frame sooner.
        """
        start = self.timeline.start_for(indices[0])
        later = takewhile(lambda index: self.timeline.start_for(index) <= decoding.position, indices[1:])
        for picked in self._nearest(self._frames_from(start, decoding), chain(indices[:1], later)):
            if picked.is_exact or start == 0:
                yield picked
                continue
            start = min(start, self.timeline.start_for(picked.place, earlier=EARLIER_KEYFRAMES))
            picked = next(self._nearest(self._frames_from(start, decoding), [picked.place]))
            if picked.frame is None:
                picked = next(self._nearest(self._frames_from(0, decoding), [picked.place]))
            yield picked
            return

    def _frames_from(self, start: int, decoding: Decoding) -> Iterator[tuple[int, VideoFrame]]:
        return self.timeline.placed(decoding.frames_from(start))

    def _nearest(self, frames: Iterator[tuple[int, Frame]], indices: Iterable[int]) -> Iterator[Picked]:
        """For each of the rising indices the frame whose place is nearest to it in time."""
        before, after = None, next(frames, None)
        for index in indices:
            while after is not None and after[0] < index:
                before, after = after, next(frames, None)
            near = [placed for placed in (before, after) if placed is not None]
            if near:
                place, frame = min(near, key=lambda placed: self._distance(placed[0], index))
                yield Picked(index, frame, place == index)
            else:
                yield Picked(index, None, False)

    def _distance(self, place: int, other: int) -> tuple[int, int]:
        """In time; and in places, as frames may have the same time."""
        return abs(self.clock.ticks[place] - self.clock.ticks[other]), abs(place - other)

    def _check(self, lost: int, done: int, count: int, min_share: float) -> None:
        """Report frames that are lost, once, or refuse the video for them."""
        if count - lost < min_share * count:
            got = f"at least {lost} of the {count} frames that are needed cannot be decoded"
            raise MediaError(self.name, got=got, expected=f"{min_share:.0%} of them or more")
        if lost and done == count:  # before the last is handed over: nobody may ask for one more
            warn_of(
                self.name,
                f"{lost} of the {count} frames that are needed ({lost / count:.0%}) cannot be decoded; the "
                "nearest in time stand in for them",
            )

    def _pixels(self, frame: VideoFrame, aspect: Fraction) -> np.ndarray:
        width = frame.width * aspect
        if width * frame.height > self.limits.max_pixels:
            raise MediaError(
                self.name,
                got=f"frames of {frame.width} x {frame.height}, too large with square pixels",
                expected=f"at most {self.limits.max_pixels:,} pixels (max_pixels)",
            )
        return to_rgb(frame, pixel_aspect=aspect)
