"""A page on a port, in a thread of this process, and requests to it."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import uvicorn

from imagebind.search import Index
from imagebind.search.app.inputs import UploadFile
from imagebind.search.app.serve import listen
from imagebind.search.app.server import build_app

FILTERS = {"kinds": [], "path": "", "first": "", "last": "", "top": 5}


@dataclass(frozen=True)
class Served:
    """The URL of a page, and the folder of its temporary files."""

    url: str
    folder: Path

    def temporary_files(self) -> list[str]:
        """Return the temporary files that exist, and those without a name that this process has open."""
        opened = [str(link.readlink()) for link in Path("/proc/self/fd").glob("*") if link.is_symlink()]
        named = [str(path) for path in self.folder.rglob("*") if path.is_file()]
        return named + [path for path in opened if Path(path).is_relative_to(self.folder)]


@contextmanager
def serving(index: Index, *, max_upload_mb: float) -> Iterator[str]:
    with listen("127.0.0.1", 0) as opened:
        config = uvicorn.Config(
            build_app(index, max_upload_mb=max_upload_mb), log_level="error", timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.02)
        try:
            yield f"http://127.0.0.1:{opened.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def uploaded(path: Path) -> Iterator[UploadFile]:
    """Yield a file as the server holds it after its upload."""
    with UploadFile(path.name) as file:
        file.write(path.read_bytes())
        yield file


def upload(url: str, content: bytes, name: str = "x.txt") -> httpx.Response:
    return httpx.post(f"{url}/uploads", params={"name": name}, content=content, timeout=60)


def eventually(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + 20
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def search(url: str, *, texts: Sequence = (), uploads: Sequence = (), **filters: object) -> httpx.Response:
    body = {"query": {"texts": texts, "uploads": uploads}, "filters": FILTERS | filters}
    return httpx.post(f"{url}/search", json=body, timeout=60)
