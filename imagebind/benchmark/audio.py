"""Benchmarks reading clips from a long MP3 and from short files, against decoding each file completely."""

import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median

import av
import numpy as np
import soundfile

from imagebind.benchmark.report import Row
from imagebind.benchmark.sizes import Size
from imagebind.benchmark.timing import by_turns, ratios
from imagebind.transforms.audio import AudioTransform

SECTION = "audio"
SAMPLE_RATE = 44_100
ENCODED_SECONDS = 60  # a longer file repeats the packets of these seconds
TARGET_SECONDS = 1.5  # for reading clips from one hour of MP3
AUDIO_FORMATS = ("WAV", "FLAC", "OGG", "MP3")


def measure(size: Size, folder: Path) -> Iterator[Row]:
    """Time, in turns, reading clips with this library and decoding the whole file with FFmpeg."""
    seconds = min(ENCODED_SECONDS, size.audio_seconds)
    path = folder / "long.mp3"
    write_long_mp3(path, encoded("MP3", seconds), repeats=max(size.audio_seconds // ENCODED_SECONDS, 1))
    clips, whole = by_turns([lambda: AudioTransform()(path), lambda: decode_all(path)], repeats=size.repeats)
    yield Row(
        section=SECTION,
        name=f"three clips of 2 s from an MP3 of {size.audio_seconds:,} s",
        value=median(clips),
        unit="s",
        target=TARGET_SECONDS,
        at_most=True,
    )
    yield Row(
        section=SECTION,
        name="the same clips, against decoding the whole file",
        value=median(ratios(whole, clips)),
        unit="x as fast",
        detail=f"{median(clips):.2f} s against {median(whole):.2f} s",
    )
    for file_format in AUDIO_FORMATS:
        data = encoded(file_format, seconds)
        clips, whole = by_turns(
            [partial(AudioTransform(), data), partial(decode_all, data)],
            repeats=size.repeats,
        )
        yield Row(
            section=SECTION,
            name=f"clips of {seconds} s of {file_format}, filter bank included, against decoding alone",
            value=median(ratios(whole, clips)),
            unit="x as fast",
            detail=f"{1000 * median(clips):.0f} ms against {1000 * median(whole):.0f} ms",
        )


def encoded(file_format: str, seconds: int) -> bytes:
    """Encode stereo tones over noise in one of libsndfile's formats."""
    rng = np.random.default_rng(0)
    times = np.arange(seconds * SAMPLE_RATE) / SAMPLE_RATE
    tones = 0.3 * np.sin(2 * np.pi * 440 * times * (1 + 0.01 * times))
    samples = tones[:, None] + 0.05 * rng.standard_normal((len(times), 2))
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", SAMPLE_RATE, 2, format=file_format) as file:
        for first in range(0, len(samples), SAMPLE_RATE):  # a minute at once overflows libsndfile's stack
            file.write(samples[first : first + SAMPLE_RATE].astype(np.float32))
    return buffer.getvalue()


def write_long_mp3(path: Path, data: bytes, *, repeats: int) -> None:
    """Write an MP3's frames repeatedly, without the info frame that states their number."""
    with av.open(io.BytesIO(data), "r") as container:
        frames = b"".join(bytes(packet) for packet in container.demux(container.streams.audio[0]))
    path.write_bytes(frames * repeats)


def decode_all(source: Path | bytes) -> int:
    """Decode a file from beginning to end and return the number of its samples."""
    with av.open(io.BytesIO(source) if isinstance(source, bytes) else source, "r") as container:
        return sum(frame.samples for frame in container.decode(audio=0) if isinstance(frame, av.AudioFrame))
