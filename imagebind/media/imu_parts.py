"""Find the files of a recording that has one file per sensor, as Sensor Logger writes it."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from imagebind.errors import MediaError
from imagebind.io.source import name_of
from imagebind.io.uri import is_uri
from imagebind.media.imu_names import ACCEL, GRAVITY, GYRO

# Words in file names, the longest first: Accelerometer.csv (Sensor Logger, phyphox, MetaWear),
# data_1600_accel_phone.txt (WISDM), acc_exp01_user01.txt (UCI HAR), HERO8 Black-ACCL.csv (GoPro).
FILE_WORDS = {
    ACCEL: ("accelerometer", "totalacceleration", "acceleration", "accel", "accl", "acc"),
    GYRO: ("gyroscope", "gyro", "gyr"),
    GRAVITY: ("gravity",),
}
TOTAL_ACCELERATION = "totalacceleration"
_SENSOR_WORD = re.compile(
    r"(?<![a-z])(" + "|".join(word for words in FILE_WORDS.values() for word in words) + r")(?![a-z])",
    re.IGNORECASE,
)
_OTHER_SENSOR = re.compile(r"linear|user.?acc|uncal", re.IGNORECASE)  # phyphox: "Linear Accelerometer.csv"
_CAMEL_CASE = {TOTAL_ACCELERATION: "TotalAcceleration"}


@dataclass(frozen=True, kw_only=True)
class RecordingFiles:
    """The files of one recording. `first`, the accelerometer's file, identifies the recording.

    Args:
        total, gravity: further files of Sensor Logger, whose Accelerometer.csv excludes gravity.
    """

    first: Path
    gyro: Path
    total: Path | None = None
    gravity: Path | None = None

    @property
    def others(self) -> str:
        """The names of the other files."""
        return ", ".join(path.name for path in (self.total, self.gyro, self.gravity) if path is not None)


def local_path(source: object) -> Path | None:
    """Return the path of a local file; None for bytes, open files and URIs."""
    if not isinstance(source, (str, os.PathLike)):
        return None
    text = os.fsdecode(source)
    return None if is_uri(text) else Path(text)


def role_of(path: Path) -> str | None:
    """Return the sensor that a file's name states; None if it states none."""
    match = _sensor_word(path)
    return None if match is None else _sensor_of_word(match[1])


def recording_files(path: Path) -> RecordingFiles | None:
    """Return the recording that a file belongs to, by the names of existing files; None if there is none."""
    match = _sensor_word(path)
    if match is None:
        return None
    if _sensor_of_word(match[1]) == GYRO:
        gyro: Path | None = path
        first = _sibling(path, match, ACCEL)
    else:
        first = path if _sensor_of_word(match[1]) == ACCEL else _sibling(path, match, ACCEL)
        if match[1].lower() == TOTAL_ACCELERATION:  # Sensor Logger's Accelerometer.csv is preferred
            first = next(_same_name_files(path, match, ("accelerometer",)), path)
        gyro = None if first is None else _sibling(path, match, GYRO)
    if first is None or gyro is None:
        return None
    total = next(_same_name_files(path, match, (TOTAL_ACCELERATION,)), None)
    return RecordingFiles(
        first=first,
        gyro=gyro,
        total=total if total != first else None,
        gravity=next(_same_name_files(path, match, FILE_WORDS[GRAVITY]), None),
    )


def first_in_folder(folder: Path) -> Path:
    """Return the accelerometer's file in a folder that contains one recording.

    Raises:
        MediaError: the folder has no recording or several, or cannot be listed.
    """
    try:
        files = sorted(path for path in folder.iterdir() if path.is_file() and _sensor_word(path) is not None)
    except OSError as error:
        raise MediaError(name_of(folder), got=f"cannot be listed ({error.strerror})") from error
    firsts = sorted({parts.first for parts in map(recording_files, files) if parts is not None})
    if len(firsts) == 1:
        return firsts[0]
    listed = ", ".join(path.name for path in firsts[:5]) or "no accelerometer file beside a gyroscope file"
    raise MediaError(
        name_of(folder),
        got=f"a folder with {listed}",
        expected="one recording, as Accelerometer.csv and Gyroscope.csv",
        hint="pass the path of a file",
    )


def _sensor_word(path: Path) -> re.Match[str] | None:
    if _OTHER_SENSOR.search(path.stem):
        return None
    return _SENSOR_WORD.search(path.stem[:255])


def _sensor_of_word(word: str) -> str:
    return next(sensor for sensor, words in FILE_WORDS.items() if word.lower() in words)


def _sibling(path: Path, match: re.Match[str], sensor: str) -> Path | None:
    """Return another sensor's file, whose name differs in the sensor's word and perhaps the text after it.

    The text after the word may differ because MetaWear's file names end in the sensor's rate.
    """
    same = next(_same_name_files(path, match, FILE_WORDS[sensor]), None)
    if same is not None or not path.stem[match.end() :]:
        return same
    before = path.stem[: match.start()].lower()
    starts = tuple(before + word for word in FILE_WORDS[sensor])
    try:
        like = [
            name
            for name in sorted(other.name for other in path.parent.iterdir())
            if name.lower().startswith(starts) and name.lower().endswith(path.suffix.lower())
        ]
    except OSError:
        return None
    return path.with_name(like[0]) if len(like) == 1 else None


def _same_name_files(path: Path, match: re.Match[str], words: tuple[str, ...]) -> Iterator[Path]:
    """Yield existing files whose name, or name and folder, has another sensor's word instead."""
    for word in words:
        for styled in dict.fromkeys((_in_case_of(word, match[1]), word, word.capitalize(), word.upper())):
            name = path.stem[: match.start()] + styled + path.stem[match.end() :] + path.suffix
            for folder in dict.fromkeys((path.parent, _sibling_folder(path.parent, match[1], styled))):
                if (folder / name).is_file():
                    yield folder / name


def _sibling_folder(folder: Path, word: str, other: str) -> Path:
    """Return the folder with another sensor's word: `raw/phone/accel` -> `raw/phone/gyro` (WISDM)."""
    return folder.with_name(other) if folder.name.lower() == word.lower() else folder


def _in_case_of(word: str, like: str) -> str:
    if like.isupper():
        return word.upper()
    return _CAMEL_CASE.get(word, word.capitalize()) if like[0].isupper() else word
