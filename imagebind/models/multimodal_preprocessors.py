"""The original project's names for stems and their layers, for code that imports them.

`isinstance` accepts the layers' names for objects of this package. Calling one raises a `TypeError` that
names the replacement. `SimpleTokenizer` is a class that can be built.
"""

from importlib import import_module
from typing import Any

from imagebind.models import stems
from imagebind.models.original_names import OriginalName

__all__ = [  # noqa: F822  (`__getattr__` imports SimpleTokenizer)
    "AudioPreprocessor",
    "IMUPreprocessor",
    "PadIm2Video",
    "PatchEmbedGeneric",
    "RGBDTPreprocessor",
    "SimpleTokenizer",
    "SpatioTemporalPosEmbeddingHelper",
    "TextPreprocessor",
    "ThermalPreprocessor",
]

_BUILD_PATCHES = (
    "build imagebind.models.stems.PatchPreprocessor(embed_dim, name=…, image_size=…, patch_size=…, "
    "stride=…, stem_name=…)"
)


class PatchEmbedGeneric(
    metaclass=OriginalName,
    ours=(stems.VideoStem, stems.PatchStem, stems.WindowStem),
    instead="build imagebind.models.stems.VideoStem(embed_dim, …), PatchStem or WindowStem",
):
    """The original project's name for the patch projections of all modalities except text."""


class PadIm2Video(
    metaclass=OriginalName,
    ours=(stems.RepeatFrames,),
    instead="build imagebind.models.stems.RepeatFrames(frames)",
):
    """The original project's name for `RepeatFrames`."""


class SpatioTemporalPosEmbeddingHelper(
    metaclass=OriginalName,
    ours=(stems.PositionTable,),
    instead="build imagebind.models.stems.PositionTable(embed_dim, (rows, columns))",
):
    """The original project's name for `PositionTable`."""


class RGBDTPreprocessor(
    metaclass=OriginalName,
    ours=(stems.VisionPreprocessor, stems.PatchPreprocessor),
    instead="build imagebind.models.stems.VisionPreprocessor(embed_dim, image_size=…, patch_size=…, "
    "frames=…) for vision, or PatchPreprocessor for depth",
):
    """The original project's name for the stems of vision, depth, thermal and audio."""


class AudioPreprocessor(
    metaclass=OriginalName, ours=(stems.PatchPreprocessor,), name="audio", instead=_BUILD_PATCHES
):
    """The original project's name for the stem of audio."""


class ThermalPreprocessor(
    metaclass=OriginalName, ours=(stems.PatchPreprocessor,), name="thermal", instead=_BUILD_PATCHES
):
    """The original project's name for the stem of thermal."""


class TextPreprocessor(
    metaclass=OriginalName,
    ours=(stems.TextPreprocessor,),
    instead="build imagebind.models.stems.TextPreprocessor(embed_dim, context_length=…, vocab_size=…)",
):
    """The original project's name for the stem of text."""


class IMUPreprocessor(
    metaclass=OriginalName,
    ours=(stems.ImuPreprocessor,),
    instead="build imagebind.models.stems.ImuPreprocessor(embed_dim, channels=…, steps=…, window=…)",
):
    """The original project's name for the stem of IMU."""


def __getattr__(name: str) -> Any:
    if name == "SimpleTokenizer":  # here, because `imagebind.transforms` imports `imagebind.models`
        return getattr(import_module("imagebind.transforms.original"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
