"""SUN RGB-D: one folder per view, with image/*.jpg, depth/*.png, depth_bfx/*.png, intrinsics.txt, scene.txt.

`sun_rgbd` returns pairs for training, `sun_rgbd_scenes` labelled depth for evaluation.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from imagebind.datasets.classes import known_classes
from imagebind.datasets.labelled import LabelledItem, LabelledSet
from imagebind.datasets.layouts.folders import has_class_folders, items_in_folders
from imagebind.datasets.layouts.found import Found, first_file, folder_at, found_pairs
from imagebind.datasets.layouts.matlab import mat_variables
from imagebind.datasets.pairs import Pair
from imagebind.errors import MediaError
from imagebind.modality import ModalityType

SENSORS = {  # folder directly below SUNRGBD: name of the sensor in `DepthTransform`
    "kv1": "kinect_v1",
    "kv2": "kinect_v2",
    "realsense": "realsense",
    "xtion": "xtion",
}
RAW, REFINED = "depth", "depth_bfx"
UNIT = "sun_rgbd"
ROOT_NAME = "SUNRGBD"
SPLIT_TABLE = Path("SUNRGBDtoolbox", "traintestSUNRGBD", "allsplit.mat")
SPLIT_VARIABLES = {"train": "alltrain", "test": "alltest"}
SCENE_FILE = "scene.txt"


def sun_rgbd(
    root: str | os.PathLike[str], *, refined: bool = True, views: Iterable[str] | None = None
) -> Found:
    """Return pairs of image and depth, with the sensor and focal length that disparity needs.

    Args:
        root: the folder SUNRGBD, or a folder above it.
        refined: whether to use depth_bfx, in which the data set's authors filled holes, or the raw depth.
        views: folders of the views to use, as listed in a split; any path before "SUNRGBD/" is ignored.
            Folders that do not exist are reported as missing.

    Raises:
        MediaError: the folder does not exist, or has no complete view.
    """
    root = folder_at(root)
    existing = {_within(path.parent): path.parent for path in sorted(root.rglob("image")) if path.is_dir()}
    selected = list(existing) if views is None else [_within(Path(view)) for view in views]
    pairs, missing = [], []
    for view in selected:
        if view not in existing:
            missing.append(f"{view} (a folder)")
            continue
        depth, absent = _depth_item(view, existing[view], refined=refined)
        image = first_file(existing[view] / "image", "*.jpg")
        absent += [] if image else [str(existing[view] / "image/*.jpg")]
        missing += absent
        if not absent:
            pairs.append(
                Pair(
                    vision={"image": image},
                    other=depth,
                    modality=ModalityType.DEPTH,
                    name=f"SUN RGB-D {view}",
                )
            )
    return found_pairs("SUN RGB-D", root, pairs, missing)


def sun_rgbd_scenes(
    root: str | os.PathLike[str], *, split: str = "test", refined: bool = True
) -> LabelledSet:
    """Return the depth frames of a split whose scene is one of the 19 evaluated classes.

    Without the folder SUNRGBD, reads <root>/<split>/<scene>/<file>, depth as stored in SUN RGB-D. These files
    do not state their camera, so the transform's is used.

    Args:
        root: the folder that contains SUNRGBD and SUNRGBDtoolbox.
        refined: as in `sun_rgbd`.

    Raises:
        MediaError: a folder or the split table is missing or damaged, or no view has an evaluated class.
        MissingExtraError: scipy is not installed.
        ValueError: the split is unknown.
    """
    _check_split(split)
    root = folder_at(root)
    classes, number_of = known_classes("sun_rgbd")
    if not (root / ROOT_NAME).is_dir() and has_class_folders(root / split):
        items = items_in_folders(root / split, number_of, lambda path: {"depth": path, "unit": UNIT})
        return LabelledSet(classes=classes, items=items)
    base = folder_at(root / ROOT_NAME, f"the folders of views: {', '.join(SENSORS)}")
    items, missing = [], []
    for view in split_views(root, split):
        if not (base / view).is_dir():
            missing.append(f"{view} (a folder)")
            continue
        try:
            scene = (base / view / SCENE_FILE).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            missing.append(str(base / view / SCENE_FILE))
            continue
        if scene not in number_of:
            continue
        depth, absent = _depth_item(view, base / view, refined=refined)
        missing += absent
        if not absent:
            items.append(LabelledItem(item=depth, name=f"SUN RGB-D {view}", labels=(number_of[scene],)))
    if not items and not missing:
        raise MediaError(
            str(root / SPLIT_TABLE),
            got="none",
            expected=f"views of {split} with a class of SUN RGB-D's scenes",
        )
    return LabelledSet(classes=classes, items=items, missing=missing)


def split_views(root: Path, split: str) -> list[str]:
    """Return the folders of a split's views, from the sensor's folder on.

    Raises:
        MediaError: the table is missing or damaged.
        MissingExtraError: scipy is not installed.
        ValueError: the split is unknown.
    """
    _check_split(split)
    variable = SPLIT_VARIABLES[split]
    views = np.atleast_1d(mat_variables(root / SPLIT_TABLE, [variable])[variable]).tolist()
    return [_within(Path(str(view))) for view in views]


def _check_split(split: str) -> None:
    if split not in SPLIT_VARIABLES:
        raise ValueError(f"split: expected one of {', '.join(SPLIT_VARIABLES)}, got {split!r}")


def _depth_item(view: str, folder: Path, *, refined: bool) -> tuple[dict[str, Any], list[str]]:
    """Return the depth of a view as an item, and its missing files."""
    sensor = next((SENSORS[part] for part in Path(view).parts if part in SENSORS), None)
    if sensor is None:
        return {}, [f"{view} (below {', '.join(SENSORS)})"]
    depth_folder = folder / (REFINED if refined else RAW)
    depth, intrinsics = first_file(depth_folder, "*.png"), folder / "intrinsics.txt"
    missing = [] if depth else [str(depth_folder / "*.png")]
    missing += [] if intrinsics.is_file() else [str(intrinsics)]
    # `None` is the baseline of the frame's sensor, even if the transform has another one.
    camera = {"sensor": sensor, "baseline": None, "focal": intrinsics}
    return {"depth": depth, **camera, "unit": UNIT}, missing


def _within(view: Path) -> str:
    """Return a view's path from the sensor's folder on; if it has none, relative to SUNRGBD."""
    parts = view.parts
    if ROOT_NAME in parts:
        parts = parts[parts.index(ROOT_NAME) + 1 :]
    start = next((index for index, part in enumerate(parts) if part in SENSORS), 0)
    return "/".join(parts[start:])
