"""A page on a port, in a thread of this process."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from imagebind.search import Index
from imagebind.search.app.serve import listen
from imagebind.search.app.server import build_app


@dataclass(frozen=True)
class Served:
    """Where a page is, and where its uploads go."""

    url: str
    uploads: Path

    def left(self) -> list[Path]:
        """Uploads that are still there."""
        return [path for path in self.uploads.rglob("*") if path.is_file() and path.stat().st_size]


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
