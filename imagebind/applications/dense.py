"""Dense features: patch embeddings in the joint space, and maps of their similarity to queries.

No training is needed. The last block of a vision trunk mixes the patches into the class token. Without this,
each patch keeps its own value, which after the projections of the block and the head lies in the joint space.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from imagebind.embedder import BATCH_SIZE, Embedder
from imagebind.errors import MediaError
from imagebind.intake.requests import identify, prepare
from imagebind.modality import MediaKind, ModalityType
from imagebind.models.evaluation import evaluation_mode
from imagebind.models.heads import ClassToken
from imagebind.models.model import ImageBindModel
from imagebind.models.transformer import Block

Attention = Literal["value", "self", "neighbours", "plain"]
ATTENTIONS: tuple[Attention, ...] = get_args(Attention)
NEIGHBOUR_STD = 5.0  # patches. Source: NACLIP
WINDOWS = (1.0, 0.5)  # shares of the image's short side
WINDOW_OVERLAP = 0.5


def patch_embeddings(model: ImageBindModel, images: Tensor, *, attention: Attention = "value") -> Tensor:
    """Embed each patch of images or two-frame videos: (b, 3, [2,] h, w) -> (b, h', w', e), unit length.

    Images are as the transform returns them. Sides other than the model's own must be equal; their position
    embeddings are interpolated. `attention` replaces the attention of the last block:

    - "value": each patch keeps its own value. Source: MaskCLIP.
    - "self": patches attend to patches with similar queries, and with similar keys. Source: SCLIP.
    - "neighbours": patches attend to those with similar keys nearby. Source: NACLIP.
    - "plain": the trunk as it is; its patches are not trained to lie in the joint space.

    Raises:
        ValueError: an unknown attention, or images of a wrong shape.
    """
    if attention not in ATTENTIONS:
        raise ValueError(f"attention: expected one of {', '.join(ATTENTIONS)}, got {attention!r}")
    vision = ModalityType.VISION.value
    stem = model.modality_preprocessors[vision]
    trunk = model.modality_trunks[vision]
    rows, columns = (side // stem.patch_size for side in images.shape[-2:])
    tokens = trunk.pre_transformer_layer(stem(images)["trunk"]["tokens"])
    for block in trunk.blocks[:-1]:
        tokens = block(tokens)
    tokens = _last_block(trunk.blocks[-1], tokens, (rows, columns), attention)  # (b, l, d)
    for layer in model.modality_heads[vision]:
        if not isinstance(layer, ClassToken):
            tokens = layer(tokens)  # -> (b, l, e)
    return F.normalize(tokens[:, 1:].float(), dim=-1).unflatten(1, (rows, columns))


def _last_block(block: Block, tokens: Tensor, grid: tuple[int, int], attention: Attention) -> Tensor:
    if attention == "plain":
        return block(tokens)
    query, key, value = block.attn.project_in(block.norm_1(tokens))  # (b, h, l, d/h) each
    if attention == "self":
        value = _attend(query, query, value) + _attend(key, key, value)
    elif attention == "neighbours":
        value = _attend(key, key, value, _nearness(grid, like=key))
    return block.attn.project_out(value)


def _attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None) -> Tensor:
    return F.scaled_dot_product_attention(query, key, value, bias)


def _nearness(grid: tuple[int, int], *, like: Tensor) -> Tensor:
    """Return a Gaussian of the distance between patches, to add to scores; 0 for the class token: (l, l)."""
    rows, columns = torch.meshgrid(*(torch.arange(side) for side in grid), indexing="ij")
    places = torch.stack([rows.flatten(), columns.flatten()], dim=1).float()  # (h·w, 2)
    nearness = torch.exp(-torch.cdist(places, places).square() / (2 * NEIGHBOUR_STD**2))
    return F.pad(nearness, (1, 0, 1, 0)).to(like)


@torch.inference_mode()
def similarity_maps(
    embedder: Embedder,
    image: Any,
    queries: np.ndarray | Tensor,
    *,
    attention: Attention = "value",
    windows: Sequence[float] = WINDOWS,
    overlap: float = WINDOW_OVERLAP,
    batch_size: int = BATCH_SIZE,
) -> Tensor:
    """Return the cosine similarity of each part of an image to queries: (n, e) -> (n, H, W) float32.

    Square windows slide over the image and are embedded in batches; where they overlap, and over all sizes
    of windows, similarities are averaged.

    Args:
        image: any item that is an image. Its H and W are those of the map.
        queries: vectors of any modality, as from `Embedder.encode` or `combine`.
        windows: sides of the windows, as shares of the image's short side.
        overlap: minimum share of a window that the next one covers again.

    Raises:
        MediaError: the image cannot be read, or is no image.
        ValueError: no queries, queries of another width, or an option out of its range.
    """
    vectors = _checked_queries(queries, embedder.embed_dim).to(embedder.device)
    if not windows or not all(0 < share <= 1 for share in windows):
        raise ValueError(f"windows: expected shares of the short side, in (0, 1], got {windows!r}")
    if not 0 <= overlap < 1:
        raise ValueError(f"overlap: expected a share in [0, 1), got {overlap}")
    pixels = whole_image(embedder, image)
    size = tuple(pixels.shape[-2:])
    total = torch.zeros(len(vectors), *size)
    for share in windows:
        coarse = _window_map(embedder, pixels, vectors, share, overlap, attention, batch_size)
        total += F.interpolate(coarse[None], size=size, mode="bilinear", align_corners=False)[0]
    return total / len(windows)


def whole_image(embedder: Embedder, image: Any) -> Tensor:
    """Read an image and standardise its pixels as the embedder does, without crop or resize: (3, H, W)."""
    request = identify(image)
    if request.kind is not MediaKind.IMAGE:
        raise MediaError(request.name, got=str(request.kind), expected="an image")
    transform = replace(embedder.transform(MediaKind.IMAGE), crop=_keep)  # type: ignore[type-var]
    return prepare(request, transform).views[0]


def _keep(image: Any, size: int) -> Any:
    """Return an image as it is, as a tensor (3, H, W) of floats in [0, 1] or a PIL image."""
    return image


def _window_map(
    embedder: Embedder,
    pixels: Tensor,
    vectors: Tensor,
    share: float,
    overlap: float,
    attention: Attention,
    batch_size: int,
) -> Tensor:
    """Return the mean similarities over windows of one size, on the grid of patches: (n, rows, columns)."""
    sizes = embedder.model.config.trunk(ModalityType.VISION)
    patch, side = sizes.patch_size, sizes.image_size // sizes.patch_size  # pixels, patches
    scale = side / (share * min(pixels.shape[-2:]))  # patches per pixel of the image
    rows, columns = (max(side, round(length * scale)) for length in pixels.shape[-2:])
    size = (rows * patch, columns * patch)
    resized = F.interpolate(pixels[None], size=size, mode="bicubic", antialias=True)[0]
    step = max(1, int(side * (1 - overlap)))
    places = [(top, left) for top in _starts(rows, side, step) for left in _starts(columns, side, step)]
    total, count = torch.zeros(len(vectors), rows, columns), torch.zeros(rows, columns)
    for start in range(0, len(places), batch_size):
        some = places[start : start + batch_size]
        crops = torch.stack([_window(resized, top * patch, left * patch, side * patch) for top, left in some])
        similarities = _similarities(embedder, crops, vectors, attention)  # (b, n, side, side)
        for (top, left), each in zip(some, similarities, strict=True):
            total[:, top : top + side, left : left + side] += each
            count[top : top + side, left : left + side] += 1
    return total / count


def _similarities(embedder: Embedder, crops: Tensor, vectors: Tensor, attention: Attention) -> Tensor:
    """Return similarities of patches to queries: (b, 3, h, w), (n, e) -> (b, n, h', w')."""
    parameter = next(embedder.model.parameters())
    with evaluation_mode(embedder.model):
        patches = patch_embeddings(embedder.model, crops.to(parameter), attention=attention)
    return torch.einsum("bhwe,ne->bnhw", patches, vectors).cpu()


def _window(pixels: Tensor, top: int, left: int, side: int) -> Tensor:
    return pixels[:, top : top + side, left : left + side]


def _starts(length: int, side: int, step: int) -> list[int]:
    """Return evenly spaced starts of windows that cover a length, at most `step` apart."""
    count = -(-(length - side) // step) + 1
    return [round(number * (length - side) / max(count - 1, 1)) for number in range(count)]


def _checked_queries(queries: np.ndarray | Tensor, width: int) -> Tensor:
    vectors = torch.as_tensor(queries, dtype=torch.float32)
    if vectors.ndim != 2 or vectors.shape[1] != width or not len(vectors):
        raise ValueError(f"queries: expected vectors (n, {width}), got {tuple(vectors.shape)}")
    return F.normalize(vectors, dim=-1)
