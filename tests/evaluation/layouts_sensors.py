"""Writes small data sets of depth, thermal and IMU in their published layouts, with toy scenes."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np
import scipy.io
from PIL import Image

from imagebind.datasets.classes import known_classes
from imagebind.toyworld import (
    BASELINE,
    FOCAL,
    THERMAL_HIGH,
    THERMAL_LOW,
    Scene,
    render_depth,
    render_image,
    render_imu,
    render_thermal,
)
from tests.evaluation.layouts import scenes
from tests.evaluation.layouts_images import write_jpeg

SCENE_TYPES = {  # NYU-Depth v2's scene types by shape; the last two are in its class "other"
    "disc": "bathroom",
    "ring": "bedroom",
    "triangle": "bookstore",
    "square": "classroom",
    "star": "kitchen",
    "cross": "office",
    "crescent": "study",
    "bar": "excercise_room",
}
NYU_NAMES = {
    **{room: shape for shape, room in list(SCENE_TYPES.items())[:6]},
    "other": ("crescent", "bar"),
}


SUN_SCENES = dict(zip(SCENE_TYPES, list(known_classes("sun_rgbd").number_of), strict=False))  # by shape
SUN_NAMES = {scene.replace("_", " "): shape for shape, scene in SUN_SCENES.items()}
SUN_SENSORS = (  # folder, sensor's baseline in metres, focal length in pixels
    ("kv1/NYUdata/NYU{:04}", 0.075, 518.857901),
    ("kv2/kinect2data/{:06}_2014-05-26_14-23-37_260595134347_rgbf000103-resize", 0.075, 529.5),
    ("realsense/sa/2014_10_21-18_27_30-1311000073-{}", 0.095, 691.584229),
    ("xtion/sun3ddata/harvard_c11/hv_c11_2/{}", 0.095, 570.342205),
)


def depth_with_camera(scene: Scene, *, baseline: float, focal: float) -> np.ndarray:
    """Return depth (224, 224) that has the toy world's disparity with another camera; holes are 0."""
    return (render_depth(scene) / 1000 * (baseline * focal) / (BASELINE * FOCAL)).astype(np.float32)


def write_cells(file: h5py.File, name: str, texts: Sequence[str]) -> None:
    """Write a MATLAB cell (n, 1) of texts as in version 7.3: references to arrays of UTF-16 units."""
    group = file.require_group("#refs#")
    references = [
        group.create_dataset(
            f"{name}{number}", data=np.frombuffer(text.encode("utf-16-le"), np.uint16)[:, None]
        ).ref
        for number, text in enumerate(texts)
    ]
    file.create_dataset(name, data=np.array([references], dtype=h5py.ref_dtype))


def write_nyu(
    root: Path, depths: np.ndarray, scene_types: Sequence[str], splits: Mapping[str, Sequence[int]]
) -> Path:
    """Write frames (n, h, w) in metres; rawDepths are half of them."""
    root.mkdir(parents=True, exist_ok=True)
    reversed_depths = depths.transpose(0, 2, 1).astype(np.float32)  # (n, w, h)
    with h5py.File(root / "nyu_depth_v2_labeled.mat", "w", userblock_size=512) as file:
        file.create_dataset("depths", data=reversed_depths, chunks=(1, *reversed_depths.shape[1:]))
        file.create_dataset("rawDepths", data=reversed_depths / 2)
        write_cells(file, "sceneTypes", scene_types)
        write_cells(
            file, "scenes", [f"{scene_type}_{number:04}" for number, scene_type in enumerate(scene_types)]
        )
    _write_splits(root, splits)
    return root


def write_nyu_of_sun(
    root: Path,
    depths: np.ndarray,
    scenes_named: Sequence[str],
    splits: Mapping[str, Sequence[int]],
    *,
    rotated: bool = False,
) -> Path:
    """Write frames (n, h, w) in metres as in SUN RGB-D's copy of NYU-Depth v2; depth is half of depth_bfx."""
    for number, (metres, scene) in enumerate(zip(depths, scenes_named, strict=True), start=1):
        folder = root / "SUNRGBD" / "kv1" / "NYUdata" / f"NYU{number:04}"
        millimetres = np.rint(metres * 1000).astype(np.uint16)
        for name, values in (("depth_bfx", millimetres), ("depth", millimetres // 2)):
            (folder / name).mkdir(parents=True)
            stored = (values << 3) | (values >> 13) if rotated else values
            Image.fromarray(stored).save(folder / name / f"NYU{number:04}.png")
        (folder / "scene.txt").write_text(scene)
    _write_splits(root, splits)
    return root


def _write_splits(root: Path, splits: Mapping[str, Sequence[int]]) -> None:
    scipy.io.savemat(
        root / "splits.mat",
        {name: np.array(indices, dtype=np.uint16)[:, None] for name, indices in splits.items()},
    )


def write_nyu_world(root: Path, count: int = 16, *, write: Callable[..., Path] = write_nyu) -> Path:
    """Write NYU-Depth v2 whose scene types are shapes; all frames but the first are of the test split."""
    drawn = scenes(count)
    return write(
        root,
        np.stack([depth_with_camera(scene, baseline=0.075, focal=518.857901) for scene in drawn]),
        [SCENE_TYPES[scene.shape.value] for scene in drawn],
        {"trainNdxs": [1], "testNdxs": range(2, count + 1)},
    )


def write_sun(root: Path, frames: Sequence[tuple[str, str, float, np.ndarray]]) -> list[str]:
    """Write views (folder, scene, focal length, metres) of SUN RGB-D's test split; return their folders."""
    for view, scene, focal, metres in frames:
        folder = root / "SUNRGBD" / view
        millimetres = np.rint(metres * 1000).astype(np.uint16)
        for name, values in (("depth_bfx", millimetres), ("depth", millimetres // 2)):
            (folder / name).mkdir(parents=True)
            Image.fromarray((values << 3) | (values >> 13)).save(folder / name / "0000103.png")
        (folder / "intrinsics.txt").write_text(f"{focal} 0 365 \n0 {focal} 265 \n0 0 1 \n")
        (folder / "scene.txt").write_text(scene)
    views = [view for view, *_ in frames]
    write_allsplit(root, [], views)
    return views


def write_allsplit(root: Path, train: Sequence[str], test: Sequence[str]) -> None:
    """Write cells (1, n) of paths as on the computers of the data set's authors."""
    path = root / "SUNRGBDtoolbox" / "traintestSUNRGBD" / "allsplit.mat"
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = {}
    for name, views in (("alltrain", train), ("alltest", test)):
        cells[name] = np.empty((1, len(views)), dtype=object)
        cells[name][0, :] = [f"/n/fs/sun3d/data/SUNRGBD/{view}/" for view in views]
    scipy.io.savemat(path, cells)


def write_sun_world(root: Path, count: int = 16, *, train: int = 0, images: bool = True) -> Path:
    """Write SUN RGB-D whose scenes are shapes, with all four sensors; the first `train` are for training."""
    frames = []
    for number, scene in enumerate(scenes(count)):
        folder, baseline, focal = SUN_SENSORS[number % len(SUN_SENSORS)]
        metres = depth_with_camera(scene, baseline=baseline, focal=focal)
        frames.append((folder.format(number), SUN_SCENES[scene.shape.value], focal, metres))
    write_sun(root, frames)
    views = [view for view, *_ in frames]
    write_allsplit(root, views[:train], views[train:])
    if images:
        for scene, (view, *_) in zip(scenes(count), frames, strict=True):
            write_jpeg(root / "SUNRGBD" / view / "image" / "0000103.jpg", render_image(scene))
    return root


VOC_OBJECT = (
    "<object><name>{}</name><pose>Unspecified</pose><truncated>0</truncated><difficult>0</difficult>"
    "<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"
)


def write_voc(path: Path, objects: Sequence[tuple[str, int, int, int, int]], size: tuple[int, int]) -> None:
    """Write an annotation in PASCAL VOC's form; an object is its name and xmin, ymin, xmax, ymax."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"<annotation><folder>test</folder><filename>{path.stem}.jpg</filename>"
        f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
        + "".join(VOC_OBJECT.format(*each) for each in objects)
        + "</annotation>"
    )


def write_infrared(path: Path, pixels: np.ndarray) -> None:
    """Write gray values (h, w) as LLVIP does: JPEG with three equal channels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).convert("RGB").save(path, quality=95)


def gray_of(scene: Scene) -> np.ndarray:
    """Return thermal (224, 224) in 8 bits, scaled as the toy world's transform does."""
    share = (render_thermal(scene).astype(np.float64) - THERMAL_LOW) / (THERMAL_HIGH - THERMAL_LOW)
    return np.rint(share.clip(0, 1) * 255).astype(np.uint8)


def write_llvip_world(root: Path, count: int = 12) -> Path:
    """Write LLVIP: each image has a disc, annotated as a person, and beside it a bar, the only background."""
    drawn = scenes(count * 16)
    discs, bars = ([s for s in drawn if s.shape.value == shape][:count] for shape in ("disc", "bar"))
    for number, sides in enumerate(zip(discs, bars, strict=True)):
        path = root / "infrared" / "test" / f"{190001 + number}.jpg"
        write_infrared(path, np.concatenate([gray_of(scene) for scene in sides], axis=1))
        images = [render_image(scene) for scene in sides]
        write_jpeg(root / "visible" / "test" / path.name, np.concatenate(images, axis=1))
        write_voc(root / "Annotations" / f"{path.stem}.xml", [("person", 0, 0, 224, 224)], (448, 224))
    return root


EGO4D_HEADER = (
    "component_idx,component_timestamp_ms,canonical_timestamp_ms,gyro_x,gyro_y,gyro_z,accl_x,accl_y,accl_z"
)
SCENARIOS = {  # by motion
    "resting": "Talking on the phone",
    "sliding": "Cleaning / laundry",
    "bouncing": "Jogging/Running",
    "approaching": "Walking on street",
    "spinning": "Biking",
}
SCENARIO_NAMES = {scenario: motion for motion, scenario in SCENARIOS.items()}


def write_ego4d_imu(path: Path, seconds: np.ndarray, samples: np.ndarray) -> None:
    """Write samples (t, 6), accelerometer first; as published, some rows have no numbers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [EGO4D_HEADER]
    for number, (time, row) in enumerate(zip(1000 * seconds, samples, strict=True)):
        cells = [f"{value:.6f}" for value in (*row[3:], *row[:3])]
        if number % 50 == 20:
            cells[-3:] = ["", "", ""] if number % 100 == 20 else ["NaN"] * 3
        lines.append(",".join(["0", f"{time:.4f}", f"{time:.4f}", *cells]))
    path.write_text("\n".join(lines) + "\n")


def write_ego4d(
    root: Path, scenarios: Mapping[str, Sequence[str]], narrations: Mapping[str, tuple[list, list]]
) -> None:
    """Write the scenarios of videos with IMU, and the times of both narration passes."""
    (root / "v2" / "annotations").mkdir(parents=True, exist_ok=True)
    videos = [
        {"video_uid": uid, "scenarios": [*each], "has_imu": True, "video_metadata": {"fps": 30.0}}
        for uid, each in scenarios.items()
    ]
    (root / "ego4d.json").write_text(json.dumps({"date": "2022-11-01", "version": "v2", "videos": videos}))
    passes = {
        uid: {
            f"narration_pass_{number}": {
                "narrations": [
                    {
                        "timestamp_sec": time,
                        "timestamp_frame": round(30 * time),
                        "narration_text": "#C C moves",
                    }
                    for time in times
                ],
                "summaries": [],
            }
            for number, times in enumerate(each, start=1)
            if times
        }
        for uid, each in narrations.items()
    }
    (root / "v2" / "annotations" / "narration.json").write_text(json.dumps(passes))


def write_ego4d_world(root: Path, windows: int = 3) -> Path:
    """Write Ego4D with a video for each motion: scenes one after the other, each with a narration."""
    scenarios, narrations = {}, {}
    drawn = scenes(60)
    for number, (motion, scenario) in enumerate(SCENARIOS.items()):
        parts = [
            render_imu(scene)
            for scene in [each for each in drawn if each.attributes["motion"] == motion][:windows]
        ]
        clocks = [4 + 2 * position + clock - clock[0] for position, (clock, _) in enumerate(parts)]
        uid = f"0000{number}-uid"
        write_ego4d_imu(
            root / "v2" / "imu" / f"{uid}.csv",
            np.concatenate(clocks),
            np.concatenate([samples for _, samples in parts]),
        )
        scenarios[uid] = [scenario]
        narrations[uid] = ([5 + 2 * position for position in range(windows)], [5.0])
    write_ego4d(root, scenarios, narrations)
    (root / "test.txt").write_text("\n".join(scenarios) + "\n")
    return root
