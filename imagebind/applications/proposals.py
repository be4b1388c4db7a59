"""Boxes that may contain an object: from colours, similarity maps, a grid, a file, or a detector.

A proposal function takes an RGB image and returns boxes (n, 4). Only files that the caller names by URI are
downloaded.
"""

import os
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torchvision.ops import masks_to_boxes, nms
from torchvision.transforms.v2.functional import pil_to_tensor, to_dtype

from imagebind.applications.boxes import checked_boxes
from imagebind.applications.coco import read_boxes
from imagebind.checkpoints.loading import read_state_dict
from imagebind.errors import CheckpointError

Proposals = Callable[[Image.Image], Any] | str | os.PathLike[str] | Any  # or boxes (n, 4)

# Source of these values: ours, chosen on the toy world.
GRID_SHARES = (0.25, 0.4)  # sides of the grid's squares, as shares of the image's short side
GRID_OVERLAP = 0.5  # of neighbouring squares, at least, as a share of their side
REDUCED_CELLS = 64**2  # pixels of the resized image or map in which groups are found
COLOUR_CLUSTERS = (2, 3, 4, 6, 8, 12)
CLUSTER_STEPS = 10
MAP_LEVELS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)  # thresholds: 0 is a map's median, 1 its maximum
MIN_GROUP_CELLS = 20  # half a percent of the cells
MAX_BOX_ASPECT_RATIO = 3.0  # more elongated groups are mostly edges and shadows
MAX_PROPOSALS = 30  # per image, not counting a grid
FRAME_SHARE = 0.2  # width of the frame around a box, as a share of its longer side
SAME_BOX_IOU = 0.85  # boxes with a larger IoU are one proposal
DETECTOR = "maskrcnn_resnet50_fpn"
DETECTOR_MIN_SCORE = 0.05  # torchvision's value
CLASS_BIASES = "roi_heads.box_predictor.cls_score.bias"  # (classes,) in the state dict of an R-CNN


def boxes_in(image: Image.Image, proposals: Proposals, *, name: str) -> Tensor:
    """Return the boxes that a function, a file or an array proposes for an image: (n, 4) float32.

    Raises:
        MediaError: the proposals cannot be read, are not boxes, or are all outside the image.
    """
    if isinstance(proposals, str | os.PathLike):
        return checked_boxes(read_boxes(proposals, name), image.size, name=os.fspath(proposals))
    boxes = proposals(image) if callable(proposals) else proposals
    return checked_boxes(boxes, image.size, name="proposals")


def default_boxes(image: Image.Image, maps: Tensor) -> Tensor:
    """Return boxes around groups of similar colour or high similarity; a grid if there are none: (m, 4).

    Elongated boxes are left out. Of nearly equal boxes only one is returned, and at most `MAX_PROPOSALS` in
    all: those whose colour differs most from their surroundings.

    Args:
        maps: similarity maps (n, h, w).
    """
    boxes = torch.cat([colour_boxes(image), map_boxes(maps)])
    sides = boxes[:, 2:] - boxes[:, :2]
    boxes = boxes[sides.amax(dim=1) <= MAX_BOX_ASPECT_RATIO * sides.amin(dim=1)]
    if not len(boxes):
        return grid_boxes(image.size)
    contrasts = _contrasts(image, boxes)
    return boxes[nms(boxes, contrasts, SAME_BOX_IOU)[:MAX_PROPOSALS]]


def grid_boxes(
    size: tuple[int, int], *, shares: Sequence[float] = GRID_SHARES, overlap: float = GRID_OVERLAP
) -> Tensor:
    """Return overlapping squares of several sizes in an image of (width, height): (n, 4)."""
    boxes = []
    for side in (share * min(size) for share in shares):
        starts = [_starts(length, side, overlap) for length in size]
        boxes += [(x, y, x + side, y + side) for x, y in product(*starts)]
    return torch.tensor(boxes)


def colour_boxes(image: Image.Image, *, clusters: Sequence[int] = COLOUR_CLUSTERS) -> Tensor:
    """Return the boxes around groups of connected pixels of similar colour: (n, 4) float32.

    The image is reduced, and k-means clusters its colours, once for each number of clusters.
    """
    pixels = _reduced(image)  # (3, h, w)
    smooth = F.avg_pool2d(F.pad(pixels[None], (1, 1, 1, 1), mode="replicate"), 3, stride=1)[0]
    colours = smooth.flatten(1).T  # (h·w, 3)
    masks = []
    for count in clusters:
        labels = _cluster(colours, count).view(pixels.shape[1:])
        masks += [labels == number for number in range(count)]
    return _group_boxes(torch.stack(masks), image.size)


def _reduced(image: Image.Image) -> Tensor:
    """Return an image resized to about `REDUCED_CELLS` pixels: (3, h, w) in [0, 1]."""
    size = _reduced_size(*image.size)
    return pil_to_tensor(image.resize(size, Image.Resampling.BOX)).float() / 255


def _reduced_size(width: int, height: int) -> tuple[int, int]:
    scale = (REDUCED_CELLS / (width * height)) ** 0.5
    return max(round(width * scale), 1), max(round(height * scale), 1)


def _contrasts(image: Image.Image, boxes: Tensor) -> Tensor:
    """Return the distance between the mean colours of each box and its frame: (n, 4) -> (n,)."""
    pixels = _reduced(image)
    height, width = pixels.shape[1:]
    sums = F.pad(pixels.double().cumsum(dim=1).cumsum(dim=2), (1, 0, 1, 0))  # (3, h + 1, w + 1)

    def total(edges: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sums of colours (3, n) and the numbers of cells (n,) in boxes."""
        cells = edges * torch.tensor([width / image.width, height / image.height] * 2)
        left, right = (cells[:, side].round().long().clamp(0, width) for side in (0, 2))
        top, bottom = (cells[:, side].round().long().clamp(0, height) for side in (1, 3))
        inside = sums[:, bottom, right] - sums[:, top, right] - sums[:, bottom, left] + sums[:, top, left]
        return inside, (right - left) * (bottom - top)

    margin = FRAME_SHARE * (boxes[:, 2:] - boxes[:, :2]).amax(dim=1, keepdim=True)
    within, cells = total(boxes)
    around, all_cells = total(torch.cat([boxes[:, :2] - margin, boxes[:, 2:] + margin], dim=1))
    mean = within / cells.clamp(min=1)
    frame = (around - within) / (all_cells - cells).clamp(min=1)
    return (mean - frame).norm(dim=0).float()


def _cluster(points: Tensor, count: int) -> Tensor:
    """Return the k-means cluster of each point: (n, c) -> (n,). The first centres are distant points."""
    centres = points.mean(dim=0, keepdim=True)
    for _ in range(count):
        farthest = torch.cdist(points, centres).amin(dim=1).argmax()
        centres = torch.cat([centres, points[farthest][None]])
    centres = centres[1:]
    for _ in range(CLUSTER_STEPS):
        members = F.one_hot(torch.cdist(points, centres).argmin(dim=1), count).float()  # (n, k)
        sizes = members.sum(dim=0)[:, None]
        centres = torch.where(sizes > 0, members.T @ points / sizes.clamp(min=1), centres)
    return torch.cdist(points, centres).argmin(dim=1)


def _starts(length: float, side: float, overlap: float) -> list[float]:
    count = 1 + int(-(-(length - side) // (side * (1 - overlap))))
    return [number * (length - side) / max(count - 1, 1) for number in range(count)]


def map_boxes(maps: Tensor, *, levels: Sequence[float] = MAP_LEVELS) -> Tensor:
    """Return the boxes around groups of connected pixels above thresholds of maps: (n, h, w) -> (m, 4).

    At level 0 the threshold is a map's median, at level 1 its maximum.
    """
    height, width = maps.shape[-2:]
    small = _reduced_size(width, height)[::-1]
    coarse = F.interpolate(maps[None].float(), size=small, mode="bilinear", antialias=True)[0]
    low, high = coarse.flatten(1).median(dim=1).values, coarse.amax(dim=(1, 2))
    thresholds = low + torch.tensor(levels)[:, None] * (high - low)  # (levels, n)
    masks = (coarse > thresholds[..., None, None]).flatten(0, 1)  # (levels · n, h, w)
    return _group_boxes(masks, (width, height))


def _group_boxes(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the boxes of the groups in reduced masks (n, h, w), for an image of (width, height): (m, 4)."""
    boxes = [torch.zeros(0, 4)]
    for numbers in _groups(masks):
        groups, cells = torch.unique(numbers[numbers > 0], return_counts=True)
        groups = groups[cells >= MIN_GROUP_CELLS]
        if len(groups):
            boxes.append(masks_to_boxes(numbers == groups[:, None, None]))
    found = torch.cat(boxes)
    found[:, 2:] += 1  # the end of the last cell
    return found * torch.tensor([size[0] / masks.shape[2], size[1] / masks.shape[1]] * 2)


def _groups(masks: Tensor) -> Tensor:
    """Return a number for each pixel's group of connected pixels, 0 outside: (n, h, w) bool -> (n, h, w).

    Diagonal neighbours are connected.
    """
    numbers = torch.arange(1, masks[0].numel() + 1, dtype=torch.float32).view(masks.shape[1:]) * masks
    # Spread the greatest number over each group. In a step, a cell takes the greatest number around it, then
    # the current number of the cell that had this number at the start: with this jump, few steps suffice.
    while True:
        spread = F.max_pool2d(numbers[:, None], 3, stride=1, padding=1)[:, 0] * masks
        cells = spread.flatten(1)
        spread = cells.gather(1, (cells.long() - 1).clamp(min=0)).view_as(spread) * masks
        if torch.equal(spread, numbers):
            return numbers
        numbers = spread


def torchvision_detector(
    weights: str | os.PathLike[str],
    *,
    name: str = DETECTOR,
    min_score: float = DETECTOR_MIN_SCORE,
    device: torch.device | str = "cpu",
) -> Callable[[Image.Image], Tensor]:
    """Return a function that proposes the boxes of a torchvision detector, of all classes.

    Args:
        weights: a file with the detector's state dict, such as torchvision's own.
        name: an R-CNN of `torchvision.models.get_model`, such as "fasterrcnn_resnet50_fpn_v2".
        min_score: boxes with a lower score are left out; torchvision leaves out those up to 0.05 itself.

    Raises:
        CheckpointError: the file cannot be read, or is not a state dict of this detector.
        ValueError: no detector has this name.
    """
    from torchvision.models import detection as detectors
    from torchvision.models import get_model, list_models

    names = [each for each in list_models(detectors) if "rcnn" in each]
    if name not in names:
        raise ValueError(f"detector: expected one of {', '.join(names)}, got {name!r}")
    state = read_state_dict(weights)
    another = f"{os.fspath(weights)}: expected a state dict of {name}, got another one"
    if CLASS_BIASES not in state:
        raise CheckpointError(f"{another}, without {CLASS_BIASES}")
    model = get_model(name, weights=None, weights_backbone=None, num_classes=len(state[CLASS_BIASES]))
    try:
        fit = model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise CheckpointError(f"{another}, with tensors of other shapes") from error
    if fit.missing_keys or fit.unexpected_keys:
        missing, extra = len(fit.missing_keys), len(fit.unexpected_keys)
        raise CheckpointError(f"{another}: {missing} tensors are missing, {extra} do not belong to it")
    model.eval().to(device)

    @torch.inference_mode()
    def propose(image: Image.Image) -> Tensor:
        pixels = to_dtype(pil_to_tensor(image), torch.float32, scale=True)
        (found,) = model([pixels.to(device)])
        return found["boxes"][found["scores"] >= min_score].cpu()

    return propose
