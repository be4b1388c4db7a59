"""Benchmarks the web page with parallel users over loopback: each searches by text and fetches hits.

The page runs in its own process, as started by `imagebind app`, on an index of the toy world with the small
model. A user acts like a browser, without pauses. A search is timed from sending the text to receiving the
hits.
"""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from statistics import quantiles

from imagebind.benchmark.crawl import MAPPINGS, world_embedder
from imagebind.benchmark.report import Row
from imagebind.benchmark.sizes import Size
from imagebind.errors import ImageBindError
from imagebind.modality import MediaKind
from imagebind.search.crawl.crawler import crawl
from imagebind.search.index import Index
from imagebind.toyworld import write_world

SECTION = "app"
MAX_SCENES = 50  # of eight files each
FETCHED_FILES = 4  # at most: thumbnails, and as many media files, after a search
MAX_SECONDS = 120.0  # after which users start no more searches
TIMEOUT_SECONDS = 60.0  # for one response
SERVER_URL = re.compile(r"http://127\.0\.0\.1:\d+")
QUERIES = ("a red star", "a blue ring", "something that bounces", "a cold metal bar", "a moon on grass")

_CARD = re.compile(r'data-kind="(\w+)".*?data-like="(\w+)"', re.DOTALL)
_WITHOUT_THUMBNAIL = (MediaKind.TEXT.value,)


@dataclass(kw_only=True)
class Log:
    """The log of one user: seconds of each search and of each fetch, and errors."""

    searches: list[float] = field(default_factory=list)
    fetches: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def measure(size: Size, folder: Path) -> Iterator[Row]:
    """Yield the rows, measured on an index that is created in a folder.

    Raises:
        ImageBindError: the page did not start; contains its output.
    """
    db = fill(folder, min(MAX_SCENES, size.indexed_scenes))
    with served(db) as url:
        start = time.perf_counter()
        logs = load(url, users=size.users, searches=size.searches)
        took = time.perf_counter() - start
    yield from rows(logs, took)


def rows(logs: Sequence[Log], took: float) -> Iterator[Row]:
    """Summarise the users' logs; actions that occurred less than twice have no rows of their times."""
    searches = [seconds for log in logs for seconds in log.searches]
    fetches = [seconds for log in logs for seconds in log.fetches]
    errors = [error for log in logs for error in log.errors]
    users = f"{len(logs)} users at once"
    detail = f"{len(searches)} searches and {len(fetches)} fetches in {took:.1f} s"
    first = f"; the first: {errors[0]}" if errors else ""
    yield _row(f"{users}: errors", len(errors), "", target=0, detail=detail + first)
    for name, times in (("a search", searches), ("a thumbnail or media file", fetches)):
        if len(times) > 1:
            cuts = quantiles(times, n=20)
            yield _row(f"{users}: {name}, p50", cuts[9] * 1e3, "ms")
            yield _row(f"{users}: {name}, p95", cuts[18] * 1e3, "ms")
    yield _row(f"{users}: searches", len(searches) / took, "a second")


def _row(name: str, value: float, unit: str, *, target: float | None = None, detail: str = "") -> Row:
    return Row(section=SECTION, name=name, value=value, unit=unit, target=target, at_most=True, detail=detail)


def fill(folder: Path, scenes: int) -> Path:
    """Write scenes and index them; return the path of the index."""
    write_world(folder / "media", scenes, seed=0)
    db = folder / "media.lance"
    crawl(Index.open(db, world_embedder(), create=True), [folder / "media"], mappings=MAPPINGS)
    return db


@contextmanager
def served(db: Path) -> Iterator[str]:
    """Serve the page of an index in its own process; yield its URL."""
    command = [sys.executable, "-m", "imagebind.cli.main", "app", str(db), "--weights", "tiny", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            printed = ""
            while not (found := SERVER_URL.search(printed)):
                line = process.stderr.readline()
                if not line:
                    raise ImageBindError(f"the page did not start: {printed.strip() or 'no output'}")
                printed += line
            yield found[0]
        finally:
            process.kill()


def load(url: str, *, users: int, searches: int, max_seconds: float = MAX_SECONDS) -> list[Log]:
    """Search a page with parallel users; return their logs. Stops after `max_seconds`."""
    end = time.perf_counter() + max_seconds
    with ThreadPoolExecutor(users) as pool:
        return list(pool.map(lambda number: _use(url, number, searches, end), range(users)))


def _use(url: str, number: int, searches: int, end: float) -> Log:
    log = Log()
    connection = HTTPConnection(url.removeprefix("http://"), timeout=TIMEOUT_SECONDS)
    try:
        _request(connection, "/")
        for turn in range(searches):
            if time.perf_counter() > end:
                break
            start = time.perf_counter()
            found = _search(connection, QUERIES[(number + turn) % len(QUERIES)])
            log.searches.append(time.perf_counter() - start)
            _fetch(connection, found, log)
    except (OSError, HTTPException, ImageBindError) as error:
        log.errors.append(f"{type(error).__name__}: {error}")
    finally:
        connection.close()
    return log


def _request(connection: HTTPConnection, path: str, body: object = None) -> bytes:
    """Return the content of a path: by POST with `body` as JSON, or by GET if there is no body.

    Raises:
        ImageBindError: the server refuses the request.
    """
    if body is None:
        connection.request("GET", path)
    else:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    content = response.read()
    if response.status >= 400:
        raise ImageBindError(f"{path}: status {response.status}, {content[:300]!r}")
    return content


def _search(connection: HTTPConnection, text: str) -> list[tuple[str, str]]:
    """Search as the page's script does; return the media type and id of each hit.

    Raises:
        ImageBindError: the response has no hits.
    """
    body = {"query": {"texts": [[text, 1.0]]}, "filters": {}}
    page = _request(connection, "/search", body).decode()
    hits = _CARD.findall(page)
    if not hits:
        raise ImageBindError(f"no hits for {text!r}: {page[:300]}")
    return hits


def _fetch(connection: HTTPConnection, found: Sequence[tuple[str, str]], log: Log) -> None:
    with_thumbnail = [id for kind, id in found if kind not in _WITHOUT_THUMBNAIL][:FETCHED_FILES]
    paths = [f"/thumbnail/{id}" for id in with_thumbnail] + [
        f"/media/{id}" for _, id in found[:FETCHED_FILES]
    ]
    for path in paths:
        start = time.perf_counter()
        _request(connection, path)
        log.fetches.append(time.perf_counter() - start)
