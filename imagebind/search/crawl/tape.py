"""Long audio that FFmpeg decodes once, from start to end, and that is returned in stretches.

`open_audio` indexes a file before it reads a stretch, and may have to decode everything before the stretch.
Here stretches are requested in order, so the file is decoded only once.
"""

from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from threading import Condition

import av
import numpy as np

from imagebind.errors import MediaError, warn_of
from imagebind.io.source import Limits, name_of, open_source
from imagebind.media.audio_file import exact_length
from imagebind.media.audio_stream import EXPECTED_AUDIO, NO_OTHER_FILES, AudioStream


def probe_sound(path: Path, *, limits: Limits) -> tuple[Fraction, bool] | None:
    """Return the seconds of a file's audio, and whether stretches can be read alone; None without audio.

    Nothing is decoded. Where it cannot be read in stretches its packets are counted, and it may prove some
    hundredths of a second shorter.

    Raises:
        MediaError: it cannot be read.
    """
    name = name_of(path)
    with open_source(path, limits=limits) as file:
        if (length := exact_length(file)) is not None:
            return Fraction(*length), True
        file.seek(0)
        try:
            with av.open(file, "r", metadata_errors="ignore", options=NO_OTHER_FILES) as container:
                if not container.streams.audio:
                    return None
                stream = container.streams.audio[0]
                ticks = _stated_ticks(container, stream)
                seconds = ticks * Fraction(stream.time_base or 0)
        except (av.FFmpegError, ValueError, RuntimeError, OSError) as error:
            raise MediaError(
                name, got=f"no audio that can be decoded ({error})", expected=EXPECTED_AUDIO
            ) from error
    return (seconds, False) if seconds > 0 else None


def _stated_ticks(container: av.container.InputContainer, stream: av.AudioStream) -> int:
    """Sum the durations that packets state, up to where the file is cut short."""
    ticks = 0
    try:
        for packet in container.demux(stream):
            ticks += packet.duration or 0
    except av.FFmpegError:
        if not ticks:
            raise
    return ticks


class Tape:
    """A recording that is read once. Stretches are numbered, and each waits for the one before it.

    Whoever asks for number n has to have begun asking for all before it, in whatever threads.
    """

    def __init__(self, path: Path, *, limits: Limits) -> None:
        self.name = name_of(path)
        self._parts = _decoded(path, limits)
        self._rate = 1
        self._held = np.empty((0, 0), dtype=np.float32)  # (channels, n)
        self._first = 0  # sample of the recording where that begins
        self._turn = 0
        self._turned = Condition()

    def read(self, number: int, first: int, last: int) -> tuple[np.ndarray, int]:
        """Seconds first to last of the sound, less where it ends before: (channels, n) float32, and its rate.

        Args:
            number: counts the stretches from 0.
            first, last: whole seconds; those of later stretches are not before those of earlier ones.

        Raises:
            MediaError: it cannot be decoded, or has ended before.
        """
        with self._turned:
            self._turned.wait_for(lambda: self._turn == number)
            try:
                return self._cut(first, last), self._rate
            finally:
                self._turn += 1
                self._turned.notify_all()

    def _cut(self, first: int, last: int) -> np.ndarray:
        held, samples, lost = [self._held], self._held.shape[1], 0
        while self._first + samples < last * self._rate:  # the rate is known once there is a part
            part = next(self._parts, None)
            if part is None:
                break
            if not samples:
                held = []
            self._rate, sound, missing = part
            if sound.shape[1]:
                held.append(sound)
            samples += sound.shape[1]
            lost += missing
        if 2 * lost > samples:
            raise MediaError(
                self.name,
                got=f"damaged: only {1 - lost / samples:.0%} of the requested audio can be decoded",
                expected="at least half of it",
            )
        if lost:
            warn_of(self.name, f"{lost / self._rate:.3g} s of audio could not be decoded")
        whole = np.concatenate(held, axis=1)
        start, end = first * self._rate - self._first, last * self._rate - self._first
        if start >= whole.shape[1]:
            seconds = (self._first + whole.shape[1]) / self._rate
            raise MediaError(
                self.name, got=f"audio that ends at {seconds:.4g} s", expected="as much as its packets state"
            )
        self._held, self._first = whole[:, start:], self._first + start
        return whole[:, start:end]


def _decoded(path: Path, limits: Limits) -> Iterator[tuple[int, np.ndarray, int]]:
    """Yield the first audio stream in pieces: its rate, (channels, n) float32, and the samples lost there."""
    name = name_of(path)
    with (
        open_source(path, limits=limits) as file,
        closing(AudioStream(file, name, limits, is_indexed=False)) as stream,
    ):
        for part, lost in stream.parts():
            if lost and stream.channels:  # silence, so that later windows stay at their times
                part = np.zeros((stream.channels, lost), dtype=np.float32)
            if part.shape[1]:
                yield stream.rate, part, lost
