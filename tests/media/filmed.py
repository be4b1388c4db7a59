"""Small videos for tests; frame i of those by `make_video` has gray level 3·i, which identifies it."""

import io
import shutil
import struct
import subprocess
from collections.abc import Iterable
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from imagebind.media.video_pixels import RgbConverter

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg command")
GRAY_STEP = 3  # gray levels between frames; larger than compression errors


def make_video(
    *,
    frames: int = 75,
    rate: int = 25,
    container: str = "mp4",
    codec: str = "libx264",
    size: tuple[int, int] = (64, 48),
    keyframe_every: int = 12,
    times: Iterable[float] | None = None,
) -> bytes:
    """Encode a video; `times` gives each frame's time in seconds if they are uneven."""
    buffer = io.BytesIO()
    stamps = [round(1000 * seconds) for seconds in times] if times is not None else None
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate, options={"g": str(keyframe_every)})
        stream.width, stream.height = size
        stream.pix_fmt = {"gif": "rgb8", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
        if stamps:
            stream.codec_context.time_base = Fraction(1, 1000)
        for index in range(len(stamps) if stamps else frames):
            pixels = np.full((size[1], size[0], 3), GRAY_STEP * index, np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=stream.pix_fmt)
            if stamps:
                frame.pts, frame.time_base = stamps[index], Fraction(1, 1000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return buffer.getvalue()


def merge_streams(*videos: bytes, default: Iterable[bool]) -> bytes:
    """Return a file that has the videos as its streams, some of them marked as default."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as container:
        for video, is_default in zip(videos, default, strict=True):
            with av.open(io.BytesIO(video)) as source:
                stream = container.add_stream_from_template(source.streams.video[0])
                stream.disposition = av.stream.Disposition.default if is_default else av.stream.Disposition(0)
        for index, video in enumerate(videos):
            with av.open(io.BytesIO(video)) as source:
                for packet in source.demux(video=0):
                    if packet.size:
                        packet.stream = container.streams[index]
                        container.mux(packet)
    return buffer.getvalue()


def packets_of(video: bytes) -> list[bytes]:
    """Return the encoded frames in file order."""
    with av.open(io.BytesIO(video)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def with_display_matrix(mp4: bytes, *, matrix: tuple[float, float, float, float]) -> bytes:
    """Return a video with the 2 x 2 part of a display matrix (1, 0, 0, 1: upright) in its track header."""
    entries = np.array([matrix[0], matrix[1], 0, matrix[2], matrix[3], 0, 0, 0, 0]) * 2.0**16
    entries[8] = 2**30
    start = mp4.index(b"tkhd") + 4 + 40  # version 0: after 40 bytes of times, sizes and volume
    return mp4[:start] + entries.astype(">i4").tobytes() + mp4[start + 36 :]


def ffmpeg(*arguments: object) -> None:
    """Run the ffmpeg command."""
    command = ["ffmpeg", "-y", "-nostdin", "-loglevel", "error", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True)


def record(path: Path, options: str = "", *, seconds: float = 4, size: str = "160x120") -> Path:
    """Encode a moving test image by the ffmpeg command, at 25 frames per second."""
    source = f"testsrc2=s={size}:r=25:d={seconds}"
    ffmpeg("-f", "lavfi", "-i", source, *options.split(), path)
    return path


def trim(source: Path, path: Path, *, start: float, seconds: float) -> Path:
    """Copy a stretch without encoding it again, as phones and editors do."""
    ffmpeg("-ss", start, "-i", source, "-t", seconds, "-c", "copy", path)
    return path


def with_edit_list(mp4: bytes, edits: Iterable[tuple[float, float | None]], *, timescale: int) -> bytes:
    """Return an MP4 video with an edit list; its metadata must be at its end, since they become longer.

    Args:
        edits: seconds to show, and the second of the media to start at, or None to show nothing.
        timescale: units per second of the media.
    """
    entries = [(round(1000 * length), -1 if at is None else round(timescale * at)) for length, at in edits]
    table = struct.pack(">II", 0, len(entries)) + b"".join(struct.pack(">iiI", *e, 1 << 16) for e in entries)
    return _with_edits(mp4, _box(b"edts", _box(b"elst", table)))


def _with_edits(boxes: bytes, edits: bytes) -> bytes:
    changed, at = b"", 0
    while at < len(boxes):
        size = int.from_bytes(boxes[at : at + 4], "big")
        box_type, body = boxes[at + 4 : at + 8], boxes[at + 8 : at + size]
        if box_type == b"trak":  # the edit list follows the track header
            header = int.from_bytes(body[:4], "big")
            body = body[:header] + edits + _with_edits(body[header:], edits)
        elif box_type == b"moov":
            body = _with_edits(body, edits)
        changed += b"" if box_type == b"edts" else _box(box_type, body)
        at += size
    return changed


def _box(box_type: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + box_type + body


def to_rgb(frame: av.VideoFrame, **options: Any) -> np.ndarray:
    """Convert one frame with a converter of its own."""
    with closing(RgbConverter(**options)) as converter:
        return converter(frame)
