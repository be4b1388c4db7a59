"""Recognise and read other libraries' decoders and decoded media, without importing the libraries.

These are torchcodec's AudioDecoder and VideoDecoder, which `datasets` also returns, and its AudioSamples;
decord's VideoReader; and the triple that torchvision's `read_video` returned.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor

from imagebind.errors import MediaError
from imagebind.io.source import DEFAULT_LIMITS, Limits, name_of
from imagebind.media.audio_limits import check_seconds

MAX_DECODER_RATE_DENOMINATOR = 100_000  # restores 30000/1001 frames per second from a float


def is_decoder(item: object) -> bool:
    """Whether an item is a decoder, or samples from one."""
    return is_audio_samples(item) or is_audio_decoder(item) or is_video_decoder(item)


def is_audio_samples(item: object) -> bool:
    """Whether an item looks like torchcodec's AudioSamples: `data` (channels, n) and a `sample_rate`."""
    return hasattr(item, "sample_rate") and isinstance(getattr(item, "data", None), (Tensor, np.ndarray))


def is_audio_decoder(item: object) -> bool:
    """Whether an item looks like torchcodec's AudioDecoder."""
    return callable(getattr(type(item), "get_all_samples", None))


def is_video_decoder(item: object) -> bool:
    """Whether an item looks like torchcodec's VideoDecoder or decord's VideoReader: indexable frames."""
    cls = type(item)
    if not (hasattr(cls, "__len__") and hasattr(cls, "__getitem__")):
        return False
    return callable(getattr(cls, "get_avg_fps", None)) or hasattr(
        getattr(item, "metadata", None), "average_fps"
    )


def decode_audio(decoder: Any, *, limits: Limits = DEFAULT_LIMITS) -> tuple[Any, Any]:
    """Decode all samples of an audio decoder, (channels, n); return them with their rate.

    Raises:
        MediaError: the decoder fails, or states a duration above `limits.max_seconds`.
    """
    seconds = getattr(getattr(decoder, "metadata", None), "duration_seconds", None)
    check_seconds(name_of(decoder), seconds or 0, limits)
    try:
        samples = decoder.get_all_samples()
        return samples.data, samples.sample_rate
    except Exception as error:  # of any type that the other library raises
        raise _failed(decoder, error) from error


def video_rate(decoder: Any) -> Fraction:
    """Return a video decoder's frames per second.

    Raises:
        MediaError: the decoder states neither them nor its duration, fails, has no frames, or less than one
            in `MAX_DECODER_RATE_DENOMINATOR` seconds.
    """
    metadata: Any = getattr(decoder, "metadata", None)
    try:
        if not len(decoder):
            raise ValueError("no frames")
        rate = decoder.get_avg_fps() if hasattr(decoder, "get_avg_fps") else metadata.average_fps
        if not rate and (seconds := getattr(metadata, "duration_seconds", None)):
            rate = len(decoder) / seconds
        if not 1 / MAX_DECODER_RATE_DENOMINATOR <= (rate or 0) < math.inf:
            raise ValueError(f"{rate} frames per second")
        return Fraction(float(rate)).limit_denominator(MAX_DECODER_RATE_DENOMINATOR)
    except Exception as error:  # of any type that the other library raises
        raise _failed(decoder, error) from error


def read_frames(decoder: Any, indices: Iterable[int]) -> Iterator[tuple[int, Tensor]]:
    """Yield (index, frame (h, w, 3) uint8) of a video decoder.

    Raises:
        MediaError: the decoder fails, or returns anything but uint8 RGB frames.
    """
    for index in indices:
        try:
            frame = decoder[index]
            if hasattr(frame, "asnumpy"):  # decord's
                frame = frame.asnumpy()
            frame = torch.as_tensor(frame, device="cpu")
        except Exception as error:  # of any type that the other library raises
            raise _failed(decoder, error) from error
        if frame.ndim == 3 and frame.shape[0] == 3 and frame.shape[-1] != 3:
            frame = frame.permute(1, 2, 0)  # (3, h, w) -> (h, w, 3)
        if frame.ndim != 3 or frame.shape[-1] != 3 or frame.dtype != torch.uint8 or not frame.numel():
            raise MediaError(
                name_of(decoder),
                got=f"a frame of shape {tuple(frame.shape)} and type {frame.dtype}",
                expected="uint8 frames (3, h, w) or (h, w, 3)",
            )
        yield index, frame


def part_of_triple(item: Any, *, video: bool) -> Any:
    """Return (frames, fps) or (samples, rate) of torchvision's (frames, samples, info); others unchanged."""
    if not (isinstance(item, tuple) and len(item) == 3 and isinstance(item[2], Mapping)):
        return item
    rate = item[2].get("video_fps" if video else "audio_fps")
    return item if rate is None else (item[0 if video else 1], rate)


def _failed(decoder: object, error: Exception) -> MediaError:
    reason = f"{type(error).__name__}: {error}"
    return MediaError(name_of(decoder), got=f"one that fails ({reason})", expected="a decoder that works")
