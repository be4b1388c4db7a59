"""The times at which the frames of a video are shown."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from imagebind.media.clips import Span

INT64_SAFE = 2**62  # the difference of two numbers up to this fits int64


@dataclass(frozen=True, kw_only=True)
class Clock:
    """The start of each frame, in ticks after the first frame, and the end of the last one."""

    ticks: Sequence[int]
    tick: Fraction  # seconds
    duration: Fraction  # seconds

    @classmethod
    def steady(cls, frames: int, rate: Fraction) -> "Clock":
        """Return the clock of a constant frame rate."""
        return cls(ticks=range(frames), tick=1 / rate, duration=frames / rate)

    @classmethod
    def of_stamps(
        cls, stamps: Sequence[int], *, last_duration: int, time_base: Fraction, rate: Fraction
    ) -> "Clock":
        """Return the clock of non-decreasing time stamps; a constant rate if they differ only by rounding.

        Args:
            last_duration: of the last frame, in units of `time_base`; 0 if the file does not state it.
            rate: frames per second as the file states it.
        """
        ticks = [stamp - stamps[0] for stamp in stamps]
        step = 1 / (time_base * rate)  # ticks per frame
        slack = 0 if step.denominator == 1 else step.denominator  # one tick
        if _are_steady(ticks, step, slack):
            return cls.steady(len(ticks), rate)
        end = ticks[-1] + (max(last_duration, 0) or step)
        return cls(ticks=ticks, tick=time_base, duration=end * time_base)

    def frames_in(self, span: Span, count: int) -> list[int]:
        """Return the indices of `count` frames, evenly spaced from the first to the last in the span.

        At a constant rate these run from ⌈rate·start⌉ to ⌈rate·end⌉ - 1, at most to the last frame, as
        released. If no frame starts in the span, the frame shown then is used. Frames may repeat.
        """
        start, end = (Fraction(seconds) / self.tick for seconds in span)
        last = max(bisect_left(self.ticks, end) - 1, 0)
        first = min(bisect_left(self.ticks, start), last)
        return [first + (last - first) * i // max(count - 1, 1) for i in range(count)]


def _are_steady(ticks: Sequence[int], step: Fraction, slack: int) -> bool:
    """Whether tick i is i steps after the first, within `slack` / `step.denominator` ticks."""
    if max(ticks[-1] * step.denominator, len(ticks) * step.numerator) > INT64_SAFE:
        return all(abs(t * step.denominator - i * step.numerator) <= slack for i, t in enumerate(ticks))
    differences = np.array(ticks) * step.denominator - np.arange(len(ticks)) * step.numerator
    return bool((np.abs(differences) <= slack).all())
