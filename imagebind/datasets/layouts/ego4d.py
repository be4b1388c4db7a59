"""Ego4D for training: videos named by uid, an IMU table for each, and a list of clips."""

import logging
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from imagebind.datasets.layouts.found import Found, check_span, folder_at, found_pairs, seconds_in
from imagebind.datasets.pairs import Pair
from imagebind.datasets.tables import StrPath, numbered_rows
from imagebind.errors import MediaError
from imagebind.io.atomic import replacing
from imagebind.media.imu_table import first_stamp
from imagebind.modality import ModalityType
from imagebind.transforms.imu import load_imu

REQUIRED_COLUMNS = ("video_uid", "start_sec", "end_sec")
CLIP_COLUMN = "clip_uid"
VIDEO_SUFFIX = ".mp4"
PACKED_SUFFIX, TABLE_SUFFIX = ".npy", ".csv"  # in order of preference
PACKED_COLUMNS = 7  # time and six channels

logger = logging.getLogger(__name__)

TimedSamples = tuple[np.ndarray, np.ndarray]  # seconds on the video's clock (t,), samples (t, 6)


def ego4d(clips: StrPath, videos: StrPath, imu: StrPath) -> Found:
    """Return pairs of video and IMU for the clips of a list.

    Args:
        clips: a CSV with columns video_uid, start_sec and end_sec on the video's clock, and clip_uid if the
            clips are separate files.
        videos: folder of <clip_uid>.mp4 or, if that is missing, <video_uid>.mp4.
        imu: folder of <video_uid>.csv, as published, or <video_uid>.npy, written by `pack_imu`. An hour in a
            CSV takes seconds to read for each pair: pack the files before training. A file whose first
            sample cannot be read is logged and counts as missing.

    Raises:
        MediaError: a folder does not exist, the list cannot be read or has an invalid row, or none of its
            clips has both files.
    """
    videos, imu = folder_at(videos), folder_at(imu)
    imu_start_of = cache(_start_or_none)
    pairs, missing = [], []
    for number, row in numbered_rows(clips, REQUIRED_COLUMNS):
        item = f"{clips}, line {number}"
        uid, clip = row["video_uid"], row.get(CLIP_COLUMN) or ""
        start, end = (seconds_in(row[column], item) for column in REQUIRED_COLUMNS[1:])
        check_span(start, end, item)
        imu_file = imu_file_of(imu, uid)
        clip_file, whole_file = videos / f"{clip}{VIDEO_SUFFIX}", videos / f"{uid}{VIDEO_SUFFIX}"
        is_cut = bool(clip) and clip_file.is_file()
        imu_start = None if imu_file is None else imu_start_of(imu_file)
        if imu_start is None or not (is_cut or whole_file.is_file()):
            missing += [] if imu_start is not None else [str(imu_file or imu / f"{uid}{TABLE_SUFFIX}")]
            missing += [] if is_cut or whole_file.is_file() else [str(clip_file if clip else whole_file)]
            continue
        pairs.append(
            Pair(
                vision={"video": clip_file if is_cut else whole_file},
                other={"imu": imu_file},
                modality=ModalityType.IMU,
                name=f"Ego4D {clip or uid} from {start:g} s",
                span=None if is_cut else (start, end),
                # IMU times count from the first sample, which need not be at the start of the video.
                offset=(start if is_cut else 0.0) - imu_start,
            )
        )
    return found_pairs("Ego4D", clips, pairs, missing)


def pack_imu(table: StrPath) -> Path:
    """Write a table's time in seconds and its six channels to an .npy beside it, and return its path.

    The .npy loads within milliseconds.

    Raises:
        MediaError: the file cannot be read, or is not an IMU table with timestamps.
    """
    table = Path(table)
    seconds, samples = read_imu(table)
    packed = table.with_suffix(PACKED_SUFFIX)
    with replacing(packed) as temporary, temporary.open("wb") as file:
        np.save(file, np.column_stack([seconds, samples]))  # (t, 7), time first
    return packed


def read_imu(imu_file: Path) -> TimedSamples:
    """Return the times and samples of a published table or a packed file.

    Raises:
        MediaError: the file cannot be read, or has no timestamps.
    """
    first = _first_second(imu_file)
    if imu_file.suffix == PACKED_SUFFIX:
        rows = open_memmap(imu_file, mode="r")
        return np.array(rows[:, 0]), rows[:, 1:]
    recording = load_imu(imu_file)
    return first + recording.seconds, recording.samples


def imu_file_of(imu: Path, uid: str) -> Path | None:
    """Return a video's IMU file in a folder, packed if there is one; None if there is none."""
    candidates = (imu / f"{uid}{suffix}" for suffix in (PACKED_SUFFIX, TABLE_SUFFIX))
    return next((path for path in candidates if path.is_file()), None)


def _start_or_none(imu_file: Path) -> float | None:
    """Return `_first_second`, or None if the file is damaged."""
    try:
        return _first_second(imu_file)
    except MediaError as error:
        logger.warning("Ego4D: %s", error)
        return None


def _first_second(imu_file: Path) -> float:
    """Return the time of a recording's first sample on the video's clock.

    Raises:
        MediaError: the file cannot be read, or has no timestamps.
    """
    try:
        if imu_file.suffix == PACKED_SUFFIX:
            return _first_packed(open_memmap(imu_file, mode="r"), imu_file)
        with imu_file.open("rb") as file:
            lines = b"".join(islice(file, 2))  # the header and the first sample
    except MediaError:  # is a ValueError
        raise
    except Exception as error:  # numpy raises many types for damaged headers: TokenError, SyntaxError...
        raise MediaError(
            str(imu_file),
            got=f"a file that cannot be read ({error})",
            expected="a file of pack_imu, or a CSV",
        ) from error
    return first_stamp(lines, name=str(imu_file))


def _first_packed(rows: np.ndarray, imu_file: Path) -> float:
    if rows.ndim != 2 or rows.shape[1] != PACKED_COLUMNS or not len(rows):
        raise MediaError(
            str(imu_file),
            got=str(rows.shape),
            expected=f"an array (t, {PACKED_COLUMNS}) with time in seconds first",
        )
    return float(rows[0, 0])
