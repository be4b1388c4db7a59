"""Chained Ogg: several streams (links) one after another in a file, as in recordings of internet radio.

FFmpeg decodes a chained file as one stream. This is correct if all links have the same codec headers.
Otherwise FFmpeg stops at the second link, or decodes it with the first link's codebooks, which gives noise.
In that case this module decodes each link separately and converts it to the first link's rate and channels.
"""

import io
import os
from collections.abc import Iterator
from itertools import accumulate, pairwise
from typing import Any, BinaryIO

import av
import numpy as np
from av.error import FFmpegError

from imagebind.errors import warn_of
from imagebind.io.source import Limits
from imagebind.media.audio_limits import check_seconds
from imagebind.media.audio_packets import codec_headers, planar_floats
from imagebind.media.audio_stream import AudioStream
from imagebind.media.container import open_container

PAGE_HEADER_BYTES = 27  # without the table of segments, which has at most 255 bytes
BEGINS_STREAM_FLAG = 2  # in a page header
READ_CHUNK_SAMPLES = 2**16


def open_stream(
    file: BinaryIO, name: str, limits: Limits, *, is_indexed: bool = True
) -> "AudioStream | ChainedStream":
    """Open the audio of an open file; see `AudioStream`. A chained Ogg whose links differ is always indexed.

    Raises:
        MediaError: as `AudioStream`, or all links together are longer than `limits` allow.
    """
    links = separate_links(file, name, limits)
    if len(links) > 1:
        streams = [AudioStream(link, name, limits) for link in links]
        check_seconds(name, sum(stream.samples / stream.rate for stream in streams), limits)
        return ChainedStream(streams)
    return AudioStream(links[0], name, limits, is_indexed=is_indexed)


def separate_links(file: BinaryIO, name: str, limits: Limits) -> list[BinaryIO]:
    """Return a chained Ogg's links if each must be decoded separately; any other file is one link.

    Links without audio that FFmpeg can open, such as a last one cut short in its headers, are left out with
    a warning.
    """
    links = _links(file)
    parameters = [_shared_parameters(link, limits) for link in links] if len(links) > 1 else [None]
    opened = [link for link, found in zip(links, parameters, strict=True) if found is not None]
    if not opened or len(set(parameters)) == 1:
        return [file]
    if len(opened) < len(links):
        missing = len(links) - len(opened)
        warn_of(name, f"{missing} of the {len(links)} streams in the chained Ogg have no readable audio")
    return opened  # type: ignore[return-value]


class ChainedStream:
    """Consecutive streams read as one, with the methods of `AudioStream`."""

    stated_samples = None

    def __init__(self, links: list[AudioStream]) -> None:
        self._links = links
        self.rate, self.channels = links[0].rate, links[0].channels
        self._converted = [self._convert(link) for link in links]
        self.keeps_time = all(link.keeps_time for link in links)
        lengths = [
            link.samples if converted is None else converted.shape[1]
            for link, converted in zip(links, self._converted, strict=True)
        ]
        self._starts = list(accumulate(lengths, initial=0))
        self.samples = self._starts[-1]

    def close(self) -> None:
        """Close the FFmpeg containers; the file stays open."""
        for link in self._links:
            link.close()

    def read(self, first: int, last: int) -> np.ndarray:
        """Return samples first to last - 1, (channels, last - first) float32; see `AudioStream.read`."""
        parts = [np.empty((self.channels, 0), dtype=np.float32)]
        for number, (start, end) in enumerate(pairwise(self._starts)):
            inner_first, inner_last = max(first, start) - start, min(last, end) - start
            if inner_first < inner_last:
                converted = self._converted[number]
                stretch = slice(inner_first, inner_last)
                link = self._links[number]
                parts.append(
                    link.read(inner_first, inner_last) if converted is None else converted[:, stretch]
                )
        return np.concatenate(parts, axis=1)

    def parts(self) -> Iterator[tuple[np.ndarray, int]]:
        """Read from beginning to end; yield consecutive samples, (channels, n) float32, and their losses."""
        for first in range(0, self.samples, READ_CHUNK_SAMPLES):
            last = min(first + READ_CHUNK_SAMPLES, self.samples)
            yield self.read(first, last), self.lost(first, last)

    def lost(self, first: int, last: int) -> int:
        """Return how many samples could not be decoded among, or just before, samples first to last - 1.

        Read these samples first: losses are found while reading."""
        lost = 0
        for link, start, converted in zip(self._links, self._starts, self._converted, strict=False):
            scale = link.rate / self.rate if converted is not None else 1
            lost += int(link.lost(int((first - start) * scale), int((last - start) * scale)) / scale)
        return lost

    def _convert(self, link: AudioStream) -> np.ndarray | None:
        """Convert a whole link to the first link's rate and channels; None if it already has them."""
        if (link.rate, link.channels) == (self.rate, self.channels):
            return None
        converter = av.AudioResampler(format="fltp", layout=self._links[0].layout, rate=self.rate)
        parts = []
        for first in range(0, link.samples, READ_CHUNK_SAMPLES):
            samples = link.read(first, min(first + READ_CHUNK_SAMPLES, link.samples))
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(samples), format="fltp", layout=link.layout.name
            )
            frame.sample_rate = link.rate
            parts += [planar_floats(part) for part in converter.resample(frame)]
        parts += [planar_floats(part) for part in converter.resample(None)]
        return np.concatenate(parts, axis=1)


class _LinkFile(io.RawIOBase):
    """A file object over bytes start to end - 1 of an open file."""

    def __init__(self, file: BinaryIO, start: int, end: int) -> None:
        self._file, self._start, self._end, self._at = file, start, end, 0

    def read(self, size: int = -1) -> bytes:
        """See `io.RawIOBase.read`."""
        rest = max(self._end - self._start - self._at, 0)
        self._file.seek(self._start + self._at)
        data = self._file.read(rest if size < 0 else min(size, rest))
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """See `io.RawIOBase.seek`."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._end - self._start}[whence]
        self._at = max(base + offset, 0)
        return self._at

    def tell(self) -> int:
        """See `io.RawIOBase.tell`."""
        return self._at

    def seekable(self) -> bool:
        """Return True."""
        return True

    def readable(self) -> bool:
        """Return True."""
        return True


def _links(file: BinaryIO) -> list[_LinkFile]:
    """Return an Ogg file's links; any other file is one link.

    A new link starts at each page that begins a stream and follows a page of data.
    """
    starts, follows_data = [0], False
    file.seek(0, os.SEEK_END)
    size = file.tell()
    for position, flags in _pages(file):
        if flags & BEGINS_STREAM_FLAG and follows_data:
            starts.append(position)
        follows_data = not flags & BEGINS_STREAM_FLAG
    file.seek(0)
    return [_LinkFile(file, start, end) for start, end in pairwise([*starts, size])]


def _pages(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Yield the position and flags of each page, up to the first gap between pages."""
    position = 0
    while True:
        file.seek(position)
        header = file.read(PAGE_HEADER_BYTES + 255)
        if len(header) < PAGE_HEADER_BYTES or header[:4] != b"OggS":
            return
        yield position, header[5]
        segments = header[26]
        table = header[PAGE_HEADER_BYTES : PAGE_HEADER_BYTES + segments]
        position += PAGE_HEADER_BYTES + segments + sum(table)


def _shared_parameters(link: _LinkFile, limits: Limits) -> Any:
    """Return the parameters that all links must share for FFmpeg to decode them as one stream.

    None if the link cannot be opened or has no audio stream.
    """
    try:
        with open_container(link, limits) as container:
            stream = container.streams.audio[0]
            codec = stream.codec_context
            return codec.name, codec.sample_rate, codec.channels, codec_headers(stream)
    except (FFmpegError, IndexError, ValueError, AttributeError):
        return None
