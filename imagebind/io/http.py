"""Files over HTTP: one of a known size, resumed where it was cut, and any, in one go.

What a file should be is for the caller to verify.
"""

import logging
import re
import shutil
import time
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO
from urllib.error import HTTPError
from urllib.parse import quote
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
    urlopen,
)

from imagebind.errors import CheckpointError

logger = logging.getLogger(__name__)

CHUNK = 1 << 20  # bytes a read
TIMEOUT_SECONDS = 30.0  # without a byte from the server
FRUITLESS_ATTEMPTS = 5  # in a row that get no further than any before
PAUSE_SECONDS = 1.0  # after an attempt that got further; doubles with each that did not
RETRIED_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})  # the server's passing troubles
RANGE_NOT_SATISFIABLE = 416

HEADERS = {"User-Agent": "imagebind", "Accept-Encoding": "identity"}
WEB_HANDLERS = (  # urllib's own without those of FTP, files and data
    *(ProxyHandler, UnknownHandler, HTTPHandler, HTTPSHandler),
    *(HTTPDefaultErrorHandler, HTTPRedirectHandler, HTTPErrorProcessor),
)
ADDRESS_CHARACTERS = "%/:=&?~#+!$,;'@()*[]"  # that stay as they are; others, such as a space, are escaped

Report = Callable[[int], None]  # is told how many bytes are here


def open_url(url: str) -> HTTPResponse:
    """Ask for a file of the web as it is, its body not yet read; redirected it stays in the web.

    Raises:
        OSError: the server refuses or cannot be reached.
        HTTPException, ValueError: it does not speak HTTP, or the address is none.
    """
    request = Request(quote(url, safe=ADDRESS_CHARACTERS), headers=HEADERS)
    opener = OpenerDirector()
    for handler in WEB_HANDLERS:
        opener.add_handler(handler())
    try:
        return opener.open(request, timeout=TIMEOUT_SECONDS)
    except HTTPError as error:
        error.close()  # it may be kept for long
        raise


def copy_body(response: HTTPResponse, file: BinaryIO, *, max_bytes: int | None = None) -> None:
    """Write what the server sends into a file.

    Raises:
        TooLargeError: it is more than `max_bytes`, as the server says before or as it turns out.
        OSError: the connection was cut, or the file cannot be written.
        HTTPException: as `open_url`.
    """
    said = response.headers.get("Content-Length", "")
    length = int(said) if said.isdecimal() else None
    if max_bytes is not None and length is not None and length > max_bytes:
        raise TooLargeError(f"{length:,} bytes")
    received = 0
    while chunk := response.read(CHUNK):
        received += len(chunk)
        if max_bytes is not None and received > max_bytes:
            raise TooLargeError(f"more than {max_bytes:,} bytes")
        file.write(chunk)
    if length is not None and received < length:
        raise OSError(f"the connection was cut at {received:,} of {length:,} bytes")


def validators(response: HTTPResponse) -> dict[str, str]:
    """What an answer's head says by which a later answer can be known to be of the same file."""
    names = ("ETag", "Last-Modified", "Content-Length")
    told = {name: value for name in names if (value := response.headers.get(name))}
    return told if told.keys() != {"Content-Length"} else {}  # a length alone says little


class TooLargeError(OSError):
    """A file of the web is larger than what is taken; says how large."""


class _Cut(Exception):
    """The transfer stopped for a reason that may pass."""


def fetch(url: str, part: Path, *, size: int, report: Report) -> None:
    """Complete `part` to `size` bytes, going on from what it holds; asks again while that gets further.

    A cut leaves the part for the next call.

    Raises:
        CheckpointError: the server refuses, cannot be reached, keeps stopping or has a file of another
            size; or the disk has no space for it.
        OSError: the part cannot be written.
    """
    furthest, fruitless = _size(part), 0
    while (have := _size(part)) < size:
        free = shutil.disk_usage(part.parent).free
        if free < size - have:
            raise CheckpointError(f"{part.parent}: {free:,} bytes free; {url} needs {size - have:,} more")
        try:
            _request(url, part, have=have, size=size, report=report)
        except _Cut as cut:
            fruitless = 0 if _size(part) > furthest else fruitless + 1
            furthest = max(furthest, _size(part))
            if fruitless == FRUITLESS_ATTEMPTS:
                raise CheckpointError(
                    f"{url}: {cut}, {fruitless} times in a row, at {furthest:,} of {size:,} bytes; the next "
                    f"call goes on from {part}"
                ) from cut
            logger.info("%s: %s at %d bytes; asking again", url, cut, _size(part))
            time.sleep(PAUSE_SECONDS * 2**fruitless)


def _request(url: str, part: Path, *, have: int, size: int, report: Report) -> None:
    """Ask once, for what follows `have` bytes; a server that doesn't do ranges starts over."""
    headers = HEADERS | ({"Range": f"bytes={have}-"} if have else {})
    with _open(Request(url, headers=headers), part) as response:
        received = _first_byte(response, size)
        if received not in (0, have):
            part.unlink()
            raise _Cut("the server answered with another range than asked for")
        with part.open("ab" if received else "wb") as file:
            report(received)
            while received < size and (chunk := _read(response, size - received)):
                file.write(chunk)
                received += len(chunk)
                report(received)
    if received < size:
        raise _Cut("the connection was cut")


def _open(request: Request, part: Path) -> HTTPResponse:
    try:
        return urlopen(request, timeout=TIMEOUT_SECONDS)
    except HTTPError as error:
        error.close()
        if (
            error.code == RANGE_NOT_SATISFIABLE
        ):  # the server's file is shorter: from the start, it says how long
            part.unlink(missing_ok=True)
        elif error.code not in RETRIED_STATUS:
            raise CheckpointError(f"{request.full_url} answered {error.code} {error.reason}") from error
        raise _Cut(f"the server answered {error.code} {error.reason}") from error
    except (OSError, HTTPException) as error:  # URLError is an OSError
        raise _Cut(f"the server cannot be reached ({getattr(error, 'reason', None) or error})") from error


def _first_byte(response: HTTPResponse, size: int) -> int:
    """Where in the file the answer starts.

    Raises:
        CheckpointError: the server's file is of another size, or a web page.
    """
    ranged = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
    length = response.headers.get("Content-Length", "")
    if ranged:
        start, total = int(ranged[1]), int(ranged[2])
    else:
        start, total = 0, int(length) if length.isdecimal() else size
    kind = response.headers.get_content_type()
    if total != size or kind == "text/html":
        raise CheckpointError(f"{response.url}: {total:,} bytes of {kind}; expected a file of {size:,}")
    return start


def _read(response: HTTPResponse, wanted: int) -> bytes:
    try:
        return response.read(min(CHUNK, wanted))
    except (OSError, HTTPException) as error:
        raise _Cut(f"the connection was cut ({type(error).__name__})") from error


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
