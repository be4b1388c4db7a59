"""The one vocabulary of senses."""

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
        raise ValueError(f"unknown modality {value!r}; wants one of {names}")
