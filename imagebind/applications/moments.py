"""Find moments: where in a long recording a query fits, by its images, its audio, an IMU file or their sum.

    vectors = embed_recording(embedder, Path("video.mp4"))
    query = to_query([("a dog barks", 1.0), (Path("park.jpg"), 0.5)], embedder, embed_dim=embedder.embed_dim)
    for moment in find_moments(vectors, query.vector):
        print(moment.start, moment.end, moment.score)

The cosines of a stream's windows with the query are standardised over the recording by
`imagebind.calibration`, so that streams can be added. The score at a time is the mean over the windows that
cover it, then over the streams. A moment is the time around a maximum in which the score stays above the
middle between the mean and the maximum: a window that is half outside an event has about half of the event's
score. Source: ours; docs/guide/moments.md has the alternatives that were measured.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from imagebind.applications.streams import RecordingVectors
from imagebind.calibration import Calibration
from imagebind.modality import MediaKind

TOP_MOMENTS = 5
EDGE_SHARE = 0.5  # of the maximum's height above the mean score: a moment ends where the score is lower
TIME_TOLERANCE = 1e-6  # seconds; for rounding errors in the times of windows
SCORE_TOLERANCE = 1e-9  # for rounding errors in the mean of equal scores
MAX_OVERLAP = 0.3  # of the shorter moment; if two overlap more, the one with the higher score is kept


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A part of a recording, with its score and the score of each stream at `peak`, the time of the maximum.

    Times are in seconds.
    """

    start: float
    end: float
    peak: float
    score: float
    stream_scores: Mapping[MediaKind, float] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """The length in seconds."""
        return self.end - self.start


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoreCurve:
    """Scores over time: `times` (n,) in seconds, `scores` (n,), and the scores of each stream (n,).

    Where a stream has no windows, its score is 0, the mean of standardised scores.
    """

    times: np.ndarray
    scores: np.ndarray
    streams: Mapping[MediaKind, np.ndarray]


def score_curve(recording: RecordingVectors, query: np.ndarray) -> ScoreCurve:
    """Return the scores of a query, a unit vector (e,), over the time of a recording.

    Raises:
        ValueError: the query is not a NumPy vector of the length of the recording's vectors.
    """
    width = next(iter(recording.streams.values())).vectors.shape[1]
    if not isinstance(query, np.ndarray) or query.shape != (width,):
        got = f"{query.shape}" if isinstance(query, np.ndarray) else f"a {type(query).__name__}"
        raise ValueError(f"query: expected a vector ({width},), as from Embedder.encode, got {got}")
    calibration = Calibration({kind: windows.vectors for kind, windows in recording.streams.items()})
    times = max((windows.centres for windows in recording.streams.values()), key=len)
    streams = {}
    for kind, windows in recording.streams.items():
        scores = calibration.scale(query, kind).score(windows.vectors @ query)  # (n, e) @ (e,) -> (n,)
        half = (windows.ends[0] - windows.starts[0]) / 2
        smooth = _mean_around(windows.centres, scores, half)
        inside = (times >= windows.centres[0] - half) & (times <= windows.centres[-1] + half)
        streams[kind] = np.where(inside, np.interp(times, windows.centres, smooth), 0.0)
    return ScoreCurve(times=times, scores=np.mean(list(streams.values()), axis=0), streams=streams)


def find_moments(recording: RecordingVectors, query: np.ndarray, *, top: int = TOP_MOMENTS) -> list[Moment]:
    """Return up to `top` moments of a recording that fit a query, a unit vector (e,), best first.

    Scores are in standard deviations over the recording's windows, so they cannot be compared between
    recordings: the best moment has a high score even if no part of the recording fits the query. If no stream
    has `calibration.MIN_SAMPLES` windows, the scores are cosines.

    Raises:
        ValueError: `top` is less than 1, or as for `score_curve`.
    """
    if top < 1:
        raise ValueError(f"top: expected at least 1, got {top}")
    curve = score_curve(recording, query)
    found: list[Moment] = []
    for moment in sorted(_candidates(curve, recording.seconds), key=lambda each: -each.score):
        if all(_overlap(moment, better) <= MAX_OVERLAP for better in found):
            found.append(moment)
        if len(found) == top:
            break
    return found


def _candidates(curve: ScoreCurve, seconds: float) -> Iterator[Moment]:
    """Yield a moment for each local maximum that is not below the mean."""
    times, scores = curve.times, curve.scores
    mean = float(scores.mean())
    for peak in range(len(scores)):
        before, after = scores[max(peak - 1, 0)], scores[min(peak + 1, len(scores) - 1)]
        is_maximum = scores[peak] >= after and (scores[peak] > before or peak == 0)
        if not is_maximum or scores[peak] < mean - SCORE_TOLERANCE:
            continue
        level = mean + EDGE_SHARE * (scores[peak] - mean)
        below = np.flatnonzero(scores < level)
        left, right = below[below < peak], below[below > peak]
        start = _crossing(curve, left[-1], left[-1] + 1, level) if len(left) else 0.0
        end = _crossing(curve, right[0], right[0] - 1, level) if len(right) else seconds
        yield Moment(
            start=max(start, 0.0),
            end=min(end, seconds),
            peak=float(times[peak]),
            score=float(scores[peak]),
            stream_scores={kind: float(each[peak]) for kind, each in curve.streams.items()},
        )


def _crossing(curve: ScoreCurve, outside: int, inside: int, level: float) -> float:
    """Return the time between two windows at which the score crosses a level."""
    share = (level - curve.scores[outside]) / (curve.scores[inside] - curve.scores[outside])
    return float(curve.times[outside] + share * (curve.times[inside] - curve.times[outside]))


def _overlap(first: Moment, second: Moment) -> float:
    """Return the time that two moments share, relative to the shorter one."""
    shared = min(first.end, second.end) - max(first.start, second.start)
    return max(shared, 0.0) / max(min(first.seconds, second.seconds), 1e-9)


def _mean_around(times: np.ndarray, values: np.ndarray, reach: float) -> np.ndarray:
    """Return the mean of the values within `reach` seconds of each time: (n,), (n,) -> (n,)."""
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    first = np.searchsorted(times, times - reach - TIME_TOLERANCE)
    last = np.searchsorted(times, times + reach + TIME_TOLERANCE)
    return (sums[last] - sums[first]) / (last - first)
