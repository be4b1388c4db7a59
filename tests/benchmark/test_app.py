"""Simulated users of the web page: their requests, logs and errors. Speed is not tested."""

import pytest

from imagebind.benchmark.app import FETCHED_FILES, Log, load, rows
from imagebind.search import Index
from imagebind.toyworld import write_world
from tests.search.app.served import serving
from tests.search.crawled import crawled, tiny


@pytest.fixture
def db(tmp_path):
    write_world(tmp_path / "media", 1, seed=0)
    crawled(tmp_path / "db", tmp_path / "media")
    return tmp_path / "db"


def test_users_search_and_fetch_hits_without_errors(db):
    with serving(Index.open(db, tiny()), max_upload_mb=1) as url:
        logs = load(url, users=3, searches=2)
    assert [log.errors for log in logs] == [[], [], []]
    assert [len(log.searches) for log in logs] == [2, 2, 2]
    assert all(len(log.fetches) == 2 * 2 * FETCHED_FILES for log in logs)


def test_users_stop_at_the_time_limit_and_log_failures(db, tmp_path):
    with serving(Index.open(db, tiny()), max_upload_mb=1) as url:
        assert load(url, users=2, searches=5, max_seconds=0.0) == [Log(), Log()]
    empty = Index.open(tmp_path / "new", tiny(), create=True)
    with serving(empty, max_upload_mb=1) as url:
        (log,) = load(url, users=1, searches=5)
    assert log.searches == [] and "no hits for 'a red star'" in log.errors[0]
    (log,) = load(url, users=1, searches=5)  # the server has stopped
    assert "ConnectionRefusedError" in log.errors[0]


def test_rows_report_errors_first_and_then_median_and_95th_percentile_times():
    log = Log(searches=[0.1] * 95 + [1.0] * 5, fetches=[0.01, 0.01])
    found = {row.name: row for row in rows([log, Log(errors=["ReadTimeout: late"])], took=10.0)}
    errors = found["2 users at once: errors"]
    assert (errors.value, errors.met) == (1, False) and errors.detail.endswith("the first: ReadTimeout: late")
    assert found["2 users at once: a search, p50"].value == pytest.approx(100)
    assert found["2 users at once: a search, p95"].value > 500
    assert found["2 users at once: searches"].value == 10
