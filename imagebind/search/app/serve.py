"""The page on a port of this machine, until it is stopped."""

import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

from imagebind.errors import import_extra
from imagebind.search.app.page import LEFT_OVERS
from imagebind.search.app.server import LOOPBACK, build_app
from imagebind.search.index import Index

UPLOADS = "GRADIO_TEMP_DIR"  # where Gradio puts uploads: it takes this from the environment alone
BACKLOG = 128  # connections that may wait
ENDING_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
SECONDS_TO_END = 3  # for requests under way, once it is to stop


def listen(host: str, port: int) -> socket.socket:
    """Take a port.

    Raises:
        OSError: it is taken, or there is no such address here; names it.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        number = error.errno or 0  # below 0 where a name has no address
        reason = os.strerror(number) if number > 0 else error.strerror
        raise OSError(f"cannot listen at {host}, port {port} ({reason}); try another --port") from error


def is_loopback(host: str) -> bool:
    """Whether an address is one that only this machine reaches."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def serve(
    index: Index,
    opened: socket.socket,
    *,
    host: str,
    max_upload_mb: float,
    on_start: Callable[[str], object],
) -> None:
    """Serve the page of an index at a port that `listen` took, until the process is told to stop.

    Args:
        host: as it was given to `listen`.
        on_start: is called with the page's address once it can be opened.

    Raises:
        MissingExtraError: Gradio is not installed.
    """
    uvicorn = import_extra("uvicorn", extra="app", purpose="the web page")
    hosts = LOOPBACK if is_loopback(host) else ("*",)
    name = f"[{host}]" if ":" in host else host
    with ended_by_signals(), own_uploads():
        app = build_app(index, max_upload_mb=max_upload_mb, hosts=hosts)
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=SECONDS_TO_END)
        server = uvicorn.Server(config)
        on_start(f"http://{name}:{opened.getsockname()[1]}")
        server.run(sockets=[opened])


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into SystemExit, so that what is open is closed before the process ends.

    Uvicorn raises the signal that stopped it once more, for whoever was in charge before.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _: object) -> None:
        for other in before:
            signal.signal(other, signal.SIG_IGN)  # a second one would cut short what the first one began
        raise SystemExit(128 + number)

    before = {number: signal.getsignal(number) for number in ENDING_SIGNALS}
    for number in before:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def own_uploads() -> Iterator[str]:
    """A folder for uploads to this page alone, gone with all that is left in it at the end.

    What an upload leaves that breaks off is deleted before: Gradio forgets it.
    """
    before = os.environ.get(UPLOADS)
    ended = threading.Event()
    with tempfile.TemporaryDirectory(prefix="imagebind-app-", ignore_cleanup_errors=True) as folder:
        os.environ[UPLOADS] = folder
        sweeper = threading.Thread(target=_sweep_until, args=(ended, Path(folder)), daemon=True)
        sweeper.start()
        try:
            yield folder
        finally:
            ended.set()
            sweeper.join()
            if before is None:
                del os.environ[UPLOADS]
            else:
                os.environ[UPLOADS] = before


def sweep(folder: Path, *, older: float) -> None:
    """Delete files in a folder that were last written to so many seconds ago."""
    for path in folder.rglob("*"):
        try:
            if path.is_file() and time.time() - path.stat().st_mtime > older:
                path.unlink()
        except FileNotFoundError:  # embedded meanwhile, and deleted
            continue


def _sweep_until(ended: threading.Event, folder: Path) -> None:
    every, older = LEFT_OVERS
    while not ended.wait(every):
        sweep(folder, older=older)
