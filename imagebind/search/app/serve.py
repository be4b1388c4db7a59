"""Serve the page on a port of this machine until the process is stopped."""

import os
import socket
from collections.abc import Callable
from ipaddress import ip_address

import uvicorn

from imagebind.search.app.server import LOOPBACK, build_app
from imagebind.search.index import Index

LISTEN_BACKLOG = 128  # waiting connections
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
    """
    hosts = LOOPBACK if is_loopback(host) else ("*",)
    name = f"[{host}]" if ":" in host else host
    app = build_app(index, max_upload_mb=max_upload_mb, hosts=hosts)
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=SHUTDOWN_SECONDS)
    server = uvicorn.Server(config)
    on_start(f"http://{name}:{opened.getsockname()[1]}")
    server.run(sockets=[opened])
