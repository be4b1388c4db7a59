"""Ego4D for evaluation: windows of IMU around narrations, labelled with the scenario of their video.

Reads ego4d.json, v2/annotations/narration.json and v2/imu/<uid>.csv, or <uid>.npy written by `pack_imu`.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from imagebind.datasets.labelled import ClassNames, LabelledItem, LabelledSet, LazyItem
from imagebind.datasets.layouts.ego4d import TABLE_SUFFIX, TimedSamples, imu_file_of, read_imu
from imagebind.datasets.layouts.folders import class_folders, has_class_folders, items_in_folders
from imagebind.datasets.layouts.found import file_below, folder_at, seconds_in
from imagebind.datasets.tables import StrPath, json_at, lines_at
from imagebind.errors import MediaError
from imagebind.media.imu_join import MAX_GAP_SECONDS
from imagebind.transforms.imu import IMU_WINDOW_SECONDS

# Files of the published layout; the first one that exists is used.
METADATA = ("ego4d.json", "v2/ego4d.json")
NARRATIONS = (
    "v2/annotations/narration.json",
    "v2/annotations/all_narrations_redacted.json",
    "narration.json",
)
IMU_FOLDERS = ("v2/imu", "imu")
SPLITS = ("train", "test")
TEST_SHARE = 0.12  # (ours) of the videos with IMU and a single scenario, in a split made by `seed`
NARRATION_PASSES = (1, 2)
MARGIN_SECONDS = 1.0  # samples around a window, for its resampling


def ego4d_scenarios(
    root: StrPath,
    *,
    split: str = "test",
    split_file: StrPath | None = None,
    seed: int = 0,
    passes: Sequence[int] = NARRATION_PASSES,
    imu_window: float = IMU_WINDOW_SECONDS,
) -> LabelledSet:
    """Return windows of IMU around narrations, labelled with the only scenario of their video.

    A window is used if its recording has samples from its start to its end, without a gap of more than
    `MAX_GAP_SECONDS`. To know this, the recordings of all narrated videos of the split are read: run
    `pack_imu` on them before, because an hour in a CSV takes seconds. Without ego4d.json, reads
    <root>/<split>/<scenario>/<file>, with a window in each file.

    Args:
        split: "train" or "test", of a split made with `seed`; `split_file` overrides both.
        split_file: a file with the uids of the split's videos, one a line; videos without IMU or with several
            scenarios are left out.
        seed: of the random split of the videos with IMU and a single scenario.
        passes: the narration passes, 1 and 2, whose times are used.
        imu_window: the length of a window in seconds; its middle is the narration's time.

    Raises:
        MediaError: a folder or a list is missing, a list is damaged, `split_file` has an unknown uid, or
            there is no window although no recording is missing or damaged.
        ValueError: the split is unknown.
    """
    if split not in SPLITS:
        raise ValueError(f"split: expected one of {', '.join(SPLITS)}, got {split!r}")
    root = folder_at(root)
    if not any((root / name).is_file() for name in METADATA) and has_class_folders(root / split):
        names = [path.name for path in class_folders(root / split)]
        items = items_in_folders(
            root / split, {name: number for number, name in enumerate(names)}, lambda path: {"imu": path}
        )
        return LabelledSet(classes=[ClassNames(label=name, names=(name,)) for name in names], items=items)
    imu = next((root / name for name in IMU_FOLDERS if (root / name).is_dir()), root / IMU_FOLDERS[0])
    folder_at(imu, "the IMU recordings, <uid>.csv or <uid>.npy")
    videos, with_imu = _videos(root)
    scenarios = sorted({scenario for each in videos.values() for scenario in each})
    number_of = {scenario: number for number, scenario in enumerate(scenarios)}
    single = sorted(uid for uid in with_imu if len(videos[uid]) == 1)
    _, narrations = _json_at(root, NARRATIONS)
    narrations = narrations.get("videos", narrations)
    read = lru_cache(maxsize=1)(read_imu)  # the windows of a recording follow each other
    items, missing, damaged = [], [], []
    for uid in _split(single, videos, split, split_file, seed):
        times = _narration_times(narrations, passes, uid)
        if not times:
            continue
        imu_file = imu_file_of(imu, uid)
        if imu_file is None:
            missing.append(str(imu / f"{uid}{TABLE_SUFFIX}"))
            continue
        try:
            seconds, _ = read(imu_file)
        except MediaError as error:
            damaged.append(str(error))
            continue
        for time in times:
            start, end = time - imu_window / 2, time + imu_window / 2
            if _has_samples(seconds, start, end):
                load = partial(_window, read, imu_file, start, end)
                items.append(
                    LabelledItem(
                        item=LazyItem(load=load, sources=(imu_file, start, end)),
                        name=f"Ego4D {uid} at {time:g} s",
                        labels=(number_of[videos[uid][0]],),
                    )
                )
    if not items and not missing and not damaged:
        raise MediaError(
            str(root), got="none", expected=f"videos of the split {split} with narrations and IMU"
        )
    classes = [ClassNames(label=scenario, names=(scenario,)) for scenario in scenarios]
    return LabelledSet(classes=classes, items=items, missing=missing, damaged=damaged)


def _videos(root: Path) -> tuple[dict[str, tuple[str, ...]], set[str]]:
    """Return the scenarios of each video, and the uids of those with IMU."""
    path, metadata = _json_at(root, METADATA)
    try:
        scenarios = {each["video_uid"]: tuple(each["scenarios"] or ()) for each in metadata["videos"]}
        return scenarios, {each["video_uid"] for each in metadata["videos"] if each["has_imu"]}
    except (KeyError, TypeError) as error:
        raise MediaError(
            str(path),
            got=f"some that cannot be read ({error!r})",
            expected="videos with video_uid, scenarios and has_imu",
        ) from error


def _has_samples(seconds: np.ndarray, start: float, end: float) -> bool:
    """Whether a recording has samples from start to end, without a gap that the transform refuses."""
    if start < seconds[0] or end > seconds[-1]:
        return False
    first = np.searchsorted(seconds, start, side="right") - 1
    last = np.searchsorted(seconds, end, side="left")
    return bool(np.diff(seconds[first : last + 1]).max() <= MAX_GAP_SECONDS)


def _window(read: Callable[[Path], TimedSamples], imu_file: Path, start: float, end: float) -> dict[str, Any]:
    """Return a window of a recording, and samples around it, as an item."""
    seconds, samples = read(imu_file)
    first, last = np.searchsorted(seconds, (start - MARGIN_SECONDS, end + MARGIN_SECONDS)).tolist()
    clock = seconds[first:last] - seconds[first]
    return {
        "imu": np.array(samples[first:last]),  # (t, 6)
        "timestamps": clock,
        "start": start - float(seconds[first]),
        "accel_unit": "m/s2",
    }


def _json_at(root: Path, names: Sequence[str]) -> tuple[Path, dict[str, Any]]:
    """Return the path and the content of the first file that exists, an object in JSON."""
    path = file_below(root, names)
    content = json_at(path, "an object in JSON")
    if not isinstance(content, dict):
        raise MediaError(str(path), got=f"a {type(content).__name__}", expected="an object in JSON")
    return path, content


def _narration_times(narrations: Mapping[str, Any], passes: Sequence[int], uid: str) -> list[float]:
    """Return the different times of a video's narrations, in order."""
    item = f"Ego4D narrations of {uid}"
    try:
        entry = narrations.get(uid) or {}
        return sorted(
            {
                seconds_in(str(each["timestamp_sec"]), item)
                for number in passes
                for each in (entry.get(f"narration_pass_{number}") or {}).get("narrations", ())
            }
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise MediaError(
            item,
            got=f"some that cannot be read ({error!r})",
            expected="narrations with timestamp_sec",
        ) from error


def _split(
    uids: Sequence[str], known: Container[str], split: str, split_file: StrPath | None, seed: int
) -> list[str]:
    """Return the uids of a split: those that `split_file` lists, or a random share."""
    if split_file is None:
        order = np.random.default_rng(seed).permutation(len(uids))
        count = round(TEST_SHARE * len(uids))
        chosen = {uids[number] for number in (order[:count] if split == "test" else order[count:])}
    else:
        chosen = set(lines_at(split_file, "the uids of videos, one a line"))
        if unknown := sorted(uid for uid in chosen if uid not in known):
            raise MediaError(str(split_file), got=repr(unknown[0]), expected="uids of videos")
    return [uid for uid in uids if uid in chosen]
