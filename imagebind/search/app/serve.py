"""Serve the page on a port of this machine until the process is stopped."""

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
from imagebind.search.app.page import UPLOAD_SWEEP
from imagebind.search.app.server import LOOPBACK, build_app
from imagebind.search.index import Index

UPLOAD_FOLDER_VARIABLE = "GRADIO_TEMP_DIR"  # the only way to set the folder of Gradio's uploads
LISTEN_BACKLOG = 128  # waiting connections
ENDING_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
SHUTDOWN_SECONDS = 3  # for running requests to end


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket.

    Raises:
        OSError: the port is in use, or this machine does not have the address; the message names both.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=LISTEN_BACKLOG)
    except OSError as error:
        number = error.errno or 0  # negative if a host name has no address
        reason = os.strerror(number) if number > 0 else error.strerror
        raise OSError(f"cannot listen at {host}, port {port} ({reason}); try another --port") from error


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
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
    """Serve the page of an index on a socket from `listen`, until the process is stopped by a signal.

    Args:
        host: as given to `listen`.
        on_start: called with the page's URL once it can be opened.

    Raises:
        MissingExtraError: Gradio is not installed.
    """
    uvicorn = import_extra("uvicorn", extra="app", purpose="the web page")
    hosts = LOOPBACK if is_loopback(host) else ("*",)
    name = f"[{host}]" if ":" in host else host
    with ended_by_signals(), own_uploads():
        app = build_app(index, max_upload_mb=max_upload_mb, hosts=hosts)
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=SHUTDOWN_SECONDS)
        server = uvicorn.Server(config)
        on_start(f"http://{name}:{opened.getsockname()[1]}")
        server.run(sockets=[opened])


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into SystemExit, so that context managers are closed before the process ends.

    Uvicorn raises the signal that stopped it again, for the handler that was set before.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _: object) -> None:
        for other in before:
            signal.signal(other, signal.SIG_IGN)  # a second signal would interrupt the shutdown
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
    """Yield a temporary folder for this page's uploads; it is deleted at the end.

    A thread deletes the files of interrupted uploads before, since Gradio does not.
    """
    before = os.environ.get(UPLOAD_FOLDER_VARIABLE)
    ended = threading.Event()
    with tempfile.TemporaryDirectory(prefix="imagebind-app-", ignore_cleanup_errors=True) as folder:
        os.environ[UPLOAD_FOLDER_VARIABLE] = folder
        sweeper = threading.Thread(target=_sweep_until, args=(ended, Path(folder)), daemon=True)
        sweeper.start()
        try:
            yield folder
        finally:
            ended.set()
            sweeper.join()
            if before is None:
                del os.environ[UPLOAD_FOLDER_VARIABLE]
            else:
                os.environ[UPLOAD_FOLDER_VARIABLE] = before


def sweep(folder: Path, *, older: float) -> None:
    """Delete the files in a folder that were last written more than `older` seconds ago."""
    for path in folder.rglob("*"):
        try:
            if path.is_file() and time.time() - path.stat().st_mtime > older:
                path.unlink()
        except FileNotFoundError:  # deleted after embedding meanwhile
            continue


def _sweep_until(ended: threading.Event, folder: Path) -> None:
    every, older = UPLOAD_SWEEP
    while not ended.wait(every):
        sweep(folder, older=older)
