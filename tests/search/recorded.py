"""Long recordings: a video with audio, in which colour and tone change every second."""

from pathlib import Path

import av
import numpy as np

FRAME_RATE = 8
AUDIO_RATE = 44_100
AAC_PACKET_SAMPLES = 1024


def write_recording(path: Path, seconds: float, *, audio: bool = True, video: bool = True) -> Path:
    """Write an MP4 of H.264 and AAC; without `video` an M4A, without `audio` no audio stream."""
    rng = np.random.default_rng(0)
    with av.open(path, "w", format="mp4") as container:
        video_stream = (
            container.add_stream("libx264", rate=FRAME_RATE, options={"preset": "ultrafast"})
            if video
            else None
        )
        audio_stream = container.add_stream("aac", rate=AUDIO_RATE, layout="stereo") if audio else None
        if video_stream is not None:
            video_stream.width, video_stream.height, video_stream.pix_fmt = 64, 48, "yuv420p"
            for number in range(round(seconds * FRAME_RATE)):
                pixels = np.full((48, 64, 3), number // FRAME_RATE * 10 % 250, dtype=np.uint8)
                pixels[number % 48] = rng.integers(0, 255, (64, 3))
                container.mux(video_stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(video_stream.encode(None))
        if audio_stream is not None:
            for first in range(0, round(seconds * AUDIO_RATE), AAC_PACKET_SAMPLES):
                times = np.arange(first, first + AAC_PACKET_SAMPLES) / AUDIO_RATE
                tone = 0.3 * np.sin(2 * np.pi * (300 + 50 * np.floor(times)) * times)
                noise = 0.05 * rng.standard_normal((2, AAC_PACKET_SAMPLES))
                frame = av.AudioFrame.from_ndarray(
                    (tone + noise).astype(np.float32), format="fltp", layout="stereo"
                )
                frame.rate, frame.pts = AUDIO_RATE, first
                container.mux(audio_stream.encode(frame))
            container.mux(audio_stream.encode(None))
    return path


def damage_audio(path: Path) -> None:
    """Overwrite the last three quarters of a video's audio packets."""
    with av.open(path) as container:
        positions = [(packet.pos, packet.size) for packet in container.demux(audio=0) if packet.size]
    content = bytearray(path.read_bytes())
    for position, size in positions[len(positions) // 4 :]:
        content[position : position + size] = b"\xff" * size
    path.write_bytes(content)
