"""The spans of the clips of a recording."""

import math
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagebind.media.clips import as_floats, clip_spans


def test_five_clips_of_a_ten_second_recording_start_every_two_seconds():
    spans = clip_spans(10, clip_seconds=2, clips=5)
    assert spans == [(0, 2), (2, 4), (4, 6), (6, 8), (8, 10)]


def test_starts_are_exact_fractions():
    spans = clip_spans(Fraction(3), clip_seconds=2, clips=4)
    assert [start for start, _ in spans] == [0, Fraction(1, 3), Fraction(2, 3), 1]


def test_a_short_recording_gives_the_same_clip_each_time():
    assert clip_spans(0.5, clip_seconds=2, clips=3) == [(0, 2)] * 3


def test_a_single_clip_starts_at_the_beginning():
    assert clip_spans(60, clip_seconds=2, clips=1) == [(0, 2)]


@pytest.mark.parametrize(
    ("duration", "clip_seconds", "clips"),
    [
        (5, 2, 0),
        *((5, seconds, 1) for seconds in (0, -2, math.inf, math.nan)),
        *((seconds, 2, 1) for seconds in (0, -1, math.inf, math.nan)),
    ],
)
def test_lengths_and_counts_that_are_not_positive_and_finite_are_refused(duration, clip_seconds, clips):
    with pytest.raises(ValueError, match="expected"):
        clip_spans(duration, clip_seconds=clip_seconds, clips=clips)


@settings(max_examples=50, deadline=None)
@given(st.floats(0.01, 1e5, allow_nan=False), st.floats(0.01, 100, allow_nan=False), st.integers(2, 20))
def test_clips_are_of_one_length_evenly_spread_and_reach_both_ends(duration, clip_seconds, clips):
    spans = clip_spans(duration, clip_seconds=clip_seconds, clips=clips)
    starts = [start for start, _ in spans]
    assert len(spans) == clips
    assert {end - start for start, end in spans} == {Fraction(clip_seconds)}
    assert len({after - before for before, after in pairwise(starts)}) == 1
    assert starts[0] == 0
    assert spans[-1][1] == max(Fraction(duration), Fraction(clip_seconds))


def test_spans_as_floats_are_plain_numbers():
    (span,) = as_floats([(Fraction(1, 3), 2)])
    assert span == (1 / 3, 2.0)
    assert all(type(seconds) is float for seconds in span)
