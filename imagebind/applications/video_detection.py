"""Detect queries in the frames of a video, link the boxes over time, and write the frames as a video."""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import ceil, inf
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torchvision.ops import box_iou

from imagebind.applications.boxes import Detection, ImageDetections, check_aspect_ratio
from imagebind.applications.dense import similarity_maps
from imagebind.applications.detection import (
    MAX_DETECTIONS,
    THRESHOLD,
    DetectionQuery,
    Segment,
    detect,
    detection_queries,
    prepared_queries,
)
from imagebind.applications.proposals import Proposals
from imagebind.applications.streams import audio_delay
from imagebind.embedder import BATCH_SIZE, Embedder
from imagebind.errors import MediaError
from imagebind.intake.requests import identify, prepare
from imagebind.io.atomic import replacing
from imagebind.io.source import name_of
from imagebind.media.audio_file import open_audio
from imagebind.media.video_file import open_video
from imagebind.modality import MediaKind, ModalityType
from imagebind.query import Query
from imagebind.transforms.image import load_image

FRAMES_PER_SECOND = 2.0  # frames to examine per second of the video
OWN_AUDIO_SECONDS = 2.0  # of a video's own audio around a frame: a clip of the audio transform
OWN_AUDIO_QUERY = "own sound"  # name of the query
LINK_IOU = 0.3  # least IoU of an object's box with its previous one
MAX_MISSED = 2  # a track ends if its object is missing in more consecutive frames
VIDEO_FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
LEAST_RATE, MOST_RATE = 1e-3, 1e6  # frames per second of `write_video`; FFmpeg has 32-bit fractions
H264_RATE_FACTOR = "20"  # x264's constant rate factor


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """A frame of a video, its detections, and the similarity maps (n, h, w) of the queries."""

    image: Image.Image
    found: ImageDetections
    maps: Tensor


def detect_video(
    embedder: Embedder,
    video: Any,
    queries: Any = (),
    *,
    own_audio: bool = False,
    frames_per_second: float = FRAMES_PER_SECOND,
    proposals: Proposals = None,
    backgrounds: Mapping[MediaKind | str, Sequence[Any]] | None = None,
    temperature: float | None = None,
    threshold: float = THRESHOLD,
    max_detections: int = MAX_DETECTIONS,
    segment: Segment | None = None,
) -> Iterator[Frame]:
    """Yield frames of a video with their detections; detections of one object have the same `track`.

    Args:
        video: a path, URI, bytes or open file.
        queries: as for `detect`; may be empty with `own_audio`.
        own_audio: add the query "own sound", in each frame the video's audio of the two seconds around it, or
            the nearest two seconds if the audio starts later or ends earlier.
        frames_per_second: number of frames to examine per second of the video.

    The other arguments are those of `detect`.

    Raises:
        MediaError: the video cannot be read, as for `detect`, or `own_audio` is set and the video or the
            model has no audio.
        ValueError: as for `detect`, or `frames_per_second` is out of range.
    """
    if not 0 < frames_per_second < inf:
        raise ValueError(f"frames_per_second: expected a finite number above 0, got {frames_per_second}")
    if own_audio and isinstance(queries, Sized) and not len(queries):
        fixed = []
    else:
        fixed = prepared_queries(embedder, queries, backgrounds=backgrounds, temperature=temperature)
    name, linker = name_of(video), Linker()
    with open_video(video) as file:
        clock = file.clock
        count = min(max(ceil(clock.duration * Fraction(frames_per_second)), 1), len(clock.ticks))
        indices = list(dict.fromkeys(clock.frames_in((0, clock.duration), count)))
        seconds = {index: float(clock.ticks[index] * clock.tick) for index in indices}
        own_queries = (
            _own_audios(embedder, video, list(seconds.values()), backgrounds, temperature)
            if own_audio
            else iter(())
        )
        for index, pixels in file.decode(indices, square_pixels=True):
            image = Image.fromarray(pixels)
            check_aspect_ratio(image.size, name=name)
            frame_queries = [*fixed, next(own_queries)] if own_audio else fixed
            maps = similarity_maps(embedder, image, np.stack([query.vector for query in frame_queries]))
            detections = detect(
                embedder,
                image,
                frame_queries,
                maps=maps,
                proposals=proposals,
                threshold=threshold,
                max_detections=max_detections,
                segment=segment,
                name=name,
            )
            found = ImageDetections(
                name=name,
                width=image.width,
                height=image.height,
                queries=[query.name for query in frame_queries],
                detections=linker.link(detections),
                seconds=seconds[index],
            )
            yield Frame(image=image, found=found, maps=maps)


def _own_audios(
    embedder: Embedder,
    video: Any,
    seconds: Sequence[float],
    backgrounds: Mapping[MediaKind | str, Sequence[Any]] | None,
    temperature: float | None,
) -> Iterator[DetectionQuery]:
    """Yield a query for a video's audio around each time in `seconds`; the audio is read in batches."""
    request = identify({MediaKind.AUDIO.value: video})
    modalities = embedder.model.modalities
    if ModalityType.AUDIO.value not in modalities:
        got = f"one with {', '.join(modalities)}"
        raise MediaError(request.name, got=got, expected="a model with audio for the video's own audio")
    kinds = frozenset({MediaKind.AUDIO})
    # The vectors of the frames replace the zeros.
    unfilled = {OWN_AUDIO_QUERY: Query(np.zeros(embedder.embed_dim, dtype=np.float32), kinds)}
    (query,) = detection_queries(embedder, unfilled, backgrounds=backgrounds, temperature=temperature)
    transform = embedder.transform(MediaKind.AUDIO)
    delay = audio_delay(video)
    with open_audio(request.payload) as recording:
        latest = max(recording.samples / recording.rate - OWN_AUDIO_SECONDS, 0.0)
    for start in range(0, len(seconds), BATCH_SIZE):
        middles = seconds[start : start + BATCH_SIZE]
        starts = [min(max(middle - delay - OWN_AUDIO_SECONDS / 2, 0.0), latest) for middle in middles]
        spans = [(first, first + OWN_AUDIO_SECONDS) for first in starts]
        views = prepare(request, transform, spans=spans).views
        vectors = F.normalize(embedder.forward(ModalityType.AUDIO, views), dim=-1).cpu().numpy()
        yield from (replace(query, vector=vector) for vector in vectors)


@dataclass(kw_only=True, eq=False)
class _Track:
    number: int
    query: str
    box: tuple[float, float, float, float]
    missed: int = 0


@dataclass(eq=False)
class Linker:
    """Numbers the tracks of a video: boxes of one query that overlap in consecutive frames are one track."""

    _tracks: list[_Track] = field(default_factory=list)
    _count: int = 0

    def link(self, detections: Sequence[Detection]) -> list[Detection]:
        """Return the next frame's detections with track numbers; those with the largest IoU match first."""
        pairs = sorted(
            (
                (-float(box_iou(torch.tensor([track.box]), torch.tensor([found.box]))), number, index)
                for number, track in enumerate(self._tracks)
                for index, found in enumerate(detections)
                if track.query == found.query
            ),
        )
        track_of: dict[int, _Track] = {}
        for negative_iou, number, index in pairs:
            track = self._tracks[number]
            if -negative_iou >= LINK_IOU and index not in track_of and track not in track_of.values():
                track_of[index] = track
        for track in self._tracks:
            track.missed += 1
        for index, found in enumerate(detections):
            if index not in track_of:
                self._count += 1
                track_of[index] = _Track(number=self._count, query=found.query, box=found.box)
                self._tracks.append(track_of[index])
            track_of[index].box, track_of[index].missed = found.box, 0
        self._tracks = [track for track in self._tracks if track.missed <= MAX_MISSED]
        return [replace(found, track=track_of[index].number) for index, found in enumerate(detections)]


def write_video(path: Path, images: Iterable[Image.Image], *, frames_per_second: float) -> None:
    """Write images of equal size as an H.264 video without audio; an odd last row or column is left out.

    Raises:
        MediaError: the suffix of the file name is not in `VIDEO_FORMATS`, or there are no images; or one has
            another size than the first, is 1 pixel wide or high, or cannot be converted to RGB.
        ValueError: `frames_per_second` is not from 0.001 to 1,000,000.
        OSError: the file cannot be written.
    """
    container_format = VIDEO_FORMATS.get(path.suffix.lower())
    if container_format is None:
        raise MediaError(
            str(path), got=repr(path.suffix), expected=f"one of the suffixes {', '.join(VIDEO_FORMATS)}"
        )
    if not LEAST_RATE <= frames_per_second <= MOST_RATE:
        raise ValueError(
            f"frames_per_second: expected {LEAST_RATE:g} to {MOST_RATE:,.0f}, got {frames_per_second}"
        )
    rate = Fraction(frames_per_second).limit_denominator(1000)
    with replacing(path) as temporary, av.open(temporary, "w", format=container_format) as container:
        stream: Any = None
        size: tuple[int, int] | None = None
        for number, image in enumerate(images):
            size = size or image.size
            if image.size != size or min(size) < 2:
                expected = "images of one size, at least 2 x 2 pixels"
                got = f"{image.width} x {image.height} for image {number}"
                got += f" and {size[0]} x {size[1]} for image 0" if number else ""
                raise MediaError(str(path), got=got, expected=expected)
            if stream is None:
                stream = container.add_stream("libx264", rate=rate, options={"crf": H264_RATE_FACTOR})
                stream.width, stream.height = (side // 2 * 2 for side in size)  # even, for yuv420p
                stream.pix_fmt = "yuv420p"
            pixels = np.asarray(load_image(image, exif=False))
            even = np.ascontiguousarray(pixels[: stream.height, : stream.width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
        if stream is None:
            raise MediaError(str(path), got="none", expected="at least one frame")
        container.mux(stream.encode(None))
