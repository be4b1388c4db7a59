"""Stand-ins for other libraries' decoders, with the attributes that their documentation gives."""

from dataclasses import dataclass
from types import SimpleNamespace

import torch


@dataclass
class AudioSamples:
    """Stand-in for torchcodec's `AudioSamples`."""

    data: torch.Tensor  # (channels, n) float32
    pts_seconds: float
    duration_seconds: float
    sample_rate: int


class AudioDecoder:
    """Stand-in for torchcodec's `AudioDecoder`."""

    def __init__(self, waveform: torch.Tensor, rate: int) -> None:
        self._waveform, self._rate = waveform, rate
        self.metadata = SimpleNamespace(sample_rate=rate, duration_seconds=waveform.shape[1] / rate)

    def get_all_samples(self) -> AudioSamples:
        return AudioSamples(self._waveform, 0.0, self.metadata.duration_seconds, self._rate)


class DatasetsAudioDecoder(AudioDecoder):
    """The decoder of `datasets` 4, whose "array" is the mean of the channels."""

    def __getitem__(self, key: str):
        if key == "array":
            return self._waveform.numpy().mean(axis=0)
        if key == "sampling_rate":
            return self._rate
        raise KeyError(key)


class VideoDecoder:
    """Stand-in for torchcodec's: frames (3, h, w), or (h, w, 3) for dimension_order="NHWC"."""

    def __init__(self, frames: torch.Tensor, fps: float | None, dimension_order: str = "NCHW") -> None:
        self._frames = frames if dimension_order == "NHWC" else frames.permute(0, 3, 1, 2)
        self.metadata = SimpleNamespace(
            average_fps=fps, num_frames=len(frames), duration_seconds=len(frames) / (fps or 25)
        )
        self.requested: list[int] = []

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> torch.Tensor:
        self.requested.append(index)
        return self._frames[index]


class VideoReader:
    """Stand-in for decord's: its frames have a type of their own, with a method `asnumpy`."""

    def __init__(self, frames: torch.Tensor, fps: float) -> None:
        self._frames, self._fps = frames, fps

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int):
        return SimpleNamespace(asnumpy=lambda: self._frames[index].numpy())

    def get_avg_fps(self) -> float:
        return self._fps
