"""Generate images from items of any modality: a decoder turns their embedding into an image.

| model | decoder |
|---|---|
| imagebind_tiny | the small decoder of this package, for images of the toy world |
| imagebind_huge | Stable unCLIP through diffusers, see `unclip` |
| any | `FunctionDecoder`, which wraps a function of an embedding |
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from imagebind.applications.tiny_decoder import TinyDecoder
from imagebind.checkpoints import factory
from imagebind.embedder import Embedder
from imagebind.errors import ImageBindError
from imagebind.query import is_weighted, to_query
from imagebind.space import Space
from imagebind.transforms.image import load_image

MAX_SEED = 2**63 - 1  # the largest signed 64-bit integer, which torch accepts as a seed


@runtime_checkable
class Decoder(Protocol):
    """Turns embeddings into images."""

    def check(self, embedder: Embedder) -> None:
        """Check that an embedder's vectors are in the decoder's space.

        Raises:
            SpaceMismatchError: they are not.
        """

    def __call__(self, embeddings: Tensor, *, seeds: Sequence[int]) -> list[Image.Image]:
        """Return an image for each unit vector of `embeddings` (n, e) and its seed.

        Raises:
            ValueError: the decoder cannot use an option or a seed.
        """


@dataclass(frozen=True)
class FunctionDecoder:
    """A `Decoder` that calls a function of one embedding, a float32 unit vector (e,) on the CPU.

    The function returns a PIL image, or an array or tensor (h, w, 3), (3, h, w) or (h, w), of uint8 or of
    floats from 0 to 1. It runs with torch's random generators set to the seed; their state is restored.
    """

    function: Callable[[Tensor], Any]

    def check(self, embedder: Embedder) -> None:
        """Accept every embedder."""

    def __call__(self, embeddings: Tensor, *, seeds: Sequence[int]) -> list[Image.Image]:
        """Return the image that the function returns for each embedding (n, e), run with its seed.

        Raises:
            ValueError: the function does not return an image, or the number of seeds differs.
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
    """Return images generated from a query.

    Args:
        query: an item, a vector (e,), or pairs (item or vector, weight), whose weighted sum is the query.
        decoder: a `Decoder`, or a function of an embedding (e,) that returns an image; by default the decoder
            of the embedder's model, see `decoder_of`.
        count: number of images.
        seed: random seed of the first image; the others have the following seeds. An image depends only on
            the query, the decoder and its own seed.

    Raises:
        MediaError: an item cannot be embedded, or is silent audio.
        SpaceMismatchError: the decoder is for another space.
        ImageBindError: the model has no decoder, or its decoder cannot be loaded.
        ValueError: the query is empty, a list without weights or a vector of another length, its weighted sum
            is zero, `count` or `seed` is out of range, or the decoder cannot use an option.
    """
    if count < 1:
        raise ValueError(f"count: expected at least 1, got {count}")
    if not isinstance(seed, Integral) or not 0 <= seed <= MAX_SEED - count:
        raise ValueError(f"seed: expected an integer from 0 to {MAX_SEED - count}, got {seed!r}")
    if isinstance(query, list | tuple) and not query:
        raise ValueError("query: expected at least one item, got none")
    if isinstance(query, list) and not is_weighted(query):
        raise ValueError(
            "query: expected an item, a vector or pairs (item, weight), got a list without weights"
        )
    chosen = decoder_of(embedder) if decoder is None else _as_decoder(decoder)
    chosen.check(embedder)
    vector = to_query(query, embedder, embed_dim=embedder.embed_dim).vector
    embeddings = torch.from_numpy(vector).expand(count, -1)  # (e,) -> (n, e)
    return chosen(embeddings, seeds=range(seed, seed + count))


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
        f"model: expected {factory.TINY} or {factory.HUGE}, got one of {embedder.embed_dim}-d vectors "
        f"({model}), which has no decoder; pass a decoder for this model"
    )


def takes_unclip(embedder: Embedder) -> bool:
    """Whether an embedder's model has the sizes of imagebind_huge, whose decoder is Stable unCLIP."""
    return Space.of(embedder, kinds=()).model == factory.HUGE


def to_image(values: Any) -> Image.Image:
    """Return a PIL image of `values`: an image, or an array or tensor (h, w, 3), (3, h, w) or (h, w).

    Raises:
        ValueError: `values` has another shape or type, or numbers that are not finite.
    """
    if isinstance(values, Image.Image):
        return values
    array = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values)
    if array.ndim == 3 and array.shape[0] == 3 and array.shape[2] != 3:
        array = array.transpose(1, 2, 0)  # (3, h, w) -> (h, w, 3)
    is_image = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)
    if not is_image or array.size == 0 or not (array.dtype == np.uint8 or array.dtype.kind == "f"):
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
    """Return one image that shows images of equal size in a grid with about as many rows as columns.

    Cells without an image are white.

    Raises:
        ValueError: there are no images.
        MediaError: as `load_image`, which converts them to RGB.
    """
    if not images:
        raise ValueError("images: expected at least one, got none")
    columns = math.ceil(math.sqrt(len(images)))
    width, height = images[0].size
    sheet = Image.new("RGB", (columns * width, math.ceil(len(images) / columns) * height), "white")
    for number, image in enumerate(images):
        sheet.paste(load_image(image, exif=False), (number % columns * width, number // columns * height))
    return sheet


def _as_decoder(decoder: Decoder | Callable[[Tensor], Any]) -> Decoder:
    return decoder if isinstance(decoder, Decoder) else FunctionDecoder(decoder)
