"""Recordings in several files: an accelerometer's beside a gyroscope's, as Sensor Logger writes them."""

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
TOTAL = "totalacceleration"
_WORD = re.compile(
    r"(?<![a-z])(" + "|".join(word for words in FILE_WORDS.values() for word in words) + r")(?![a-z])",
    re.IGNORECASE,
)
_OTHER = re.compile(r"linear|user.?acc|uncal", re.IGNORECASE)  # phyphox: "Linear Accelerometer.csv"
_CAMEL = {TOTAL: "TotalAcceleration"}


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The files of one recording. `first` is the accelerometer's; its path identifies the recording.

    Args:
        total, gravity: Sensor Logger's other files, since its Accelerometer.csv lacks gravity.
    """

    first: Path
    gyro: Path
    total: Path | None = None
    gravity: Path | None = None

    @property
    def others(self) -> str:
        """The names of the files beside the first."""
        return ", ".join(path.name for path in (self.total, self.gyro, self.gravity) if path is not None)


def local_path(source: object) -> Path | None:
    """Return the path of a local file; None for bytes, open files and URIs."""
    if not isinstance(source, (str, os.PathLike)):
        return None
    text = os.fsdecode(source)
    return None if is_uri(text) else Path(text)


def role_of(path: Path) -> str | None:
    """Return a file's sensor by its name; None if the name has none."""
    match = _word(path)
    return None if match is None else _kind(match[1])


def parts_of(path: Path) -> Parts | None:
    """Find the recording that a file belongs to, by the names of existing files; None if there is none."""
    match = _word(path)
    if match is None:
        return None
    if _kind(match[1]) == GYRO:
        gyro: Path | None = path
        first = _beside(path, match, ACCEL)
    else:
        first = path if _kind(match[1]) == ACCEL else _beside(path, match, ACCEL)
        if match[1].lower() == TOTAL:  # Sensor Logger's Accelerometer.csv comes first, if it exists
            first = next(_exact(path, match, ("accelerometer",)), path)
        gyro = None if first is None else _beside(path, match, GYRO)
    if first is None or gyro is None:
        return None
    total = next(_exact(path, match, (TOTAL,)), None)
    return Parts(
        first=first,
        gyro=gyro,
        total=total if total != first else None,
        gravity=next(_exact(path, match, FILE_WORDS[GRAVITY]), None),
    )


def first_in(folder: Path) -> Path:
    """Return the accelerometer's file in a folder that holds one recording.

    Raises:
        MediaError: the folder has no recording, or several.
    """
    try:
        files = sorted(path for path in folder.iterdir() if path.is_file() and _word(path) is not None)
    except OSError as error:
        raise MediaError(
            name_of(folder), got=f"cannot be listed ({error.strerror})", expected="a folder that can be read"
        ) from error
    firsts = sorted({parts.first for parts in map(parts_of, files) if parts is not None})
    if len(firsts) == 1:
        return firsts[0]
    listed = ", ".join(path.name for path in firsts[:5]) or "no accelerometer beside a gyroscope"
    raise MediaError(
        name_of(folder),
        got=f"a folder with {listed}",
        expected="one recording, as Accelerometer.csv and Gyroscope.csv; or the path of a file",
    )


def _word(path: Path) -> re.Match[str] | None:
    if _OTHER.search(path.stem):
        return None
    return _WORD.search(path.stem[:255])


def _kind(word: str) -> str:
    return next(kind for kind, words in FILE_WORDS.items() if word.lower() in words)


def _beside(path: Path, match: re.Match[str], kind: str) -> Path | None:
    """Find another sensor's file: the same name except for the sensor's word, or also for the text after it.

    The text after the word may differ because MetaWear's names end in each sensor's own rate.
    """
    same = next(_exact(path, match, FILE_WORDS[kind]), None)
    if same is not None or not path.stem[match.end() :]:
        return same
    before = path.stem[: match.start()].lower()
    starts = tuple(before + word for word in FILE_WORDS[kind])
    try:
        like = [
            name
            for name in sorted(other.name for other in path.parent.iterdir())
            if name.lower().startswith(starts) and name.lower().endswith(path.suffix.lower())
        ]
    except OSError:
        return None
    return path.with_name(like[0]) if len(like) == 1 else None


def _exact(path: Path, match: re.Match[str], words: tuple[str, ...]) -> Iterator[Path]:
    """Yield existing files with another sensor's word in their name, or in their name and folder."""
    for word in words:
        for styled in dict.fromkeys((_styled(word, match[1]), word, word.capitalize(), word.upper())):
            name = path.stem[: match.start()] + styled + path.stem[match.end() :] + path.suffix
            for folder in dict.fromkeys((path.parent, _folder(path.parent, match[1], styled))):
                if (folder / name).is_file():
                    yield folder / name


def _folder(folder: Path, word: str, other: str) -> Path:
    """Replace a sensor's word in a folder: `raw/phone/accel` -> `raw/phone/gyro` (WISDM)."""
    return folder.with_name(other) if folder.name.lower() == word.lower() else folder


def _styled(word: str, like: str) -> str:
    if like.isupper():
        return word.upper()
    return _CAMEL.get(word, word.capitalize()) if like[0].isupper() else word
