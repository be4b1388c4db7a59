"""The original's names of preprocessors and their parts, for code that imports them; ours are in `stems`."""

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

_PICTURES = (
    "build imagebind.models.stems.PicturePreprocessor(embed_dim, name=…, picture_size=…, patch_size=…, "
    "stride=…, stem_name=…)"
)


class PatchEmbedGeneric(
    metaclass=OriginalName,
    ours=(stems.VideoStem, stems.PictureStem, stems.WindowStem),
    instead="build imagebind.models.stems.VideoStem(embed_dim, …), PictureStem or WindowStem",
):
    """The projection of patches."""


class PadIm2Video(
    metaclass=OriginalName,
    ours=(stems.RepeatFrames,),
    instead="build imagebind.models.stems.RepeatFrames(frames)",
):
    """A still image as a video."""


class SpatioTemporalPosEmbeddingHelper(
    metaclass=OriginalName,
    ours=(stems.PositionTable,),
    instead="build imagebind.models.stems.PositionTable(embed_dim, (rows, columns))",
):
    """The position embeddings of a grid of patches."""


class RGBDTPreprocessor(
    metaclass=OriginalName,
    ours=(stems.VisionPreprocessor, stems.PicturePreprocessor),
    instead="build imagebind.models.stems.VisionPreprocessor(embed_dim, image_size=…, patch_size=…, "
    "frames=…) for vision, or PicturePreprocessor for depth",
):
    """The preprocessor of vision, depth, thermal and audio."""


class AudioPreprocessor(
    metaclass=OriginalName, ours=(stems.PicturePreprocessor,), name="audio", instead=_PICTURES
):
    """The preprocessor of audio."""


class ThermalPreprocessor(
    metaclass=OriginalName, ours=(stems.PicturePreprocessor,), name="thermal", instead=_PICTURES
):
    """The preprocessor of thermal."""


class TextPreprocessor(
    metaclass=OriginalName,
    ours=(stems.TextPreprocessor,),
    instead="build imagebind.models.stems.TextPreprocessor(embed_dim, context_length=…, vocab_size=…)",
):
    """The preprocessor of text."""


class IMUPreprocessor(
    metaclass=OriginalName,
    ours=(stems.ImuPreprocessor,),
    instead="build imagebind.models.stems.ImuPreprocessor(embed_dim, channels=…, steps=…, window=…)",
):
    """The preprocessor of IMU."""


def __getattr__(name: str) -> Any:
    if name == "SimpleTokenizer":  # not a layer: it lies above the models
        return getattr(import_module("imagebind.transforms.original"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
