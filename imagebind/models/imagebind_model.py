"""The model under the original project's module path and names."""

from imagebind.checkpoints.factory import imagebind_huge
from imagebind.modality import ModalityType
from imagebind.models.model import ImageBindModel, init_weights

__all__ = ["ImageBindModel", "ModalityType", "imagebind_huge", "init_weights"]
