"""SUN RGB-D: one folder per view, with image/*.jpg, depth/*.png, depth_bfx/*.png and intrinsics.txt."""

import os
from collections.abc import Iterable
from pathlib import Path

from imagebind.datasets.layouts.found import Found, folder_at, found
from imagebind.datasets.pairs import Pair
from imagebind.modality import ModalityType

SENSORS = {  # folder directly below SUNRGBD: name of the sensor in `DepthTransform`
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
    """Return pairs of image and depth, with the sensor and focal length that disparity needs.

    Args:
        root: the folder SUNRGBD, or a folder above it.
        refined: whether to use depth_bfx, in which the data set's authors filled holes, or the raw depth.
        views: folders of the views to use, as listed in a split; any path before "SUNRGBD/" is ignored.
            Folders that do not exist are reported as missing.

    Raises:
        MediaError: the folder does not exist, or has no view.
    """
    root = folder_at(root)
    existing = {_within(path.parent): path.parent for path in sorted(root.rglob("image")) if path.is_dir()}
    selected = list(existing) if views is None else [_within(Path(view)) for view in views]
    pairs, missing = [], []
    for view in selected:
        sensor = next((SENSORS[part] for part in Path(view).parts if part in SENSORS), None)
        if view not in existing or sensor is None:
            missing.append(f"{view} ({'a folder' if sensor else 'below ' + ', '.join(SENSORS)})")
            continue
        folder = existing[view]
        image = _first(folder / "image", "*.jpg")
        depth = _first(folder / (REFINED if refined else RAW), "*.png")
        intrinsics = folder / "intrinsics.txt"
        if image is None or depth is None or not intrinsics.is_file():
            files = {"image/*.jpg": image, f"{REFINED if refined else RAW}/*.png": depth}
            missing += [str(folder / name) for name, path in files.items() if path is None]
            missing += [] if intrinsics.is_file() else [str(intrinsics)]
            continue
        pairs.append(
            Pair(
                vision={"image": image},
                other={"depth": depth, "sensor": sensor, "focal": intrinsics, "unit": "sun_rgbd"},
                modality=ModalityType.DEPTH,
                name=f"SUN RGB-D {view}",
            )
        )
    return found("SUN RGB-D", root, pairs, missing)


def _within(view: Path) -> str:
    """Return a view's path relative to SUNRGBD, or from the sensor's folder on, as in every copy."""
    parts = view.parts
    if ROOT_NAME in parts:
        parts = parts[parts.index(ROOT_NAME) + 1 :]
    start = next((index for index, part in enumerate(parts) if part in SENSORS), 0)
    return "/".join(parts[start:])


def _first(folder: Path, pattern: str) -> Path | None:
    return min(folder.glob(pattern), default=None)
