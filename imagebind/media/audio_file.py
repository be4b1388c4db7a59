"""Open audio files, the audio of videos and arrays, and read any stretch of them.

libsndfile reads PCM and FLAC, where its positions are exact; FFmpeg reads the rest (see `audio_stream`).
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Literal

import numpy as np
import soundfile
import torch
from torch import Tensor

from imagebind.errors import MediaError, warn_of
from imagebind.io.source import DEFAULT_LIMITS, Limits, Source, is_source, name_of, open_source
from imagebind.media.audio_chain import ChainedStream, open_stream
from imagebind.media.audio_items import read_item
from imagebind.media.audio_limits import check_rate, check_sample_count, check_seconds
from imagebind.media.audio_magic import W64_MAGIC
from imagebind.media.audio_stream import STREAMED_BYTES, AudioStream

# Ours: bounds on plausible values.
MAX_PEAK = 100.0  # 40 dB over full scale: integers that were cast to floats without scaling
UNKNOWN_SAMPLES = 2**62  # libsndfile gives about twice as many for a FLAC that was streamed
MAX_MISSING_SECONDS = 0.1  # without a warning, between the stated and the actual length
EXPECTED_ARRAY = (
    "an array (n,), (channels, n) or (n, channels) of floats in [-1, 1], uint8, int8, int16 or int32"
)

PCM_HEAD_BYTES = 4096  # searched for the format and the stated length
# The subtypes in which libsndfile reads any stretch exactly, and their bytes per sample. It also reads MP3,
# Vorbis and Opus, but not exactly.
SUBTYPE_BYTES = {
    **{"PCM_S8": 1, "PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4},
    **{"FLOAT": 4, "DOUBLE": 8, "ULAW": 1, "ALAW": 1},
}
PCM_MAGIC = (b"fLaC", b".snd", b"dns.", b"caff", W64_MAGIC)
PCM_WAVE_TAGS = (1, 3, 6, 7)  # integers, floats, A-law, µ-law
EXTENSIBLE_WAVE_TAG = 0xFFFE  # the actual tag is 24 bytes further on

INTEGER_SCALES = {  # dtype -> its silence, its full scale
    torch.uint8: (128.0, 128.0),
    torch.int8: (0.0, 2.0**7),
    torch.int16: (0.0, 2.0**15),
    torch.int32: (0.0, 2.0**31),
}


def _nothing_lost(first: int, last: int) -> int:
    return 0


@dataclass(frozen=True, kw_only=True)
class AudioRecording:
    """An open audio recording. Not thread-safe."""

    name: str
    rate: int  # samples per second
    channels: int
    samples: int  # per channel
    read_samples: Callable[[int, int], Tensor]  # (first, last) -> (channels, last - first)
    lost_samples: Callable[[int, int], int] = _nothing_lost  # undecodable, of first to last - 1
    keeps_time: bool = True  # whether undecodable parts become silence; else they are left out
    stretches: list[tuple[int, int]] = field(default_factory=list)  # read so far

    def read(self, first: int, last: int) -> Tensor:
        """Return samples first to last - 1: (channels, last - first) float32, nominally in [-1, 1].

        Undecodable parts are silent or left out; see `check_losses`.

        Raises:
            MediaError: samples are NaN, infinite or beyond `MAX_PEAK`, or the file cannot be read again.
        """
        waveform = self.read_samples(first, last)
        self.stretches.append((first, last))
        lowest, highest = waveform.aminmax() if waveform.numel() else (torch.zeros(()), torch.zeros(()))
        peak = max(-lowest.item(), highest.item())
        if not (lowest.isfinite() and highest.isfinite()):
            raise MediaError(self.name, got="NaN or infinite samples", expected="finite samples")
        if peak > MAX_PEAK:
            raise MediaError(
                self.name,
                got=f"samples up to {peak:g}",
                expected="samples in [-1, 1]",
                hint="divide 16-bit integers by 32768",
            )
        return waveform

    def check_losses(self) -> None:
        """Warn about damage in the stretches read so far.

        Raises:
            MediaError: less than half of their samples could be decoded.
        """
        lost = sum(self.lost_samples(first, last) for first, last in self.stretches)
        if not lost:
            return
        total = sum(last - first for first, last in self.stretches) + (0 if self.keeps_time else lost)
        if 2 * lost > total:
            raise MediaError(
                self.name,
                got=f"{1 - lost / total:.0%}",
                expected="at least half of the requested audio undamaged",
            )
        warn_of(
            self.name,
            f"{lost / self.rate:.3g} s of {total / self.rate:.4g} s of audio could not be decoded",
        )


@contextmanager
def open_audio(audio: object, *, limits: Limits = DEFAULT_LIMITS) -> Iterator[AudioRecording]:
    """Open a path, URI, bytes or file object, or wrap samples that come with their rate.

    `audio_items` lists the forms of samples, such as a pair (array or tensor, sampling rate). The smaller
    side of a two-dimensional array is taken as the channels. Source: ours.

    Raises:
        MediaError: a file that cannot be opened, has no audio, is empty, over a limit, or less than half as
            long as its header states; an item that `read_item` refuses; an array of another type or shape; or
            a rate that `check_rate` refuses.
    """
    source = read_item(audio, limits=limits)
    if not is_source(source):
        yield _wrap_array(*source)
        return
    with open_source(source, limits=limits) as file, _open_file(file, name_of(source), limits) as recording:
        yield recording


def load_audio(source: Source, *, limits: Limits = DEFAULT_LIMITS) -> tuple[Tensor, int]:
    """Read an audio file or a video's audio: (channels, n) float32, nominally in [-1, 1], and its rate in Hz.

    The samples are those of FFmpeg's sequential decode: encoder delay and padding are cut off, edit lists
    are honoured, and time 0 is the first sample, even if other streams of the file start earlier. Parts of
    another rate or number of channels are converted to those of the first. Damaged parts give a warning.

    Raises:
        MediaError: as `open_audio` and `AudioRecording.read`; less than half of it is readable; or more
            samples than `check_sample_count` allows.
    """
    if not is_source(source):
        raise MediaError(name_of(source), got=type(source).__name__, expected="a path, bytes or an open file")
    with open_audio(source, limits=limits) as recording:
        check_sample_count(recording.name, recording.samples * recording.channels, limits)
        waveform = recording.read(0, recording.samples)
        recording.check_losses()
        return waveform, recording.rate


@contextmanager
def _open_file(file: BinaryIO, name: str, limits: Limits) -> Iterator[AudioRecording]:
    """Open a file with libsndfile if that is exact and the file is whole, else with FFmpeg."""
    with ExitStack() as resources:
        sound_file, stated_samples = _open_pcm(file, resources)
        if sound_file is not None:
            _check_length(name, sound_file.frames, sound_file.samplerate, stated_samples)
            yield _pcm_recording(sound_file, file, name, limits, resources)
        else:
            yield _open_stream(file, name, limits, resources, stated_samples)


def _is_pcm(head: bytes) -> bool:
    """Whether a file begins as PCM or FLAC does. A WAV may also hold MP3, as its format tag shows."""
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return True
    if head[:4] not in (b"RIFF", b"RIFX", b"RF64") or head[8:12] != b"WAVE":
        return head.startswith(PCM_MAGIC)
    at = head.find(b"fmt ", 12)
    if at < 0:
        return False
    order: Literal["big", "little"] = "big" if head[:4] == b"RIFX" else "little"
    tag = int.from_bytes(head[at + 8 : at + 10], order)
    if tag == EXTENSIBLE_WAVE_TAG:
        tag = int.from_bytes(head[at + 32 : at + 34], order)
    return tag in PCM_WAVE_TAGS


def exact_length(file: BinaryIO) -> tuple[int, int] | None:
    """Return (samples, rate) of a whole file that libsndfile reads exactly in any stretch; else None."""
    with ExitStack() as resources:
        sound_file, _ = _open_pcm(file, resources)
        return None if sound_file is None else (sound_file.frames, sound_file.samplerate)


def _open_pcm(file: BinaryIO, resources: ExitStack) -> tuple[soundfile.SoundFile | None, int | None]:
    """Open a whole PCM or FLAC file with libsndfile, else None; also return the samples its header states."""
    head = file.read(PCM_HEAD_BYTES)
    file.seek(0)
    if not _is_pcm(head):
        return None, None
    try:
        sound_file = soundfile.SoundFile(file)
    except Exception:  # of many types: a file named x.raw raises TypeError
        return None, None
    resources.callback(sound_file.close)
    is_exact = sound_file.format == "FLAC" or sound_file.subtype in SUBTYPE_BYTES
    if not is_exact or not sound_file.seekable() or not 0 < sound_file.frames < UNKNOWN_SAMPLES:
        return None, None
    stated_samples = sound_file.frames if sound_file.format == "FLAC" else _stated_frames(head, sound_file)
    is_whole = _read_pcm(sound_file, sound_file.frames - 1, sound_file.frames) is not None
    return sound_file if is_whole else None, stated_samples


def _stated_frames(head: bytes, sound_file: soundfile.SoundFile) -> int | None:
    """Return the samples per channel that a WAV or AIFF header states; libsndfile counts those present.

    None if the header does not state them.
    """
    frame_bytes = sound_file.channels * SUBTYPE_BYTES[sound_file.subtype]
    if head[:4] == b"FORM":
        at = head.find(b"COMM", 12)
        frames = int.from_bytes(head[at + 10 : at + 14], "big") if at > 0 else 0
    else:
        at = head.find(b"data", 12) if head[8:12] == b"WAVE" else -1
        order: Literal["big", "little"] = "big" if head[:4] == b"RIFX" else "little"
        frames = int.from_bytes(head[at + 4 : at + 8], order) // frame_bytes if at > 0 else 0
    return frames if 0 < frames * frame_bytes < STREAMED_BYTES else None


def _pcm_recording(
    sound_file: soundfile.SoundFile, file: BinaryIO, name: str, limits: Limits, resources: ExitStack
) -> AudioRecording:
    check_rate(name, sound_file.samplerate)
    check_seconds(name, sound_file.frames / sound_file.samplerate, limits)
    streams: list[AudioStream | ChainedStream] = []  # replaces libsndfile after it finds damage

    def read(first: int, last: int) -> Tensor:
        samples = None if streams else _read_pcm(sound_file, first, last)
        if samples is not None:
            return samples
        if not streams:
            streams.append(resources.enter_context(closing(open_stream(file, name, limits))))
        return torch.from_numpy(streams[0].read(first, last))

    return AudioRecording(
        name=name,
        rate=sound_file.samplerate,
        channels=sound_file.channels,
        samples=sound_file.frames,
        read_samples=read,
        lost_samples=lambda first, last: streams[0].lost(first, last) if streams else 0,
    )


def _read_pcm(sound_file: soundfile.SoundFile, first: int, last: int) -> Tensor | None:
    """Read samples first to last - 1, (channels, last - first); None if damaged or cut short there."""
    try:
        sound_file.seek(first)
        samples = sound_file.read(last - first, dtype="float32", always_2d=True)  # (n, channels)
    except (soundfile.SoundFileError, RuntimeError, ValueError, OSError, MemoryError):
        return None
    if len(samples) < last - first:
        return None
    return torch.from_numpy(np.ascontiguousarray(samples.T))  # (n, channels) -> (channels, n)


def _open_stream(
    file: BinaryIO, name: str, limits: Limits, resources: ExitStack, stated_samples: int | None
) -> AudioRecording:
    stream = resources.enter_context(closing(open_stream(file, name, limits)))
    _check_length(name, stream.samples, stream.rate, stated_samples or stream.stated_samples)
    return AudioRecording(
        name=name,
        rate=stream.rate,
        channels=stream.channels,
        samples=stream.samples,
        read_samples=lambda first, last: torch.from_numpy(stream.read(first, last)),
        lost_samples=stream.lost,
        keeps_time=stream.keeps_time,
    )


def _check_length(name: str, samples: int, rate: int, stated_samples: int | None) -> None:
    """Warn if a file is shorter than its header states, and refuse it if most of it is missing."""
    if stated_samples is None or stated_samples - samples <= MAX_MISSING_SECONDS * rate:
        return
    present, stated = f"{samples / rate:.4g} s", f"the {stated_samples / rate:.4g} s that its header states"
    if 2 * samples < stated_samples:
        raise MediaError(name, got=f"a file cut short after {present}", expected=f"at least half of {stated}")
    warn_of(name, f"cut short: {present} of {stated}")


def _wrap_array(array: Any, rate: Any) -> AudioRecording:
    name = name_of(array)
    try:
        rate = float(rate)
    except (TypeError, ValueError, OverflowError) as error:
        raise MediaError(
            name, got=f"the rate {rate!r:.40}", expected="(array, samples per second)"
        ) from error
    check_rate(name, rate)
    try:
        if not isinstance(array, Tensor):
            native = np.asarray(array)  # torch takes neither foreign byte orders nor negative strides
            native = np.require(native, native.dtype.newbyteorder("="), requirements=["C", "W"])
            array = torch.from_numpy(native)
        waveform = array.detach().cpu()
    except (TypeError, ValueError) as error:
        raise MediaError(
            name, got=f"values that are not numbers ({error})", expected=EXPECTED_ARRAY
        ) from error
    if waveform.ndim not in (1, 2) or waveform.numel() == 0:
        raise MediaError(name, got=f"shape {tuple(waveform.shape)}", expected=EXPECTED_ARRAY)
    if waveform.ndim == 2 and waveform.shape[0] == waveform.shape[1]:
        raise MediaError(
            name, got=f"as many rows as columns ({len(waveform)})", expected="fewer channels than samples"
        )
    if not waveform.is_floating_point() and waveform.dtype not in INTEGER_SCALES:
        raise MediaError(name, got=f"{waveform.dtype}", expected=EXPECTED_ARRAY)
    rows = waveform[None] if waveform.ndim == 1 else waveform
    return _in_memory(name, rows.mT if rows.shape[0] > rows.shape[1] else rows, int(rate))


def _in_memory(name: str, waveform: Tensor, rate: int) -> AudioRecording:
    return AudioRecording(
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
