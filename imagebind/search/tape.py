"""Long sound in films and M4A files, decoded once from its start to its end and handed out in stretches.

FFmpeg cannot go to an exact sample in every format, so `open_audio` decodes all of such a file at once: an
hour takes a gigabyte, and a stretch of it as long as all of it. Here stretches are asked for in order.
"""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from threading import Condition

import av
import numpy as np
import soundfile

from imagebind.errors import MediaError
from imagebind.transforms.audio_file import UNKNOWN_LENGTH, WANTED_FILE
from imagebind.transforms.source import Limits, name_of, open_source

SAFE = {"protocol_whitelist": "none"}  # or a playlist could have other files read, and addresses fetched


def probe_sound(path: Path, *, limits: Limits) -> tuple[Fraction, bool] | None:
    """How long a file's sound is in seconds, and whether any stretch of it can be read alone; None: no sound.

    Nothing is decoded. Where it cannot be read in stretches its packets are counted, and it may prove some
    hundredths of a second shorter.

    Raises:
        MediaError: it cannot be read.
    """
    name = name_of(path)
    with open_source(path, limits=limits) as file:
        try:
            with soundfile.SoundFile(file) as sound:
                if sound.seekable() and 0 < sound.frames < UNKNOWN_LENGTH:
                    return Fraction(sound.frames, sound.samplerate), True
        except Exception:  # of many kinds; then FFmpeg shall say what it is
            file.seek(0)
        try:
            with av.open(file, "r", metadata_errors="ignore", options=SAFE) as container:
                if not container.streams.audio:
                    return None
                stream = container.streams.audio[0]
                ticks = sum(packet.duration or 0 for packet in container.demux(stream))
                seconds = ticks * Fraction(stream.time_base or 0)
        except (av.FFmpegError, ValueError, RuntimeError, OSError) as error:
            raise MediaError(name, seen=f"no sound ({error})", wanted=WANTED_FILE) from error
    return (seconds, False) if seconds > 0 else None


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
        held, samples = [self._held], self._held.shape[1]
        while self._first + samples < last * self._rate:  # the rate is known once there is a part
            part = next(self._parts, None)
            if part is None:
                break
            if not samples:
                held = []
            self._rate, sound = part
            held.append(sound)
            samples += sound.shape[1]
        whole = np.concatenate(held, axis=1)
        start, end = first * self._rate - self._first, last * self._rate - self._first
        if start >= whole.shape[1]:
            seconds = (self._first + whole.shape[1]) / self._rate
            raise MediaError(
                self.name, seen=f"sound that ends at {seconds:.4g} s", wanted="as much as its packets promise"
            )
        self._held, self._first = whole[:, start:], self._first + start
        return whole[:, start:end]


def _decoded(path: Path, limits: Limits) -> Iterator[tuple[int, np.ndarray]]:
    """The first sound stream, piece by piece: its rate, and (channels, n) float32."""
    name = name_of(path)
    planar = av.AudioResampler(format="fltp")  # floats, a row a channel; the rate stays
    with open_source(path, limits=limits) as file:
        try:
            with av.open(file, "r", metadata_errors="ignore", options=SAFE) as container:
                stream = container.streams.audio[0]
                for frame in container.decode(stream):
                    for part in planar.resample(frame):
                        yield stream.rate, part.to_ndarray()
        except (av.FFmpegError, ValueError, RuntimeError, OSError) as error:
            raise MediaError(name, seen=f"sound that is damaged ({error})", wanted=WANTED_FILE) from error
