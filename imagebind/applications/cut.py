"""Cut clips out of recordings: packets are copied if the cut lies on keyframes, else frames are re-encoded.

Clips of videos are MP4; re-encoded ones have H.264 and AAC (mono or stereo). Clips of audio files are 16-bit
WAV. Times are seconds from the first frame of a video or the first sample of an audio file, as in `moments`.
"""

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
import soundfile

from imagebind.applications.moments import Moment
from imagebind.applications.streams import audio_delay
from imagebind.errors import MediaError
from imagebind.intake.requests import identify
from imagebind.io.atomic import replacing
from imagebind.io.source import DEFAULT_LIMITS, name_of, open_source
from imagebind.media.audio_file import AudioRecording, open_audio
from imagebind.media.container import demux, fraction_of
from imagebind.media.video_file import open_video
from imagebind.media.video_scan import FALLBACK_RATE
from imagebind.media.video_stream import opened_video
from imagebind.media.webp import is_animated_webp
from imagebind.modality import MediaKind

X264_OPTIONS = {"preset": "medium", "crf": "18"}  # x264: hardly distinguishable from the source
MAX_RATE_DENOMINATOR = 1001  # of frames per second, as in 30000/1001
MICROSECONDS = 1_000_000  # per second
VIDEO_CLOCK = 90_000  # ticks per second of encoded frames
AUDIO_BLOCK_SECONDS = 1  # decoded at a time
CLIP_NAME_END = r"-\d{2,}-\d+\.\d\d-\d+\.\d\d\.(mp4|wav)"  # rank, start and end, after the recording's name
# Sample rates that are kept; audio of another rate gets the last one.
AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 96000, 48000)


@dataclass(frozen=True, kw_only=True)
class CutClip:
    """The path of a written clip, and whether its packets were copied without re-encoding."""

    path: Path
    is_copy: bool


def cut_moments(recording: Path, moments: Sequence[Moment], folder: Path) -> list[CutClip]:
    """Write each moment to a file in a folder, which is created; file names contain the rank and the times.

    Clips of an earlier call stay there, unless they have the same rank and times; see `earlier_clips`.

    Raises:
        MediaError: the recording is neither a video nor an audio file, or cannot be decoded.
        ValueError: a moment starts before 0, after its end or after the end of the recording, has no length,
            or is infinite.
        OSError: the folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [
        cut_clip(
            recording,
            folder / f"{recording.stem}-{rank:02}-{moment.start:.2f}-{moment.end:.2f}",
            start=moment.start,
            end=moment.end,
        )
        for rank, moment in enumerate(moments, start=1)
    ]


def earlier_clips(recording: Path, folder: Path) -> list[Path]:
    """Return the clips of a recording that `cut_moments` wrote to an existing folder earlier, sorted."""
    name = re.compile(re.escape(recording.stem) + CLIP_NAME_END)
    return sorted(path for path in folder.iterdir() if name.fullmatch(path.name))


def cut_clip(recording: Path, target: Path, *, start: float, end: float) -> CutClip:
    """Write the part of a recording from `start` to `end` seconds to a file.

    Packets of a video are copied if MP4 supports its codecs, the first frame is a keyframe, the clip ends
    just before a keyframe or at the end of the recording, and no packet after these keyframes is shown
    before them. The audio of a copy is exact to one packet, some hundredths of a second, and half a frame.

    Args:
        target: the path without a suffix; .mp4 or .wav is added.

    Raises:
        MediaError: the recording is neither a video nor an audio file, or cannot be decoded.
        ValueError: `start` is negative, or not before `end` and the end of the recording, or `end` is
            infinite.
        OSError: the file cannot be written.
    """
    if not 0 <= start < end < math.inf:
        raise ValueError(f"clip: expected finite seconds, 0 <= start < end, got {start:g} and {end:g}")
    request = identify(recording)
    if request.kind is MediaKind.AUDIO:
        path = target.with_name(f"{target.name}.wav")
        with replacing(path) as temporary:
            _write_wav(recording, temporary, start, end)
        return CutClip(path=path, is_copy=False)
    if request.kind is not MediaKind.VIDEO:
        raise MediaError(request.name, got=str(request.kind), expected="a video or an audio file to cut")
    path = target.with_name(f"{target.name}.mp4")
    with replacing(path) as temporary:
        key = keyframe_at(recording, start, end)
        is_copy = key is not None and _copy(recording, temporary, key, end)
        if not is_copy:
            _encode(recording, temporary, start, end)
    return CutClip(path=path, is_copy=is_copy)


def keyframe_at(recording: Path, start: float, end: float) -> Fraction | None:
    """Return the seconds of the keyframe at `start` if packets can be cut there and at `end`, else None.

    The cuts may be up to half a frame from `start` and `end`.

    Raises:
        MediaError: the recording cannot be read, or is not a video.
    """
    with open_source(recording) as file:
        if is_animated_webp(file):  # Pillow reads it, not FFmpeg
            return None
    with open_source(recording) as file, _opened(file, recording) as (container, video):
        zero, half = _zero_and_half(video)
        begin, stop, last = None, None, Fraction(0)
        for packet in demux(container, video):
            if packet.pts is None:
                continue
            seconds = packet.pts * (fraction_of(packet.time_base) or Fraction(0)) - zero
            if stop is not None and seconds < end - half:
                return None  # a frame of the clip is decoded after the keyframe at its end
            if begin is not None and seconds < start - half:
                return None  # a frame before the clip is decoded after the keyframe at its start
            if packet.is_keyframe and abs(seconds - start) < half:
                begin = seconds
            if packet.is_keyframe and abs(seconds - end) < half:
                stop = seconds
            last = max(last, seconds)
        return begin if stop is not None or end >= last + half else None


def _opened(file: BinaryIO, recording: Path) -> AbstractContextManager[tuple[Any, Any]]:
    """Open a video's container and the video stream that `open_video` reads."""
    return opened_video(file, name_of(recording), DEFAULT_LIMITS)


def _zero_and_half(video: Any) -> tuple[Fraction, float]:
    """Return the time of a stream's first frame, and half a frame, in seconds."""
    zero = (video.start_time or 0) * (fraction_of(video.time_base) or Fraction(0))
    return zero, float(1 / (fraction_of(video.average_rate) or FALLBACK_RATE)) / 2


def _copy(recording: Path, target: Path, start: Fraction, end: float) -> bool:
    """Write the packets from a keyframe at `start` to `end` as MP4, with times from 0.

    Returns False if this is impossible, for example because MP4 does not support a codec.
    """
    with open_source(recording) as file, _opened(file, recording) as (container, video):
        sources = [video, *container.streams.audio[:1]]
        zero, half = _zero_and_half(video)
        try:
            with av.open(str(target), "w", format="mp4") as output:
                copies = {source.index: output.add_stream_from_template(source) for source in sources}
                for packet in demux(container, *sources):
                    time_base = fraction_of(packet.time_base)
                    if packet.pts is None or packet.dts is None or time_base is None:
                        continue
                    seconds = packet.pts * time_base - zero
                    if not start <= seconds < end - half:
                        continue
                    shift = round((start + zero) / time_base)
                    copied = copies[packet.stream.index]
                    packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, copied
                    output.mux(packet)
        except (av.FFmpegError, ValueError):
            return False
    return True


def _encode(recording: Path, target: Path, start: float, end: float) -> None:
    """Decode and re-encode the clip's frames and audio, with a few seconds in memory at a time."""
    with ExitStack() as resources:
        video = resources.enter_context(open_video(recording))
        audio = resources.enter_context(open_audio(recording)) if video.info.has_audio else None
        delay = 0.0 if audio is None else audio_delay(recording)
        audio_end = 0.0 if audio is None else audio.samples / audio.rate + delay
        if start >= (seconds := max(float(video.clock.duration), audio_end)):
            raise _nothing_to_cut(start, end, seconds)
        ticks, tick = video.clock.ticks, video.clock.tick
        first = max(bisect_right(ticks, _exact(start) / tick) - 1, 0)  # the frame that is shown at `start`
        last = max(bisect_left(ticks, _exact(end) / tick), first + 1)
        output = resources.enter_context(av.open(str(target), "w", format="mp4"))
        rate = Fraction(video.info.fps).limit_denominator(MAX_RATE_DENOMINATOR)
        stream = output.add_stream("libx264", rate=rate, options=X264_OPTIONS)
        encoded_audio: Iterator[tuple[float, Any]] = iter(())
        if audio is not None:
            encoded_audio = _encoded_audio(output, audio, start - delay, end - delay)
        for index, pixels in video.decode(range(first, last), square_pixels=True):
            if index == first:
                stream.height, stream.width = (side // 2 * 2 for side in pixels.shape[:2])  # for 4:2:0
                stream.pix_fmt, stream.codec_context.time_base = "yuv420p", Fraction(1, VIDEO_CLOCK)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame = frame.reformat(stream.width, stream.height, format="yuv420p")
            frame.pts = max(round((ticks[index] * tick - _exact(start)) * VIDEO_CLOCK), index - first)
            frame.time_base = Fraction(1, VIDEO_CLOCK)
            output.mux(stream.encode(frame))
            for seconds, packets in encoded_audio:
                output.mux(packets)
                if seconds > frame.pts / VIDEO_CLOCK:
                    break
        output.mux(stream.encode(None))
        for _, packets in encoded_audio:
            output.mux(packets)


def _exact(seconds: float) -> Fraction:
    """Return seconds as the nearest simple fraction: 3.2 becomes 16/5.

    The float 3.2 is slightly more, so a search from it would miss the frame at 3.2 s.
    """
    return Fraction(seconds).limit_denominator(MICROSECONDS)


def _encoded_audio(
    output: Any, audio: AudioRecording, start: float, end: float
) -> Iterator[tuple[float, list[Any]]]:
    """Add an AAC stream; yield the time up to which the clip's audio is encoded, and new packets.

    Audio of more than two channels is averaged to mono.
    """
    is_stereo = audio.channels == 2
    layout = "stereo" if is_stereo else "mono"
    rate = audio.rate if audio.rate in AAC_RATES else AAC_RATES[-1]
    stream = output.add_stream("aac", rate=rate, layout=layout)

    def packets() -> Iterator[tuple[float, list[Any]]]:
        for first, block in _blocks(audio, start, end):
            waveform = block if is_stereo else block.mean(axis=0, keepdims=True)
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(waveform), format="fltp", layout=layout)
            frame.sample_rate, frame.pts = audio.rate, first - round(start * audio.rate)
            frame.time_base = Fraction(1, audio.rate)
            yield (frame.pts + block.shape[1]) / audio.rate, stream.encode(frame)
        yield end - start, stream.encode(None)

    return packets()


def _write_wav(recording: Path, target: Path, start: float, end: float) -> None:
    with open_audio(recording) as audio:
        if round(start * audio.rate) >= min(round(end * audio.rate), audio.samples):
            raise _nothing_to_cut(start, end, audio.samples / audio.rate)
        with soundfile.SoundFile(
            target, "w", samplerate=audio.rate, channels=audio.channels, format="WAV", subtype="PCM_16"
        ) as file:
            for _, block in _blocks(audio, start, end):
                file.write(block.T)  # (channels, n) -> (n, channels)


def _nothing_to_cut(start: float, end: float, seconds: float) -> ValueError:
    return ValueError(f"clip: expected a part of the recording's {seconds:g} s, got {start:g} to {end:g} s")


def _blocks(audio: AudioRecording, start: float, end: float) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the audio from `start` to `end` in blocks (channels, n), each with its first sample's number."""
    first, last = (round(seconds * audio.rate) for seconds in (max(start, 0.0), end))
    last = min(last, audio.samples)
    size = AUDIO_BLOCK_SECONDS * audio.rate
    for begin in range(first, last, size):
        yield begin, audio.read(begin, min(begin + size, last)).numpy()
