"""ImageBind: images, video, text, audio, depth, thermal and IMU in one embedding space.

The names below are imported on first access, so that `import imagebind` is fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from imagebind.moved import install

if TYPE_CHECKING:
    from imagebind import data, models
    from imagebind.batching import Embedding
    from imagebind.checkpoints.factory import (
        imagebind_huge,
        imagebind_tiny,
        list_models,
        load_model,
        save_model,
    )
    from imagebind.config import ImageBindConfig
    from imagebind.embedder import Embedder
    from imagebind.errors import (
        AmbiguousMediaError,
        CheckpointError,
        ImageBindError,
        MediaError,
        MissingExtraError,
    )
    from imagebind.modality import ModalityType
    from imagebind.models import imagebind_model
    from imagebind.models.model import ImageBindModel
    from imagebind.zeroshot import ZeroShotClassifier

__version__ = "1.0.0"

install()

_MODULE_OF_NAME = {
    "AmbiguousMediaError": "imagebind.errors",
    "CheckpointError": "imagebind.errors",
    "Embedder": "imagebind.embedder",
    "Embedding": "imagebind.batching",
    "ImageBindConfig": "imagebind.config",
    "ImageBindError": "imagebind.errors",
    "ImageBindModel": "imagebind.models.model",
    "MediaError": "imagebind.errors",
    "MissingExtraError": "imagebind.errors",
    "ModalityType": "imagebind.modality",
    "imagebind_huge": "imagebind.checkpoints.factory",
    "imagebind_tiny": "imagebind.checkpoints.factory",
    "list_models": "imagebind.checkpoints.factory",
    "load_model": "imagebind.checkpoints.factory",
    "save_model": "imagebind.checkpoints.factory",
    "ZeroShotClassifier": "imagebind.zeroshot",
}

# `import imagebind` of the original project provides these.
_ORIGINAL_MODULES = {
    "data": "imagebind.data",
    "imagebind_model": "imagebind.models.imagebind_model",
    "models": "imagebind.models",
}

__all__ = [  # noqa: RUF022  (the model first, the errors last)
    "imagebind_huge",
    "imagebind_tiny",
    "list_models",
    "load_model",
    "save_model",
    "Embedder",
    "Embedding",
    "ZeroShotClassifier",
    "ImageBindModel",
    "ImageBindConfig",
    "ModalityType",
    "ImageBindError",
    "MediaError",
    "AmbiguousMediaError",
    "CheckpointError",
    "MissingExtraError",
    "data",
    "imagebind_model",
    "models",
]


def __getattr__(name: str) -> Any:
    if name in _ORIGINAL_MODULES:
        return import_module(_ORIGINAL_MODULES[name])
    if name not in _MODULE_OF_NAME:
        raise AttributeError(f"module 'imagebind' has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF_NAME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
