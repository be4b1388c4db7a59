"""Ego4D: videos by their uid, a table of motion for each, and a list of clips."""

import logging
import os
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np

from imagebind.datasets.layouts.found import Found, folder_at, found, seconds_in, table_at
from imagebind.datasets.pairs import Pair
from imagebind.errors import MediaError
from imagebind.media.imu_table import first_stamp
from imagebind.modality import ModalityType
from imagebind.transforms.imu import load_imu

COLUMNS = ("video_uid", "start_sec", "end_sec")
CLIP_COLUMN = "clip_uid"
VIDEO_SUFFIX = ".mp4"
PACKED, TABLE = ".npy", ".csv"  # the first that is there
PACKED_COLUMNS = 7  # time, and six channels

logger = logging.getLogger(__name__)

Folder = str | os.PathLike[str]


def ego4d(clips: Folder, videos: Folder, imu: Folder) -> Found:
    """Video and motion for each clip of a list.

    Args:
        clips: a CSV with columns video_uid, start_sec and end_sec, on the video's clock, and if the clips
            are files of their own, clip_uid.
        videos: folder of <clip_uid>.mp4 or, where there is none, <video_uid>.mp4.
        imu: folder of <video_uid>.csv, as published, or <video_uid>.npy, as `pack_imu` makes them. An hour in
            a CSV takes seconds to read, and that for each pair: pack them before training. A damaged one is
            logged, and counts as missing.

    Raises:
        MediaError: a list that cannot be read, or no clip of it is there.
    """
    videos, imu = folder_at(videos), folder_at(imu)
    begins_at = cache(_begins_at)
    pairs, missing = [], []
    for number, row in enumerate(table_at(clips, COLUMNS), start=2):
        place = f"{clips}, line {number}"
        uid, clip = row["video_uid"], row.get(CLIP_COLUMN) or ""
        start, end = (seconds_in(row[column], place) for column in COLUMNS[1:])
        if not 0 <= start < end:
            raise MediaError(place, got=f"a clip from {start:g} to {end:g} s", expected="0 <= start < end")
        motion = next(
            (path for path in (imu / f"{uid}{suffix}" for suffix in (PACKED, TABLE)) if path.is_file()), None
        )
        own, whole = videos / f"{clip}{VIDEO_SUFFIX}", videos / f"{uid}{VIDEO_SUFFIX}"
        is_cut = bool(clip) and own.is_file()
        begin = None if motion is None else begins_at(motion)
        if begin is None or not (is_cut or whole.is_file()):
            missing += [] if begin is not None else [str(motion or imu / f"{uid}{TABLE}")]
            missing += [] if is_cut or whole.is_file() else [str(own if clip else whole)]
            continue
        pairs.append(
            Pair(
                vision={"video": own if is_cut else whole},
                other={"imu": motion},
                modality=ModalityType.IMU,
                name=f"Ego4D {clip or uid} from {start:g} s",
                span=None if is_cut else (start, end),
                # Motion counts from its first sample, which is not the video's first moment.
                offset=(start if is_cut else 0.0) - begin,
            )
        )
    return found("Ego4D", clips, pairs, missing)


def pack_imu(table: Folder) -> Path:
    """Write a table's time in seconds and six channels beside it as .npy, which is read in milliseconds.

    Raises:
        MediaError: not such a table.
    """
    table = Path(table)
    recording = load_imu(table)
    seconds = _first_second(table) + recording.seconds
    packed = table.with_suffix(PACKED)
    unfinished = packed.with_name(f".{packed.name}.tmp")
    try:
        with unfinished.open("wb") as file:
            np.save(file, np.column_stack([seconds, recording.samples]))  # (t, 7), time first
        return unfinished.replace(packed)
    finally:
        unfinished.unlink(missing_ok=True)


def _begins_at(motion: Path) -> float | None:
    """As `_first_second`; None if the file is damaged."""
    try:
        return _first_second(motion)
    except MediaError as error:
        logger.warning("Ego4D: %s", error)
        return None


def _first_second(motion: Path) -> float:
    """When, on the video's clock, a recording begins.

    Raises:
        MediaError: it cannot be read, or has no clock.
    """
    try:
        if motion.suffix == PACKED:
            return _first_packed(np.load(motion, mmap_mode="r", allow_pickle=False), motion)
        with motion.open("rb") as file:
            lines = b"".join(islice(file, 2))  # its header and first sample
    except MediaError:  # a ValueError too
        raise
    except (OSError, ValueError, EOFError) as error:
        raise MediaError(
            str(motion), got=f"cannot be read ({error})", expected="motion as pack_imu writes it, or a CSV"
        ) from error
    return first_stamp(lines, name=str(motion))


def _first_packed(rows: np.ndarray, motion: Path) -> float:
    if rows.ndim != 2 or rows.shape[1] != PACKED_COLUMNS or not len(rows):
        raise MediaError(
            str(motion),
            got=f"an array {rows.shape}",
            expected=f"(t, {PACKED_COLUMNS}), time in seconds first",
        )
    return float(rows[0, 0])
