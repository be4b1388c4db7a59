"""The application: the page, and routes for pictures and media of the index and nothing else.

Gradio's own server can do more than this page asks of it: fetch addresses, read files that were not uploaded,
serve what other applications have cached, run effects. `Gate` lets through what the page asks for.
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
from imagebind.search.app.desk import Desk
from imagebind.search.app.inputs import MEGABYTE
from imagebind.search.app.page import build_page, css, theme
from imagebind.search.app.widgets import gradio
from imagebind.search.html import has_file
from imagebind.search.index import Index
from imagebind.search.rows import Hit

MAX_UPLOAD_MB = 100
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
ENVELOPE_BYTES = 64 * 1024  # of a request beside the files in it, and of one without files times 16
MAX_QUESTION_BYTES = 16 * ENVELOPE_BYTES
WAITING_REQUESTS, WAITING_UPLOADS = 8, 256  # uploads that wait: bytes in requests of full size, and files
BODY_SECONDS = 30.0  # for the next piece of a request
LINGER_SECONDS = 2.0  # for the rest of a request that is refused

# All that the page asks of Gradio.
_ASKED = re.compile(
    r"/(|config|theme\.css|manifest\.json|favicon\.ico|(assets|static)/[\w.@+~/-]{1,200})"
    r"|/gradio_api/(startup-events|heartbeat/\w+|queue/(join|data)|cancel|reset|upload|upload_progress)/?"
)
_UPLOADED = "/gradio_api/file="  # followed by the path of what was recorded, for the recorder to play
_OURS = re.compile(r"/(media|thumbnail)/[^/]*")
_UPLOAD = "/gradio_api/upload"
_BOUNDARY = re.compile(rb'(?i)^multipart/form-data;.*boundary="?[^";]{1,70}"?\s*$')  # length: RFC 2046

# What a browser may do with the page: nothing beyond this server. Gradio's parts build functions from text.
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
    """The web page of an index as an ASGI application (FastAPI's).

    Args:
        index: opened with an embedder.
        max_upload_mb: of one request's files together, in units of 2²⁰ bytes.
        hosts: names under which it may be asked for, so that no other page in a browser can have a name of
            its own point here; ("*",) for any.

    Raises:
        MissingExtraError: Gradio is not installed.
        ValueError: the index has no embedder, or a bound that is not above 0.
    """
    if not max_upload_mb > 0:
        raise ValueError(f"max_upload_mb: expected more than 0, got {max_upload_mb}")
    gr = gradio()
    fastapi = import_extra("fastapi", extra="app", purpose="the web page")
    trusted = import_extra("starlette.middleware.trustedhost", extra="app", purpose="the web page")
    desk = Desk(index=index, max_upload_mb=max_upload_mb)
    app = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    _add_routes(app, index)
    page = build_page(desk)
    page.has_launched = True  # else Gradio takes any path for an upload's: it is mounted, not launched
    app = gr.mount_gradio_app(
        app,
        page,
        path="/",
        theme=theme(),
        css=css(),
        max_file_size=desk.intake.max_bytes,
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
        max_bytes=desk.intake.max_bytes,
        own_origin=list(hosts) == list(LOOPBACK),
    )
    app.add_middleware(trusted.TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)
    return app


def _add_routes(app: Any, index: Index) -> None:
    responses = import_extra("starlette.responses", extra="app", purpose="the web page")

    def told(text: str) -> Any:
        return responses.PlainTextResponse(text, status_code=404)

    def media(id: str) -> Any:
        hit = index.get(id)
        if hit is None:
            return told("There is no such item in the index. Search again: it may have changed.")
        if not has_file(hit):
            return told("This item has no file: it was put into the index as it is.")
        try:
            file, status = served_file(hit, index.roots())
        except PermissionError:
            return told(
                f"{hit.path} leads elsewhere by a symbolic link, or cannot be read. If that is meant, index "
                "the folder it leads to, too."
            )
        except OSError:
            return told(
                f"{hit.path} is gone, or not on this machine. If it is gone for good, "
                "`imagebind index` with --prune takes it out of the index."
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
            return told("There is no picture of this item in the index.")
        return responses.Response(hit.thumbnail, media_type="image/jpeg")

    for path, route in (("/media/{id}", media), ("/thumbnail/{id}", thumbnail)):
        app.add_api_route(path, route, methods=["GET", "HEAD"], response_model=None)


def served_file(hit: Hit, roots: Sequence[Path]) -> tuple[Path, os.stat_result]:
    """Return where a hit's file is without links, and its status.

    A link may lead to files below a root only, and only to what was read when the file was indexed.

    Args:
        roots: folders and files that were indexed; a file below none of them was added by itself.

    Raises:
        PermissionError: it is elsewhere by a link, or cannot be read.
        OSError: it is gone, or no regular file.
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
    """As what a browser may show a hit's file; None for what it is to save instead.

    By the kind that the file had when it was indexed, so that nothing is ever run as a page.
    """
    if hit.kind is MediaKind.TEXT:
        return "text/plain; charset=utf-8"
    guessed, _ = mimetypes.guess_type(hit.path)
    family = {MediaKind.VIDEO: ("video",), MediaKind.AUDIO: ("audio", "video")}.get(hit.kind, ("image",))
    if guessed is None or guessed.partition("/")[0] not in family or guessed == "image/svg+xml":
        return None
    return guessed


class Gate:
    """Middleware: what the page does not ask for is not there, and no request is larger than may be."""

    def __init__(
        self, app: Any, *, uploads: set[str], folder: Path, max_bytes: int, own_origin: bool
    ) -> None:
        """Take the application behind it.

        Args:
            uploads: paths of what has been uploaded to this page.
            folder: where uploads lie until they are embedded.
            max_bytes: of the files in one request.
            own_origin: refuse requests that another page in a browser makes.
        """
        self.app = app
        self.uploads = uploads
        self.folder = folder
        self.max_bytes = max_bytes
        self.own_origin = own_origin
        self.coming: dict[int, int] = {}  # bytes of uploads under way, by request

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request, or hand it on."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        path = scope["path"]
        if not self._is_asked_for(path):
            await _answer(send, 404, "There is nothing here. The page is at /")
            return
        headers = dict(scope["headers"])
        if self.own_origin and not _is_own_origin(headers):
            await _answer(send, 403, "Another page asked for this. Open the page itself.")
            return
        if b"transfer-encoding" in headers:  # what does not say how long it is; a browser's uploads do
            await _read_for_a_while(receive)
            await _answer(send, 411, "Say how long it is: there has to be a Content-Length.")
            return
        bound = self.max_bytes + ENVELOPE_BYTES if path.startswith(_UPLOAD) else MAX_QUESTION_BYTES
        length = headers.get(b"content-length", b"0")
        if not length.isdigit():
            await _answer(send, 400, "The Content-Length is no number.")
            return
        if int(length[:20]) > bound:
            await _read_for_a_while(receive)
            await _answer(send, 413, f"Too large: at most {self.max_bytes / MEGABYTE:g} MB at once.")
            return
        patience = _Patience(receive, send)
        if path.startswith(_UPLOAD) and scope["method"] == "POST":
            if not _BOUNDARY.search(headers.get(b"content-type", b"")):
                await _answer(send, 400, "An upload is multipart/form-data, and names its boundary.")
                return
            if not self._has_room(int(length)):
                await _read_for_a_while(receive)
                await _answer(send, 429, "Too many uploads wait to be embedded. Try again in a minute.")
                return
            self.coming[id(scope)] = int(length)
        try:
            await self._handed_on(scope, patience.receive, patience.send)
        except Exception:
            if not patience.is_over:
                raise
        finally:
            self.coming.pop(id(scope), None)
        if patience.is_over:
            await _answer(send, 408, "The rest of the request did not come.")

    async def _handed_on(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        if not path.startswith(_UPLOAD) and scope["method"] not in ("GET", "HEAD"):
            body = await _whole(receive)
            if not self._are_uploads(body):
                await _answer(send, 403, "That file was not dropped on this page.")
                return
            receive = _again(body, receive)
        await self.app(scope, receive, _with_headers(send, ours=bool(_OURS.fullmatch(path))))

    def _are_uploads(self, body: bytes) -> bool:
        """Whether all files that a question speaks of have been uploaded; what is no JSON speaks of none."""
        try:
            question = json.loads(body)
            json.dumps(
                question, allow_nan=False, ensure_ascii=False
            ).encode()  # as Gradio may have to tell it
            return all(path in self.uploads for path in _paths(question))
        except (ValueError, RecursionError):
            return not body.strip()

    def _has_room(self, size: int) -> bool:
        """Whether an upload fits in beside those that lie there or are on their way."""
        there = []
        for path in self.folder.rglob("*"):
            with suppress(OSError):  # embedded meanwhile, and deleted
                status = path.stat()
                there += [status.st_size] if stat.S_ISREG(status.st_mode) else []
        total = sum(there) + sum(self.coming.values()) + size
        number = len(there) + len(self.coming)
        return number < WAITING_UPLOADS and total <= WAITING_REQUESTS * (self.max_bytes + ENVELOPE_BYTES)

    def _is_asked_for(self, path: str) -> bool:
        if path.startswith(_UPLOADED):
            return path.removeprefix(_UPLOADED) in self.uploads
        return bool(_ASKED.fullmatch(path) or _OURS.fullmatch(path))


def _paths(value: Any) -> Iterator[Any]:
    """What stands as the path of a file anywhere in a question; that of no file is None."""
    if isinstance(value, dict):
        if value.get("path") is not None:
            yield str(value["path"])
        for each in value.values():
            yield from _paths(each)
    elif isinstance(value, list):
        for each in value:
            yield from _paths(each)


def _is_own_origin(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a request comes from this page, or from no page."""
    origin = headers.get(b"origin")
    return origin is None or origin.lower().partition(b"://")[2] == headers.get(b"host", b"").lower()


class _Patience:
    """Lets go of a client whose next piece of a request does not come in time, as if it had left."""

    def __init__(self, receive: Any, send: Any) -> None:
        self.is_over = False
        self._receive, self._send = receive, send
        self._has_more = self._can_be_late = True

    async def receive(self) -> Any:
        """The next piece; after the last one, whatever comes at any time."""
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
        """Hand on what is answered, unless it is an answer to the client's having left."""
        if not self.is_over:
            self._can_be_late = False
            await self._send(message)


async def _whole(receive: Any) -> bytes:
    """A request's body."""
    parts = []
    more = True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


def _again(body: bytes, receive: Any) -> Any:
    """A body that has been read, to be read by whoever is behind; then what comes after it."""
    left = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Any:
        return left.pop() if left else await receive()

    return received


def _with_headers(send: Any, *, ours: bool) -> Any:
    """What goes out, with what a browser may do with it."""

    async def sent(message: Any) -> None:
        if message["type"] == "http.response.start":
            more = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer")]
            if not ours:
                more.append((b"content-security-policy", PAGE_POLICY.encode()))
            message = {**message, "headers": [*message["headers"], *more]}
        await send(message)

    return sent


async def _read_for_a_while(receive: Any) -> None:
    """Throw away a request's body, as far as it comes soon: who is still sending does not hear an answer."""

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
