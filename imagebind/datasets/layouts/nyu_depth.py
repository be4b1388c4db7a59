"""NYU-Depth v2: nyu_depth_v2_labeled.mat (HDF5) with depth and scene types, and splits.mat."""

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from imagebind.datasets.classes import known_classes
from imagebind.datasets.labelled import LabelledItem, LabelledSet, LazyItem
from imagebind.datasets.layouts.folders import has_class_folders, items_in_folders
from imagebind.datasets.layouts.found import folder_at
from imagebind.datasets.layouts.matlab import EXTRA, PURPOSE, mat_variables
from imagebind.errors import MediaError, MissingMediaError, import_extra
from imagebind.transforms.depth import NYU_FOCAL

DATA, SPLIT_TABLE = "nyu_depth_v2_labeled.mat", "splits.mat"
INDICES = {"train": "trainNdxs", "test": "testNdxs"}  # from 1
FILLED, RAW, SCENE_TYPES = "depths", "rawDepths", "sceneTypes"
# Without a baseline of its own, a frame has that of its sensor, even if the transform has another one.
CAMERA = {"sensor": "kinect_v1", "baseline": None, "focal": NYU_FOCAL}


def nyu_depth(root: str | os.PathLike[str], *, split: str = "test", filled: bool = True) -> LabelledSet:
    """Return the depth frames of a split with their scene types: nine, and all others as one class.

    Also reads <root>/<split>/<scene type>/<file>, depth as 16-bit millimetres or float metres.

    Args:
        filled: whether to use `depths`, in which the data set's authors filled holes, or `rawDepths`.

    Raises:
        MediaError: a file is missing or damaged, or a scene type is unknown.
        MissingExtraError: h5py or scipy is not installed.
        ValueError: the split is unknown.
    """
    if split not in INDICES:
        raise ValueError(f"split: expected one of {', '.join(INDICES)}, got {split!r}")
    root = folder_at(root)
    classes, number_of = known_classes("nyu_depth")
    data = root / DATA
    if not data.is_file() and has_class_folders(root / split):
        items = items_in_folders(root / split, number_of, lambda path: {"depth": path, **CAMERA})
        return LabelledSet(classes=classes, items=items)
    variable = FILLED if filled else RAW
    scene_types = _scene_types(data, variable)
    indices = mat_variables(root / SPLIT_TABLE, [INDICES[split]])[INDICES[split]]
    items = []
    for index in np.atleast_1d(indices).astype(int).tolist():
        name = f"NYU-Depth v2 {index}"
        if not 1 <= index <= len(scene_types):
            raise MediaError(
                str(root / SPLIT_TABLE), got=f"index {index}", expected=f"1 to {len(scene_types):,}"
            )
        scene_type = scene_types[index - 1]
        if scene_type not in number_of:
            raise MediaError(
                name, got=f"scene type {scene_type!r}", expected=f"one of {', '.join(number_of)}"
            )
        load = partial(_frame, data, variable, index - 1)
        items.append(
            LabelledItem(
                item=LazyItem(load=load, sources=(data, variable, index)),
                name=name,
                labels=(number_of[scene_type],),
            )
        )
    return LabelledSet(classes=classes, items=items)


def _scene_types(data: Path, variable: str) -> list[str]:
    """Return the scene type of each frame: a MATLAB cell of texts is an array of references in HDF5."""
    with _opened(data) as file:
        if missing := [name for name in (SCENE_TYPES, variable) if name not in file]:
            raise MediaError(
                str(data), got=f"no {', '.join(missing)}", expected=f"{SCENE_TYPES} and {variable}"
            )
        try:
            references = file[SCENE_TYPES][()].reshape(-1)
            return ["".join(map(chr, file[each][()].reshape(-1))) for each in references]
        except (OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
            raise MediaError(
                str(data), got=f"{SCENE_TYPES} cannot be read ({error})", expected="a cell of texts"
            ) from error


def _frame(data: Path, variable: str, position: int) -> dict[str, Any]:
    """Return one depth frame as an item."""
    with _opened(data) as file:
        try:
            metres = file[variable][position].T  # (w, h) -> (h, w): HDF5 has MATLAB's dimensions reversed
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise MediaError(
                f"{data}, {variable} {position + 1}", got=f"cannot be read ({error})", expected="a frame"
            ) from error
    return {"depth": np.ascontiguousarray(metres), "unit": "m", **CAMERA}


def _opened(data: Path) -> Any:
    h5py = import_extra("h5py", extra=EXTRA, purpose=PURPOSE)
    try:
        return h5py.File(data, "r")
    except OSError as error:
        expected = "the labelled data set, MATLAB 7.3 (HDF5)"
        if not data.exists():
            raise MissingMediaError(str(data), got="no such file", expected=expected) from error
        raise MediaError(str(data), got=f"cannot be read ({error})", expected=expected) from error
