"""Limits on the sampling rate and the length of audio from any source."""

from imagebind.errors import MediaError
from imagebind.io.source import Limits

MIN_RATE = 1_000  # Hz; ours, as is MAX_RATE
MAX_RATE = 1_000_000
MAX_FRAME_SAMPLES = 2**21  # ours: per channel of one packet, 2 s at MAX_RATE; damaged headers state more
STEREO_SAMPLES_PER_SECOND = 2 * 48_000  # at most `max_seconds` times as many are decoded at once


def check_rate(name: str, rate: float) -> None:
    """Raise MediaError for a sampling rate that is not whole or not from `MIN_RATE` to `MAX_RATE`."""
    if not (MIN_RATE <= rate <= MAX_RATE and rate == int(rate)):
        raise MediaError(
            name,
            got=f"{rate} Hz",
            expected=f"a sampling rate that is a whole number from {MIN_RATE:,} to {MAX_RATE:,} Hz",
        )


def check_seconds(name: str, seconds: float, limits: Limits) -> None:
    """Raise MediaError for audio longer than `limits.max_seconds`."""
    if seconds > limits.max_seconds:
        raise MediaError(
            name, got=f"{seconds:,.1f} s", expected=f"at most {limits.max_seconds:,} s (max_seconds)"
        )


def check_sample_count(name: str, samples: int, limits: Limits) -> None:
    """Raise MediaError for more samples, over all channels, than `max_seconds` of stereo at 48 kHz have."""
    max_samples = limits.max_seconds * STEREO_SAMPLES_PER_SECOND
    if samples > max_samples:
        raise MediaError(
            name,
            got=f"{samples:,}",
            expected=f"at most {max_samples:,.0f} samples over all channels, "
            f"{limits.max_seconds:,} s of stereo at 48 kHz (max_seconds)",
        )
