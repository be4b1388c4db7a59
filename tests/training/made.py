"""Small real files and stand-in data sets for the tests of training data."""

from pathlib import Path

import av
import numpy as np
import soundfile
import torch
from PIL import Image

from imagebind.datasets.pairs import BrokenPair, PairSample
from imagebind.errors import MediaError
from imagebind.modality import ModalityType
from tests.media.motion import GRAVITY

AUDIO_RATE = 16_000


def ramp(height: int, width: int) -> np.ndarray:
    """Return an image (h, w, 3) in which red rises to the right and green downwards: each pixel is unique."""
    rows, columns = np.mgrid[0:height, 0:width]
    red, green = 255 * columns / (width - 1), 255 * rows / (height - 1)
    return np.stack([red, green, np.full_like(red, 128)], axis=-1).round().astype(np.uint8)


def write_image(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def chirp(seconds: float) -> np.ndarray:
    """Return (n,) at 16 kHz: a tone that rises by 1 kHz per second, so that each pitch occurs once."""
    time = np.arange(round(seconds * AUDIO_RATE)) / AUDIO_RATE
    return 0.5 * np.sin(2 * np.pi * (500 * time + 500 * time**2))


def write_video(path: Path, *, seconds: float = 6, rate: int = 10, audio: bool = False) -> Path:
    """Write a video whose frame i has the gray level 4·i; its audio is the chirp."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"g": "10"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        if audio:
            track = container.add_stream("aac", rate=AUDIO_RATE, layout="mono")
            wave = chirp(seconds).astype(np.float32)[None]
            samples = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            samples.sample_rate = AUDIO_RATE
            container.mux(track.encode(samples))
            container.mux(track.encode())
        for index in range(round(seconds * rate)):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 4 * index, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_audio(path: Path, *, seconds: float = 6) -> Path:
    """Write the chirp."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, chirp(seconds), AUDIO_RATE)
    return path


def write_imu(path: Path, *, seconds: float = 20, first_ms: float = 0, rate: int = 50) -> Path:
    """Write a table in Ego4D's form; the gyroscope's x is the timestamp in hours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    clock = first_ms + 1000 * np.arange(round(seconds * rate)) / rate
    rows = np.zeros((len(clock), 7))
    rows[:, 0], rows[:, 1], rows[:, 6] = clock, clock / 3.6e6, GRAVITY
    header = "canonical_timestamp_ms,gyro_x,gyro_y,gyro_z,accl_x,accl_y,accl_z"
    np.savetxt(path, rows, delimiter=",", header=header, comments="", fmt="%.12g")
    return path


class Numbers:
    """A data set whose samples contain their own index and turn; some are broken."""

    def __init__(self, size: int, *, broken: range | tuple[int, ...] = (), modality="depth") -> None:
        self.size = size
        self.broken = frozenset(broken)
        self.modality = ModalityType(modality)

    def __len__(self) -> int:
        return self.size

    def sample(self, index: int, *, turn: int) -> PairSample | BrokenPair:
        if index in self.broken:
            error = MediaError(f"pair {index}", got="nothing", expected="something")
            return BrokenPair(f"pair {index}", error, self.modality)
        return PairSample(torch.tensor([index]), torch.tensor([turn]), self.modality)
