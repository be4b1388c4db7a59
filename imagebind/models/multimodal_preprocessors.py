"""Preprocessors and their layers by the original project's names, for code that imports them."""

from importlib import import_module
from typing import Any

from imagebind.models import stems
from imagebind.models.original_names import OriginalName

__all__ = [  # noqa: F822  (SimpleTokenizer is looked up when used)
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

_BUILD_ONE_CHANNEL = (
    "build imagebind.models.stems.OneChannelPreprocessor(embed_dim, name=…, image_size=…, patch_size=…, "
    "stride=…, stem_name=…)"
)


class PatchEmbedGeneric(
    metaclass=OriginalName,
    ours=(stems.VideoStem, stems.OneChannelStem, stems.WindowStem),
    instead="build imagebind.models.stems.VideoStem(embed_dim, …), OneChannelStem or WindowStem",
):
    """The patch projections by the original's name."""


class PadIm2Video(
    metaclass=OriginalName,
    ours=(stems.RepeatFrames,),
    instead="build imagebind.models.stems.RepeatFrames(frames)",
):
    """`RepeatFrames` by the original's name."""


class SpatioTemporalPosEmbeddingHelper(
    metaclass=OriginalName,
    ours=(stems.PositionTable,),
    instead="build imagebind.models.stems.PositionTable(embed_dim, (rows, columns))",
):
    """`PositionTable` by the original's name."""


class RGBDTPreprocessor(
    metaclass=OriginalName,
    ours=(stems.VisionPreprocessor, stems.OneChannelPreprocessor),
    instead="build imagebind.models.stems.VisionPreprocessor(embed_dim, image_size=…, patch_size=…, "
    "frames=…) for vision, or OneChannelPreprocessor for depth",
):
    """The preprocessors of vision, depth, thermal and audio by the original's name."""


class AudioPreprocessor(
    metaclass=OriginalName, ours=(stems.OneChannelPreprocessor,), name="audio", instead=_BUILD_ONE_CHANNEL
):
    """The preprocessor of audio by the original's name."""


class ThermalPreprocessor(
    metaclass=OriginalName, ours=(stems.OneChannelPreprocessor,), name="thermal", instead=_BUILD_ONE_CHANNEL
):
    """The preprocessor of thermal by the original's name."""


class TextPreprocessor(
    metaclass=OriginalName,
    ours=(stems.TextPreprocessor,),
    instead="build imagebind.models.stems.TextPreprocessor(embed_dim, context_length=…, vocab_size=…)",
):
    """The preprocessor of text by the original's name."""


class IMUPreprocessor(
    metaclass=OriginalName,
    ours=(stems.ImuPreprocessor,),
    instead="build imagebind.models.stems.ImuPreprocessor(embed_dim, channels=…, steps=…, window=…)",
):
    """The preprocessor of IMU by the original's name."""


def __getattr__(name: str) -> Any:
    if name == "SimpleTokenizer":  # imported late: transforms depends on models
        return getattr(import_module("imagebind.transforms.original"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
