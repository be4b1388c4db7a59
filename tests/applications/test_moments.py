"""Moments: the time around a maximum of the score, of one stream or several, without overlaps."""

import numpy as np
import pytest

from imagebind.applications.moments import MAX_OVERLAP, find_moments, score_curve
from imagebind.applications.streams import RecordingVectors, StreamWindows
from imagebind.errors import MediaError
from imagebind.modality import MediaKind

HOP, WINDOW = 0.5, 2.0
SECONDS = 60.0
QUERY = np.array([1.0, 0.0, 0.0], dtype=np.float32)


def stream(*events: tuple[float, float, float], shift: float = 0.0, seconds: float = SECONDS, seed: int = 0):
    """Return windows whose cosine with the query rises by their share of events (start, end, height)."""
    starts = np.arange(0, seconds - WINDOW + HOP / 2, HOP)
    cosines = 0.1 + 0.005 * np.random.default_rng(seed).standard_normal(len(starts))
    for begin, end, height in events:
        inside = np.clip(np.minimum(starts + WINDOW, end) - np.maximum(starts, begin), 0, None) / WINDOW
        cosines += height * inside
    rest = np.sqrt(1 - cosines**2)
    vectors = np.stack([cosines, rest, 0 * rest], axis=1).astype(np.float32)
    return StreamWindows(starts=starts + shift, ends=starts + WINDOW + shift, vectors=vectors)


def recording(seconds: float = SECONDS, **streams: StreamWindows) -> RecordingVectors:
    kinds = {MediaKind(name): windows for name, windows in streams.items()}
    return RecordingVectors(name="film.mp4", seconds=seconds, streams=kinds)


@pytest.mark.parametrize("begin, end", [(10, 12), (20, 26), (0, 5), (53, 60)])
def test_an_event_is_found_with_its_start_and_end(begin, end):
    (best,) = find_moments(recording(video=stream((begin, end, 0.3))), QUERY, top=1)
    assert best.start == pytest.approx(begin, abs=0.6) and best.end == pytest.approx(end, abs=0.6)
    assert begin <= best.peak <= end and best.score > 1


def test_moments_are_sorted_by_score_and_do_not_overlap():
    found = find_moments(recording(video=stream((10, 14, 0.2), (30, 34, 0.3), (45, 48, 0.25))), QUERY, top=10)
    assert [round(moment.peak / 5) * 5 for moment in found[:3]] == [30, 45, 10]
    assert [moment.score for moment in found] == sorted((moment.score for moment in found), reverse=True)
    for number, first in enumerate(found):
        for second in found[:number]:
            shared = min(first.end, second.end) - max(first.start, second.start)
            assert shared <= MAX_OVERLAP * min(first.seconds, second.seconds)


def test_an_event_in_both_streams_comes_first():
    video, audio = stream((10, 14, 0.3), (30, 34, 0.3)), stream((30, 34, 0.2), (50, 54, 0.2), seed=1)
    (both,) = find_moments(recording(video=video, audio=audio), QUERY, top=1)
    assert 30 <= both.peak <= 34 and set(both.stream_scores) == {MediaKind.VIDEO, MediaKind.AUDIO}
    assert both.score == pytest.approx(np.mean(list(both.stream_scores.values())))


def test_a_stream_without_information_about_the_query_does_not_hide_another():
    noise = stream(seed=1)  # deviations of 0.005, which standardising alone would make as large as an event
    (best,) = find_moments(recording(video=stream((10, 14, 0.3)), imu=noise), QUERY, top=1)
    assert 10 <= best.peak <= 14 and abs(best.stream_scores[MediaKind.IMU]) < 0.3


def test_a_stream_counts_only_where_it_has_windows():
    imu = stream((2, 6, 0.3), shift=40.0, seconds=12.0)
    curve = score_curve(recording(video=stream(), imu=imu), QUERY)
    scores = curve.streams[MediaKind.IMU]
    assert np.all(scores[(curve.times < 39.9) | (curve.times > 52.1)] == 0)
    assert 42 <= curve.times[scores.argmax()] <= 46


def test_the_curve_is_the_mean_over_the_windows_that_cover_a_time():
    one = stream((20, 22, 0.3))
    curve = score_curve(recording(video=one), QUERY)
    cosines = one.vectors @ QUERY
    scores = (cosines - cosines.mean()) / cosines.std()
    at = 41  # windows 39 to 43 have their middle within a second
    np.testing.assert_allclose(curve.scores[at], scores[39:44].mean(), rtol=1e-5)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_short_recording_has_a_moment_too(count):
    windows = stream((0, 1, 0.2), seconds=WINDOW + (count - 1) * HOP)
    found = find_moments(recording(seconds=WINDOW + (count - 1) * HOP, video=windows), QUERY)
    assert found[0].start == 0 and 0 < found[0].end <= WINDOW + (count - 1) * HOP


def test_a_missing_stream_and_no_moments_are_refused():
    whole = recording(video=stream())
    with pytest.raises(MediaError, match=r"film\.mp4: expected a recording with audio, got one with video"):
        whole.only([MediaKind.AUDIO])
    for query, message in ((QUERY[None], r"got \(1, 3\)"), ("a star", "got a str")):
        with pytest.raises(ValueError, match=rf"query: expected a vector \(3,\).*{message}"):
            find_moments(whole, query)
    with pytest.raises(ValueError, match="top: expected at least 1"):
        find_moments(whole, QUERY, top=0)
