"""Read long audio in consecutive stretches, decoding the file only once.

`open_audio` indexes a file before it reads a stretch, and may have to decode everything before the stretch.
Here stretches are requested in order, so the file is decoded only once.
"""

from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from threading import Condition
from typing import BinaryIO

import av
import numpy as np

from imagebind.errors import MediaError, warn_of
from imagebind.io.source import Limits, name_of, open_source, reason_of
from imagebind.media.audio_chain import open_stream, separate_links
from imagebind.media.audio_file import exact_length
from imagebind.media.audio_stream import EXPECTED_AUDIO
from imagebind.media.container import demux, fraction_of, open_container


def probe_audio(path: Path, *, limits: Limits) -> tuple[Fraction, bool] | None:
    """Return the seconds of a file's audio, and whether stretches can be read alone; None without audio.

    At most the last sample is decoded. If stretches cannot be read alone, the duration is the sum of the
    packets' durations, which may differ from the decoded audio by a tenth of a second, in a chained Ogg for
    each link; None if no packet states a duration.

    Raises:
        MediaError: the file cannot be opened.
    """
    name = name_of(path)
    with open_source(path, limits=limits) as file:
        if (length := exact_length(file)) is not None:
            return Fraction(*length), True
        try:
            links = separate_links(file, name, limits)
            seconds = sum((_stated_seconds(link, limits) for link in links), Fraction(0))
        except (av.FFmpegError, ValueError, RuntimeError, OSError) as error:
            raise MediaError(
                name, got=f"no audio that can be decoded ({reason_of(error)})", expected=EXPECTED_AUDIO
            ) from error
    return (seconds, False) if seconds > 0 else None


def _stated_seconds(file: BinaryIO, limits: Limits) -> Fraction:
    """Return the sum of the durations that audio packets state, up to where the file is cut short."""
    ticks = 0
    with open_container(file, limits) as container:
        if not container.streams.audio:
            return Fraction(0)
        stream = container.streams.audio[0]
        try:
            for packet in demux(container, stream):
                ticks += packet.duration or 0
        except av.FFmpegError:
            if not ticks:
                raise
        return ticks * (fraction_of(stream.time_base) or Fraction(0))


class SequentialAudio:
    """Audio whose numbered stretches are read in order; each read waits for the one before it.

    Threads may read stretches concurrently, if the reads of all earlier stretches have been started.
    `seconds` is the length of the decoded audio, which is known when its end has been read.
    """

    seconds: float | None = None

    def __init__(self, path: Path, *, limits: Limits) -> None:
        self.name = name_of(path)
        self._blocks = _decoded(path, limits)
        self._rate = 1
        self._buffer = np.empty((0, 0), dtype=np.float32)  # (channels, n)
        self._buffer_start = 0  # the sample of the recording at which the buffer begins
        self._next_number = 0
        self._condition = Condition()

    def read(self, number: int, first: int, last: int) -> tuple[np.ndarray, int]:
        """Return the audio from second `first` to `last`, or to its end, and its rate: (channels, n) float32.

        Args:
            number: counts the stretches from 0.
            first, last: whole seconds, which do not decrease from one stretch to the next.

        Raises:
            MediaError: the file cannot be opened, less than half of the audio can be decoded, or it ends at
                or before `first`.
        """
        with self._condition:
            self._condition.wait_for(lambda: self._next_number == number)
            try:
                return self._read(first, last), self._rate
            finally:
                self._next_number += 1
                self._condition.notify_all()

    def _read(self, first: int, last: int) -> np.ndarray:
        blocks, samples, lost = [self._buffer], self._buffer.shape[1], 0
        while self._buffer_start + samples < last * self._rate:  # the first block sets the rate
            block = next(self._blocks, None)
            if block is None:
                self.seconds = (self._buffer_start + samples) / self._rate
                break
            if not samples:
                blocks = []
            self._rate, audio, missing = block
            blocks.append(audio)
            samples += audio.shape[1]
            lost += missing
        if 2 * lost > samples:
            raise MediaError(
                self.name,
                got=f"{1 - lost / samples:.0%}",
                expected="at least half of the requested audio undamaged",
            )
        if lost:
            warn_of(self.name, f"{lost / self._rate:.3g} s of audio could not be decoded")
        audio = np.concatenate(blocks, axis=1)
        start, end = first * self._rate - self._buffer_start, last * self._rate - self._buffer_start
        if start >= audio.shape[1]:
            seconds = (self._buffer_start + audio.shape[1]) / self._rate
            raise MediaError(
                self.name,
                got=f"audio that ends at {seconds:.4g} s",
                expected="audio as long as its packets state",
            )
        self._buffer, self._buffer_start = audio[:, start:], self._buffer_start + start
        return audio[:, start:end]


def _decoded(path: Path, limits: Limits) -> Iterator[tuple[int, np.ndarray, int]]:
    """Yield blocks of the first audio stream: its rate, (channels, n) float32, and the samples lost there."""
    name = name_of(path)
    with (
        open_source(path, limits=limits) as file,
        closing(open_stream(file, name, limits, is_indexed=False)) as stream,
    ):
        for block, lost in stream.parts():
            if lost and stream.channels and not block.shape[1]:  # silence keeps the times of later stretches
                block = np.zeros((stream.channels, lost), dtype=np.float32)
            if block.shape[1]:
                yield stream.rate, block, lost
