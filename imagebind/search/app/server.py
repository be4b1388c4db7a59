"""The application: routes for the page, its searches and its uploads."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from fastapi import Body, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, PlainTextResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect

from imagebind.errors import ImageBindError
from imagebind.modality import MediaKind, kinds_in_order
from imagebind.search.app import results
from imagebind.search.app.guard import DETECT_PATH, MEBIBYTE, UPLOAD_PATH, Guard, WorkQueue
from imagebind.search.app.inputs import Upload, UploadFile
from imagebind.search.app.media import media_routes
from imagebind.search.app.service import MAX_HITS, Filters, PageQuery, PageService
from imagebind.search.html import CARDS_CSS
from imagebind.search.index import Index

MAX_UPLOAD_MB = 100
MAX_NAME_LENGTH = 1000  # characters of an upload's name
MAX_INVALID = 3  # invalid values of a request that its answer names
MAX_RUNNING, MAX_WAITING = 4, 64  # searches and other work of the model
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
FileName = Annotated[str, Query(max_length=MAX_NAME_LENGTH)]
STATIC_FOLDER = Path(__file__).with_name("static")
STATIC_TYPES = {".css": "text/css", ".js": "text/javascript"}


def build_app(
    index: Index,
    *,
    max_upload_mb: float = MAX_UPLOAD_MB,
    hosts: Sequence[str] = LOOPBACK,
) -> FastAPI:
    """Return the web page of an index as an ASGI application.

    Args:
        index: opened with an embedder.
        max_upload_mb: limit for an upload, in MB of 2**20 bytes.
        hosts: accepted host names, which prevents DNS rebinding by other web pages; ("*",) accepts any.
            Any value but the default also accepts requests of other origins.

    Raises:
        ValueError: the index has no embedder, or `max_upload_mb` is not a finite number above 0.
    """
    if not 0 < max_upload_mb < math.inf:
        raise ValueError(f"max_upload_mb: expected a finite number above 0, got {max_upload_mb}")
    max_bytes = int(max_upload_mb * MEBIBYTE)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    _add_page(app, PageService(index=index), max_bytes)
    app.include_router(media_routes(index))
    app.add_exception_handler(HTTPException, _as_text)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(ImageBindError, _failed)
    app.add_exception_handler(ClientDisconnect, _failed)  # the answer is not sent
    app.add_middleware(Guard, max_upload_bytes=max_bytes, same_origin=list(hosts) == list(LOOPBACK))
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)
    return app


def _add_page(app: FastAPI, service: PageService, max_upload_bytes: int) -> None:
    work = WorkQueue(running=MAX_RUNNING, waiting=MAX_WAITING)
    static_files = {file.name: file for file in (CARDS_CSS, *STATIC_FOLDER.iterdir())}

    @app.api_route("/", methods=["GET", "HEAD"], response_class=HTMLResponse)
    def page() -> str:
        overview, kinds = service.overview()
        return results.page(
            title=results.short_name(service.index.uri),
            overview=overview,
            welcome=service.welcome(),
            kinds=[kind for kind in kinds_in_order(kinds) if kinds[kind]],
            max_hits=MAX_HITS,
            max_upload_bytes=max_upload_bytes,
        )

    @app.get("/static/{name}")
    def static(name: str) -> Response:
        file = static_files.get(name)
        if file is None or file.suffix not in STATIC_TYPES:
            raise HTTPException(404)
        return Response(file.read_bytes(), media_type=STATIC_TYPES[file.suffix])

    @app.post(UPLOAD_PATH)
    async def upload(request: Request, name: FileName) -> Upload:
        with UploadFile(name) as file:
            await _receive(request, file)
            return await work.run(request, service.embed_upload, file)

    @app.post(DETECT_PATH, response_class=HTMLResponse)
    async def detect(request: Request, name: FileName) -> str:
        with UploadFile(name) as file:
            await _receive(request, file)
            return await work.run(request, service.detect, file)

    @app.post("/search", response_class=HTMLResponse)
    async def search(request: Request, query: PageQuery, filters: Filters) -> str:
        return await work.run(request, service.search, query, filters)

    @app.post("/like/{id}", response_class=HTMLResponse)
    async def like(request: Request, id: str, filters: Filters) -> str:
        return await work.run(request, service.like, id, filters)

    @app.post("/label", response_class=HTMLResponse)
    async def label(
        request: Request,
        upload: Annotated[Upload | None, Body()],
        kind: Annotated[MediaKind | None, Body()],
        labels: Annotated[str, Body()],
    ) -> str:
        return await work.run(request, service.label, upload, kind, labels)

    @app.get("/map", response_class=HTMLResponse)
    async def map_of_index(request: Request) -> str:
        return await work.run(request, service.map)

    @app.get("/item/{id}", response_class=HTMLResponse)
    def item(id: str) -> str:
        return service.item(id)


async def _receive(request: Request, file: UploadFile) -> None:
    async for chunk in request.stream():
        await run_in_threadpool(file.write, chunk)


def _as_text(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return PlainTextResponse(error.detail, status_code=error.status_code, headers=error.headers)


def _invalid(_: Request, error: Exception) -> Response:
    """Name the invalid values of a request, but do not repeat them."""
    assert isinstance(error, RequestValidationError)
    found = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()[:MAX_INVALID]]
    text = "; ".join(found).encode(errors="replace").decode()
    return PlainTextResponse(text, status_code=422)


def _failed(_: Request, error: Exception) -> Response:
    return PlainTextResponse(results.message_of(error), status_code=422)
