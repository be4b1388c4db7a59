"""Download files over HTTP: a file of known size with resuming, or any file in one request.

The caller verifies the content.
"""

import logging
import re
import shutil
import time
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
)

from imagebind.errors import CheckpointError

logger = logging.getLogger(__name__)

DOWNLOAD_CHUNK_BYTES = 1 << 20
HTTP_TIMEOUT_SECONDS = 30.0  # without receiving a byte
MAX_FAILED_ATTEMPTS = 5  # in a row without further bytes; 4 of them are repeated
RETRY_PAUSE_SECONDS = 1.0  # after further bytes; doubles with each attempt that receives none
RETRIED_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})  # temporary server errors
RANGE_NOT_SATISFIABLE = 416

REQUEST_HEADERS = {"User-Agent": "imagebind", "Accept-Encoding": "identity"}
WEB_HANDLERS = (  # those of urllib without FTP, file and data URLs
    *(ProxyHandler, UnknownHandler, HTTPHandler, HTTPSHandler),
    *(HTTPDefaultErrorHandler, HTTPRedirectHandler, HTTPErrorProcessor),
)
UNESCAPED_URL_CHARACTERS = "%/:=&?~#+!$,;'@()*[]"  # others, such as a space, are escaped

ReportProgress = Callable[[int], None]  # takes the number of bytes received


def open_url(url: str) -> HTTPResponse:
    """Request an HTTP URL and return the response with an unread body; redirects must be HTTP too.

    Raises:
        OSError: the server refuses the request, redirects to another scheme or cannot be reached.
        HTTPException, ValueError: not an HTTP server, or an invalid URL, also one with a user name.
    """
    if "@" in urlsplit(url).netloc:  # a redirect would pass the password on to another server
        raise ValueError("a URL with a user name is not supported; pass one without, or a local file")
    request = Request(quote(url, safe=UNESCAPED_URL_CHARACTERS), headers=REQUEST_HEADERS)
    try:
        return _opener().open(request, timeout=HTTP_TIMEOUT_SECONDS)
    except HTTPError as error:
        error.close()  # callers may keep the error for long
        raise
    except URLError as error:  # its text is "<urlopen error ...>"
        raise OSError(getattr(error.reason, "strerror", None) or str(error.reason)) from error


def _opener() -> OpenerDirector:
    """Return an opener that refuses a redirect to another scheme than HTTP: it has no handler for others."""
    opener = OpenerDirector()
    for handler in WEB_HANDLERS:
        opener.add_handler(handler())
    return opener


def copy_body(response: HTTPResponse, file: BinaryIO, *, max_bytes: int | None = None) -> None:
    """Write the body of a response to a file.

    Raises:
        TooLargeError: the stated or the actual length is above `max_bytes`.
        OSError: the connection was interrupted, or the file cannot be written.
        HTTPException: a body that is sent in chunks was interrupted.
    """
    stated = response.headers.get("Content-Length", "")
    length = int(stated) if stated.isdecimal() else None
    if max_bytes is not None and length is not None and length > max_bytes:
        raise TooLargeError(f"{length:,} bytes")
    received = 0
    while chunk := response.read(DOWNLOAD_CHUNK_BYTES):
        received += len(chunk)
        if max_bytes is not None and received > max_bytes:
            raise TooLargeError(f"more than {max_bytes:,} bytes")
        file.write(chunk)
    if length is not None and received < length:
        raise OSError(f"the connection was interrupted at {received:,} of {length:,} bytes")


def validators(response: HTTPResponse) -> dict[str, str]:
    """Return the response headers that show whether a later response has the same file."""
    names = ("ETag", "Last-Modified", "Content-Length")
    found = {name: value for name in names if (value := response.headers.get(name))}
    return found if found.keys() != {"Content-Length"} else {}  # the length alone is not enough


class TooLargeError(OSError):
    """A downloaded file is larger than the limit; the message is its size, or "more than" the limit."""


class _TransferInterrupted(Exception):
    """The transfer stopped for a reason that may be temporary."""


def fetch(url: str, part: Path, *, size: int, report: ReportProgress) -> None:
    """Download the missing bytes of `part`, up to `size`, with retries.

    After an interruption the part file is kept for the next call.

    Raises:
        CheckpointError: the server refuses, cannot be reached, keeps interrupting, or has a web page or a
            file of another size; or the disk has too little space.
        OSError: the part file cannot be written.
    """
    furthest, failed = _size(part), 0
    while (have := _size(part)) < size:
        free = shutil.disk_usage(part.parent).free
        if free < size - have:
            raise CheckpointError(
                f"{part.parent}: expected {size - have:,} free bytes for {url}, got {free:,}"
            )
        try:
            _request(url, part, have=have, size=size, report=report)
        except _TransferInterrupted as interruption:
            failed = 0 if _size(part) > furthest else failed + 1
            furthest = max(furthest, _size(part))
            if failed == MAX_FAILED_ATTEMPTS:
                raise CheckpointError(
                    f"{url}: {interruption}, {failed} times in a row, at {furthest:,} of {size:,} bytes; "
                    f"the next call resumes {part}"
                ) from interruption
            logger.info("%s: %s at %d bytes; trying again", url, interruption, _size(part))
            time.sleep(RETRY_PAUSE_SECONDS * 2**failed)


def _request(url: str, part: Path, *, have: int, size: int, report: ReportProgress) -> None:
    """Request the bytes after `have` once; a server without range support sends the file from the start."""
    headers = REQUEST_HEADERS | ({"Range": f"bytes={have}-"} if have else {})
    with _open(Request(url, headers=headers), part) as response:
        received = _first_byte(response, size)
        if received not in (0, have):
            part.unlink()
            raise _TransferInterrupted("the server sent another range than requested")
        with part.open("ab" if received else "wb") as file:
            report(received)
            while received < size and (chunk := _read(response, size - received)):
                file.write(chunk)
                received += len(chunk)
                report(received)
    if received < size:
        raise _TransferInterrupted("the connection was interrupted")


def _open(request: Request, part: Path) -> HTTPResponse:
    try:
        return _opener().open(request, timeout=HTTP_TIMEOUT_SECONDS)
    except HTTPError as error:
        error.close()
        if error.code == RANGE_NOT_SATISFIABLE:
            part.unlink(missing_ok=True)  # the file is shorter; a request from the start gives its size
        elif error.code not in RETRIED_STATUS:
            raise CheckpointError(
                f"{request.full_url}: the server answered {error.code} {error.reason}"
            ) from error
        raise _TransferInterrupted(f"the server answered {error.code} {error.reason}") from error
    except (OSError, HTTPException) as error:  # URLError is an OSError
        raise _TransferInterrupted(
            f"the server cannot be reached ({getattr(error, 'reason', None) or error})"
        ) from error


def _first_byte(response: HTTPResponse, size: int) -> int:
    """Return the position of the response's first byte in the file.

    Raises:
        CheckpointError: the server's file has another size, or is a web page.
    """
    ranged = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
    length = response.headers.get("Content-Length", "")
    if ranged:
        start, total = int(ranged[1]), int(ranged[2])
    else:
        start, total = 0, int(length) if length.isdecimal() else size
    content_type = response.headers.get_content_type()
    if total != size or content_type == "text/html":
        raise CheckpointError(
            f"{response.url}: expected a file of {size:,} bytes, got {total:,} bytes of {content_type}"
        )
    return start


def _read(response: HTTPResponse, remaining: int) -> bytes:
    try:
        return response.read(min(DOWNLOAD_CHUNK_BYTES, remaining))
    except (OSError, HTTPException) as error:
        raise _TransferInterrupted(f"the connection was interrupted ({type(error).__name__})") from error


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
