"""Writes small data sets of images in their published layouts, with scenes of the toy world."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import scipy.io
from PIL import Image

from imagebind.toyworld import render_image
from tests.evaluation.layouts import scenes

WNIDS = {  # by shape
    "disc": "n01440764",
    "ring": "n01443537",
    "triangle": "n02124075",
    "square": "n03126707",
    "star": "n03773504",
    "cross": "n04008634",
    "crescent": "n07579787",
    "bar": "n15075141",
}
CATEGORIES = {  # by shape, in the published order
    "disc": "/a/airfield",
    "ring": "/a/apartment_building/outdoor",
    "triangle": "/b/balcony/exterior",
    "square": "/b/balcony/interior",
    "star": "/c/clean_room",
    "cross": "/d/delicatessen",
    "crescent": "/t/train_station/platform",
    "bar": "/z/zen_garden",
}


def write_jpeg(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=95)


def write_imagenet_kit(root: Path, wnids: Sequence[str], ids: Sequence[int]) -> None:
    """Write the development kit: synsets numbered from 1, one more for their parent, and ids of images."""
    kit = root / "ILSVRC2012_devkit_t12" / "data"
    kit.mkdir(parents=True)
    form = [("ILSVRC2012_ID", object), ("WNID", object), ("words", object), ("num_children", object)]
    rows = [(number, wnid, f"word {number}", 0) for number, wnid in enumerate(wnids, start=1)]
    rows.append((len(rows) + 1, "n00001740", "entity", len(rows)))
    scipy.io.savemat(kit / "meta.mat", {"synsets": np.array(rows, dtype=form)[:, None]})
    truth = "".join(f"{number}\n" for number in ids)
    (kit / "ILSVRC2012_validation_ground_truth.txt").write_text(truth)


def write_imagenet_world(root: Path, count: int = 16) -> Path:
    """Write ImageNet-1K in one folder, as downloaded, whose classes are shapes."""
    shapes, ids = list(WNIDS), []
    for number, scene in enumerate(scenes(count), start=1):
        write_jpeg(root / "val" / f"ILSVRC2012_val_{number:08}.JPEG", render_image(scene))
        ids.append(shapes.index(scene.shape.value) + 1)
    write_imagenet_kit(root, list(WNIDS.values()), ids)
    return root


def write_places(root: Path, categories: Sequence[str], images: Mapping[str, tuple[int, np.ndarray]]) -> None:
    """Write classes by name, and images with their class numbers."""
    root.mkdir(parents=True, exist_ok=True)
    lines = [f"{name} {number}\n" for number, name in enumerate(categories)]
    (root / "categories_places365.txt").write_text("".join(lines))
    (root / "places365_val.txt").write_text(
        "".join(f"{name} {number}\n" for name, (number, _) in images.items())
    )
    for name, (_, pixels) in images.items():
        write_jpeg(root / "val_256" / name, pixels)


def write_places_world(root: Path, count: int = 16) -> Path:
    """Write Places365 whose classes are shapes."""
    shapes = list(CATEGORIES)
    images = {
        f"Places365_val_{number:08}.jpg": (shapes.index(scene.shape.value), render_image(scene))
        for number, scene in enumerate(scenes(count), start=1)
    }
    write_places(root, list(CATEGORIES.values()), images)
    return root
