"""Transforms convert a file or an array of a modality to the tensor that its trunk takes.

Names are imported when they are used: each needs the libraries of its modality.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imagebind.transforms.array import ArrayTransform
    from imagebind.transforms.audio import AudioTransform
    from imagebind.transforms.depth import DepthTransform
    from imagebind.transforms.image import ImageTransform
    from imagebind.transforms.imu import ImuTransform
    from imagebind.transforms.text import Tokenizer
    from imagebind.transforms.thermal import ThermalTransform
    from imagebind.transforms.video import VideoTransform

_MODULE_OF_NAME = {
    "ArrayTransform": "imagebind.transforms.array",
    "AudioTransform": "imagebind.transforms.audio",
    "DepthTransform": "imagebind.transforms.depth",
    "ImageTransform": "imagebind.transforms.image",
    "ImuTransform": "imagebind.transforms.imu",
    "ThermalTransform": "imagebind.transforms.thermal",
    "Tokenizer": "imagebind.transforms.text",
    "VideoTransform": "imagebind.transforms.video",
}

__all__ = [
    "ArrayTransform",
    "AudioTransform",
    "DepthTransform",
    "ImageTransform",
    "ImuTransform",
    "ThermalTransform",
    "Tokenizer",
    "VideoTransform",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF_NAME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF_NAME[name]), name)
