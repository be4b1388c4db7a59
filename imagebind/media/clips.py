"""Choose the stretches of a recording that become clips, of video or audio. Times are exact fractions."""

import math
from collections.abc import Sequence
from fractions import Fraction

Seconds = float | Fraction
Span = tuple[Seconds, Seconds]  # [start, end) in seconds


def clip_spans(duration: Seconds, *, clip_seconds: Seconds, clips: int) -> list[tuple[Fraction, Fraction]]:
    """Return the spans of `clips` clips, with starts evenly spaced from 0 to duration - clip_seconds.

    If the recording is shorter than a clip, all spans are equal and end after the recording.
    One clip starts at 0. Source: released.

    Raises:
        ValueError: no clips, or a clip or recording whose length is not positive and finite.
    """
    if clips < 1:
        raise ValueError(f"clips: expected at least 1, got {clips}")
    if not (0 < clip_seconds < math.inf and 0 < duration < math.inf):
        raise ValueError(
            "length of clip and recording: expected positive, finite seconds, "
            f"got {clip_seconds} and {duration}"
        )
    length = Fraction(clip_seconds)
    last_start = max(Fraction(duration) - length, Fraction(0))
    starts = [last_start * i / max(clips - 1, 1) for i in range(clips)]
    return [(start, start + length) for start in starts]


def as_floats(spans: Sequence[Span]) -> list[tuple[float, float]]:
    """Convert spans to floats, to store or print them."""
    return [(float(start), float(end)) for start, end in spans]
