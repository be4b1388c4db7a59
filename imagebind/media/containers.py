"""Open audio and video containers safely, and choose their video streams."""

from io import RawIOBase
from typing import Any, BinaryIO

import av
from av.container import InputContainer

NO_STAMP = -(2**63)  # FFmpeg's AV_NOPTS_VALUE
FFMPEG_BUFFER_BYTES = 32 * 1024  # FFmpeg's default


def open_container(
    file: BinaryIO | RawIOBase, *, max_pixels: int | None = None, buffer_bytes: int = FFMPEG_BUFFER_BYTES
) -> InputContainer:
    """Open a file at its beginning; the caller closes the container. A playlist cannot open other files.

    Raises:
        FFmpegError, ValueError, RuntimeError, OSError: not a container, or a damaged one.
    """
    file.seek(0)
    options = {"protocol_whitelist": "none"} | ({} if max_pixels is None else {"max_pixels": str(max_pixels)})
    return av.open(file, "r", options=options, buffer_size=buffer_bytes, metadata_errors="replace")


def video_streams(container: Any) -> list[Any]:
    """Return the video streams of an open container, without cover art."""
    cover = av.stream.Disposition.attached_pic
    return [stream for stream in container.streams.video if not stream.disposition & cover]
