"""SUN RGB-D: a folder a view, with image/*.jpg, depth/*.png, depth_bfx/*.png and intrinsics.txt."""

import os
from collections.abc import Iterable
from pathlib import Path

from imagebind.datasets.layouts.found import Found, folder_at, found
from imagebind.datasets.pairs import Pair
from imagebind.modality import ModalityType

SENSORS = {  # the folder right below SUNRGBD -> what `DepthTransform` calls the sensor
    "kv1": "kinect_v1",
    "kv2": "kinect_v2",
    "realsense": "realsense",
    "xtion": "xtion",
}
RAW, REFINED = "depth", "depth_bfx"
ROOT_NAME = "SUNRGBD"


def sun_rgbd(
    root: str | os.PathLike[str], *, refined: bool = True, views: Iterable[str] | None = None
) -> Found:
    """A picture and its depth for each view, with the sensor and focal length that its disparity needs.

    Args:
        root: the folder SUNRGBD, or one that has it somewhere below.
        refined: whether depth is that of depth_bfx, holes filled by its makers, or as the sensor had it.
        views: folders to take, such as a split lists them; what stands before "SUNRGBD/" doesn't matter. One
            that isn't there is missing.

    Raises:
        MediaError: no such folder, or no view in it.
    """
    root = folder_at(root)
    there = {_within(path.parent): path.parent for path in sorted(root.rglob("image")) if path.is_dir()}
    wanted = list(there) if views is None else [_within(Path(view)) for view in views]
    pairs, missing = [], []
    for view in wanted:
        sensor = next((SENSORS[part] for part in Path(view).parts if part in SENSORS), None)
        if view not in there or sensor is None:
            missing.append(f"{view} ({'a folder' if sensor else 'below ' + ', '.join(SENSORS)})")
            continue
        folder = there[view]
        picture = _first(folder / "image", "*.jpg")
        depth = _first(folder / (REFINED if refined else RAW), "*.png")
        intrinsics = folder / "intrinsics.txt"
        if picture is None or depth is None or not intrinsics.is_file():
            files = {"image/*.jpg": picture, f"{REFINED if refined else RAW}/*.png": depth}
            missing += [str(folder / name) for name, path in files.items() if path is None]
            missing += [] if intrinsics.is_file() else [str(intrinsics)]
            continue
        pairs.append(
            Pair(
                vision={"image": picture},
                other={"depth": depth, "sensor": sensor, "focal": intrinsics, "unit": "sun_rgbd"},
                modality=ModalityType.DEPTH,
                name=f"SUN RGB-D {view}",
            )
        )
    return found("SUN RGB-D", root, pairs, missing)


def _within(view: Path) -> str:
    """A view's folder from SUNRGBD, or from the sensor's folder, on: what different copies have in common."""
    parts = view.parts
    if ROOT_NAME in parts:
        parts = parts[parts.index(ROOT_NAME) + 1 :]
    start = next((place for place, part in enumerate(parts) if part in SENSORS), 0)
    return "/".join(parts[start:])


def _first(folder: Path, pattern: str) -> Path | None:
    return min(folder.glob(pattern), default=None)
