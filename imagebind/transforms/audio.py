"""Convert audio files, and the audio of videos, to the log-mel clips that the audio trunk takes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import ClassVar

import torch
from torch import Tensor

from imagebind.checks import check_positive, check_whole, is_number
from imagebind.errors import MediaError, warn_of
from imagebind.io.source import DEFAULT_LIMITS, Limits
from imagebind.media.audio_file import AudioRecording, load_audio, open_audio
from imagebind.media.clips import Seconds, Span, as_floats, clip_spans
from imagebind.modality import ModalityType
from imagebind.transforms.mel import ENERGY_FLOOR, WINDOW_MS, log_mel, resampling_reach, window_samples
from imagebind.transforms.mel import resample as resample_by
from imagebind.transforms.options import PER_ITEM, check_statistics

__all__ = ["AudioTransform", "load_audio", "open_audio", "resample", "to_mono", "waveform_to_mel"]

# Values of the original's loader (released).
SAMPLE_RATE = 16_000
AUDIO_CLIPS = 3
CLIP_SECONDS = 2.0
MEL_BINS = 128
MEL_FRAMES = 204  # 2 s have 1 + (2000 - 25) // 10 = 198 windows; the rest is padding
AUDIO_MEAN = -4.268  # of log-mel values; the padding's zeros are normalised with it too
AUDIO_STD = 9.138
SILENCE_MARGIN = 5.0  # of log energy above its floor; noise of one step of 16 bits stays within it (ours)
PADDING_TOLERANCE = 1e-4  # of log-mel values, which are padded with zeros

POWER_SAMPLE_STEP = 7  # every seventh sample is enough to estimate a clip's power
MIN_POWER_SHARE = 0.01  # -20 dB of the loudest channel (ours); warn if the average has less power
INAUDIBLE_POWER = 1e-9  # -90 dB of full scale, the last bit of 16
MIN_SAMPLE_RATE = 100  # Hz, a sample per shift of the filter bank's window
MAX_KERNEL_TAPS = 2**22  # ours: limits a resampling kernel, of about new · old / gcd² taps, to 16 MB


def to_mono(waveform: Tensor, channel: int | None = None) -> Tensor:
    """Return one channel of a waveform, or the average of all: (channels, n) -> (n,).

    Source: the average is ours; the original silently takes channel 0.

    Raises:
        ValueError: the waveform has no such channel.
    """
    if channel is None:
        return waveform.mean(dim=0)
    if not 0 <= channel < len(waveform):
        raise ValueError(f"channel: expected 0 to {len(waveform) - 1}, got {channel}")
    return waveform[channel]


def resample(waveform: Tensor, rate: int, new_rate: int = SAMPLE_RATE) -> Tensor:
    """Change the sampling rate: (n,) -> (m,).

    Source: released; for rates whose exact ratio needs too large a kernel, ours (see `rate_ratio`).

    Raises:
        ValueError: a rate is not a whole number of at least 1.
    """
    check_whole(1, rate=rate, new_rate=new_rate)
    return resample_by(waveform, rate_ratio(rate, new_rate))


def rate_ratio(rate: int, new_rate: int) -> Fraction:
    """Return rate / new_rate, or the nearest ratio whose kernel has at most `MAX_KERNEL_TAPS` taps.

    From 44,101 to 16,000 Hz the kernel would take 3 GB. The nearest ratio is wrong by less than 3 in 10,000.
    """
    # The kernel has phases² · rate / new_rate taps.
    most_phases = math.isqrt(MAX_KERNEL_TAPS * new_rate // rate)
    return Fraction(rate, new_rate).limit_denominator(max(most_phases, 1))


def waveform_to_mel(
    clip: Tensor, *, rate: int = SAMPLE_RATE, mel_bins: int = MEL_BINS, frames: int = MEL_FRAMES
) -> Tensor:
    """Return Kaldi's log-mel filter bank of a clip, cut or padded with zeros: (n,) -> (mel_bins, frames).

    The values are not normalised. Source: released.

    Raises:
        ValueError: the clip is not a waveform, or is shorter than a window of 25 ms; or the rate is below
            100 Hz or not finite.
    """
    if not is_number(rate) or rate < MIN_SAMPLE_RATE:
        raise ValueError(f"rate: expected a finite rate of at least {MIN_SAMPLE_RATE} Hz, got {rate!r}")
    if clip.ndim != 1 or len(clip) < window_samples(rate):
        raise ValueError(
            f"mel clip: expected (n,), n at least {window_samples(rate)}, got {tuple(clip.shape)}"
        )
    # The original subtracts the mean in place, which would change overlapping clips.
    mel = log_mel(clip - clip.mean(), rate=rate, mel_bins=mel_bins).mT  # (t, mel_bins) -> (mel_bins, t)
    return torch.nn.functional.pad(mel[:, :frames], (0, max(frames - mel.shape[1], 0)))


@dataclass(frozen=True, kw_only=True)
class AudioTransform:
    """Convert a recording to (clips, 1, 128, 204): normalised log-mel clips, spread evenly over it.

    The recording is a path, URI, bytes, file object, (array or tensor, rate), or another form of
    `audio_items`. Only the samples of the clips are decoded, if the format allows it. Source: released,
    except `channel`: None averages the channels (ours), 0 is the original's choice.
    """

    modality: ClassVar[ModalityType] = ModalityType.AUDIO

    clips: int = field(default=AUDIO_CLIPS, metadata=PER_ITEM)
    clip_seconds: float = CLIP_SECONDS
    channel: int | None = field(default=None, metadata=PER_ITEM)
    sample_rate: int = SAMPLE_RATE
    mel_bins: int = MEL_BINS
    mel_frames: int = MEL_FRAMES
    mean: float = AUDIO_MEAN
    std: float = AUDIO_STD
    limits: Limits = field(default=DEFAULT_LIMITS, metadata=PER_ITEM)

    def __post_init__(self) -> None:
        check_whole(1, clips=self.clips, mel_bins=self.mel_bins, mel_frames=self.mel_frames)
        check_whole(MIN_SAMPLE_RATE, sample_rate=self.sample_rate)
        check_positive(clip_seconds=self.clip_seconds)
        check_statistics(self)
        if self.channel is not None:
            check_whole(0, channel=self.channel)

    def __call__(self, audio: object) -> Tensor:
        return self.with_spans(audio)[0]

    def with_spans(
        self, audio: object, spans: Sequence[Span] | None = None
    ) -> tuple[Tensor, list[tuple[float, float]]]:
        """Return the clips (s, 1, 128, 204), and the [start, end) of each in seconds.

        Args:
            spans: clips to cut instead of evenly spread ones; time after the recording's end is padded, and
                the windows of a clip after its first `mel_frames` are left out.

        Raises:
            MediaError: the recording cannot be read, is over a limit, has samples that are not finite or far
                outside [-1, 1], lacks the channel, or has less than 25 ms, in all or within a span.
            ValueError: a span starts before 0, is empty or infinite, or there are no spans.
        """
        with open_audio(audio, limits=self.limits) as recording:
            if self.channel is not None and self.channel >= recording.channels:
                raise MediaError(
                    recording.name,
                    got=f"one with {recording.channels} in all",
                    expected=f"a recording with channel {self.channel} (counted from 0)",
                )
            seconds = recording.samples / recording.rate
            length = math.ceil(recording.samples / rate_ratio(recording.rate, self.sample_rate))  # resampled
            if length < window_samples(self.sample_rate):
                raise _too_short(recording.name, f"{seconds:.4f} s of audio")
            if spans is None:
                # As released, the duration is a float, whose rounding can shift a clip by a sample.
                duration = length / self.sample_rate
                spans = clip_spans(duration, clip_seconds=self.clip_seconds, clips=self.clips)
            if not spans:
                raise ValueError("spans: expected at least one")
            clips = [self._clip(recording, length, start, end) for start, end in spans]
            recording.check_losses()
        return torch.stack(clips), as_floats(spans)  # (s, 1, mel_bins, mel_frames)

    def is_silent(self, clips: Tensor) -> bool:
        """Whether clips (s, 1, 128, 204) from this transform have only silence and padding."""
        log_mel_values = clips * self.std + self.mean
        is_padding = log_mel_values.abs() < PADDING_TOLERANCE
        return bool((is_padding | (log_mel_values < math.log(ENERGY_FLOOR) + SILENCE_MARGIN)).all())

    def _clip(self, recording: AudioRecording, length: int, start: Seconds, end: Seconds) -> Tensor:
        if not 0 <= start < end < math.inf:
            raise ValueError(f"span: expected finite 0 <= start < end in seconds, got ({start}, {end})")
        first = int(self.sample_rate * start)
        last = min(int(self.sample_rate * end), length)
        if last - first < window_samples(self.sample_rate):
            seconds = length / self.sample_rate
            raise _too_short(
                recording.name,
                f"{max(last - first, 0) / self.sample_rate:.4f} s of its "
                f"{seconds:.4f} s between {float(start)} and {float(end)} s",
            )
        mono = _read_mono(recording, first, last, rate=self.sample_rate, channel=self.channel)  # (n,)
        mel = waveform_to_mel(mono, rate=self.sample_rate, mel_bins=self.mel_bins, frames=self.mel_frames)
        return ((mel - self.mean) / self.std)[None]  # (1, mel_bins, mel_frames)


def _read_mono(recording: AudioRecording, first: int, last: int, *, rate: int, channel: int | None) -> Tensor:
    """Return samples first to last - 1 of the resampled recording, reading only the input that they need.

    Input and output samples coincide once per period of `old` input and `new` output samples. The input that
    is read starts at such a sample, and extends beyond both ends by the reach of the resampling kernel.
    """
    ratio = rate_ratio(recording.rate, rate)
    old, new = ratio.numerator, ratio.denominator
    reach = 0 if ratio == 1 else math.ceil(resampling_reach(ratio) / old)  # in periods
    skipped = max(first // new - reach, 0)
    end = min((math.ceil(last / new) + reach) * old, recording.samples)
    waveform = recording.read(skipped * old, end)  # (channels, m)
    mono = to_mono(waveform, channel)  # (channels, m) -> (m,)
    if channel is None:
        _warn_of_cancellation(recording.name, waveform, mono)
    return resample(mono, recording.rate, rate)[first - skipped * new : last - skipped * new]


def _warn_of_cancellation(name: str, waveform: Tensor, mono: Tensor) -> None:
    """Warn if the average of the channels is far quieter than one channel, as with opposite phases."""
    if len(waveform) == 1:
        return
    powers = waveform[:, ::POWER_SAMPLE_STEP].var(dim=1, correction=0)  # (channels,), without the offset
    loudest = int((powers > 0.99 * powers.max()).int().argmax())  # the first of equally loud channels
    if (
        mono[::POWER_SAMPLE_STEP].var(correction=0) < MIN_POWER_SHARE * powers[loudest]
        and powers[loudest] > INAUDIBLE_POWER
    ):
        warn_of(
            name,
            f"the channels cancel out: their average is over 20 dB below channel {loudest}; "
            f"pass channel={loudest} to use that one alone",
        )


def _too_short(name: str, got: str) -> MediaError:
    return MediaError(name, got=got, expected=f"at least {WINDOW_MS / 1000} s, one window of the filter bank")
