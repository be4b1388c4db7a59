"""Serve the media files and thumbnails of an index, and no other files."""

import errno
import mimetypes
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse, PlainTextResponse, Response

from imagebind.modality import MediaKind
from imagebind.search.html import has_file
from imagebind.search.index import Index
from imagebind.search.rows import Hit

MEDIA_POLICY = "default-src 'none'; media-src 'self'; img-src 'self'; style-src 'unsafe-inline'; sandbox"


def media_routes(index: Index) -> APIRouter:
    """Return the routes of an index's media files and thumbnails."""
    router = APIRouter()

    @router.api_route("/media/{id}", methods=["GET", "HEAD"])
    def media(id: str) -> Response:
        hit = index.get(id)
        if hit is None:
            return _not_found("There is no such item in the index. Search again: it may have changed.")
        if not has_file(hit):
            return _not_found(
                "This item has no file on this machine: it was added by URI, as a text or as an array."
            )
        try:
            file, status = served_file(hit, index.roots())
        except PermissionError:
            return _not_found(
                f"{hit.path} is a symbolic link to another folder, or cannot be read. If the link is "
                "intended, index its target folder as well."
            )
        except OSError:
            return _not_found(
                f"{hit.path} does not exist on this machine. If it was deleted, remove it from the index "
                "with `imagebind index --prune`."
            )
        shown_as = mime_type(hit)
        return FileResponse(
            file,
            stat_result=status,
            media_type=shown_as or "application/octet-stream",
            filename=None if shown_as else hit.file.name.encode(errors="replace").decode(),
            headers={"Content-Security-Policy": MEDIA_POLICY},
        )

    @router.api_route("/thumbnail/{id}", methods=["GET", "HEAD"])
    def thumbnail(id: str) -> Response:
        hit = index.get(id)
        if hit is None or hit.thumbnail is None:
            return _not_found("This item has no thumbnail in the index.")
        return Response(hit.thumbnail, media_type="image/jpeg")

    return router


def _not_found(text: str) -> Response:
    return PlainTextResponse(text, status_code=404)


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
        raise FileNotFoundError(errno.ENOENT, "not a regular file", str(file))
    tops = [root for root in roots if file != root and file.is_relative_to(root)] or [file.parent]
    is_plain = any(Path(os.path.realpath(top)) / file.relative_to(top) == real for top in tops)
    if not is_plain:
        is_inside = any(real.is_relative_to(os.path.realpath(root)) for root in roots)
        is_same = (status.st_size, status.st_mtime_ns) == (hit.size, hit.mtime_ns)
        if not (is_inside and is_same):
            raise PermissionError(errno.EPERM, "a symbolic link to a file outside the index", str(file))
    if not os.access(real, os.R_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(file))
    return real, status


def mime_type(hit: Hit) -> str | None:
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
