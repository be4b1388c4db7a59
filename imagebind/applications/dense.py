"""Dense features: embeddings of the parts of an image, and maps of their similarity to queries.

No training is needed. A part is a window, which the model embeds as an image, or a patch. The attention of
the vision trunk's last block mixes the patches. If each patch keeps its own value instead, the projections of
the block and the head map this value into the embedding space.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from imagebind.applications.boxes import check_aspect_ratio
from imagebind.config import VisionConfig
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

Features = Literal["windows", "value", "self", "neighbours", "plain"]
FEATURES: tuple[Features, ...] = get_args(Features)

# Source: ours, chosen on the toy world; see docs/guide/detection.md.
WINDOW_SHARES = (0.375,)  # sides of windows that are embedded as images, as shares of the short side
PATCH_WINDOW_SHARES = (0.5, 0.25)  # the same for windows whose patches are embedded
WINDOW_STEP = 1 / 3  # of the window: maximum distance of windows, and of the outer centres from the edges
PATCH_WINDOW_STEP = 1 / 2
SMOOTHING = 0.26  # of the window: standard deviation of a Gaussian by which neighbouring windows are averaged
STEP_TOLERANCE = 1e-6  # for rounding errors in the number of windows
CELLS_PER_STEP = 8  # cells of the smoothing grid between neighbouring windows


def patch_embeddings(model: ImageBindModel, images: Tensor, *, attention: Attention = "value") -> Tensor:
    """Embed each patch of images or two-frame videos: (b, 3, [2,] h, w) -> (b, h', w', e), unit length.

    Images have the standardised pixels that the transform returns. Images of another size than the model's
    must be square; their position embeddings are interpolated. `attention` replaces that of the last block:

    - "value": each patch keeps its own value. Source: MaskCLIP.
    - "self": patches attend to patches with similar queries, and with similar keys. Source: SCLIP.
    - "neighbours": patches attend to those with similar keys nearby. Source: NACLIP.
    - "plain": the unchanged trunk; its patches were not trained to lie in the embedding space.

    Raises:
        ValueError: the model has no vision, the attention is unknown, or the images have another shape.
    """
    if attention not in ATTENTIONS:
        raise ValueError(f"attention: expected one of {', '.join(ATTENTIONS)}, got {attention!r}")
    patch_size = _vision_sizes(model).patch_size
    vision = ModalityType.VISION.value
    stem: Any = model.modality_preprocessors[vision]
    trunk: Any = model.modality_trunks[vision]
    head: Any = model.modality_heads[vision]
    rows, columns = (side // patch_size for side in images.shape[-2:])
    tokens = trunk.pre_transformer_layer(stem(images)["trunk"]["tokens"])
    for block in trunk.blocks[:-1]:
        tokens = block(tokens)
    tokens = _last_block(trunk.blocks[-1], tokens, (rows, columns), attention)  # (b, l, d)
    for layer in head:
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
    """Return a bias for attention: a Gaussian of the patch distance, 0 for the class token: (l, l)."""
    rows, columns = torch.meshgrid(*(torch.arange(side) for side in grid), indexing="ij")
    positions = torch.stack([rows.flatten(), columns.flatten()], dim=1).float()  # (h·w, 2)
    nearness = torch.exp(-torch.cdist(positions, positions).square() / (2 * NEIGHBOUR_STD**2))
    return F.pad(nearness, (1, 0, 1, 0)).to(like)


@torch.inference_mode()
def similarity_maps(
    embedder: Embedder,
    image: Any,
    queries: np.ndarray | Tensor,
    *,
    features: Features = "windows",
    windows: Sequence[float] | None = None,
    batch_size: int = BATCH_SIZE,
) -> Tensor:
    """Return the cosine similarity of each part of an image to queries: (n, e) -> (n, H, W) float32.

    Square windows slide over the image. With the features "windows", each window is embedded as an image, and
    a pixel has the mean over nearby windows with Gaussian weights. With other features, `patch_embeddings`
    embeds the patches of the windows with `features` as its `attention`, and a pixel has the mean over the
    windows that contain it. Maps of windows of several sizes are averaged.

    Args:
        image: an image item, as for `Embedder.encode`. The map has its height H and width W.
        queries: vectors of any modality, as from `Embedder.encode` or `combine`.
        windows: sides of the windows, as shares of the image's short side; by default `WINDOW_SHARES` or, for
            patches, `PATCH_WINDOW_SHARES`.

    Raises:
        MediaError: `image` cannot be read, is not an image, or is longer than 16 times its short side.
        ValueError: there are no queries, their vectors have another width, an option is out of range, or the
            model has no vision.
    """
    pixels = whole_image(embedder, image)
    return pixel_maps(embedder, pixels, queries, features=features, windows=windows, batch_size=batch_size)


def whole_image(embedder: Embedder, image: Any) -> Tensor:
    """Return an image with pixels standardised as by the embedder, not cropped or resized: (3, H, W).

    Raises:
        MediaError: `image` cannot be read, is not an image, or is longer than 16 times its short side.
    """
    request = identify(image)
    if request.kind is not MediaKind.IMAGE:
        raise MediaError(request.name, got=str(request.kind), expected="an image")
    transform = replace(embedder.transform(MediaKind.IMAGE), crop=_keep)  # type: ignore[type-var]
    pixels = prepare(request, transform).views[0]
    check_aspect_ratio((pixels.shape[2], pixels.shape[1]), name=request.name)
    return pixels


def _keep(image: Any, size: int) -> Any:
    """Return a PIL image or a tensor unchanged, in place of a crop."""
    return image


@torch.inference_mode()
def pixel_maps(
    embedder: Embedder,
    pixels: Tensor,
    queries: np.ndarray | Tensor,
    *,
    features: Features = "windows",
    windows: Sequence[float] | None = None,
    batch_size: int = BATCH_SIZE,
) -> Tensor:
    """Return the maps of `similarity_maps` for standardised pixels: (n, e) -> (n, H, W).

    Args:
        pixels: an image (3, H, W), or a clip of two frames (3, 2, H, W).

    Raises:
        ValueError: the pixels have another shape, there are no queries, their vectors have another width, an
            option is out of range, or the model has no vision.
    """
    vectors = _checked_queries(queries, embedder.embed_dim)
    if features not in FEATURES:
        raise ValueError(f"features: expected one of {', '.join(FEATURES)}, got {features!r}")
    if windows is None:
        windows = WINDOW_SHARES if features == "windows" else PATCH_WINDOW_SHARES
    if not windows or not all(0 < share <= 1 for share in windows):
        raise ValueError(f"windows: expected shares of the short side, in (0, 1], got {windows!r}")
    if pixels.ndim not in (3, 4) or pixels.shape[0] != 3:
        raise ValueError(f"pixels: expected (3, h, w) or (3, 2, h, w), got {tuple(pixels.shape)}")
    if batch_size < 1:
        raise ValueError(f"batch_size: expected at least 1, got {batch_size}")
    frames = pixels[None] if pixels.ndim == 3 else pixels.transpose(0, 1)  # (t, 3, H, W)
    maps = [
        _maps_of_windows(embedder, frames, vectors, share, batch_size)
        if features == "windows"
        else _maps_of_patches(embedder, frames, vectors, share, features, batch_size)
        for share in windows
    ]
    size = pixels.shape[-2:]
    resized = [F.interpolate(each[None], size=size, mode="bilinear", antialias=True)[0] for each in maps]
    return torch.stack(resized).mean(dim=0)


def _maps_of_windows(
    embedder: Embedder, frames: Tensor, vectors: Tensor, share: float, batch_size: int
) -> Tensor:
    """Return the smoothed similarities of windows of one size: (t, 3, H, W), (n, e) -> (n, h, w)."""
    side = _vision_sizes(embedder.model).image_size
    scale = side / (share * min(frames.shape[-2:]))
    size = [max(side, round(length * scale)) for length in frames.shape[-2:]]
    # Pad with 0, the mean colour. The centres of the outer windows are one step from the edges.
    step = side * WINDOW_STEP
    margin = side // 2 - round(step)
    padded = F.pad(_resized(frames, size), [margin] * 4)
    tops, lefts = (_starts(length + 2 * margin, side, step) for length in size)
    similarities = [
        embedder.forward(ModalityType.VISION, crops).cpu() @ vectors.T  # (b, n)
        for crops in _batches(padded, [(top, left) for top in tops for left in lefts], side, batch_size)
    ]
    grid = torch.cat(similarities).T.reshape(1, len(vectors), len(tops), len(lefts))
    # No window is centred at the edges. They get the least similarity, so that no maximum lies there.
    least = grid.amin(dim=(2, 3), keepdim=True)
    bordered = F.pad(grid - least, (1, 1, 1, 1)) + least
    cells = [CELLS_PER_STEP * (count - 1) + 1 for count in bordered.shape[-2:]]
    fine = F.interpolate(bordered, size=cells, mode="bicubic", align_corners=True)[0]
    return _smoothed(fine, SMOOTHING / WINDOW_STEP * CELLS_PER_STEP)


def _maps_of_patches(
    embedder: Embedder, frames: Tensor, vectors: Tensor, share: float, attention: Attention, batch_size: int
) -> Tensor:
    """Return the mean similarities of patches over windows of one size: (t, 3, H, W), (n, e) -> (n, h, w)."""
    sizes = _vision_sizes(embedder.model)
    patch, side = sizes.patch_size, sizes.image_size // sizes.patch_size  # pixels, patches
    scale = side / (share * min(frames.shape[-2:]))  # patches per pixel of the image
    rows, columns = (max(side, round(length * scale)) for length in frames.shape[-2:])
    resized = _resized(frames, [rows * patch, columns * patch])
    tops, lefts = (_starts(length, side, side * PATCH_WINDOW_STEP) for length in (rows, columns))
    positions = [(top, left) for top in tops for left in lefts]
    parameter = next(embedder.model.parameters())
    total, count = torch.zeros(len(vectors), rows, columns), torch.zeros(rows, columns)
    corners = [(top * patch, left * patch) for top, left in positions]
    windows = iter(positions)
    for crops in _batches(resized, corners, side * patch, batch_size):
        with evaluation_mode(embedder.model):
            patches = patch_embeddings(embedder.model, crops.to(parameter), attention=attention)
        similarities = torch.einsum("bhwe,ne->bnhw", patches.cpu(), vectors)
        for each, (top, left) in zip(similarities, windows, strict=False):
            total[:, top : top + side, left : left + side] += each
            count[top : top + side, left : left + side] += 1
    return total / count


def _vision_sizes(model: ImageBindModel) -> VisionConfig:
    sizes = model.config.vision
    if sizes is None:
        raise ValueError(f"model: expected one with vision, got one with {', '.join(model.modalities)}")
    return sizes


def _resized(frames: Tensor, size: list[int]) -> Tensor:
    return F.interpolate(frames, size=size, mode="bicubic", antialias=True)


def _batches(
    frames: Tensor, corners: Sequence[tuple[int, int]], side: int, batch_size: int
) -> Iterator[Tensor]:
    """Yield batches of squares with the given top left corners: (b, 3, [2,] side, side)."""
    for start in range(0, len(corners), batch_size):
        crops = torch.stack(
            [frames[..., y : y + side, x : x + side] for y, x in corners[start : start + batch_size]], dim=2
        )  # (t, 3, b, side, side)
        yield crops[0].transpose(0, 1) if len(frames) == 1 else crops.permute(2, 1, 0, 3, 4)


def _starts(length: int, side: int, step: float) -> list[int]:
    """Return evenly spaced starts of windows that cover a length, at most about `step` apart."""
    count = math.ceil((length - side) / step - STEP_TOLERANCE) + 1
    return [round(number * (length - side) / max(count - 1, 1)) for number in range(count)]


def _smoothed(maps: Tensor, std: float) -> Tensor:
    """Return maps (n, h, w) smoothed by a Gaussian of `std` cells; edge values are repeated as padding."""
    reach = math.ceil(3 * std)
    weights = torch.exp(-torch.arange(-reach, reach + 1).float().square() / (2 * std**2))
    weights /= weights.sum()
    padded = F.pad(maps[:, None], [reach] * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, weights.view(1, 1, 1, -1)), weights.view(1, 1, -1, 1))[:, 0]


def _checked_queries(queries: np.ndarray | Tensor, width: int) -> Tensor:
    vectors = torch.as_tensor(queries, dtype=torch.float32).cpu()
    if vectors.ndim != 2 or vectors.shape[1] != width or not len(vectors):
        raise ValueError(f"queries: expected vectors (n, {width}), got {tuple(vectors.shape)}")
    return F.normalize(vectors, dim=-1)
