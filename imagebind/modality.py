"""The names of modalities and media types."""

from enum import Enum


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


for _modality in ModalityType:  # vars(ModalityType) must list the members, before Python 3.12 too
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
        """The modality itself, as for a `MediaKind`."""
        return self
