"""Recordings of sound, opened so that any stretch can be read: files, the sound of videos, arrays.

libsndfile reads what it can, since its positions are exact; FFmpeg reads the rest (M4A, videos).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import av
import numpy as np
import soundfile
import torch
from torch import Tensor

from imagebind.errors import MediaError
from imagebind.transforms.audio_items import read_item
from imagebind.transforms.source import DEFAULT_LIMITS, Limits, Source, is_source, name_of, open_source

# Ours: what cannot be meant, or would cost too much.
MIN_RATE = 1_000
MAX_RATE = 1_000_000
MAX_PEAK = 100.0  # 40 dB over full scale: integers that were made floats without being scaled
USUAL_VALUES = 2 * 48_000  # a second of stereo; `max_seconds` of it is the most that is decoded at once
UNKNOWN_LENGTH = 2**62  # libsndfile gives about twice that for a FLAC that was streamed
WANTED_FILE = "a sound file (WAV, FLAC, OGG, MP3, M4A...) or a video with sound"
WANTED_ARRAY = "(n,), (channels, n) or (n, channels) of floats in [-1, 1] or integers of 8, 16 or 32 bits"

INTEGER_SCALES = {  # dtype -> its silence, its full scale
    torch.uint8: (128.0, 128.0),
    torch.int8: (0.0, 2.0**7),
    torch.int16: (0.0, 2.0**15),
    torch.int32: (0.0, 2.0**31),
}


@dataclass(frozen=True, kw_only=True)
class Recording:
    """An open recording."""

    name: str
    rate: int  # samples a second
    channels: int
    samples: int  # in each channel
    read_samples: Callable[[int, int], Tensor]  # (first, last) -> (channels, last - first)

    def read(self, first: int, last: int) -> Tensor:
        """Samples first to last - 1: (channels, last - first) float32 in [-1, 1].

        Raises:
            MediaError: damaged or cut short there; NaN or infinite; far out of [-1, 1].
        """
        waveform = self.read_samples(first, last)
        lowest, highest = waveform.aminmax() if waveform.numel() else (torch.zeros(()), torch.zeros(()))
        peak = max(-lowest.item(), highest.item())
        if not (lowest.isfinite() and highest.isfinite()):
            raise MediaError(self.name, seen="NaN or infinite samples", wanted="finite samples")
        if peak > MAX_PEAK:
            raise MediaError(
                self.name, seen=f"samples up to {peak:g}", wanted="[-1, 1] (16-bit numbers: divide by 32768)"
            )
        return waveform


@contextmanager
def open_audio(audio: object, *, limits: Limits = DEFAULT_LIMITS) -> Iterator[Recording]:
    """Open a path, URI, bytes or file object, or wrap samples that come with their rate.

    The forms of such samples are those of `audio_items`, a pair (array or tensor, sampling rate) among them.
    Of a two-dimensional array the smaller side is the channels. Source: ours.

    Raises:
        MediaError: not sound, silent, empty, or longer than `limits` allow; an array of another kind.
    """
    source = read_item(audio, limits=limits)
    if not is_source(source):
        yield _wrap_array(*source)
        return
    with open_source(source, limits=limits) as file, _open_file(file, name_of(source), limits) as recording:
        yield recording


def load_audio(source: Source, *, limits: Limits = DEFAULT_LIMITS) -> tuple[Tensor, int]:
    """Read a sound file, or the sound of a video: (channels, n) float32 in [-1, 1], and its sampling rate.

    Time 0 is the first sample: a stream's start time, such as an encoder's delay, is taken off.

    Raises:
        MediaError: not sound, silent, cut short, damaged, or longer than `limits` allow.
    """
    if not is_source(source):
        raise MediaError(name_of(source), seen="not a file", wanted="a path, bytes or an open file")
    with open_audio(source, limits=limits) as recording:
        _check_size(recording.name, recording.samples * recording.channels, limits)
        return recording.read(0, recording.samples), recording.rate


@contextmanager
def _open_file(file: BinaryIO, name: str, limits: Limits) -> Iterator[Recording]:
    sound, reason = None, "it has no samples, or does not say how many"
    try:
        sound = soundfile.SoundFile(file)
    except Exception as error:  # of many kinds: a file named x.raw gets a TypeError
        reason = str(error)
    if sound is None:
        yield _decode(file, name, limits, libsndfile=reason)
        return
    with sound:
        if not sound.seekable() or not 0 < sound.frames < UNKNOWN_LENGTH:
            yield _decode(file, name, limits, libsndfile=reason)
            return
        _check_rate(name, sound.samplerate)
        _check_seconds(name, sound.frames / sound.samplerate, limits)
        yield Recording(
            name=name,
            rate=sound.samplerate,
            channels=sound.channels,
            samples=sound.frames,
            read_samples=lambda first, last: _read_soundfile(sound, name, first, last),
        )


def _read_soundfile(sound: soundfile.SoundFile, name: str, first: int, last: int) -> Tensor:
    try:
        sound.seek(first)
        samples = sound.read(last - first, dtype="float32", always_2d=True)  # (n, channels)
    except (soundfile.SoundFileError, RuntimeError, ValueError, OSError, MemoryError) as error:
        raise MediaError(name, seen=f"damaged ({error})", wanted="sound that can be decoded") from error
    if len(samples) < last - first:
        raise MediaError(
            name,
            seen=f"cut short: {first + len(samples):,} samples",
            wanted=f"the {sound.frames:,} its header promises",
        )
    return torch.from_numpy(np.ascontiguousarray(samples.T))  # (n, channels) -> (channels, n)


def _decode(file: BinaryIO, name: str, limits: Limits, *, libsndfile: str) -> Recording:
    """Decode all of the first sound stream with FFmpeg, which cannot seek to a sample in every format."""
    file.seek(0)
    try:
        # no other file may be opened on a playlist's behalf
        options = {"protocol_whitelist": "none"}
        with av.open(file, "r", metadata_errors="ignore", options=options) as container:
            if not container.streams.audio:
                raise MediaError(name, seen="silent, it has no sound stream", wanted=WANTED_FILE)
            stream = container.streams.audio[0]
            if stream.duration is not None and stream.time_base is not None:
                _check_seconds(name, float(stream.duration * stream.time_base), limits)
            if stream.codec_context is None:
                raise MediaError(name, seen="sound in a code FFmpeg doesn't know", wanted=WANTED_FILE)
            _check_rate(name, stream.rate)
            waveform = _decode_stream(container, stream, name, limits)  # (channels, n)
            rate = stream.rate
    except MediaError:
        raise
    except (av.FFmpegError, ValueError, RuntimeError, OSError, MemoryError) as error:
        raise MediaError(
            name, seen=f"no sound (libsndfile: {libsndfile}; FFmpeg: {error})", wanted=WANTED_FILE
        ) from error
    return _in_memory(name, waveform, rate)


def _decode_stream(container: Any, stream: Any, name: str, limits: Limits) -> Tensor:
    planar = av.AudioResampler(format="fltp")  # floats, a row a channel; the rate stays
    parts: list[np.ndarray] = []
    size = 0
    samples = 0
    for frame in container.decode(stream):
        for part in planar.resample(frame):
            parts.append(part.to_ndarray())  # (channels, n)
            samples += part.samples
            size += parts[-1].size
            _check_seconds(name, samples / stream.rate, limits)
            _check_size(name, size, limits)
    if not parts:
        raise MediaError(name, seen="a sound stream without samples", wanted=WANTED_FILE)
    return torch.from_numpy(np.concatenate(parts, axis=1))


def _wrap_array(array: Any, rate: Any) -> Recording:
    name = name_of(array)
    try:
        rate = float(rate)
    except (TypeError, ValueError) as error:
        raise MediaError(name, seen=f"sampling rate {rate!r}", wanted="(array, samples a second)") from error
    _check_rate(name, rate)
    try:
        if not isinstance(array, Tensor):
            native = np.asarray(array)  # torch takes neither foreign byte orders nor negative strides
            native = np.require(native, native.dtype.newbyteorder("="), requirements=["C", "W"])
            array = torch.from_numpy(native)
        waveform = array.detach().cpu()
    except (TypeError, ValueError) as error:
        raise MediaError(name, seen=f"not an array of numbers ({error})", wanted=WANTED_ARRAY) from error
    if waveform.ndim not in (1, 2) or waveform.numel() == 0:
        raise MediaError(name, seen=f"shape {tuple(waveform.shape)}", wanted=WANTED_ARRAY)
    if waveform.ndim == 2 and waveform.shape[0] == waveform.shape[1]:
        raise MediaError(
            name, seen=f"as many rows as columns, {len(waveform)}", wanted="fewer channels than samples"
        )
    if not waveform.is_floating_point() and waveform.dtype not in INTEGER_SCALES:
        raise MediaError(name, seen=f"{waveform.dtype}", wanted=WANTED_ARRAY)
    rows = waveform[None] if waveform.ndim == 1 else waveform
    return _in_memory(name, rows.mT if rows.shape[0] > rows.shape[1] else rows, int(rate))


def _in_memory(name: str, waveform: Tensor, rate: int) -> Recording:
    return Recording(
        name=name,
        rate=rate,
        channels=waveform.shape[0],
        samples=waveform.shape[1],
        read_samples=lambda first, last: _to_floats(waveform[:, first:last]),
    )


def _to_floats(samples: Tensor) -> Tensor:
    if samples.dtype not in INTEGER_SCALES:
        return samples.float()
    silence, full_scale = INTEGER_SCALES[samples.dtype]
    return (samples.double() - silence).div(full_scale).float()


def _check_rate(name: str, rate: float) -> None:
    if not (MIN_RATE <= rate <= MAX_RATE and rate == int(rate)):
        raise MediaError(
            name,
            seen=f"sampling rate {rate} Hz",
            wanted=f"a whole number from {MIN_RATE:,} to {MAX_RATE:,} Hz",
        )


def _check_seconds(name: str, seconds: float, limits: Limits) -> None:
    if seconds > limits.max_seconds:
        raise MediaError(
            name, seen=f"{seconds:,.1f} s", wanted=f"at most {limits.max_seconds:,} s (max_seconds)"
        )


def _check_size(name: str, values: int, limits: Limits) -> None:
    if values > limits.max_seconds * USUAL_VALUES:
        raise MediaError(
            name,
            seen=f"{values:,} samples over all channels",
            wanted=f"at most {limits.max_seconds:,} s of stereo at 48 kHz (max_seconds)",
        )
