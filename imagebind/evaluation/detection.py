"""Evaluates detection on the toy world: does a query find its object among several in one image?

A query is another rendering with the attributes of one of the objects, alone in a scene, or a text that names
its colour and shape. The figures, by the media type of the query and in percent:

- `pointing`: the maximum of the similarity map lies in the object's box. Chance: the box's share of the map.
- `which`: of the boxes of all n objects, its own has the highest mean in the map. Chance: 1 / n.
- `AP50`: average precision of the detections, where an IoU of at least 0.5 with the object's box is correct.
  Chance: the same proposals in random order.

Figures that begin with `clip` use maps of two frames of a video. Their boxes contain the object in both
frames, and their texts also name the motion. Only these figures include IMU, which shows nothing but motion.
The controls are `centre_pointing`, which always points at the image's centre, and `proposal_pointing`, which
points at the centre of a random proposal.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.ops import box_iou

from imagebind.applications.boxes import Detection
from imagebind.applications.dense import Features, pixel_maps, similarity_maps
from imagebind.applications.detection import detect
from imagebind.applications.proposals import default_boxes
from imagebind.embedder import Embedder
from imagebind.evaluation.bootstrap import mean_interval
from imagebind.evaluation.moments import item_of
from imagebind.evaluation.result import Figure
from imagebind.evaluation.scoring import percent
from imagebind.metrics import average_precision
from imagebind.modality import MediaKind
from imagebind.query import Query
from imagebind.toyworld.captions import with_article
from imagebind.toyworld.group import Group, boxes_of, group_masks, render_group_image, render_group_video
from imagebind.toyworld.reading import world_transforms
from imagebind.toyworld.rendered import PIXEL_OFFSET, PIXEL_SCALE, TWO_FRAMES
from imagebind.toyworld.scene import Scene, similar_scene

MIN_IOU = 0.5
MAX_DETECTIONS = 30  # per query: all proposals, unless they are a grid
QUERY_SEED = 0
IMAGE_QUERIES = (MediaKind.TEXT, MediaKind.IMAGE, MediaKind.AUDIO, MediaKind.DEPTH, MediaKind.THERMAL)
CLIP_QUERIES = (MediaKind.TEXT, MediaKind.AUDIO, MediaKind.IMU)
Hits = dict[str, list[float]]  # by figure, a value from 0 to 1 for each query; 1 is a correct answer


class _Detected:
    """The scores of all detections of a media type's queries, and whether each detection is correct."""

    def __init__(self) -> None:
        self.scores: list[float] = []
        self.is_correct: list[bool] = []
        self.queries = 0

    def add(self, scores: Sequence[float], boxes: Tensor, true_box: Tensor) -> None:
        """Add the detections of one query; if several are correct, only the best one counts as correct."""
        self.queries += 1
        order = sorted(range(len(scores)), key=lambda index: -scores[index])
        overlaps = box_iou(boxes.reshape(-1, 4), true_box[None])[:, 0].tolist()
        correct = next((index for index in order if overlaps[index] >= MIN_IOU), None)
        self.scores += [scores[index] for index in order]
        self.is_correct += [index == correct for index in order]

    def average_precision(self) -> float:
        """Return the area under the precision-recall curve; recall is over all queries."""
        if not any(self.is_correct):
            return 0.0
        found = torch.tensor(self.is_correct)[:, None]
        precision = average_precision(torch.tensor(self.scores)[:, None], found).item()
        return precision * int(found.sum()) / self.queries


@dataclass(frozen=True, eq=False)
class DetectionGroups:
    """Groups of objects; each object is queried in each modality.

    Args:
        features: the features of the similarity maps, see `similarity_maps`.
    """

    groups: Sequence[Group]
    features: Features

    def measure(self, embedder: Embedder) -> dict[str, Any]:
        """Return the figures in percent, and the number of queries per modality."""
        embedder = embedder.with_transforms(world_transforms())
        rng = np.random.default_rng(QUERY_SEED)
        hits: Hits = defaultdict(list)
        chances: Hits = defaultdict(list)
        detected: dict[str, _Detected] = defaultdict(_Detected)
        for group in self.groups:
            scenes = [similar_scene(thing, rng) for thing in group.things]
            self._measure_image(embedder, group, scenes, rng, hits, chances, detected)
            self._measure_clip(embedder, group, scenes, hits, chances)
        figures = {name: _share(values, chances.get(name)) for name, values in hits.items()}
        random_order = 100 * detected.pop("random").average_precision()
        figures |= {
            f"{kind}_AP50": Figure(value=100 * each.average_precision(), chance=random_order)
            for kind, each in detected.items()
        }
        return {"figures": figures, "samples": sum(len(group.things) for group in self.groups)}

    def _measure_image(
        self,
        embedder: Embedder,
        group: Group,
        scenes: Sequence[Scene],
        rng: np.random.Generator,
        hits: Hits,
        chances: Hits,
        detected: Mapping[str, _Detected],
    ) -> None:
        image = Image.fromarray(render_group_image(group))
        boxes = torch.from_numpy(boxes_of(group_masks(group)))
        queries = _queries(embedder, scenes, IMAGE_QUERIES, still=True)
        named = {
            f"{kind}_{number}": Query(row, frozenset({kind}))  # its media type chooses the backgrounds
            for kind, rows in queries.items()
            for number, row in enumerate(rows)
        }
        vectors = np.concatenate([*queries.values()])
        maps = similarity_maps(embedder, image, vectors, features=self.features)
        for kind, of_kind in zip(queries, maps.split(len(scenes)), strict=True):
            _add_hits(of_kind, boxes, str(kind), hits, chances)
        proposals = default_boxes(image, maps)
        found = detect(
            embedder, image, named, proposals=proposals, threshold=0, max_detections=MAX_DETECTIONS
        )
        middle = torch.tensor(image.size) / 2
        for number, box in enumerate(boxes):
            for kind in queries:
                own = [each for each in found if each.query == f"{kind}_{number}"]
                detected[str(kind)].add([each.score for each in own], _boxes(own), box)
            detected["random"].add(rng.uniform(size=len(proposals)).tolist(), proposals, box)
            random = proposals[int(rng.integers(len(proposals)))]
            hits["centre_pointing"].append(_contains(box, *middle.tolist()))
            hits["proposal_pointing"].append(_contains(box, *((random[:2] + random[2:]) / 2).tolist()))

    def _measure_clip(
        self, embedder: Embedder, group: Group, scenes: Sequence[Scene], hits: Hits, chances: Hits
    ) -> None:
        frames = torch.from_numpy(render_group_video(group, TWO_FRAMES)).permute(3, 0, 1, 2)  # (3, 2, h, w)
        pixels = frames * PIXEL_SCALE.view(3, 1, 1, 1) - PIXEL_OFFSET.view(3, 1, 1, 1)
        first, last = (group_masks(group, float(seconds)) for seconds in TWO_FRAMES)
        boxes = torch.from_numpy(boxes_of(first | last))
        queries = _queries(embedder, scenes, CLIP_QUERIES, still=False)
        if not queries:
            return
        maps = pixel_maps(embedder, pixels, np.concatenate([*queries.values()]), features=self.features)
        for kind, of_kind in zip(queries, maps.split(len(scenes)), strict=True):
            _add_hits(of_kind, boxes, f"clip_{kind}", hits, chances)


def _queries(
    embedder: Embedder, scenes: Sequence[Scene], kinds: Sequence[MediaKind], *, still: bool
) -> dict[MediaKind, np.ndarray]:
    """Return a vector for each scene and each media type that the model has: {kind: (n, e)}."""
    return {
        kind: embedder.encode(
            [
                _text_of_still(scene) if still and kind is MediaKind.TEXT else item_of(scene, kind)
                for scene in scenes
            ]
        )
        for kind in kinds
        if kind.modality in embedder.model.modalities
    }


def _text_of_still(scene: Scene) -> str:
    return with_article(f"{scene.colour.value} {scene.shape.value}")


def _add_hits(maps: Tensor, boxes: Tensor, name: str, hits: Hits, chances: Hits) -> None:
    """Add the hits of the maps of all objects (n, h, w) to `hits`, and their chance levels to `chances`."""
    height, width = maps.shape[-2:]
    means = torch.stack([_mean_within(maps, box) for box in boxes], dim=1)  # (n, boxes)
    for number, (each, box) in enumerate(zip(maps, boxes, strict=True)):
        y, x = divmod(int(each.argmax()), width)
        hits[f"{name}_pointing"].append(_contains(box, x + 0.5, y + 0.5))
        chances[f"{name}_pointing"].append(((box[2] - box[0]) * (box[3] - box[1])).item() / (height * width))
        hits[f"{name}_which"].append(float(means[number].argmax() == number))
        chances[f"{name}_which"].append(1 / len(boxes))


def _mean_within(maps: Tensor, box: Tensor) -> Tensor:
    left, top, right, bottom = box.int().tolist()
    return maps[:, top:bottom, left:right].mean(dim=(1, 2))


def _contains(box: Tensor, x: float, y: float) -> float:
    left, top, right, bottom = box.tolist()
    return float(left <= x < right and top <= y < bottom)


def _boxes(detections: Sequence[Detection]) -> Tensor:
    return torch.tensor([detection.box for detection in detections]).reshape(-1, 4)


def _share(values: Sequence[float], chances: Sequence[float] | None) -> Figure:
    found = torch.tensor(values).double()
    low, high = mean_interval(found)
    if chances is None:
        return Figure(value=100 * found.mean().item(), low=100 * low, high=100 * high)
    return percent(found.mean().item(), low, high, chance=float(np.mean(chances)))
