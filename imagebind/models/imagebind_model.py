"""The model by the module path and the names of the original project."""

from imagebind.checkpoints.factory import imagebind_huge
from imagebind.modality import ModalityType
from imagebind.models.model import ImageBindModel, init_weights

__all__ = ["ImageBindModel", "ModalityType", "imagebind_huge", "init_weights"]
