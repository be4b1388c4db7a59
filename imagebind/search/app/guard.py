"""Limit the requests to the page: their origin, size and pace, and the number that runs at once."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from fastapi import HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import PlainTextResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MEBIBYTE = 2**20
UPLOAD_PATH, DETECT_PATH = "/uploads", "/detections"  # paths that take a file
MAX_JSON_BYTES = MEBIBYTE  # of a request without a file
MAX_PENDING_UPLOADS = 256  # uploads being received, waiting or being embedded
MAX_PENDING_FULL_UPLOADS = 8  # limit of all pending uploads' bytes, as a multiple of the largest upload
BODY_SECONDS = 30.0  # for the next chunk of a request
LINGER_SECONDS = 2.0  # for the rest of a refused request
RETRY_SECONDS = 2  # after which a refused browser may try again

# The page may only contact this server, and runs no scripts or styles but its own files.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = {
    "Content-Security-Policy": PAGE_POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(self), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

Result = TypeVar("Result")


class Guard:
    """Middleware that refuses requests from other origins and requests that are too large or too slow."""

    def __init__(self, app: ASGIApp, *, max_upload_bytes: int, same_origin: bool) -> None:
        """Wrap an application.

        Args:
            max_upload_bytes: limit for one upload.
            same_origin: refuse requests that other web pages make.
        """
        self.app = app
        self.max_upload_bytes = max_upload_bytes
        self.same_origin = same_origin
        self.pending: dict[int, int] = {}  # bytes of pending uploads, by request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it to the application."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        size = int(length) if (length := Headers(scope=scope).get("content-length", "0")).isdecimal() else -1
        is_upload = scope["path"] in (UPLOAD_PATH, DETECT_PATH)
        refusal = self._refusal(Headers(scope=scope), size, is_upload=is_upload)
        if refusal is not None:
            await _drain(receive)
            await refusal(scope, receive, send)
            return
        if is_upload:
            self.pending[id(scope)] = size
        try:
            await self.app(scope, _timed(receive), _with_security_headers(send))
        finally:
            self.pending.pop(id(scope), None)

    def _refusal(self, headers: Headers, size: int, *, is_upload: bool) -> PlainTextResponse | None:
        """Return the answer to a request that is refused; None if it is accepted."""
        if self.same_origin and not _is_own_origin(headers):
            return _refuse(403, "Cross-origin request refused. Open the page itself.")
        if "transfer-encoding" in headers:  # without a length; requests of browsers have one
            return _refuse(411, "A Content-Length is required.")
        if size < 0:
            return _refuse(400, "The Content-Length is not a number.")
        limit = self.max_upload_bytes if is_upload else MAX_JSON_BYTES
        if size > limit:
            return _refuse(413, f"Too large: at most {limit / MEBIBYTE:g} MiB at once.")
        full = (
            len(self.pending) >= MAX_PENDING_UPLOADS
            or sum(self.pending.values()) + size > MAX_PENDING_FULL_UPLOADS * self.max_upload_bytes
        )
        if is_upload and full:
            return _refuse(429, "Too many uploads are waiting. Try again in a moment.")
        return None


class WorkQueue:
    """Runs functions in threads, a few at a time; some may wait, and more are refused."""

    def __init__(self, *, running: int, waiting: int) -> None:
        self._free = asyncio.Semaphore(running)
        self._limit = running + waiting
        self._accepted = 0

    async def run(self, request: Request, function: Callable[..., Result], *arguments: object) -> Result:
        """Return the function's result for the arguments.

        Raises:
            HTTPException: too many requests are waiting.
            ClientDisconnect: the client has disconnected while its request was waiting.
        """
        if self._accepted >= self._limit:
            raise HTTPException(
                503,
                "Too many requests are waiting. Try again in a moment.",
                headers={"Retry-After": str(RETRY_SECONDS)},
            )
        self._accepted += 1
        try:
            async with self._free:
                if await request.is_disconnected():
                    raise ClientDisconnect
                return await run_in_threadpool(function, *arguments)
        finally:
            self._accepted -= 1


def _is_own_origin(headers: Headers) -> bool:
    """Whether a request comes from this page, or states no origin, as outside a browser."""
    origin = headers.get("origin")
    return origin is None or origin.lower().partition("://")[2] == headers.get("host", "").lower()


def _refuse(status: int, text: str) -> PlainTextResponse:
    headers = (
        {"Connection": "close", "Retry-After": str(RETRY_SECONDS)}
        if status == 429
        else {"Connection": "close"}
    )
    return PlainTextResponse(text, status_code=status, headers=headers)


def _timed(receive: Receive) -> Receive:
    """Return a `receive` that raises an HTTPException if the body's next chunk does not arrive in time."""
    has_more = True

    async def timed() -> Message:
        nonlocal has_more
        if not has_more:
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), BODY_SECONDS)
        except asyncio.TimeoutError:
            has_more = False
            raise HTTPException(
                408, "The request's body did not arrive in time.", headers={"Connection": "close"}
            ) from None
        has_more = message.get("more_body", False)
        return message

    return timed


def _with_security_headers(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sent


async def _drain(receive: Receive) -> None:
    """Discard a request's body for a short time, since a client reads no answer while it is sending."""

    async def read() -> None:
        while (await receive()).get("more_body"):
            pass

    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(read(), LINGER_SECONDS)
