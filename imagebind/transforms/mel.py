"""Audio processing in torch: Kaldi's log-mel filter bank, and windowed-sinc resampling.

Both compute the same as torchaudio with the options of the released loader. They are reimplemented because
torchaudio is no longer released along with torch: 2.11 is the last version.
"""

import math
from fractions import Fraction
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

# Kaldi's defaults for a filter bank, except the Hann window.
WINDOW_MS = 25.0
SHIFT_MS = 10.0
PREEMPHASIS = 0.97
LOW_FREQUENCY = 20.0  # Hz; the highest filter ends at half the sampling rate
ENERGY_FLOOR = torch.finfo(torch.float32).eps  # below it the logarithm only separates noise from silence

# torchaudio's defaults for resampling.
ZERO_CROSSINGS = 6  # of the sinc, on each side
ROLLOFF = 0.99  # of the lower of the two Nyquist frequencies


def window_samples(rate: int) -> int:
    """Return the number of samples in one window of the filter bank, the minimum length of a clip."""
    return int(rate * WINDOW_MS / 1000)  # 400 at 16 kHz


def log_mel(waveform: Tensor, *, rate: int, mel_bins: int) -> Tensor:
    """Return the log of the power in each mel band and window: (n,) -> (windows, mel_bins).

    Windows lie wholly inside the waveform. Each is centred on 0, pre-emphasised and tapered.
    """
    length, shift = window_samples(rate), int(rate * SHIFT_MS / 1000)
    windows = waveform.unfold(0, length, shift)  # (n,) -> (t, length)
    windows = windows - windows.mean(dim=1, keepdim=True)
    before = F.pad(windows[:, None], (1, 0), mode="replicate")[:, 0, :-1]  # each sample's predecessor
    taper = torch.hann_window(length, periodic=False, dtype=torch.float32, device=waveform.device)
    windows = (windows - PREEMPHASIS * before) * taper
    fft_size = 2 ** math.ceil(math.log2(length))
    power = torch.fft.rfft(windows, n=fft_size).abs().square()  # (t, fft_size / 2 + 1)
    filters = mel_filters(mel_bins, fft_size, rate, waveform.device)
    return (power @ filters.to(power.dtype)).clamp(min=ENERGY_FLOOR).log()


@lru_cache(maxsize=8)
def mel_filters(mel_bins: int, fft_size: int, rate: int, device: torch.device | str = "cpu") -> Tensor:
    """Return triangles, evenly spaced and half overlapping on the mel scale: (fft_size / 2 + 1, mel_bins).

    The highest frequency, at which the last triangle ends, has no weight.
    """
    ends = torch.tensor([LOW_FREQUENCY, rate / 2], dtype=torch.float64, device="cpu")
    low, high = mel_scale(ends).tolist()
    step = (high - low) / (mel_bins + 1)
    left = low + step * torch.arange(mel_bins, dtype=torch.float64, device="cpu")
    frequencies = rate / fft_size * torch.arange(fft_size // 2, dtype=torch.float64, device="cpu")
    position = (mel_scale(frequencies)[:, None] - left) / step  # 0 at a triangle's left end, 2 at its right
    triangles = torch.minimum(position, 2 - position).clamp(min=0)  # (fft_size / 2, mel_bins)
    return F.pad(triangles, (0, 0, 0, 1)).float().to(device)


def mel_scale(hertz: Tensor) -> Tensor:
    """Convert frequencies in Hz to the mel scale by HTK's formula."""
    return 1127.0 * (1.0 + hertz / 700.0).log()


def resample(waveform: Tensor, ratio: Fraction) -> Tensor:
    """Resample, band-limited, by old rate / new rate = `ratio`: (n,) -> (ceil(n / ratio),)."""
    if ratio == 1:
        return waveform
    reach = resampling_reach(ratio)
    padded = F.pad(waveform, (reach, reach + ratio.numerator))
    kernel = resampling_kernel(ratio, waveform.device)
    phases = F.conv1d(padded[None, None], kernel, stride=ratio.numerator)[0]
    return phases.T.flatten()[: math.ceil(len(waveform) / ratio)]  # (new, n / old), interleaved


def resampling_reach(ratio: Fraction) -> int:
    """Return the number of old samples on each side that contribute to a new sample."""
    lower = min(ratio.numerator, ratio.denominator) * ROLLOFF
    return math.ceil(ZERO_CROSSINGS * ratio.numerator / lower)


@lru_cache(maxsize=16)
def resampling_kernel(ratio: Fraction, device: torch.device | str = "cpu") -> Tensor:
    """Return a Hann-windowed sinc for each phase of the new clock: (new, 1, old + 2 · reach).

    As released, it is computed in float32.
    """
    old, new = ratio.numerator, ratio.denominator
    lower, reach = min(old, new) * ROLLOFF, resampling_reach(ratio)
    samples = torch.arange(-reach, reach + old, dtype=torch.float32, device="cpu") / old
    phases = torch.arange(0, -new, -1, dtype=torch.float32, device="cpu") / new
    time = ((phases[:, None] + samples) * lower).clamp(-ZERO_CROSSINGS, ZERO_CROSSINGS)  # in zero crossings
    window = (time * math.pi / ZERO_CROSSINGS / 2).cos().square()
    return (torch.sinc(time) * window * (lower / old))[:, None].to(device)
