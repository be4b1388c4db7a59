"""Detect queries of any modality in an image: boxes with probabilities, and masks.

Boxes are proposed, cropped with margins, and embedded together with a grid of squares over the image. The
score of a box for a query is the probability that it shows the query rather than the background. It is a
softmax over three kinds of cosine similarities:

- of the box with the query: the least over crops with different margins, because a part of another object may
  be similar to a query by chance in one crop, but rarely in all;
- of the box with background items **of the query's modality**, since cosines of different modalities have
  different scales: the greatest over the crops;
- of the image's grid with the query: the similarity that only 5% of the squares exceed.

Source: ours, chosen on the toy world; see docs/guide/detection.md.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.ops import nms

from imagebind.applications.backgrounds import embed_backgrounds
from imagebind.applications.boxes import Detection, as_image, check_aspect_ratio, square_crops
from imagebind.applications.dense import similarity_maps
from imagebind.applications.proposals import Proposals, boxes_in, default_boxes, grid_boxes
from imagebind.embedder import Embedder
from imagebind.modality import MediaKind, ModalityType
from imagebind.query import named_queries
from imagebind.zeroshot import class_probabilities, logit_scale

CONTEXTS = (0.2, 0.4)  # margins of a crop, as shares of the box's longer side
IMAGE_QUANTILE = 0.95  # of the similarities of the grid's squares with a query
THRESHOLD = 0.5  # minimum score: the query is more probable than the background
IOU_THRESHOLD = 0.4  # boxes of one query that overlap more show the same object
MAX_DETECTIONS = 20  # per query
DEFAULT_TEMPERATURE = 0.07  # for models without logit scales. Source: CLIP's initial value
CROP_BATCH = 1024  # largest number of crops per forward pass; an image usually has fewer

Segment = Callable[[Image.Image, np.ndarray], Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class DetectionQuery:
    """A query prepared for `detect`.

    Args:
        name: the name in the detections.
        vector: unit vector (e,).
        backgrounds: unit vectors (k, e) of the background items.
        temperature: divides cosine similarities before the softmax.
    """

    name: str
    vector: np.ndarray
    backgrounds: np.ndarray
    temperature: float


def detection_queries(
    embedder: Embedder,
    queries: Any,
    *,
    backgrounds: Mapping[MediaKind | str, Sequence[Any]] | None = None,
    temperature: float | None = None,
) -> list[DetectionQuery]:
    """Embed queries and their backgrounds once, to detect them in many images.

    Args:
        queries: one or more items of any modality, or {name: item, vector or [(item, weight), …]}; see
            `query.named_queries`.
        backgrounds: {media type: background items}; by default those of `applications.backgrounds`. A
            weighted sum has the backgrounds of its items' media types, a vector has those of images.
        temperature: by default the inverse of the logit scale of the query's modality (for vision, that of
            text); 0.07 without scales.

    Raises:
        MediaError: an item cannot be embedded, or is silent audio.
        ValueError: there are no queries, `backgrounds` has an empty list or an unknown media type, a vector
            has another length, or a weighted sum is zero.
    """
    named = named_queries(queries, embedder)
    kinds = {kind for query in named.values() for kind in query.kinds} or {MediaKind.IMAGE}
    vectors = embed_backgrounds(embedder, kinds, backgrounds or {})
    prepared = []
    for name, query in named.items():
        own = sorted(query.kinds, key=str) or [MediaKind.IMAGE]
        prepared.append(
            DetectionQuery(
                name=name,
                vector=query.vector,
                backgrounds=np.concatenate([vectors[kind] for kind in own]),
                temperature=_temperature(embedder, own) if temperature is None else temperature,
            )
        )
    return prepared


def detect(
    embedder: Embedder,
    image: Any,
    queries: Any,
    *,
    proposals: Proposals = None,
    maps: Tensor | None = None,
    backgrounds: Mapping[MediaKind | str, Sequence[Any]] | None = None,
    temperature: float | None = None,
    contexts: Sequence[float] = CONTEXTS,
    image_quantile: float | None = IMAGE_QUANTILE,
    threshold: float = THRESHOLD,
    iou_threshold: float = IOU_THRESHOLD,
    max_detections: int = MAX_DETECTIONS,
    segment: Segment | None = None,
    name: str | None = None,
) -> list[Detection]:
    """Return the boxes of an image that show a query, the most probable first.

        detect(embedder, "street.jpg", {"dog": Path("bark.wav"), "car": "a red car"})

    Queries do not compete: one box can be found for several.

    Args:
        image: a path, a PIL image, or an array (h, w, 3).
        queries: see `detection_queries`, whose result is accepted too.
        proposals: the boxes to examine: an array (n, 4), a function of the RGB image that returns one, or the
            path of a COCO or csv file. By default, boxes around groups of pixels with similar colour or high
            similarity; if there are none, a grid.
        maps: similarity maps (n, h, w) of the queries for the default proposals, if already computed.
        backgrounds, temperature: see `detection_queries`; prepared queries have their own.
        contexts: margins of the crops of a box, as shares of its longer side.
        image_quantile: the quantile of the similarities of the image's grid that is added to the background;
            None leaves the image out of the background.
        threshold: minimum score of a detection.
        iou_threshold: if two boxes of one query have a larger IoU, only the more probable one is returned.
        max_detections: largest number of detections per query.
        segment: a function of the RGB image and boxes (n, 4) that returns masks (n, h, w), above 0 inside.
        name: the name of the image in a file of boxes; by default that of `image`.

    Raises:
        MediaError: as for `detection_queries`, the image cannot be read or is longer than 16 times its short
            side, or the proposals are not boxes in the image.
        ValueError: as for `detection_queries`, an option is out of range, the masks have another shape, or
            the model has no vision.
    """
    _check_options(contexts, image_quantile, threshold, iou_threshold, max_detections)
    prepared = prepared_queries(embedder, queries, backgrounds=backgrounds, temperature=temperature)
    rgb_image, own_name = as_image(image)
    check_aspect_ratio(rgb_image.size, name=name or own_name)
    if proposals is None:
        if maps is None:
            maps = similarity_maps(embedder, rgb_image, np.stack([query.vector for query in prepared]))
        boxes = default_boxes(rgb_image, maps)
    else:
        boxes = boxes_in(rgb_image, proposals, name=name or own_name)
    if not len(boxes):
        return []
    grid = grid_boxes(rgb_image.size) if image_quantile is not None else boxes[:0]
    crops = [crop for margin in contexts for crop in square_crops(rgb_image, boxes, context=margin)]
    crops += square_crops(rgb_image, grid, context=0)
    vectors = torch.from_numpy(embedder.encode(crops, batch_size=min(len(crops), CROP_BATCH)))
    of_boxes = vectors[: len(crops) - len(grid)].unflatten(0, (len(contexts), len(boxes)))  # (c, b, e)
    of_grid = vectors[len(crops) - len(grid) :]
    found: list[Detection] = []
    for query in prepared:
        cosines, scores = _scores(of_boxes, of_grid, query, image_quantile)
        kept = _best(boxes, scores, threshold, iou_threshold)[:max_detections]
        found += [
            Detection(
                query=query.name,
                score=float(scores[index]),
                cosine=float(cosines[index]),
                box=tuple(boxes[index].tolist()),
            )
            for index in kept.tolist()
        ]
    found.sort(key=lambda detection: -detection.score)
    return found if segment is None else _with_masks(rgb_image, found, segment)


def prepared_queries(
    embedder: Embedder,
    queries: Any,
    *,
    backgrounds: Mapping[MediaKind | str, Sequence[Any]] | None = None,
    temperature: float | None = None,
) -> list[DetectionQuery]:
    """Return queries that are already prepared unchanged; prepare others with `detection_queries`."""
    if isinstance(queries, list) and queries and all(isinstance(each, DetectionQuery) for each in queries):
        return queries
    return detection_queries(embedder, queries, backgrounds=backgrounds, temperature=temperature)


def _check_options(
    contexts: Sequence[float],
    image_quantile: float | None,
    threshold: float,
    iou_threshold: float,
    max_detections: int,
) -> None:
    if not contexts or not all(0 <= context < math.inf for context in contexts):
        raise ValueError(f"contexts: expected one or more finite shares of at least 0, got {contexts!r}")
    shares = {"image_quantile": image_quantile, "threshold": threshold, "iou_threshold": iou_threshold}
    for name, value in shares.items():
        if value is not None and not 0 <= value <= 1:
            raise ValueError(f"{name}: expected a number in [0, 1], got {value}")
    if max_detections < 1:
        raise ValueError(f"max_detections: expected at least 1, got {max_detections}")


def _temperature(embedder: Embedder, kinds: Sequence[MediaKind]) -> float:
    """Return the inverse of the logit scale of a query's modality; vision uses that of text.

    Several scales are averaged geometrically. Without any, `DEFAULT_TEMPERATURE` is returned.
    """
    scales = [
        logit_scale(
            embedder.model, ModalityType.TEXT if kind.modality is ModalityType.VISION else kind.modality
        )
        for kind in kinds
    ]
    known = [scale for scale in scales if scale is not None]
    return 1 / float(np.exp(np.mean(np.log(known)))) if known else DEFAULT_TEMPERATURE


def _scores(
    of_boxes: Tensor, of_grid: Tensor, query: DetectionQuery, image_quantile: float | None
) -> tuple[Tensor, Tensor]:
    """Return each box's least cosine similarity with a query, and the query's probability: (b,), (b,).

    Args:
        of_boxes: vectors of the crops of each margin, (c, b, e).
        of_grid: vectors of the grid's squares, (g, e).
    """
    vector, backgrounds = torch.from_numpy(query.vector), torch.from_numpy(query.backgrounds)
    cosines = (of_boxes @ vector).amin(dim=0)  # (b,)
    columns = [cosines[:, None], (of_boxes @ backgrounds.T).amax(dim=0)]
    if image_quantile is not None:
        columns.append(torch.quantile(of_grid @ vector, image_quantile).expand(len(cosines), 1))
    return cosines, class_probabilities(torch.cat(columns, dim=1), query.temperature)[:, 0]


def _best(boxes: Tensor, scores: Tensor, threshold: float, iou_threshold: float) -> Tensor:
    """Return the indices, best first, of boxes that score at least `threshold` and overlap no better one."""
    candidates = (scores >= threshold).nonzero()[:, 0]
    return candidates[nms(boxes[candidates], scores[candidates], iou_threshold)]


def _with_masks(image: Image.Image, found: list[Detection], segment: Segment) -> list[Detection]:
    if not found:
        return found
    masks = np.asarray(segment(image, np.array([detection.box for detection in found], dtype=np.float32)))
    expected = (len(found), image.height, image.width)
    if masks.shape != expected:
        raise ValueError(f"segment: expected masks {expected}, got {masks.shape}")
    return [replace(detection, mask=mask > 0) for detection, mask in zip(found, masks, strict=True)]
