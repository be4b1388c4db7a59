"""Resample an IMU recording to 2000 even steps: low-pass it if its rate is higher, and interpolate."""

import numpy as np

from imagebind.media.clips import Span
from imagebind.media.imu_recording import ImuRecording

IMU_STEPS = 2000  # per window, as the released stem expects

# The low-pass filter (ours) is a windowed sinc: flat up to 0.8 of the new Nyquist frequency, at most
# -70 dB above it.
PASSBAND, STOPBAND = 0.8, 1.0
CUTOFF = (PASSBAND + STOPBAND) / 2
STOP_DB = 70.0  # attenuation of the stopband
# Kaiser's formulas for the window's shape, and for its length in target steps on each side of a sample.
KAISER_BETA = 0.1102 * (STOP_DB - 8.7)
HALF_STEPS = (STOP_DB - 7.95) / (2 * 14.36 * (STOPBAND - PASSBAND) / 2)
RATE_TOLERANCE = 1.01  # clocks jitter: up to this ratio to the target rate, a recording is not filtered
MAX_BLOCK_VALUES = 2**20  # in memory at once


def resample(recording: ImuRecording, span: Span, *, antialias: bool = True) -> np.ndarray:
    """Resample [start, end) to 2000 even steps: (t, 6) -> (6, 2000). Source: ours.

    Interpolates linearly in time. If the recording's rate is higher than the result's and `antialias` is
    true, a low-pass filter interpolates instead, so that vibrations above half the result's rate do not
    alias. Beyond the recording's ends, its first and last samples are repeated.
    """
    start, end = float(span[0]), float(span[1])
    target = (end - start) / IMU_STEPS
    times = start + np.arange(IMU_STEPS) * target
    step = float(np.median(np.diff(recording.seconds)))
    if antialias and step * RATE_TOLERANCE < target:
        return _filtered(recording, times, step, target)
    return np.stack([np.interp(times, recording.seconds, channel) for channel in recording.samples.T])


def _filtered(recording: ImuRecording, times: np.ndarray, step: float, target: float) -> np.ndarray:
    """Low-pass and interpolate in one step: each value is a weighted sum of the samples around its time.

    An uneven clock is first interpolated to even steps at the recording's rate.
    """
    half = int(np.ceil(HALF_STEPS * target / step))  # samples on each side
    first = int(np.floor(times[0] / step)) - half
    count = int(np.ceil((times[-1] - times[0]) / step)) + 2 * half + 2
    grid = (first + np.arange(count)) * step
    samples = np.stack([np.interp(grid, recording.seconds, channel) for channel in recording.samples.T], 1)
    positions = times / step - first
    around = np.arange(1 - half, half + 1)
    out = np.empty((len(times), samples.shape[1]))
    block = max(MAX_BLOCK_VALUES // (len(around) * samples.shape[1]), 1)
    for at in range(0, len(times), block):
        position = positions[at : at + block, None]
        index = np.floor(position).astype(int) + around  # (b, 2 half)
        offset = (index - position) * (step / target)  # in target steps
        inside = np.clip(1 - (offset / HALF_STEPS) ** 2, 0, None)
        weights = np.sinc(CUTOFF * offset) * np.i0(KAISER_BETA * np.sqrt(inside))
        weights /= weights.sum(axis=1, keepdims=True)  # keeps gravity unchanged
        out[at : at + block] = np.einsum("bk,bkc->bc", weights, samples[index])
    return out.T
