"""The original's `data` module: its names and signatures, for code written for it.

Loaders take paths and return one batch on a device, as the original's do. They keep its choices: the first
channel of audio, images without EXIF orientation. The transforms average the channels and apply the
orientation. Here the first bad item raises `MediaError`; `Embedder` can embed the others. `None` returns
`None`, as released. The original published no loaders for depth, thermal and IMU; those here are ours.
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from os import PathLike
from typing import Any

import torch
from torch import Tensor
from torchvision import transforms

from imagebind.transforms.audio import (
    AUDIO_CLIPS,
    AUDIO_MEAN,
    AUDIO_STD,
    CLIP_SECONDS,
    MEL_BINS,
    MEL_FRAMES,
    SAMPLE_RATE,
    AudioTransform,
    waveform_to_mel,
)
from imagebind.transforms.depth import DepthTransform
from imagebind.transforms.image import ImageTransform, load_image
from imagebind.transforms.imu import ImuTransform
from imagebind.transforms.mel import SHIFT_MS
from imagebind.transforms.original import (
    ConstantClipsPerVideoSampler,
    EncodedVideo,
    NormalizeVideo,
    SimpleTokenizer,
    SpatialCrop,
    UniformTemporalSubsample,
    crop_boxes,
    pv_transforms,
    uniform_crop,
)
from imagebind.transforms.text import Tokenizer, vocabulary_path
from imagebind.transforms.thermal import ThermalTransform
from imagebind.transforms.video import VIDEO_CLIPS, VideoTransform

__all__ = [  # noqa: F822  (`__getattr__` returns BPE_PATH)
    "BPE_PATH",
    "DEFAULT_AUDIO_FRAME_SHIFT_MS",
    "ConstantClipsPerVideoSampler",
    "EncodedVideo",
    "NormalizeVideo",
    "SimpleTokenizer",
    "SpatialCrop",
    "UniformTemporalSubsample",
    "crop_boxes",
    "get_clip_timepoints",
    "load_and_transform_audio_data",
    "load_and_transform_depth_data",
    "load_and_transform_imu_data",
    "load_and_transform_text",
    "load_and_transform_thermal_data",
    "load_and_transform_video_data",
    "load_and_transform_vision_data",
    "pv_transforms",
    "return_bpe_path",
    "transforms",
    "uniform_crop",
    "waveform2melspec",
]

Device = torch.device | str
Paths = Iterable[str | PathLike[str]]
Batch = Tensor | Any  # None if the argument is None; with Any, other callers need no check for None

DEFAULT_AUDIO_FRAME_SHIFT_MS = int(SHIFT_MS)
MAX_DECODE_THREADS = 8


def load_and_transform_text(text: str | Iterable[str] | None, device: Device) -> Batch:
    """Return token ids, (b, 77) int64. Long text keeps its end token, as in the original since 2025-11.

    Source: released, except that a single string is one text.
    """
    if text is None:
        return None
    return Tokenizer()(text if isinstance(text, str | bytes) else _listed(text)).to(device)


def load_and_transform_vision_data(image_paths: Paths | None, device: Device) -> Batch:
    """Return images, (b, 3, 224, 224). Source: released.

    16-bit grayscale above 255 becomes white, as released; `ImageTransform` scales it instead.
    """
    transform = ImageTransform(exif=False)
    return _load(lambda path: transform(load_image(path, exif=False, clip=True)), image_paths, device)


def load_and_transform_audio_data(
    audio_paths: Paths | None,
    device: Device,
    num_mel_bins: int = MEL_BINS,
    target_length: int = MEL_FRAMES,
    sample_rate: int = SAMPLE_RATE,
    clip_duration: float = CLIP_SECONDS,
    clips_per_video: int = AUDIO_CLIPS,
    mean: float = AUDIO_MEAN,
    std: float = AUDIO_STD,
) -> Batch:
    """Return log-mel clips, (b, clips_per_video, 1, num_mel_bins, target_length). Source: released."""
    transform = AudioTransform(
        clips=clips_per_video,
        clip_seconds=clip_duration,
        channel=0,
        sample_rate=sample_rate,
        mel_bins=num_mel_bins,
        mel_frames=target_length,
        mean=mean,
        std=std,
    )
    return _load(transform, audio_paths, device)


def load_and_transform_video_data(
    video_paths: Paths | None,
    device: Device,
    clip_duration: float = CLIP_SECONDS,
    clips_per_video: int = VIDEO_CLIPS,
    sample_rate: int = SAMPLE_RATE,
) -> Batch:
    """Return crops of each clip, (b, 3 · clips_per_video, 3, clip_duration, 224, 224). Source: released.

    A clip has one frame per whole second, at least one. `sample_rate` has no effect, as released.
    """
    transform = VideoTransform(
        clips=clips_per_video, clip_seconds=clip_duration, frames=max(int(clip_duration), 1)
    )
    return _load(transform, video_paths, device)


def load_and_transform_depth_data(
    depth_paths: Paths | None,
    device: Device,
    preset: str = "omnivore",
    sensor: str | None = None,
    focal: float | None = None,
    baseline: float | None = None,
    encoding: str | None = None,
    unit: float | str | None = None,
) -> Batch:
    """Return disparity, (b, 1, 224, 224); the options are those of `DepthTransform`. Source: ours."""
    transform = DepthTransform(
        preset=preset, sensor=sensor, focal=focal, baseline=baseline, unit=unit, encoding=encoding
    )
    return _load(transform, depth_paths, device)


def load_and_transform_thermal_data(
    thermal_paths: Paths | None,
    device: Device,
    low: float | None = None,
    high: float | None = None,
    unit: float | str | None = None,
    palette: str | None = None,
) -> Batch:
    """Return infrared images, (b, 1, 224, 224); the options are those of `ThermalTransform`. Source: ours."""
    return _load(ThermalTransform(low=low, high=high, unit=unit, palette=palette), thermal_paths, device)


def load_and_transform_imu_data(
    imu_paths: Paths | None, device: Device, window_seconds: float = 5.0
) -> Batch:
    """Return one window of each IMU recording, (b, 6, 2000). Source: ours."""
    return _load(ImuTransform(window_seconds=window_seconds), imu_paths, device)


def waveform2melspec(waveform: Tensor, sample_rate: int, num_mel_bins: int, target_length: int) -> Tensor:
    """Return the log-mel filter bank of the first channel, not normalised: (c, n) -> (1, mel bins, length).

    Source: released, except that the waveform is not modified.

    Raises:
        ValueError: the waveform is not (c, n), or is shorter than 25 ms, or its rate is below 100 Hz.
    """
    if waveform.ndim != 2 or not len(waveform):
        raise ValueError(f"waveform2melspec: expected (channels, n), got {tuple(waveform.shape)}")
    return waveform_to_mel(waveform[0], rate=sample_rate, mel_bins=num_mel_bins, frames=target_length)[None]


def get_clip_timepoints(clip_sampler: Callable[..., Any], duration: float) -> list[tuple[Any, Any]]:
    """Return the (start, end) of each clip of a sampler like pytorchvideo's. Source: released.

    Args:
        clip_sampler: called as `clip_sampler(end of the last clip, duration, annotation=None)`, it returns
            a tuple of the clip's start, its end, ..., and whether it is the last; or an object with
            `clip_start_sec`, `clip_end_sec` and `is_last_clip`.
        duration: length of the recording in seconds.
    """
    timepoints: list[tuple[Any, Any]] = []
    end: Any = 0.0
    is_last = False
    while not is_last:
        clip = clip_sampler(end, duration, annotation=None)
        if isinstance(clip, tuple):
            start, end, *_, is_last = clip
        else:
            start, end, is_last = clip.clip_start_sec, clip.clip_end_sec, clip.is_last_clip
        timepoints.append((start, end))
    return timepoints


def return_bpe_path() -> str:
    """Return the path of CLIP's vocabulary; `BPE_PATH` is the same.

    Raises:
        FileNotFoundError: the file is neither in the package nor next to it.
    """
    return str(vocabulary_path())


def __getattr__(name: str) -> str:
    if name == "BPE_PATH":
        return return_bpe_path()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _load(transform: Callable[[Any], Tensor], paths: Paths | None, device: Device) -> Batch:
    if paths is None:
        return None
    listed = [] if isinstance(paths, str | bytes | PathLike) else _listed(paths)
    if not listed:
        raise ValueError(f"paths: expected a list of at least one path, got {paths!r:.200}")
    threads = min(len(listed), os.cpu_count() or 1, MAX_DECODE_THREADS)
    if threads == 1:
        return torch.stack([transform(path) for path in listed]).to(device)  # (b, ...)
    contexts = [copy_context() for _ in listed]  # warnings are collected where the caller collects them
    with ThreadPoolExecutor(threads) as pool:
        tensors = list(pool.map(lambda context, path: context.run(transform, path), contexts, listed))
    return torch.stack(tensors).to(device)


def _listed(items: Any) -> list[Any]:
    try:
        return items.to_pylist() if hasattr(items, "to_pylist") else list(items)  # to_pylist: pyarrow
    except TypeError as error:
        raise ValueError(f"items: expected an iterable, got {items!r:.200}") from error
