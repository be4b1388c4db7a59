"""Generate images of items of any modality: a decoder turns their embedding into an image.

| model | decoder |
|---|---|
| imagebind_tiny | the small decoder of this package, for images of the toy world |
| imagebind_huge | Stable unCLIP through diffusers, see `unclip` |
| any | a function of an embedding, `FunctionDecoder` |
"""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from imagebind.applications.tiny_decoder import TinyDecoder
from imagebind.checkpoints import factory
from imagebind.embedder import Embedder, combine
from imagebind.errors import ImageBindError, MediaError
from imagebind.intake.requests import Request, Views, identify
from imagebind.modality import ModalityType
from imagebind.space import Space
from imagebind.transforms.audio import AudioTransform

logger = logging.getLogger(__name__)

MAX_SEED = 2**63 - 1  # of a random generator of torch


class Decoder(Protocol):
    """Turns embeddings into images."""

    def check(self, embedder: Embedder) -> None:
        """Check that an embedder's vectors are in the decoder's space.

        Raises:
            SpaceMismatchError: they are not.
        """

    def image_embedding(self, vector: np.ndarray, modality: ModalityType) -> np.ndarray:
        """Return the vector to decode in place of the embedding of a modality: (e,) -> (e,), unit length."""

    def __call__(self, embeddings: Tensor, *, seeds: Sequence[int]) -> list[Image.Image]:
        """Return an image for each embedding (n, e) of unit length and its seed.

        Raises:
            ValueError: an option or a seed that the decoder cannot use.
        """


@dataclass(frozen=True)
class FunctionDecoder:
    """A function of one embedding (e,), a float32 tensor on the CPU of unit length, as a `Decoder`.

    The function returns a PIL image, or an array or tensor (h, w, 3), (3, h, w) or (h, w), of uint8 or of
    floats from 0 to 1. It runs with torch's random generators set to the seed; their state is restored.
    """

    function: Callable[[Tensor], Any]

    def check(self, embedder: Embedder) -> None:
        """Accept every embedder."""

    def image_embedding(self, vector: np.ndarray, modality: ModalityType) -> np.ndarray:
        """Return the vector unchanged."""
        return vector

    def __call__(self, embeddings: Tensor, *, seeds: Sequence[int]) -> list[Image.Image]:
        """Return the function's image of each embedding (n, e), with its seed.

        Raises:
            ValueError: the function returns something else than an image.
        """
        images = []
        for embedding, seed in zip(embeddings, seeds, strict=True):
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                images.append(to_image(self.function(embedding)))
        return images


def generate(
    embedder: Embedder,
    query: Any,
    *,
    decoder: Decoder | Callable[[Tensor], Any] | None = None,
    count: int = 1,
    seed: int = 0,
) -> list[Image.Image]:
    """Return images of a query: an item, a vector (e,), or pairs (item or vector, weight) that are added.

    Args:
        decoder: a `Decoder`, or a function of an embedding (e,) that returns an image; by default that of
            the embedder's model, see `decoder_of`.
        count: number of images.
        seed: of the first image; the others have the following ones. An image depends only on the query, the
            decoder and its own seed.

    Raises:
        MediaError: an item cannot be embedded, or is silent audio.
        SpaceMismatchError: the decoder is for another space.
        ImageBindError: the model has no decoder.
        ValueError: an empty query, weights that cancel out, or an option that the decoder cannot use.
    """
    if count < 1:
        raise ValueError(f"count: expected at least 1, got {count}")
    if not 0 <= seed <= MAX_SEED - count:
        raise ValueError(f"seed: expected 0 to {MAX_SEED - count}, got {seed}")
    parts = list(query) if _is_weighted(query) else [(query, 1.0)]
    if not parts:
        raise ValueError("query: expected at least one item, got none")
    if decoder is None:
        decoder = decoder_of(embedder)
    elif not hasattr(decoder, "image_embedding"):
        decoder = FunctionDecoder(decoder)
    decoder.check(embedder)
    vectors = _embed([item for item, _ in parts], embedder, decoder)
    vector = combine([(vector, weight) for vector, (_, weight) in zip(vectors, parts, strict=True)])
    embeddings = torch.from_numpy(vector).expand(count, -1)
    return decoder(embeddings, seeds=range(seed, seed + count))


def decoder_of(embedder: Embedder) -> Decoder:
    """Return the decoder for an embedder's model.

    Raises:
        ImageBindError: the model is neither imagebind_tiny nor imagebind_huge.
        MissingExtraError, CheckpointError: Stable unCLIP, the decoder of imagebind_huge, cannot be loaded.
    """
    if takes_unclip(embedder):
        from imagebind.applications.unclip_files import load_unclip

        return load_unclip(device=embedder.device)
    model = Space.of(embedder, kinds=()).model
    if model == factory.TINY:
        return TinyDecoder.load()
    raise ImageBindError(
        f"got a model of {embedder.embed_dim}-d vectors ({model}), which has no decoder; expected "
        f"{factory.TINY}, {factory.HUGE}, or a decoder for this model"
    )


def takes_unclip(embedder: Embedder) -> bool:
    """Whether an embedder's model has the sizes of imagebind_huge, whose decoder is Stable unCLIP."""
    return Space.of(embedder, kinds=()).model == factory.HUGE


def to_image(values: Any) -> Image.Image:
    """Return an image from an image, or from an array or tensor (h, w, 3), (3, h, w) or (h, w).

    Raises:
        ValueError: another shape or type, or numbers that are not finite.
    """
    if isinstance(values, Image.Image):
        return values
    array = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values)
    if array.ndim == 3 and array.shape[0] == 3 and array.shape[2] != 3:
        array = array.transpose(1, 2, 0)  # (3, h, w) -> (h, w, 3)
    is_image = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)
    if not is_image or array.size == 0 or array.dtype.kind not in "fu":
        raise ValueError(
            f"decoder: expected an image, or uint8 or floats from 0 to 1 of shape (h, w, 3), (3, h, w) or "
            f"(h, w), got {array.dtype} of shape {array.shape}"
        )
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise ValueError("decoder: expected finite numbers, got NaN or infinity")
        array = (array.clip(0, 1) * 255).round()
    return Image.fromarray(array.astype(np.uint8))


def contact_sheet(images: Sequence[Image.Image]) -> Image.Image:
    """Return images of one size side by side, in rows of about as many as there are rows.

    Raises:
        ValueError: no images.
    """
    if not images:
        raise ValueError("images: expected at least one, got none")
    columns = math.ceil(math.sqrt(len(images)))
    width, height = images[0].size
    sheet = Image.new("RGB", (columns * width, math.ceil(len(images) / columns) * height))
    for number, image in enumerate(images):
        sheet.paste(image, (number % columns * width, number // columns * height))
    return sheet


def _is_weighted(query: object) -> bool:
    """Whether a query is a sequence of (item, weight) pairs; an empty one is."""
    return isinstance(query, list | tuple) and all(
        isinstance(part, tuple) and len(part) == 2 and isinstance(part[1], int | float) for part in query
    )


def _embed(items: Sequence[Any], embedder: Embedder, decoder: Decoder) -> list[np.ndarray]:
    """Return the vector to decode for each item; a vector stays as it is.

    Raises:
        MediaError: an item cannot be embedded, or is silent audio.
        ValueError: a vector of another width.
    """
    requests: list[Request] = [identify(item) for item in items if not _is_vector(item)]
    vectors = []
    for result in embedder.encode_stream(requests, inspect=lambda views: _is_silent(views, embedder)):
        if result.error is not None:
            raise result.error
        if result.inspected:
            raise MediaError(result.name, got="silence", expected="audio that can be heard")
        for warning in result.warnings:
            logger.warning("%s: %s", result.name, warning)
        vectors.append(decoder.image_embedding(result.vector, result.modality))
    embedded = iter(vectors)
    return [_checked(item, embedder.embed_dim) if _is_vector(item) else next(embedded) for item in items]


def _is_silent(views: Views, embedder: Embedder) -> bool:
    transform = embedder.transform(views.kind)
    return isinstance(transform, AudioTransform) and transform.is_silent(views.views)


def _is_vector(item: object) -> bool:
    return isinstance(item, np.ndarray) and item.ndim == 1 and np.issubdtype(item.dtype, np.floating)


def _checked(vector: np.ndarray, embed_dim: int) -> np.ndarray:
    if vector.shape != (embed_dim,):
        raise ValueError(f"query: expected a vector ({embed_dim},), got {vector.shape}")
    return vector
