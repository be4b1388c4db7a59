"""Benchmarks the web page with parallel users over loopback: each searches by text and fetches the hits.

The page runs in its own process, as started by `imagebind app`, on an index of the toy world with the small
model. A user acts like a browser, without pauses: a search goes through the page's queue, and is timed from
sending the text to receiving the hits.
"""

import json
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any

from imagebind.benchmark.crawl import MAPPINGS, world_embedder
from imagebind.benchmark.report import Row
from imagebind.benchmark.sizes import Size
from imagebind.errors import ImageBindError, import_extra
from imagebind.modality import MediaKind
from imagebind.search.crawl.crawler import crawl
from imagebind.search.index import Index
from imagebind.toyworld import write_world

SECTION = "app"
SCENES = 50  # at most, of eight files each
FETCHED = 4  # thumbnails, and media files, after a search
MOST_SECONDS = 120.0  # then users stop, whatever is left
PATIENCE = 60.0  # seconds for one answer
STARTED = re.compile(r"http://127\.0\.0\.1:\d+")
WORDS = ("a red star", "a blue ring", "something that bounces", "a cold metal bar", "a moon on grass")

_CARD = re.compile(r'data-kind="(\w+)".*?data-like="(\w+)"')
_HAVE_NO_PICTURE = (MediaKind.TEXT.value,)


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
    db = fill(folder, min(SCENES, size.crawled))
    with served(db) as url:
        start = time.perf_counter()
        logs = load(url, users=size.users, searches=size.searches)
        took = time.perf_counter() - start
    yield from rows(logs, took)


def rows(logs: Sequence[Log], took: float) -> Iterator[Row]:
    """Summarise the users' logs; there is no row for actions that occurred less than twice."""
    searches = [seconds for log in logs for seconds in log.searches]
    fetches = [seconds for log in logs for seconds in log.fetches]
    errors = [error for log in logs for error in log.errors]
    of = f"{len(logs)} users at once"
    detail = f"{len(searches)} searches and {len(fetches)} fetches in {took:.1f} s"
    first = f"; the first: {errors[0]}" if errors else ""
    yield _row(f"{of}: errors", len(errors), "", target=0, detail=detail + first)
    for what, times in (("a search", searches), ("a thumbnail or media file", fetches)):
        if len(times) > 1:
            cuts = quantiles(times, n=20)
            yield _row(f"{of}: {what}, p50", cuts[9] * 1e3, "ms")
            yield _row(f"{of}: {what}, p95", cuts[18] * 1e3, "ms")
    yield _row(f"{of}: searches", len(searches) / took, "a second")


def _row(what: str, value: float, unit: str, *, target: float | None = None, detail: str = "") -> Row:
    return Row(section=SECTION, what=what, value=value, unit=unit, target=target, at_most=True, detail=detail)


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
            said = ""
            while not (found := STARTED.search(said)):
                line = process.stderr.readline()
                if not line:
                    raise ImageBindError(f"the page did not start: {said.strip() or 'nothing was said'}")
                said += line
            yield found[0]
        finally:
            process.kill()


def load(url: str, *, users: int, searches: int, most_seconds: float = MOST_SECONDS) -> list[Log]:
    """Search a page with parallel users; return their logs. Stops after `most_seconds`."""
    end = time.perf_counter() + most_seconds
    with ThreadPoolExecutor(users) as pool:
        return list(pool.map(lambda number: _use(url, number, searches, end), range(users)))


def _use(url: str, number: int, searches: int, end: float) -> Log:
    httpx = import_extra("httpx", extra="app", purpose="using the web page")
    log = Log()
    with httpx.Client(base_url=url, timeout=PATIENCE) as client:
        try:
            client.get("/").raise_for_status()
            config = client.get("/config").raise_for_status().json()
            for turn in range(searches):
                if time.perf_counter() > end:
                    break
                start = time.perf_counter()
                found = _search(client, config, WORDS[(number + turn) % len(WORDS)])
                log.searches.append(time.perf_counter() - start)
                _fetch(client, found, log)
        except (httpx.HTTPError, ImageBindError) as error:
            log.errors.append(f"{type(error).__name__}: {error}")
    return log


def _search(client: Any, config: dict[str, Any], words: str) -> list[tuple[str, str]]:
    """Search as the page's script does; return the media type and id of each hit.

    Raises:
        ImageBindError: the response has no hits.
    """
    parts = {part["id"]: part["props"] for part in config["components"]}
    (event,) = (event for event in config["dependencies"] if event["api_name"] == "search")
    data = [words if parts[id].get("label") == "Text" else parts[id].get("value") for id in event["inputs"]]
    session = uuid.uuid4().hex
    question = {"data": data, "fn_index": event["id"], "session_hash": session}
    client.post("/gradio_api/queue/join", json=question).raise_for_status()
    with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as answer:
        answer.raise_for_status()
        for line in answer.iter_lines():
            told = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
            if told.get("msg") == "process_completed":
                hits = _CARD.findall(str(told["output"].get("data")).replace("\\\\", ""))
                if not told.get("success") or not hits:
                    raise ImageBindError(f"no hits for {words!r}: {str(told)[:300]}")
                return hits
    raise ImageBindError(f"no answer for {words!r}")


def _fetch(client: Any, found: Sequence[tuple[str, str]], log: Log) -> None:
    pictured = [id for kind, id in found if kind not in _HAVE_NO_PICTURE][:FETCHED]
    asked = [f"/thumbnail/{id}" for id in pictured] + [f"/media/{id}" for _, id in found[:FETCHED]]
    for path in asked:
        start = time.perf_counter()
        client.get(path, headers={"Range": "bytes=0-"}).raise_for_status()
        log.fetches.append(time.perf_counter() - start)
