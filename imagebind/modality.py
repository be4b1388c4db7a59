"""The one vocabulary of senses, and of what can be given for them."""

from enum import Enum


class ModalityType(str, Enum):
    """A sense. Its value is the key that the checkpoint, the model's inputs and its outputs use."""

    VISION = "vision"  # still images and video
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
        raise ValueError(f"unknown modality {value!r}; expected one of {names}")


for _modality in ModalityType:  # so that vars() has them; Python before 3.12 keeps them elsewhere
    type.__setattr__(ModalityType, _modality.name, _modality)


class MediaKind(str, Enum):
    """What one transform takes. Vision has two, a picture and a video; the others are modalities."""

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
        raise ValueError(f"unknown kind of media {value!r}; expected one of {names}")

    @property
    def modality(self) -> ModalityType:
        """The trunk that such media go through."""
        if self in (MediaKind.IMAGE, MediaKind.VIDEO):
            return ModalityType.VISION
        return ModalityType(self.value)
