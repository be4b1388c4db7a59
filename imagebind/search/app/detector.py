"""Detect texts and uploaded files in an image. The server stores neither the image nor the result."""

import io
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, BinaryIO, cast

import numpy as np
from fastapi.exceptions import RequestValidationError
from PIL import Image
from pydantic import Field, TypeAdapter, ValidationError
from torch import Tensor

from imagebind.applications.dense import similarity_maps
from imagebind.applications.detection import detect
from imagebind.applications.overlay import draw
from imagebind.embedder import Embedder
from imagebind.errors import MediaError
from imagebind.modality import MediaKind
from imagebind.query import Query, distinct_names, to_query
from imagebind.search.app.guard import MAX_JSON_BYTES
from imagebind.search.app.inputs import Upload, UploadFile, limits_of, trim_memory
from imagebind.transforms.image import load_image

MAX_QUERIES = 12
MAX_IMAGE_SIDE = 1024  # pixels of the longer side; larger images are reduced before detection
DETECTION_QUALITY = 88  # of JPEG


@dataclass(frozen=True, kw_only=True, eq=False)
class DetectRequest:
    """Queries (texts, and uploads with their media types) and options; precedes the image in a request."""

    texts: Sequence[str] = ()
    uploads: Sequence[tuple[Upload, MediaKind | None]] = ()
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    maps: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class DetectedBoxes:
    """The image with its boxes as a JPEG, and (query, score, cosine, box) of each, in the upload's pixels."""

    name: str
    jpeg: bytes
    rows: Sequence[tuple[str, float, float, tuple[float, float, float, float]]]


_REQUEST = TypeAdapter(DetectRequest)


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageDetector:
    """Detects queries in uploaded images."""

    embedder: Embedder

    def __call__(self, file: UploadFile) -> DetectedBoxes:
        """Answer a request whose body is a line of JSON, a `DetectRequest`, and then an image.

        Raises:
            RequestValidationError: the first line is not a `DetectRequest`.
            MediaError: there are no queries or too many, or the image or a media type cannot be used.
            ValueError: the vector of an upload has another length, is zero or is not finite.
        """
        try:
            return self._detect(file)
        finally:
            trim_memory()

    def _detect(self, file: UploadFile) -> DetectedBoxes:
        file.seek(0)
        try:
            wanted = _REQUEST.validate_json(file.readline(MAX_JSON_BYTES))
        except ValidationError as error:
            raise RequestValidationError(error.errors(include_input=False, include_url=False)) from error
        queries = self._queries(wanted)
        image, scale = _read_image(file)
        maps: Tensor | None = similarity_maps(
            self.embedder, image, np.stack([query.vector for query in queries.values()])
        )
        found = detect(self.embedder, image, queries, maps=maps, threshold=wanted.threshold, name=file.name)
        drawn = draw(image, found, queries=list(queries), maps=maps if wanted.maps else None)
        content = io.BytesIO()
        drawn.save(content, "JPEG", quality=DETECTION_QUALITY)
        rows = [
            (each.query, each.score, each.cosine, cast(Any, tuple(value / scale for value in each.box)))
            for each in found
        ]
        return DetectedBoxes(name=file.name, jpeg=content.getvalue(), rows=rows)

    def _queries(self, wanted: DetectRequest) -> dict[str, Query]:
        texts = list(dict.fromkeys(text.strip() for text in wanted.texts if text.strip()))
        count = len(texts) + len(wanted.uploads)
        if not 1 <= count <= MAX_QUERIES:
            raise MediaError(
                "the queries",
                got=f"{count}" if count else "none",
                expected=f"1 to {MAX_QUERIES} texts and files",
            )
        embed_dim = self.embedder.embed_dim
        queries = [to_query({"text": text}, self.embedder, embed_dim=embed_dim) for text in texts]
        for upload, kind in wanted.uploads:
            vector = to_query(upload.vector(kind), None, embed_dim=embed_dim).vector
            queries.append(Query(vector, frozenset({kind} if kind else ())))
        names = distinct_names([*texts, *(upload.name for upload, _ in wanted.uploads)])
        return dict(zip(names, queries, strict=True))


def _read_image(file: UploadFile) -> tuple[Image.Image, float]:
    """Return the image after the first line, and its scale, which is below 1 if it was reduced."""
    with UploadFile(file.name) as content:
        shutil.copyfileobj(file, content)
        size = content.tell()
        if not size:
            raise MediaError(file.name, got="none", expected="an image in which to detect the queries")
        image = load_image(cast(BinaryIO, content), limits=limits_of(size))
    scale = min(MAX_IMAGE_SIDE / max(image.size), 1.0)
    if scale < 1:
        image = image.resize((max(round(image.width * scale), 1), max(round(image.height * scale), 1)))
    return image, scale
