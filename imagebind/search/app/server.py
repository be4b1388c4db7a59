"""The application: the page, and routes for thumbnails and media files of the index.

Gradio's server has routes that this page does not need: they fetch URLs, read files that were not uploaded,
serve caches of other applications, and run effects. `Gate` admits only the requests of this page.
"""

import asyncio
import errno
import json
import mimetypes
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from imagebind.errors import import_extra
from imagebind.modality import MediaKind
from imagebind.search.app.inputs import MEGABYTE
from imagebind.search.app.page import build_page, css, theme
from imagebind.search.app.service import PageService
from imagebind.search.app.widgets import gradio
from imagebind.search.html import has_file
from imagebind.search.index import Index
from imagebind.search.rows import Hit

MAX_UPLOAD_MB = 100
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
ENVELOPE_BYTES = 64 * 1024  # of an upload request, besides its files
MAX_FORM_BYTES = 16 * ENVELOPE_BYTES  # of a request without files
WAITING_REQUESTS, WAITING_UPLOADS = 8, 256  # limits of pending uploads: bytes in full requests, and files
BODY_SECONDS = 30.0  # for the next chunk of a request
LINGER_SECONDS = 2.0  # for the rest of a refused request

# The paths of Gradio that the page requests.
_GRADIO_PATHS = re.compile(
    r"/(|config|theme\.css|manifest\.json|favicon\.ico|(assets|static)/[\w.@+~/-]{1,200})"
    r"|/gradio_api/(startup-events|heartbeat/\w+|queue/(join|data)|cancel|reset|upload|upload_progress)/?"
)
_UPLOADED_FILE = "/gradio_api/file="  # followed by the path of a recording, for the recorder to play
_OWN_PATHS = re.compile(r"/(media|thumbnail)/[^/]*")
_UPLOAD_PATH = "/gradio_api/upload"
_BOUNDARY = re.compile(rb'(?i)^multipart/form-data;.*boundary="?[^";]{1,70}"?\s*$')  # length: RFC 2046

# The page may only contact this server. Gradio's widgets need 'unsafe-eval'.
PAGE_POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'self'"
)
MEDIA_POLICY = "default-src 'none'; media-src 'self'; img-src 'self'; style-src 'unsafe-inline'; sandbox"


def build_app(
    index: Index,
    *,
    max_upload_mb: float = MAX_UPLOAD_MB,
    hosts: Sequence[str] = LOOPBACK,
) -> Any:
    """Return the web page of an index as an ASGI application (FastAPI).

    Args:
        index: opened with an embedder.
        max_upload_mb: limit for the files of one request together, in MiB.
        hosts: accepted host names, which prevents DNS rebinding by other web pages; ("*",) accepts any.

    Raises:
        MissingExtraError: Gradio is not installed.
        ValueError: the index has no embedder, or `max_upload_mb` is not positive.
    """
    if not max_upload_mb > 0:
        raise ValueError(f"max_upload_mb: expected more than 0, got {max_upload_mb}")
    gr = gradio()
    fastapi = import_extra("fastapi", extra="app", purpose="the web page")
    trusted = import_extra("starlette.middleware.trustedhost", extra="app", purpose="the web page")
    service = PageService(index=index, max_upload_mb=max_upload_mb)
    app = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    _add_routes(app, index)
    page = build_page(service)
    page.has_launched = True  # mounting does not set it, and without it Gradio accepts any path as an upload
    app = gr.mount_gradio_app(
        app,
        page,
        path="/",
        theme=theme(),
        css=css(),
        max_file_size=service.intake.max_bytes,
        run_history=False,
        footer_links=[],
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        show_error=False,
    )
    app.add_middleware(
        Gate,
        uploads=page.upload_file_set,
        folder=Path(page.GRADIO_CACHE),
        max_bytes=service.intake.max_bytes,
        own_origin=list(hosts) == list(LOOPBACK),
    )
    app.add_middleware(trusted.TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)
    return app


def _add_routes(app: Any, index: Index) -> None:
    responses = import_extra("starlette.responses", extra="app", purpose="the web page")

    def not_found(text: str) -> Any:
        return responses.PlainTextResponse(text, status_code=404)

    def media(id: str) -> Any:
        hit = index.get(id)
        if hit is None:
            return not_found("There is no such item in the index. Search again: it may have changed.")
        if not has_file(hit):
            return not_found("This item has no file: it was added as a text or an array.")
        try:
            file, status = served_file(hit, index.roots())
        except PermissionError:
            return not_found(
                f"{hit.path} is a symbolic link to another folder, or cannot be read. If the link is "
                "intended, index its target folder as well."
            )
        except OSError:
            return not_found(
                f"{hit.path} does not exist on this machine. If it was deleted, remove it from the index "
                "by `imagebind index` with --prune."
            )
        kind = media_type(hit)
        return responses.FileResponse(
            file,
            stat_result=status,
            media_type=kind or "application/octet-stream",
            filename=None if kind else hit.file.name.encode(errors="replace").decode(),
            headers={"Content-Security-Policy": MEDIA_POLICY},
        )

    def thumbnail(id: str) -> Any:
        hit = index.get(id)
        if hit is None or hit.thumbnail is None:
            return not_found("This item has no thumbnail in the index.")
        return responses.Response(hit.thumbnail, media_type="image/jpeg")

    for path, route in (("/media/{id}", media), ("/thumbnail/{id}", thumbnail)):
        app.add_api_route(path, route, methods=["GET", "HEAD"], response_model=None)


def served_file(hit: Hit, roots: Sequence[Path]) -> tuple[Path, os.stat_result]:
    """Return the path of a hit's file with all links resolved, and its status.

    A link may only lead to a file under a root with the size and modification time that were indexed.

    Args:
        roots: the indexed folders and files; a file under none of them was added by itself.

    Raises:
        PermissionError: a link leads elsewhere, or the file cannot be read.
        OSError: it does not exist, or is not a regular file.
    """
    file = hit.file
    real = Path(os.path.realpath(file, strict=True))
    status = real.stat()
    if not stat.S_ISREG(status.st_mode):
        raise FileNotFoundError(errno.ENOENT, "no regular file", str(file))
    tops = [root for root in roots if file != root and file.is_relative_to(root)] or [file.parent]
    is_plain = any(Path(os.path.realpath(top)) / file.relative_to(top) == real for top in tops)
    if not is_plain:
        is_inside = any(real.is_relative_to(os.path.realpath(root)) for root in roots)
        is_same = (status.st_size, status.st_mtime_ns) == (hit.size, hit.mtime_ns)
        if not (is_inside and is_same):
            raise PermissionError(errno.EPERM, "elsewhere by a symbolic link", str(file))
    if not os.access(real, os.R_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(file))
    return real, status


def media_type(hit: Hit) -> str | None:
    """Return the MIME type by which a browser may show a hit's file; None if it must download it.

    It depends on the media type when the file was indexed, so that no file is served as HTML.
    """
    if hit.kind is MediaKind.TEXT:
        return "text/plain; charset=utf-8"
    guessed, _ = mimetypes.guess_type(hit.path)
    family = {MediaKind.VIDEO: ("video",), MediaKind.AUDIO: ("audio", "video")}.get(hit.kind, ("image",))
    if guessed is None or guessed.partition("/")[0] not in family or guessed == "image/svg+xml":
        return None
    return guessed


class Gate:
    """Middleware that rejects requests which the page does not make, and requests that are too large."""

    def __init__(
        self, app: Any, *, uploads: set[str], folder: Path, max_bytes: int, own_origin: bool
    ) -> None:
        """Wrap an application.

        Args:
            uploads: paths of the files uploaded to this page.
            folder: the folder of uploads that have not been embedded yet.
            max_bytes: limit for the files of one request.
            own_origin: refuse cross-origin requests.
        """
        self.app = app
        self.uploads = uploads
        self.folder = folder
        self.max_bytes = max_bytes
        self.own_origin = own_origin
        self.incoming: dict[int, int] = {}  # bytes of running uploads, by request

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request, or pass it to the application."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        path = scope["path"]
        if not self._is_page_path(path):
            await _answer(send, 404, "Not found. The page is at /")
            return
        headers = dict(scope["headers"])
        if self.own_origin and not _is_own_origin(headers):
            await _answer(send, 403, "Cross-origin request refused. Open the page itself.")
            return
        if b"transfer-encoding" in headers:  # no length; uploads of browsers have one
            await _drain(receive)
            await _answer(send, 411, "A Content-Length is required.")
            return
        bound = self.max_bytes + ENVELOPE_BYTES if path.startswith(_UPLOAD_PATH) else MAX_FORM_BYTES
        length = headers.get(b"content-length", b"0")
        if not length.isdigit():
            await _answer(send, 400, "The Content-Length is not a number.")
            return
        if int(length[:20]) > bound:
            await _drain(receive)
            await _answer(send, 413, f"Too large: at most {self.max_bytes / MEGABYTE:g} MB at once.")
            return
        timeout = _BodyTimeout(receive, send)
        if path.startswith(_UPLOAD_PATH) and scope["method"] == "POST":
            if not _BOUNDARY.search(headers.get(b"content-type", b"")):
                await _answer(send, 400, "An upload must be multipart/form-data with a boundary.")
                return
            if not self._has_room(int(length)):
                await _drain(receive)
                await _answer(send, 429, "Too many uploads are waiting. Try again in a minute.")
                return
            self.incoming[id(scope)] = int(length)
        try:
            await self._pass_on(scope, timeout.receive, timeout.send)
        except Exception:
            if not timeout.is_over:
                raise
        finally:
            self.incoming.pop(id(scope), None)
        if timeout.is_over:
            await _answer(send, 408, "The request's body did not arrive in time.")

    async def _pass_on(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        if not path.startswith(_UPLOAD_PATH) and scope["method"] not in ("GET", "HEAD"):
            body = await _read_body(receive)
            if not self._are_uploads(body):
                await _answer(send, 403, "That file was not uploaded to this page.")
                return
            receive = _replay(body, receive)
        await self.app(scope, receive, _with_headers(send, is_own=bool(_OWN_PATHS.fullmatch(path))))

    def _are_uploads(self, body: bytes) -> bool:
        """Whether all files that a JSON body names were uploaded; an empty body names none."""
        try:
            message = json.loads(body)
            json.dumps(message, allow_nan=False, ensure_ascii=False).encode()  # Gradio may echo it
            return all(path in self.uploads for path in _paths(message))
        except (ValueError, RecursionError):
            return not body.strip()

    def _has_room(self, size: int) -> bool:
        """Whether there is room for an upload, besides stored and running ones."""
        stored = []
        for path in self.folder.rglob("*"):
            with suppress(OSError):  # deleted after embedding meanwhile
                status = path.stat()
                stored += [status.st_size] if stat.S_ISREG(status.st_mode) else []
        total = sum(stored) + sum(self.incoming.values()) + size
        number = len(stored) + len(self.incoming)
        return number < WAITING_UPLOADS and total <= WAITING_REQUESTS * (self.max_bytes + ENVELOPE_BYTES)

    def _is_page_path(self, path: str) -> bool:
        if path.startswith(_UPLOADED_FILE):
            return path.removeprefix(_UPLOADED_FILE) in self.uploads
        return bool(_GRADIO_PATHS.fullmatch(path) or _OWN_PATHS.fullmatch(path))


def _paths(value: Any) -> Iterator[Any]:
    """Yield each value of a key "path" in a JSON message, except None."""
    if isinstance(value, dict):
        if value.get("path") is not None:
            yield str(value["path"])
        for each in value.values():
            yield from _paths(each)
    elif isinstance(value, list):
        for each in value:
            yield from _paths(each)


def _is_own_origin(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a request comes from this page, or from outside a browser."""
    origin = headers.get(b"origin")
    return origin is None or origin.lower().partition(b"://")[2] == headers.get(b"host", b"").lower()


class _BodyTimeout:
    """Reports a client as disconnected if the next chunk of its request does not arrive in time."""

    def __init__(self, receive: Any, send: Any) -> None:
        self.is_over = False
        self._receive, self._send = receive, send
        self._has_more = self._can_be_late = True

    async def receive(self) -> Any:
        """Return the next message; the timeout applies until the body is complete."""
        try:
            message = await (
                asyncio.wait_for(self._receive(), BODY_SECONDS) if self._has_more else self._receive()
            )
        except asyncio.TimeoutError:
            self.is_over = self._can_be_late
            return {"type": "http.disconnect"}
        self._has_more = message.get("more_body", False)
        return message

    async def send(self, message: Any) -> None:
        """Send a message, unless the request has timed out."""
        if not self.is_over:
            self._can_be_late = False
            await self._send(message)


async def _read_body(receive: Any) -> bytes:
    """Read a request's body."""
    chunks = []
    more = True
    while more:
        message = await receive()
        chunks.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(chunks)


def _replay(body: bytes, receive: Any) -> Any:
    """Return a `receive` that first returns a body which has been read, then later messages."""
    pending = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Any:
        return pending.pop() if pending else await receive()

    return received


def _with_headers(send: Any, *, is_own: bool) -> Any:
    """Return a `send` that adds security headers."""

    async def sent(message: Any) -> None:
        if message["type"] == "http.response.start":
            more = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer")]
            if not is_own:
                more.append((b"content-security-policy", PAGE_POLICY.encode()))
            message = {**message, "headers": [*message["headers"], *more]}
        await send(message)

    return sent


async def _drain(receive: Any) -> None:
    """Discard a request's body for a short time, since a client reads no answer while it is sending."""

    async def read() -> None:
        while (await receive()).get("more_body"):
            pass

    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(read(), LINGER_SECONDS)


async def _answer(send: Any, status: int, text: str) -> None:
    body = text.encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
