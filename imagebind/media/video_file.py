"""Decode single frames of a video, equal to those of a sequential decode, without decoding all others."""

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
from imagebind.media.video_pixels import RgbConverter
from imagebind.media.video_scan import Timeline, VideoInfo, scan_video, scan_webp
from imagebind.media.video_stream import FalseKeyframeError, PacketMismatchError, StreamDecoder
from imagebind.media.webp import is_animated_webp, webp_frames

__all__ = ["Clock", "VideoFile", "VideoInfo", "open_video", "probe_video"]

MIN_DECODED_SHARE = 0.5  # of the requested frames must decode
RETRY_KEYFRAMES = 2  # to go back if a frame is missing, since a decoder may recover late
EXPECTED_VIDEO = "an undamaged video"

FrameOrPixels = VideoFrame | np.ndarray


class DecodedFrame(NamedTuple):
    """The frame for an index: the frame itself, or the nearest one in time if it cannot be decoded."""

    frame_index: int  # in presentation order
    frame: FrameOrPixels | None  # None: no frame can be decoded
    is_exact: bool


def probe_video(source: Source, *, limits: Limits = DEFAULT_LIMITS) -> VideoInfo:
    """Return a video file's properties: all packets are read, but usually only a few frames are decoded.

    Raises:
        MediaError: as `open_video`.
    """
    with open_video(source, limits=limits) as video:
        return video.info


@contextlib.contextmanager
def open_video(source: Source, *, limits: Limits = DEFAULT_LIMITS) -> "Iterator[VideoFile]":
    """Read a video file's packets and keep it open for `VideoFile.decode`.

    Of several video streams it uses the same one as the ffmpeg command: the largest, by preference one
    marked as default. Animated images (GIF, APNG, WebP, AVIF) are videos, too. `limits.max_seconds` does not
    apply, because a long video takes no more memory than a short one.

    Raises:
        MediaError: a file that cannot be opened, is not a video, has no frames, or is over a limit.
    """
    name = name_of(source)
    with open_source(source, limits=limits) as file:
        scan = scan_webp if is_animated_webp(file) else scan_video
        info, timeline = scan(file, name, limits)
        yield VideoFile(name=name, file=file, limits=limits, info=info, timeline=timeline)


@dataclass(frozen=True, kw_only=True)
class VideoFile:
    """An open video file whose packets are indexed; see `open_video`.

    Number, order and times of its frames are those of FFmpeg's sequential decode, with edit lists honoured.
    Frames are rotated and mirrored by the display matrix. If the size changes midway, frames keep their size.
    """

    name: str
    file: BinaryIO
    limits: Limits
    info: VideoInfo
    timeline: Timeline

    @property
    def clock(self) -> Clock:
        """The times at which the frames are shown."""
        return self.timeline.clock

    @property
    def stamps(self) -> Sequence[int]:
        """Each frame's time in the stream's ticks; its index if the file states no times."""
        return self.timeline.stamps

    def decode(
        self, indices: Sequence[int], *, square_pixels: bool = False, min_share: float = MIN_DECODED_SHARE
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (index, frame (h, w, 3)) for each of the increasing `indices`: uint8 RGB, upright.

        Only a few frames are in memory at once. A frame that cannot be decoded is replaced by the nearest
        one in time, and a warning states the number of these frames. Source: ours.

        Args:
            square_pixels: stretch frames with non-square pixels to the aspect ratio at which they are shown.
            min_share: share of the requested frames that must decode.

        Raises:
            MediaError: no frame can be decoded, a smaller share than `min_share`, or a frame is too large
                with square pixels.
        """
        aspect = self.timeline.pixel_aspect if square_pixels else Fraction(1)
        lost = 0
        with contextlib.closing(RgbConverter(pixel_aspect=aspect)) as to_rgb:
            for done, (index, frame, is_exact) in enumerate(self._decoded_frames(indices), start=1):
                lost += not is_exact
                if frame is None:
                    raise MediaError(self.name, got="no frame that can be decoded", expected=EXPECTED_VIDEO)
                self._check(lost, done, len(indices), min_share)
                if not isinstance(frame, np.ndarray):
                    self._check_size(frame, aspect)
                    frame = to_rgb(frame)
                yield index, frame

    def _decoded_frames(self, indices: Sequence[int]) -> Iterator[DecodedFrame]:
        """Yield the frame for each of the increasing indices."""
        index, done = self.timeline.index, 0
        if index is None:
            yield from self._nearest(webp_frames(self.file), indices)
            return
        with StreamDecoder(self.file, self.name, self.limits, index) as decoder:
            while done < len(indices):
                try:
                    for decoded in self._decode_pass(decoder, indices[done:]):
                        done += 1
                        yield decoded
                except PacketMismatchError:
                    decoder.count_packets()
                except FalseKeyframeError:
                    continue  # from an earlier keyframe

    def _decode_pass(self, decoder: StreamDecoder, indices: Sequence[int]) -> Iterator[DecodedFrame]:
        """Yield the frames of one decoding pass.

        A pass continues until a later keyframe is a better start for the next frame, or until a frame is
        missing and decoding is tried again from an earlier keyframe.
        """
        start = self.timeline.start_for(indices[0])
        later = takewhile(lambda index: self.timeline.start_for(index) <= decoder.position, indices[1:])
        for decoded in self._nearest(self._frames_from(start, decoder), chain(indices[:1], later)):
            if decoded.is_exact or start == 0:
                yield decoded
                continue
            start = min(start, self.timeline.start_for(decoded.frame_index, earlier=RETRY_KEYFRAMES))
            decoded = next(self._nearest(self._frames_from(start, decoder), [decoded.frame_index]))
            if decoded.frame is None:
                decoded = next(self._nearest(self._frames_from(0, decoder), [decoded.frame_index]))
            yield decoded
            return

    def _frames_from(self, start: int, decoder: StreamDecoder) -> Iterator[tuple[int, VideoFrame]]:
        return self.timeline.with_indices(decoder.frames_from(start))

    def _nearest(
        self, frames: Iterator[tuple[int, FrameOrPixels]], indices: Iterable[int]
    ) -> Iterator[DecodedFrame]:
        """Yield for each of the increasing indices the frame that is nearest to it in time."""
        before, after = None, next(frames, None)
        for index in indices:
            while after is not None and after[0] < index:
                before, after = after, next(frames, None)
            near = [indexed for indexed in (before, after) if indexed is not None]
            if near:
                found, frame = min(near, key=lambda indexed: self._distance(indexed[0], index))
                yield DecodedFrame(index, frame, found == index)
            else:
                yield DecodedFrame(index, None, False)

    def _distance(self, index: int, other: int) -> tuple[int, int]:
        """Return the distance of two frames in time, and in indices as frames may have the same time."""
        return abs(self.clock.ticks[index] - self.clock.ticks[other]), abs(index - other)

    def _check(self, lost: int, done: int, count: int, min_share: float) -> None:
        """Warn once about frames that cannot be decoded; raise MediaError if they are too many."""
        if count - lost < min_share * count:
            expected = f"at least {min_share:.0%} of the {count} requested frames undamaged"
            raise MediaError(self.name, got=f"{lost} or more that cannot be decoded", expected=expected)
        if lost and done == count:  # before the last frame is yielded: the caller may stop there
            warn_of(
                self.name,
                f"{lost} of the {count} requested frames ({lost / count:.0%}) cannot be decoded; the "
                "nearest in time replace them",
            )

    def _check_size(self, frame: VideoFrame, aspect: Fraction) -> None:
        """Raise MediaError if a frame is too large with square pixels."""
        width = frame.width * aspect
        if width * frame.height > self.limits.max_pixels:
            raise MediaError(
                self.name,
                got=f"{frame.width} x {frame.height}, too large with square pixels",
                expected=f"frames of at most {self.limits.max_pixels:,} pixels (max_pixels)",
            )
