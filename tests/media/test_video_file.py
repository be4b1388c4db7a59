"""Video files: the decoded frames, and the errors of damaged files."""

import errno
import io
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagebind.errors import MediaError, collect_warnings
from imagebind.io.source import Limits
from imagebind.media.video_file import Clock, open_video, probe_video
from imagebind.media.video_scan import Timeline
from imagebind.media.video_stream import StreamDecoder
from imagebind.media.video_stream import packets_of as stream_packets
from tests.media.filmed import (
    GRAY_STEP,
    make_video,
    merge_streams,
    needs_ffmpeg,
    packets_of,
    record,
    with_display_matrix,
)

DATA = Path(__file__).parents[1] / "data" / "preprocessing"
WIDE = DATA / "wide_320x240_25fps_6s.mp4"
CONTAINERS = [
    ("mp4", "libx264"),
    ("matroska", "libx264"),
    ("mpegts", "libx264"),  # seeks land too late
    ("mpeg", "mpeg2video"),  # seeks lose count of the time
    ("avi", "libx264"),  # stamps are decoding times, not presentation times
    ("h264", "libx264"),  # no stamps, no seeks
    ("avi", "mjpeg"),  # every frame a keyframe
    ("gif", "gif"),  # no seeks
]


def frames_at(source, indices, **limits) -> list[np.ndarray]:
    with open_video(source, limits=Limits(**limits)) as video:
        decoded = list(video.decode(indices))
    assert [index for index, _ in decoded] == indices
    return [frame for _, frame in decoded]


def frame_numbers(source, indices) -> list[int]:
    """Return the indices of the decoded frames, from their gray levels."""
    return [round(float(frame.mean()) / GRAY_STEP) for frame in frames_at(source, indices)]


# The clock


def test_a_two_second_span_at_25_frames_a_second_is_its_first_and_50th_frame():
    clock = Clock.steady(150, Fraction(25))
    assert clock.frames_in((0, 2), 2) == [0, 49]
    assert clock.frames_in((Fraction(1, 50), 2), 2) == [1, 49]
    assert clock.frames_in((5, 7), 2) == [125, 149]
    assert clock.frames_in((0, 2), 5) == [0, 12, 24, 36, 49]
    assert clock.frames_in((0, 2), 1) == [0]


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 500),
    st.fractions(1, 120, max_denominator=1001),
    st.fractions(0, 30),
    st.fractions(Fraction(1, 10), 5),
)
def test_at_a_constant_rate_a_span_gives_its_first_and_last_frame(frames, rate, start, length):
    first, last = Clock.steady(frames, rate).frames_in((start, start + length), 2)
    lowest = -(-rate * start // 1)  # ceiling
    highest = min(-(-rate * (start + length) // 1), frames) - 1
    if lowest <= highest:
        assert (first, last) == (lowest, highest)
    else:  # no frame starts in the span
        assert first == last == min(highest, frames - 1)


def test_a_span_in_which_no_frame_starts_gets_the_frame_shown_then():
    slides = Clock(ticks=[0, 5, 12], tick=Fraction(1), duration=Fraction(20))
    assert slides.frames_in((6, 8), 2) == [1, 1]
    assert slides.frames_in((30, 32), 2) == [2, 2]
    assert slides.frames_in((4, 13), 3) == [1, 1, 2]


# Reading


@pytest.mark.parametrize(("container", "codec"), CONTAINERS)
def test_every_container_gives_exactly_the_requested_frames(container, codec):
    video = make_video(container=container, codec=codec)
    with av.open(io.BytesIO(video), "r") as container:
        everything = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    indices = [0, 1, 13, 35, 36, 60, 73, 74]
    for index, frame in zip(indices, frames_at(video, indices), strict=True):
        assert (frame == everything[index]).all(), index
    info = probe_video(video)
    assert (info.duration, info.frames, info.fps) == (3.0, 75, 25.0)
    assert (info.width, info.height, info.has_audio) == (64, 48, False)


def test_only_frames_from_the_last_keyframe_on_are_decoded(monkeypatch):
    """Decoding can start at every twelfth frame: at frame 132 for frame 140."""
    decoded = []
    real = StreamDecoder.frames_from

    def counting(*arguments):
        for numbered in real(*arguments):
            decoded.append(numbered)
            yield numbered

    monkeypatch.setattr(StreamDecoder, "frames_from", counting)
    frames_at(WIDE, [140])
    assert len(decoded) == 140 - 132 + 1


def test_uneven_time_stamps_determine_the_frames_of_a_span():
    """Ten frames in the first second, then one a second: the two seconds from 3 begin with frame 12."""
    times = [i / 10 for i in range(10)] + [1, 2, 3, 4, 5]
    with open_video(make_video(container="matroska", times=times)) as video:
        assert video.clock.frames_in((3, 5), 2) == [12, 13]
        assert video.clock.frames_in((0, 1), 2) == [0, 9]
        assert 5 < video.info.duration <= 6.1


def test_stamps_rounded_to_milliseconds_count_as_a_constant_rate():
    with open_video(make_video(container="matroska", rate=30)) as video:
        assert video.clock == Clock.steady(75, Fraction(30))


def test_a_recording_that_starts_late_counts_from_its_first_frame():
    with open_video(make_video(container="matroska", times=[7 + i / 25 for i in range(50)])) as video:
        assert video.info.duration == 2.0
        assert video.clock.frames_in((0, 2), 2) == [0, 49]


@pytest.mark.parametrize(
    ("matrix", "quarters"), [((1, 0, 0, 1), 0), ((0, 1, -1, 0), -1), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1)]
)
def test_a_rotated_video_is_turned_upright(matrix, quarters):
    """A phone held upright writes (0, 1, -1, 0): x points down, so the frame is turned clockwise."""
    (stored,) = frames_at(WIDE, [3])
    (shown,) = frames_at(with_display_matrix(WIDE.read_bytes(), matrix=matrix), [3])
    assert (shown == np.rot90(stored, quarters)).all()


@pytest.mark.parametrize(("frames", "requested"), [(1, [0]), (2, [0, 1])])
def test_videos_of_one_and_two_frames_are_read(frames, requested):
    assert frame_numbers(make_video(frames=frames), requested) == requested


def test_a_file_object_is_left_open():
    with WIDE.open("rb") as file:
        assert probe_video(file) == probe_video(WIDE)
        assert not file.closed


def test_the_largest_default_video_stream_is_used(tmp_path):
    """As in the ffmpeg command."""
    small, large = make_video(frames=5), make_video(frames=5, size=(128, 96))
    for default, width in [((True, True), 128), ((True, False), 64), ((False, True), 128)]:
        assert probe_video(merge_streams(small, large, default=default)).width == width


def test_frames_are_numbered_as_decoded_if_only_decoding_gives_their_order():
    timeline = Timeline(index=None, order=None, stamps=range(2), clock=Clock.steady(2, Fraction(25)))
    assert list(timeline.with_indices([(3, "first"), (1, "second")])) == [(0, "first"), (1, "second")]


# Errors


def with_lost(numbers, *, frames: int = 75) -> bytes:
    """Return a video of which some frames cannot be decoded."""
    video = make_video(codec="mjpeg", container="avi", frames=frames)
    packets = packets_of(video)
    for number in numbers:
        video = video.replace(packets[number], bytes(len(packets[number])))
    return video


def test_a_damaged_frame_is_replaced_by_its_neighbour():
    assert frame_numbers(with_lost([40]), [39, 40, 41]) in ([39, 39, 41], [39, 41, 41])


def test_a_video_without_decodable_frames_raises_an_error_with_its_name(tmp_path):
    path = tmp_path / "lost.avi"
    path.write_bytes(with_lost(range(5), frames=5))
    with pytest.raises(MediaError, match=r"lost\.avi: .*no frame that can be decoded"):
        frames_at(path, [0])


@pytest.mark.parametrize("lost", [1, 3, 4])
def test_lost_frames_are_reported_with_their_share(lost):
    video = with_lost(range(40, 40 + 2 * lost, 2))
    requested = list(range(40, 48))
    with collect_warnings() as warnings:
        frames_at(video, requested)
    (warning,) = warnings
    assert warning.startswith(f"{lost} of the 8 requested frames ({lost / 8:.0%}) cannot be decoded")


def test_a_video_of_which_less_than_half_can_be_decoded_is_refused_with_the_share():
    video = with_lost(range(40, 45))
    with pytest.raises(
        MediaError, match=r"at least 50% of the 8 requested frames undamaged, got 5 or more that cannot"
    ):
        frames_at(video, list(range(40, 48)))
    with open_video(video) as opened:
        assert len(list(opened.decode(range(40, 48), min_share=0))) == 8
        assert len(list(opened.decode(range(20, 40)))) == 20  # in its undamaged part


def test_a_lost_frame_is_reported_even_if_iteration_stops_at_the_last_frame():
    with open_video(with_lost([40])) as video, collect_warnings() as warnings:
        decoded = video.decode([39, 40])
        next(decoded), next(decoded)
        assert len(warnings) == 1


@pytest.mark.parametrize(("container", "codec"), CONTAINERS)
def test_an_undamaged_video_gives_no_warning(container, codec):
    with collect_warnings() as warnings:
        frames_at(make_video(container=container, codec=codec), [0, 5, 70, 74])
    assert warnings == []


@needs_ffmpeg
def test_a_video_cut_short_gives_a_warning(tmp_path):
    path = record(tmp_path / "whole.mp4", "-c:v libx264 -pix_fmt yuv420p -movflags +faststart", seconds=3)
    whole = path.read_bytes()
    with collect_warnings() as warnings:
        info = probe_video(whole[: len(whole) * 6 // 10])
    assert 20 < info.frames < 70
    assert warnings == [f"the file is cut short: {75 - info.frames} of its 75 frames are missing"]


def test_a_video_cut_short_keeps_its_remaining_frames():
    video = make_video(container="mpegts")
    assert 20 < probe_video(video[: len(video) // 2]).frames < 60
    assert frame_numbers(video[: len(video) // 2], [10]) == [10]


class FailingContainer:
    """Yields two packets, then fails."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def demux(self, stream):
        yield from [SimpleNamespace(size=1), SimpleNamespace(size=1)]
        raise self.error


@pytest.mark.parametrize(
    "error",
    [
        av.error.InvalidDataError(1, ""),
        OSError(errno.EINVAL, "a negative offset"),
        ValueError("negative seek"),
    ],
)
def test_a_damaged_video_ends_at_a_seek_to_an_impossible_position(error):
    assert len(list(stream_packets(FailingContainer(error), None))) == 2


def test_a_disk_error_is_not_suppressed():
    with pytest.raises(OSError, match="broken"):
        list(stream_packets(FailingContainer(OSError(errno.EIO, "broken")), None))


def test_an_audio_file_is_not_a_video():
    with pytest.raises(MediaError, match=r"mono_16k_1s\.wav: expected a video file, got no video stream"):
        probe_video(DATA / "mono_16k_1s.wav")


def test_a_video_whose_decoder_cannot_start_is_refused():
    video = make_video(frames=3, container="avi", codec="ffvhuff")
    with av.open(io.BytesIO(video)) as container:
        code_tables = container.streams.video[0].codec_context.extradata[4:]
    with pytest.raises(MediaError, match="an undamaged video, got one that cannot be decoded"):
        frames_at(video.replace(code_tables, b"\xff" * len(code_tables)), [0, 1])


def test_a_playlist_cannot_open_other_files(tmp_path):
    (tmp_path / "secret.ts").write_bytes(make_video(container="mpegts", frames=5))
    for text in (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{tmp_path}/secret.ts\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile '{tmp_path}/secret.ts'\n",
    ):
        with pytest.raises(MediaError):
            probe_video(text.encode())


def test_limits_on_pixels_and_bytes_hold():
    video = make_video(frames=3)
    with pytest.raises(
        MediaError, match=r"expected at most 3,071 pixels \(max_pixels\), got .*64 x 48 = 3,072 pixels"
    ):
        probe_video(video, limits=Limits(max_pixels=3071))
    with pytest.raises(MediaError, match="max_bytes"):
        probe_video(video, limits=Limits(max_bytes=100))
    assert probe_video(video, limits=Limits(max_pixels=3072)).frames == 3


@pytest.mark.parametrize("item", [b"", b"not a video at all", bytes(10_000), "no/such/video.mp4"])
def test_an_input_that_is_not_a_video_raises_an_error(item):
    with pytest.raises(MediaError):
        probe_video(item)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_damage_gives_frames_or_a_media_error(data):
    whole = data.draw(st.sampled_from([VIDEOS[name] for name in sorted(VIDEOS)]))
    damaged = bytearray(whole[: data.draw(st.integers(1, len(whole)))])
    for position in data.draw(st.lists(st.integers(0, len(damaged) * 8 - 1), max_size=8)):
        damaged[position // 8] ^= 1 << position % 8
    try:
        with open_video(bytes(damaged)) as video:
            for _, frame in video.decode(sorted({0, video.info.frames // 2, video.info.frames - 1})):
                assert frame.dtype == np.uint8 and frame.shape[-1] == 3
    except MediaError as error:
        assert "bytes>" in error.item


VIDEOS = {
    container: make_video(container=container, codec=codec, frames=20) for container, codec in CONTAINERS
}
