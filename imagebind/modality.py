"""The names of modalities and media types."""

from collections.abc import Iterable
from enum import Enum
from typing import cast


class ModalityType(str, Enum):
    """A modality. Its value is the key in checkpoints and in the model's inputs and outputs."""

    VISION = "vision"  # images and video
    TEXT = "text"
    AUDIO = "audio"
    THERMAL = "thermal"
    DEPTH = "depth"
    IMU = "imu"

    def __str__(self) -> str:
        return self.value

    @classmethod
    def _missing_(cls, value: object) -> None:
        names = ", ".join(member.value for member in cls)
        raise ValueError(f"modality: expected one of {names}, got {value!r}")


# Code for the original reads `vars(ModalityType)`, which has no members before Python 3.12.
for _modality in ModalityType:
    type.__setattr__(ModalityType, _modality.name, _modality)


class MediaKind(str, Enum):
    """A media type, which has its own transform. Vision has two, image and video; others have one."""

    IMAGE = "image"
    VIDEO = "video"
    TEXT = "text"
    AUDIO = "audio"
    DEPTH = "depth"
    THERMAL = "thermal"
    IMU = "imu"

    def __str__(self) -> str:
        return self.value

    @classmethod
    def _missing_(cls, value: object) -> None:
        names = ", ".join(member.value for member in cls)
        raise ValueError(f"media type: expected one of {names}, got {value!r}")

    @property
    def modality(self) -> ModalityType:
        """The modality of this media type."""
        if self in (MediaKind.IMAGE, MediaKind.VIDEO):
            return ModalityType.VISION
        return ModalityType(self.value)


class BoundModality(str):
    """A modality that a user bound to a model's space: `imagebind.packs`.

    It is its own media type. It occurs where types say `MediaKind` or `ModalityType`, but only if a pack is
    loaded.
    """

    __slots__ = ()

    @property
    def value(self) -> str:
        """The name, which is the key in checkpoints and in the model's inputs and outputs."""
        return str(self)

    @property
    def modality(self) -> "BoundModality":
        """The modality itself; a `MediaKind` has an attribute of this name, too."""
        return self


_KINDS = {kind.value: kind for kind in MediaKind}


def media_kind(name: str, bound: Iterable[str] = ()) -> MediaKind:
    """Return the media type with a name: one of the library, or of `bound`, the modalities of packs.

    Raises:
        ValueError: no media type has this name.
    """
    known = _KINDS | {each: _as_kind(each) for each in map(str, bound) if each not in _KINDS}
    if str(name) not in known:
        raise ValueError(f"media type: expected one of {', '.join(known)}, got {str(name)!r}")
    return known[str(name)]


def stored_kind(name: str) -> MediaKind:
    """Return the media type with a name that was stored, for example in an index.

    A name that is not one of the library's is the modality of a pack, which need not be loaded.
    """
    return _KINDS[name] if name in _KINDS else _as_kind(name)


def kinds_in_order(kinds: Iterable[MediaKind]) -> list[MediaKind]:
    """Return media types in the library's order, then the modalities of packs by name."""
    position = {name: number for number, name in enumerate(_KINDS)}
    return sorted(kinds, key=lambda kind: (position.get(kind.value, len(position)), kind.value))


def _as_kind(name: str) -> MediaKind:
    return cast(MediaKind, BoundModality(name))
