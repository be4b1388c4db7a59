"""When the frames of a video show."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from imagebind.media.clips import Span

INT64_SAFE = 2**62


@dataclass(frozen=True, kw_only=True)
class Clock:
    """When each frame starts, in ticks since the first, and when the last one ends."""

    ticks: Sequence[int]
    tick: Fraction  # seconds
    duration: Fraction  # seconds

    @classmethod
    def steady(cls, frames: int, rate: Fraction) -> "Clock":
        """The clock of a constant rate."""
        return cls(ticks=range(frames), tick=1 / rate, duration=frames / rate)

    @classmethod
    def of_stamps(
        cls, stamps: Sequence[int], *, last_duration: int, time_base: Fraction, rate: Fraction
    ) -> "Clock":
        """Times from rising stamps; exactly steady ones if the stamps are steady but for rounding to ticks.

        Args:
            last_duration: of the last frame, in units of `time_base`; 0 if the file does not say it.
            rate: frames per second as the file states it.
        """
        ticks = [stamp - stamps[0] for stamp in stamps]
        step = 1 / (time_base * rate)  # ticks a frame
        slack = 0 if step.denominator == 1 else step.denominator  # a tick
        if _are_steady(ticks, step, slack):
            return cls.steady(len(ticks), rate)
        end = ticks[-1] + (max(last_duration, 0) or step)
        return cls(ticks=ticks, tick=time_base, duration=end * time_base)

    def frames_in(self, span: Span, count: int) -> list[int]:
        """Indices of `count` frames spread evenly over [start, end): the first that starts in it to the last.

        At a constant rate these run from ⌈rate·start⌉ to ⌈rate·end⌉ - 1, cut at the last frame, as released.
        A span in which no frame starts gets the frame that shows then. Frames repeat where there are too few.
        """
        start, end = (Fraction(seconds) / self.tick for seconds in span)
        last = max(bisect_left(self.ticks, end) - 1, 0)
        first = min(bisect_left(self.ticks, start), last)
        return [first + (last - first) * i // max(count - 1, 1) for i in range(count)]


def _are_steady(ticks: Sequence[int], step: Fraction, slack: int) -> bool:
    """Whether tick i is i steps after the first, but for `slack` over the step's denominator."""
    if max(ticks[-1] * step.denominator, len(ticks) * step.numerator) > INT64_SAFE:
        return all(abs(t * step.denominator - i * step.numerator) <= slack for i, t in enumerate(ticks))
    differences = np.array(ticks) * step.denominator - np.arange(len(ticks)) * step.numerator
    return bool((np.abs(differences) <= slack).all())
