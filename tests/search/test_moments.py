"""Moments in an index: windows are joined, overlaps left out, and rows without time ignored."""

import pytest

from imagebind.modality import MediaKind
from imagebind.search.moments import joined, search_moments
from imagebind.search.rows import Hit
from tests.search.made import make_index, row, unit


def window(start: float, score: float, *, path: str = "a.mp4", kind: MediaKind = MediaKind.VIDEO) -> Hit:
    return Hit(
        id=f"{path}{start}{kind}",
        path=path,
        kind=kind,
        start=start,
        end=start + 10,
        metadata={},
        thumbnail=None,
        content_hash="",
        size=0,
        mtime_ns=0,
        cosine=0.1,
        score=score,
    )


def spans(hits) -> list[tuple]:
    return [(hit.path, hit.start, hit.end, hit.score) for hit in hits]


def test_consecutive_windows_are_one_moment_while_their_score_is_at_least_half_of_the_best():
    hits = [window(0, 0.2), window(5, 1.2), window(10, 1.6), window(15, 2.0), window(20, 0.9)]
    assert spans(joined(hits)) == [("a.mp4", 5, 25, 2.0)]


def test_separate_windows_are_separate_moments_up_to_the_limit_per_file():
    hits = [window(0, 1.5), window(30, 2.0), window(60, 1.0), window(0, 1.2, path="b.mp4")]
    assert spans(joined(hits)) == [
        ("a.mp4", 30, 40, 2.0),
        ("a.mp4", 0, 10, 1.5),
        ("b.mp4", 0, 10, 1.2),
        ("a.mp4", 60, 70, 1.0),
    ]
    assert spans(joined(hits, per_file=1)) == [("a.mp4", 30, 40, 2.0), ("b.mp4", 0, 10, 1.2)]


def test_the_audio_of_a_moment_is_not_a_second_moment():
    hits = [window(10, 2.0), window(10, 1.9, kind=MediaKind.AUDIO), window(15, 0.1, kind=MediaKind.AUDIO)]
    assert spans(joined(hits)) == [("a.mp4", 10, 20, 2.0)]


def test_windows_below_the_mean_are_not_joined():
    assert spans(joined([window(0, -0.1), window(5, -0.2)])) == [("a.mp4", 0, 10, -0.1)]


def test_an_index_gives_the_moments_of_recordings_only(tmp_path):
    def times(n):
        return {"kind": MediaKind.VIDEO, "start": 5.0 * n, "end": 5.0 * n + 10}

    rows = [row("/film.mp4", 1, 0.1 if 4 <= n <= 5 else 3, n % 3 / 9, **times(n)) for n in range(12)]
    index = make_index(tmp_path / "db", [*rows, row("/still.jpg", 1)])
    hits = search_moments(index, unit(1), 3)
    assert (hits[0].path, hits[0].start, hits[0].end) == ("/film.mp4", 20, 35)
    assert {hit.path for hit in hits} == {"/film.mp4"}
    assert all(a.end <= b.start or b.end <= a.start for a in hits for b in hits if a is not b)
    with pytest.raises(ValueError, match=r"moments: expected some of video, audio, imu, got image"):
        search_moments(index, unit(1), kinds=["image"])


def test_more_windows_are_fetched_until_there_are_enough_moments(tmp_path):
    long = [
        row("/long.mp4", 1, 0.01 * (n % 2), kind=MediaKind.VIDEO, start=5.0 * n, end=5.0 * n + 10)
        for n in range(60)
    ]
    others = [row(f"/{n}.mp4", 0, 1, n, kind=MediaKind.VIDEO, start=0.0, end=8.0) for n in range(10)]
    hits = search_moments(make_index(tmp_path / "db", long + others), unit(1), 2)
    assert hits[0].path == "/long.mp4" and len(hits) == 2
