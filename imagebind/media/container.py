"""Open media files with PyAV, within limits, and hide the differences between PyAV's versions."""

from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from io import RawIOBase
from typing import Any, BinaryIO

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

from imagebind.io.source import Limits

NO_STAMP = -(2**63)  # FFmpeg's AV_NOPTS_VALUE
READ_BUFFER_BYTES = 32 * 1024  # FFmpeg's value
# Before version 19, PyAV raises an error for tags that are not UTF-8, unless it is told to ignore them.
_TAG_ERRORS = {"metadata_errors": "ignore"} if int(av.__version__.split(".")[0]) < 19 else {}


def open_container(
    file: BinaryIO | RawIOBase, limits: Limits, *, buffer_bytes: int = READ_BUFFER_BYTES
) -> InputContainer:
    """Open a media file at its beginning, without access to other files, which a playlist may name.

    Raises:
        Exception: damaged data raises many types.
    """
    file.seek(0)
    options = {"max_pixels": str(limits.max_pixels), "protocol_whitelist": "none"}
    return av.open(file, "r", options=options, buffer_size=buffer_bytes, **_TAG_ERRORS)  # type: ignore[call-overload]


def demux(container: InputContainer, *streams: Stream) -> Iterator[Packet]:
    """Yield the streams' packets that have data, from the container's position to the end.

    Raises:
        FFmpegError: the file is damaged or cut short.
    """
    with suppress(IndexError):  # of PyAV, at the end of a file to which streams were added midway
        for packet in container.demux(*streams):
            if packet.size:
                yield packet


def video_streams(container: Any) -> list[Any]:
    """Return the video streams of an open container, without cover art."""
    cover = av.stream.Disposition.attached_pic
    return [stream for stream in container.streams.video if not stream.disposition & cover]


def fraction_of(ratio: Any) -> Fraction | None:
    """Convert a PyAV ratio, such as a time base or a frame rate, to a Fraction; None if it is not set.

    PyAV 19 has a type of its own for ratios, whose products are rounded.
    """
    return Fraction(ratio) if ratio else None
