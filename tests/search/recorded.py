"""Long recordings: a video with audio, in which colour and tone change every second."""

from pathlib import Path

import av
import numpy as np

FRAME_RATE = 8
SOUND_RATE = 44_100
BLOCK = 1024  # samples of a packet of AAC


def write_film(path: Path, seconds: float, *, sound: bool = True, pictures: bool = True) -> Path:
    """Write an MP4 of H.264 and AAC; without `pictures` an M4A."""
    rng = np.random.default_rng(0)
    with av.open(path, "w", format="mp4") as container:
        video = (
            container.add_stream("libx264", rate=FRAME_RATE, options={"preset": "ultrafast"})
            if pictures
            else None
        )
        audio = container.add_stream("aac", rate=SOUND_RATE, layout="stereo") if sound else None
        if video is not None:
            video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
            for number in range(round(seconds * FRAME_RATE)):
                pixels = np.full((48, 64, 3), number // FRAME_RATE * 10 % 250, dtype=np.uint8)
                pixels[number % 48] = rng.integers(0, 255, (64, 3))
                container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(video.encode(None))
        if audio is not None:
            for first in range(0, round(seconds * SOUND_RATE), BLOCK):
                times = np.arange(first, first + BLOCK) / SOUND_RATE
                tone = 0.3 * np.sin(2 * np.pi * (300 + 50 * np.floor(times)) * times)
                noise = 0.05 * rng.standard_normal((2, BLOCK))
                frame = av.AudioFrame.from_ndarray(
                    (tone + noise).astype(np.float32), format="fltp", layout="stereo"
                )
                frame.rate, frame.pts = SOUND_RATE, first
                container.mux(audio.encode(frame))
            container.mux(audio.encode(None))
    return path


def spoil_sound(path: Path) -> None:
    """Overwrite the last three quarters of a video's audio packets."""
    with av.open(path) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(audio=0) if packet.size]
    content = bytearray(path.read_bytes())
    for place, size in places[len(places) // 4 :]:
        content[place : place + size] = b"\xff" * size
    path.write_bytes(content)
