"""NYU-Depth v2: nyu_depth_v2_labeled.mat (HDF5) with depth and scene types, and splits.mat.

Without the first file, the frames are those of SUN RGB-D's copy: SUNRGBD/kv1/NYUdata/NYU0001, NYU0002, …
"""

import os
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from imagebind.datasets.classes import known_classes
from imagebind.datasets.labelled import LabelledItem, LabelledSet, LazyItem
from imagebind.datasets.layouts.folders import has_class_folders, items_in_folders, plain_name
from imagebind.datasets.layouts.found import first_file, folder_at
from imagebind.datasets.layouts.matlab import EXTRA, PURPOSE, mat_variables
from imagebind.datasets.layouts.sun_rgbd import RAW as SUN_RAW
from imagebind.datasets.layouts.sun_rgbd import REFINED, ROOT_NAME, SCENE_FILE, UNIT
from imagebind.errors import MediaError, MissingMediaError, import_extra
from imagebind.transforms.depth import NYU_FOCAL, load_depth

DATA, SPLIT_TABLE = "nyu_depth_v2_labeled.mat", "splits.mat"
INDICES = {"train": "trainNdxs", "test": "testNdxs"}  # from 1
FILLED, RAW, SCENE_TYPES = "depths", "rawDepths", "sceneTypes"
# `None` is the baseline of the frame's sensor, even if the transform has another one.
CAMERA = {"sensor": "kinect_v1", "baseline": None, "focal": NYU_FOCAL}
SUN_COPY = Path("kv1", "NYUdata")  # below SUNRGBD
SUN_FRAME = "NYU{:04}"  # numbered from 1
PLAIN_UNIT = "nyu"  # in `load_depth`: millimetres; UNIT is millimetres with rotated bits
MAX_METRES = 10  # of the data set's Kinect; with the wrong unit, pixels seem farther
FAR_QUANTILE = 0.9  # the quantile of a frame's depth that is compared with MAX_METRES (ours)
ERROR, OTHER = "error", "other"  # values of `unknown_scenes`; `other` is also the class
MAX_NAMED_SCENES = 10  # unknown scenes named in an error or a note


def nyu_depth(
    root: str | os.PathLike[str],
    *,
    split: str = "test",
    filled: bool = True,
    rotated: bool = False,
    unknown_scenes: str = ERROR,
) -> LabelledSet:
    """Return the depth frames of a split with their scene types: nine, and all others as one class.

    Without the .mat file, reads <root>/<split>/<scene type>/<file>, depth as 16-bit millimetres or float
    metres; or SUN RGB-D's copy, kv1/NYUdata/NYU0001/{depth_bfx/*.png,scene.txt} below the root or its folder
    SUNRGBD, with the splits.mat of NYU-Depth v2 in the root.

    Args:
        filled: whether to use `depths`, in which the data set's authors filled holes, or `rawDepths`; in SUN
            RGB-D's copy, depth_bfx or depth.
        rotated: whether the bits of the depth in SUN RGB-D's copy are rotated, as those of its own frames.
        unknown_scenes: for scenes of SUN RGB-D's copy that are not scene types of NYU-Depth v2: "error"
            raises an error, "other" counts them as the class `other`.

    Raises:
        MediaError: the folder or a file is missing or damaged, a scene type is unknown, or the depth of
            SUN RGB-D's copy is beyond the sensor's range, as with a wrong `rotated`.
        MissingExtraError: h5py or scipy is not installed.
        ValueError: the split or `unknown_scenes` is unknown.
    """
    if split not in INDICES:
        raise ValueError(f"split: expected one of {', '.join(INDICES)}, got {split!r}")
    if unknown_scenes not in (ERROR, OTHER):
        raise ValueError(f"unknown_scenes: expected {ERROR} or {OTHER}, got {unknown_scenes!r}")
    root = folder_at(root)
    classes, number_of = known_classes("nyu_depth")
    data = root / DATA
    if not data.is_file() and has_class_folders(root / split):
        items = items_in_folders(root / split, number_of, lambda path: {"depth": path, **CAMERA})
        return LabelledSet(classes=classes, items=items)
    copies = [folder for folder in (root / ROOT_NAME / SUN_COPY, root / SUN_COPY) if folder.is_dir()]
    if not data.is_file() and copies:
        return _of_sun_copy(
            copies[0],
            _split_indices(root, split),
            filled=filled,
            unit=UNIT if rotated else PLAIN_UNIT,
            unknown_scenes=unknown_scenes,
        )
    variable = FILLED if filled else RAW
    scene_types = _scene_types(data, variable)
    items = []
    for index in _split_indices(root, split):
        name = f"NYU-Depth v2 {index}"
        if not 1 <= index <= len(scene_types):
            raise MediaError(
                str(root / SPLIT_TABLE), got=str(index), expected=f"an index from 1 to {len(scene_types):,}"
            )
        scene_type = scene_types[index - 1]
        if scene_type not in number_of:
            raise MediaError(
                name, got=repr(scene_type), expected=f"one of the scene types {', '.join(number_of)}"
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


def _split_indices(root: Path, split: str) -> list[int]:
    """Return the numbers of a split's frames, from 1."""
    variable = INDICES[split]
    indices = np.ravel(mat_variables(root / SPLIT_TABLE, [variable])[variable]).tolist()
    for index in indices:
        if not isinstance(index, int | float) or index % 1 != 0:  # NaN and infinity modulo 1 are NaN
            raise MediaError(
                str(root / SPLIT_TABLE), got=f"{index!r:.80}", expected=f"whole numbers in {variable}"
            )
    return [int(index) for index in indices]


def _of_sun_copy(
    folder: Path, indices: list[int], *, filled: bool, unit: str, unknown_scenes: str
) -> LabelledSet:
    """Return frames of SUN RGB-D's copy, by number, with the class of the scene in their scene.txt.

    Assumes that frame NYU0001 is index 1 of splits.mat. Both number the 1,449 labelled frames from 1, but no
    source states that the order is the same.
    """
    classes, number_of = known_classes("nyu_depth")
    items: list[LabelledItem] = []
    missing: list[str] = []
    unknown: list[tuple[str, Path]] = []
    for index in indices:
        frame = folder / SUN_FRAME.format(index)
        scene_file, depth_folder = frame / SCENE_FILE, frame / (REFINED if filled else SUN_RAW)
        depth = first_file(depth_folder, "*.png")
        absent = [] if depth else [str(depth_folder / "*.png")]
        try:
            scene = plain_name(scene_file.read_text(encoding="utf-8").strip())
        except (OSError, UnicodeDecodeError):
            absent.append(str(scene_file))
        missing += absent if frame.is_dir() else [f"{frame} (a folder)"]
        if depth is None or absent:
            continue
        if scene not in number_of:
            unknown.append((scene, scene_file))
        if not items:
            _check_unit(depth, unit)
        load = partial(_frame_of_sun_copy, depth, unit)
        items.append(
            LabelledItem(
                item=LazyItem(load=load, sources=(depth, unit, NYU_FOCAL)),
                name=f"NYU-Depth v2 {index}",
                labels=(number_of.get(scene, number_of[OTHER]),),
            )
        )
    first = SUN_FRAME.format(1)
    notes = [f"SUN RGB-D's copy: scene types of its {SCENE_FILE}, {first} as index 1 of {SPLIT_TABLE}"]
    if unknown:
        counts = Counter(scene for scene, _ in unknown)
        text = ", ".join(f"{scene} ({count})" for scene, count in counts.most_common(MAX_NAMED_SCENES))
        text = f"with the number of their frames: {text}{', …' if len(counts) > MAX_NAMED_SCENES else ''}"
        if unknown_scenes == ERROR:
            raise MediaError(
                str(unknown[0][1]),
                got=f"scene {unknown[0][0]!r}; {len(counts):,} unknown in all, {text}",
                expected=f"one of {', '.join(number_of)}",
                hint="add the scene to the data_names of a class in "
                f"imagebind/datasets/classes/nyu_depth.json, or pass --option unknown_scenes={OTHER}",
            )
        notes.append(f"scenes that are unknown and count as {OTHER}, {text}")
    return LabelledSet(classes=classes, items=items, missing=missing, notes=notes)


def _frame_of_sun_copy(path: Path, unit: str) -> dict[str, Any]:
    """Return one depth frame of SUN RGB-D's copy as an item.

    Raises:
        MediaError: the file is damaged, or a tenth of its depth is beyond the sensor's range, as with a wrong
            unit.
    """
    metres = load_depth(path, unit=unit)
    _check_range(metres, unit, path)
    return {"depth": metres, "unit": "m", **CAMERA}


def _check_unit(path: Path, unit: str) -> None:
    """Check the first frame before any is embedded: a copy has one unit. A damaged file is no error here."""
    try:
        metres = load_depth(path, unit=unit)
    except MediaError:
        return
    _check_range(metres, unit, path)


def _check_range(metres: np.ndarray, unit: str, path: Path) -> None:
    far = float(np.quantile(metres[metres > 0], FAR_QUANTILE)) if metres.any() else 0.0
    if far > MAX_METRES:
        found, others, option = ("rotated", "plain", False) if unit == UNIT else ("plain", "rotated", True)
        raise MediaError(
            str(path),
            got=f"{1 - FAR_QUANTILE:.0%} of the depth beyond {far:.1f} m, read as {found} bits",
            expected=f"at most {MAX_METRES} m",
            hint=f"if its bits are {others}, pass --option rotated={str(option).lower()}",
        )


def _scene_types(data: Path, variable: str) -> list[str]:
    """Return the scene type of each frame: a MATLAB cell of texts is an array of references in HDF5."""
    with _opened(data) as file:
        if missing := [name for name in (SCENE_TYPES, variable) if name not in file]:
            raise MediaError(
                str(data),
                got=f"one without {', '.join(missing)}",
                expected=f"a file with {SCENE_TYPES} and {variable}",
            )
        try:
            references = file[SCENE_TYPES][()].reshape(-1)
            return ["".join(map(chr, file[each][()].reshape(-1))) for each in references]
        except (OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
            raise MediaError(
                str(data),
                got=f"one that cannot be read ({error})",
                expected=f"{SCENE_TYPES} as a cell of texts",
            ) from error


def _frame(data: Path, variable: str, position: int) -> dict[str, Any]:
    """Return one depth frame as an item."""
    with _opened(data) as file:
        try:
            metres = file[variable][position].T  # (w, h) -> (h, w): HDF5 has MATLAB's dimensions reversed
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise MediaError(
                f"{data}, {variable} {position + 1}",
                got=f"one that cannot be read ({error})",
                expected="a frame",
            ) from error
    return {"depth": np.ascontiguousarray(metres), "unit": "m", **CAMERA}


def _opened(data: Path) -> Any:
    h5py = import_extra("h5py", extra=EXTRA, purpose=PURPOSE)
    try:
        return h5py.File(data, "r")
    except OSError as error:
        expected = "the labelled data set, MATLAB 7.3 (HDF5)"
        if not data.exists():
            expected += f", or SUN RGB-D's copy, {ROOT_NAME}/{SUN_COPY.as_posix()}"
            raise MissingMediaError(str(data), got="no such file", hint=f"it should be {expected}") from error
        raise MediaError(str(data), got=f"a file that cannot be read ({error})", expected=expected) from error
