"""Classes and functions of the original's `data` module other than its loaders; see `imagebind.data`."""

import gzip
import math
import zlib
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torchvision.transforms.v2 import functional as F

from imagebind.errors import import_extra
from imagebind.media.clips import Seconds, clip_spans
from imagebind.transforms.text import (
    CHARACTER_BYTES,
    CONTEXT_LENGTH,
    WORD_END,
    Tokenizer,
    merge,
    vocabulary,
    vocabulary_path,
)
from imagebind.transforms.video import CROPS


class ClipInfo(NamedTuple):
    """One clip that a sampler returns."""

    clip_start_sec: Seconds
    clip_end_sec: Seconds
    clip_index: int
    aug_index: int
    is_last_clip: bool


class ConstantClipsPerVideoSampler:
    """Return clips spread evenly from a recording's start to its end, as pytorchvideo since 0.1.5."""

    def __init__(self, clip_duration: Seconds, clips_per_video: int, augs_per_clip: int = 1) -> None:
        self.clip_duration, self.clips_per_video = clip_duration, clips_per_video
        self.augs_per_clip = augs_per_clip
        self._next_clip = 0

    def __call__(self, last_clip_end: Seconds | None, video_duration: Seconds, annotation: Any) -> ClipInfo:
        """Return the next clip of a recording of `video_duration` seconds; after the last, the first."""
        spans = clip_spans(video_duration, clip_seconds=self.clip_duration, clips=self.clips_per_video)
        clip, augmentation = divmod(self._next_clip, self.augs_per_clip)
        self._next_clip = (self._next_clip + 1) % (len(spans) * self.augs_per_clip)
        start, end = spans[clip]
        return ClipInfo(start, end, clip, augmentation, self._next_clip == 0)

    def reset(self) -> None:
        """Return to the first clip."""
        self._next_clip = 0


class EncodedVideo:
    """Open a video with pytorchvideo's `EncodedVideo`, which is imported only then.

    Raises:
        MissingExtraError: pytorchvideo is not installed.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return _pytorchvideo("data.encoded_video").EncodedVideo(*args, **kwargs)

    @staticmethod
    def from_path(*args: Any, **kwargs: Any) -> Any:
        return _pytorchvideo("data.encoded_video").EncodedVideo.from_path(*args, **kwargs)


class UniformTemporalSubsample(nn.Module):
    """Select frames evenly from a clip, from the first to the last, as pytorchvideo does: (…, t, …)."""

    def __init__(self, num_samples: int, temporal_dim: int = -3) -> None:
        super().__init__()
        self.num_samples, self.temporal_dim = num_samples, temporal_dim

    def forward(self, x: Tensor) -> Tensor:
        last = x.shape[self.temporal_dim] - 1
        frames = torch.linspace(0, last, self.num_samples).clamp(0, last).long()
        return x.index_select(self.temporal_dim, frames.to(x.device))


class SpatialCrop(nn.Module):
    """Cut squares along the longer side of each video: a list of (c, t, h, w) -> num_crops per element.

    Three crops are the start, the centre and the end; one is the centre. Source: released.
    """

    def __init__(self, crop_size: int = 224, num_crops: int = CROPS) -> None:
        super().__init__()
        if num_crops not in (1, CROPS):
            raise ValueError(f"num_crops: expected 1 or {CROPS}, got {num_crops}")
        self.crop_size, self.num_crops = crop_size, num_crops

    def forward(self, videos: Sequence[Tensor]) -> list[Tensor]:
        if isinstance(videos, Tensor):
            raise TypeError(f"SpatialCrop: expected a list of videos, got a tensor {tuple(videos.shape)}")
        positions = range(CROPS) if self.num_crops == CROPS else (1,)
        return [
            uniform_crop(video, self.crop_size, position)[0] for video in videos for position in positions
        ]


class NormalizeVideo(nn.Module):
    """Standardise each channel of a video: (c, t, h, w) -> (c, t, h, w), floating point."""

    def __init__(self, mean: Sequence[float], std: Sequence[float], inplace: bool = False) -> None:
        super().__init__()
        self.mean, self.std, self.inplace = mean, std, inplace

    def forward(self, clip: Tensor) -> Tensor:
        frames = clip.transpose(0, 1)  # (c, t, h, w) -> (t, c, h, w)
        frames = F.normalize(frames, list(self.mean), list(self.std), inplace=self.inplace)
        return frames.transpose(0, 1)


def uniform_crop(
    images: Tensor, size: int, spatial_idx: int, boxes: Any = None, scale_size: int | None = None
) -> tuple[Tensor, Any]:
    """Crop frames to a square, and shift boxes with it: (..., c, h, w) -> (..., c, size, size), (n, 4).

    `spatial_idx` is 0, 1 or 2: the start, centre or end of the longer side; the other side is cropped at its
    centre. With `scale_size`, the shorter side is first resized to it, but boxes are not scaled. Without
    boxes, the second is None.

    Raises:
        ValueError: `spatial_idx` has another value, or the frames are smaller than `size`.
    """
    if spatial_idx not in range(CROPS):
        raise ValueError(f"spatial_idx: expected 0, 1 or 2, got {spatial_idx}")
    height, width = images.shape[-2:]
    if scale_size is not None:
        short = min(height, width)
        height, width = height * scale_size // short, width * scale_size // short
        frames = images.reshape(-1, 1, *images.shape[-2:])  # (..., h, w) -> (n, 1, h, w)
        frames = interpolate(frames, size=(height, width), mode="bilinear", align_corners=False)
        images = frames.reshape(*images.shape[:-2], height, width)
    if min(height, width) < size:
        raise ValueError(f"uniform_crop: expected frames of at least {size} x {size}, got {height} x {width}")
    top, left = math.ceil((height - size) / 2), math.ceil((width - size) / 2)
    if height > width:
        top = (0, top, height - size)[spatial_idx]
    else:
        left = (0, left, width - size)[spatial_idx]
    cropped = images[..., top : top + size, left : left + size]
    return cropped, None if boxes is None else crop_boxes(boxes, left, top)


def crop_boxes(boxes: Any, x_offset: int, y_offset: int) -> Any:
    """Shift boxes (n, 4) of x, y, x, y, a tensor or an array, into a crop that starts at the offsets."""
    shifted: Any = boxes.clone() if isinstance(boxes, Tensor) else np.array(boxes)
    shifted[:, [0, 2]] -= x_offset
    shifted[:, [1, 3]] -= y_offset
    return shifted


class SimpleTokenizer:
    """CLIP's tokenizer with the original's signature; new code uses `imagebind.transforms.text.Tokenizer`.

    Args:
        bpe_path: a copy of CLIP's vocabulary, by default the one of this package.
        context_length: number of token ids of a text, including its start and end tokens.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file is damaged, or has another vocabulary, for which the text trunk was not trained.
    """

    def __init__(
        self, bpe_path: str | PathLike[str] | None = None, context_length: int = CONTEXT_LENGTH
    ) -> None:
        own = vocabulary_path()
        path = own if bpe_path is None else Path(bpe_path)
        expected = f"{path}: expected CLIP's vocabulary, as in {own}"
        try:
            if path != own and gzip.decompress(path.read_bytes()) != gzip.decompress(own.read_bytes()):
                raise ValueError(f"{expected}, got another one")
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{expected}, got a damaged file ({error})") from error
        self.context_length = context_length
        self.encoder = dict(vocabulary().ids)
        self.decoder = dict(enumerate(vocabulary().pieces))

    def __call__(self, texts: str | Iterable[str], context_length: int | None = None) -> Tensor:
        """Return token ids, (n, context_length); for one text, also in a list, (context_length,)."""
        length = self.context_length if context_length is None else context_length
        ids = Tokenizer(context_length=length)(texts if isinstance(texts, str) else list(texts))
        return ids[0] if len(ids) == 1 else ids

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text without start and end tokens."""
        return Tokenizer().encode(text)

    def decode(self, tokens: Iterable[int]) -> str:
        """Return the text of ids, start and end tokens included; a space follows each word."""
        text = "".join(self.decoder[int(token)] for token in tokens)
        octets = bytes(CHARACTER_BYTES[character] for character in text)
        return octets.decode("utf-8", errors="replace").replace(WORD_END, " ")

    def bpe(self, token: str) -> str:
        """Return the pieces of one word, in the vocabulary's alphabet for bytes, separated by spaces."""
        return " ".join(merge([*token[:-1], token[-1] + WORD_END], vocabulary().ranks))


def _pytorchvideo(module: str) -> Any:
    return import_extra(
        f"pytorchvideo.{module}", extra="pytorchvideo", purpose="EncodedVideo or pv_transforms"
    )


def _pytorchvideo_transform(name: str) -> Any:
    if name.startswith("__"):  # tools look up such names on every module
        raise AttributeError(name)
    return getattr(_pytorchvideo("transforms"), name)


# Replaces `import pytorchvideo.transforms as pv_transforms`; imported at first use.
pv_transforms = ModuleType("pytorchvideo.transforms")
pv_transforms.__getattr__ = _pytorchvideo_transform  # type: ignore[method-assign]
