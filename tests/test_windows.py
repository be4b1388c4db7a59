"""Windows: they cover a recording, equal its transform's clips, and never need all of it in memory."""

import gc
import math
import weakref
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from imagebind.embedder import Embedder
from imagebind.errors import MediaError
from imagebind.intake.requests import prepare
from imagebind.media.video_file import open_video
from imagebind.modality import MediaKind, ModalityType
from imagebind.transforms.audio import AudioTransform
from imagebind.transforms.imu import ImuTransform, load_imu
from imagebind.transforms.video import VideoTransform
from imagebind.windows import (
    MIN_REST_HOPS,
    STRETCH_VIEWS,
    Stretch,
    StretchTransform,
    WindowPlanner,
    clips_of,
    window_spans,
)
from tests.media.filmed import needs_ffmpeg, record
from tests.reference import filled_model, small_config
from tests.search.recorded import write_recording

RECORDING_SECONDS = 23
TRANSFORMS = {
    MediaKind.VIDEO: VideoTransform(clips=2, size=28),
    MediaKind.AUDIO: AudioTransform(clips=2),
    MediaKind.IMU: ImuTransform(window_seconds=2.0, accel_unit="m/s2"),
}


@pytest.fixture(scope="module")
def embedder(small_model):
    return Embedder(small_model, transforms=TRANSFORMS)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    return write_recording(tmp_path_factory.mktemp("recording") / "recording.mp4", RECORDING_SECONDS)


@pytest.fixture(scope="module")
def imu_table(tmp_path_factory):
    """Return an IMU table of 18 s."""
    path = tmp_path_factory.mktemp("imu") / "walk.csv"
    seconds = np.arange(0, 18, 0.01)
    rows = np.stack([seconds, *(np.sin(seconds * (n + 1)) for n in range(6))], axis=1)
    header = "timestamp,accl_x,accl_y,accl_z,gyro_x,gyro_y,gyro_z"
    np.savetxt(path, rows, delimiter=",", header=header, comments="")
    return path


def make_planner(embedder, window=6, hop=3) -> WindowPlanner:
    return WindowPlanner(embedder, window_seconds=window, hop_seconds=hop)


def views_of(planner: WindowPlanner, requests) -> torch.Tensor:
    return torch.cat(
        [prepare(request, planner.embedder.transform(request.kind)).views for request in requests]
    )


def spans_of(requests) -> list[tuple[float, float]]:
    return [(float(start), float(end)) for request in requests for start, end in request.payload.windows]


def test_windows_equal_those_computed_by_hand():
    def spans(seconds):
        found = window_spans(Fraction(str(seconds)), window=Fraction(10), hop=Fraction(5))
        return [(float(start), float(end)) for start, end in found]

    assert spans(4) == [(0, 4)]
    assert spans(10) == [(0, 10)]
    assert spans("10.5") == [(0, 10.5)]  # a tenth of a hop longer
    assert spans(12) == [(0, 10), (2, 12)]
    assert spans(20) == [(0, 10), (5, 15), (10, 20)]
    assert spans("20.25") == [(0, 10), (5, 15), (10, 20.25)]
    assert spans(21) == [(0, 10), (5, 15), (10, 20), (11, 21)]


@given(
    seconds=st.fractions(min_value="1/100", max_value=500),
    window=st.fractions(min_value=1, max_value=60),
    overlap=st.fractions(min_value=0, max_value="9/10"),
)
def test_windows_cover_the_recording_and_end_with_it(seconds, window, overlap):
    hop = window * (1 - overlap)
    spans = window_spans(seconds, window=window, hop=hop)
    assert spans[0][0] == 0 and spans[-1][1] == seconds
    assert all(0 < later[0] - start <= hop and later[0] <= end for (start, end), later in pairwise(spans))
    assert all(end - start <= window + MIN_REST_HOPS * hop for start, end in spans)
    assert len(spans) == 1 or all(end - start >= window for start, end in spans)


def test_clips_cover_a_window_even_if_the_transform_takes_few():
    clips = clips_of(AudioTransform(clips=1), (Fraction(5), Fraction(15)))
    assert clips == [(start, start + 2) for start in range(5, 15, 2)]
    assert len(clips_of(VideoTransform(), (Fraction(0), Fraction(10)))) == 5


@pytest.mark.parametrize("kind", [MediaKind.VIDEO, MediaKind.AUDIO])
def test_a_short_recording_is_embedded_as_by_encode_with_its_whole_span(embedder, recording, kind):
    (request,) = [
        r for r in make_planner(embedder, 30, 30).requests(recording, MediaKind.VIDEO, {}) if r.kind is kind
    ]
    planner = make_planner(embedder, 30, 30).embedder
    (result,) = planner.encode_stream([request], clips=True)
    np.testing.assert_allclose(result.vector, embedder.encode({kind.value: recording}), atol=1e-5)
    np.testing.assert_allclose(result.clips[0], result.vector, atol=1e-6)
    assert result.spans == ((0, pytest.approx(RECORDING_SECONDS, abs=0.1)),)


def test_windows_of_a_video_are_the_clips_of_its_transform_followed_by_its_audio(embedder, recording):
    planner = make_planner(embedder)
    requests = list(planner.requests(recording, MediaKind.VIDEO, {}))
    for kind in (MediaKind.VIDEO, MediaKind.AUDIO):
        own = [request for request in requests if request.kind is kind]
        spans = spans_of(own)
        assert [start for start, _ in spans[:6]] == [0, 3, 6, 9, 12, 15] and spans[-1][1] == pytest.approx(
            23, abs=0.1
        )
        clips = [c for r in own for window in r.payload.windows for c in clips_of(TRANSFORMS[kind], window)]
        expected, _ = TRANSFORMS[kind].with_spans(recording, clips)
        torch.testing.assert_close(views_of(planner, own), expected, rtol=0, atol=0)
    kinds = [request.kind for request in requests]
    assert kinds == sorted(kinds, reverse=True)  # video before audio
    assert kinds.count(MediaKind.VIDEO) > 1  # in several stretches


def test_each_window_has_a_vector_of_its_own(embedder, recording):
    planner = make_planner(embedder)
    requests = list(planner.requests(recording, MediaKind.VIDEO, {}))
    results = list(planner.embedder.encode_stream(requests, clips=True))
    first = results[0]
    start, end = first.spans[1]
    views, _ = TRANSFORMS[MediaKind.VIDEO].with_spans(
        recording, clips_of(TRANSFORMS[MediaKind.VIDEO], (start, end))
    )
    mean = embedder.forward(ModalityType.VISION, views).mean(dim=0)
    np.testing.assert_allclose(first.clips[1], mean / mean.norm(), atol=1e-5)
    assert len({vector.tobytes() for result in results for vector in result.clips}) == len(spans_of(requests))


@pytest.mark.parametrize("form", ["wav", "m4a"])
def test_long_audio_read_in_stretches_equals_audio_read_at_once(embedder, tmp_path, form):
    path = tmp_path / f"long.{form}"
    if form == "wav":
        tone = np.sin(np.arange(40 * 22_050) ** 1.2 / 900).astype(np.float32)
        soundfile.write(path, 0.5 * tone, 22_050)
    else:
        write_recording(path, 40, video=False)
    planner = make_planner(embedder, 2, 1)
    requests = list(planner.requests(path, MediaKind.AUDIO, {}))
    assert len(requests) > 1
    clips = [
        c for r in requests for window in r.payload.windows for c in clips_of(AudioTransform(clips=2), window)
    ]
    expected, _ = AudioTransform(clips=2).with_spans(path, clips)
    torch.testing.assert_close(views_of(planner, requests), expected, rtol=0, atol=1e-5)


def test_no_stretch_has_more_views_than_the_limit(embedder, recording):
    for request in make_planner(embedder, 4, 1).requests(recording, MediaKind.VIDEO, {}):
        views = prepare(request, make_planner(embedder).embedder.transform(request.kind)).views
        assert len(views) <= STRETCH_VIEWS


def test_stretches_of_audio_may_be_read_in_many_threads(embedder, recording):
    planner = make_planner(embedder, 2, 0.1)
    requests = [r for r in planner.requests(recording, MediaKind.VIDEO, {}) if r.kind is MediaKind.AUDIO]
    assert len(requests) > 6
    results = list(
        Embedder(
            planner.embedder.model, transforms=planner.embedder._transforms, num_workers=6
        ).encode_stream(requests)
    )
    assert [result.error for result in results] == [None] * len(requests)


def test_windows_of_imu_are_the_clips_of_its_transform(embedder, imu_table):
    planner = make_planner(embedder)
    requests = list(planner.requests(imu_table, MediaKind.IMU, {}))
    assert spans_of(requests) == [(0, 6), (3, 9), (6, 12), (9, 15), (12, 18)]
    clips = [
        c
        for r in requests
        for window in r.payload.windows
        for c in clips_of(TRANSFORMS[MediaKind.IMU], window)
    ]
    expected, _ = TRANSFORMS[MediaKind.IMU].with_spans(imu_table, clips)
    torch.testing.assert_close(views_of(planner, requests), expected)


def test_a_long_imu_recording_is_in_memory_only_while_it_is_embedded(embedder, imu_table, monkeypatch):
    loads = []

    def counted(*arguments, **options):
        loads.append(load_imu(*arguments, **options))
        return loads[-1]

    monkeypatch.setattr("imagebind.windows.load_imu", counted)
    monkeypatch.setattr("imagebind.windows.STRETCH_VIEWS", 2)
    planner = make_planner(embedder)
    requests = list(planner.requests(imu_table, MediaKind.IMU, {}))
    assert len(requests) > 2 and len(loads) == 1
    held = [weakref.ref(loads.pop())]
    gc.collect()
    assert held[0]() is None  # the samples are freed after planning
    views_of(planner, requests)
    assert len(loads) == 1  # once for all its stretches
    held = weakref.ref(loads.pop())
    gc.collect()
    assert held() is None and requests


def test_options_reach_the_transform(embedder, recording, imu_table):
    planner = make_planner(embedder)
    (request, *_) = planner.requests(recording, MediaKind.VIDEO, {"crops": 1, "clips": 4})
    assert len(views_of(planner, [request])) == 4 * len(request.payload.windows)
    (request, *_) = planner.requests(imu_table, MediaKind.IMU, {"accel_unit": "g"})
    (plain, *_) = planner.requests(imu_table, MediaKind.IMU, {})
    ratio = views_of(planner, [request])[:, :3] / views_of(planner, [plain])[:, :3]
    assert ratio.nanmedian() == pytest.approx(9.80665, rel=1e-4)


@needs_ffmpeg
@pytest.mark.parametrize("square_pixels", [False, True])
def test_a_clip_may_have_frames_of_several_sizes_and_pixels_that_are_not_square(square_pixels, tmp_path):
    path = tmp_path / "joined.ts"
    sizes = ["160x120", "240x160"]
    parts = [
        record(tmp_path / f"{size}.ts", "-c:v libx264 -pix_fmt yuv420p -vf setsar=2", seconds=1, size=size)
        for size in sizes
    ]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    base = VideoTransform(clips=2, square_pixels=square_pixels)
    with open_video(path) as video:
        stretch = Stretch(path=path, windows=[(Fraction(0), Fraction(2))], whole=True, opened=video)
    assert torch.equal(StretchTransform(base=base)(stretch), base(path))


def test_media_without_time_is_one_request(embedder, image_file):
    (request,) = make_planner(embedder).requests(image_file, MediaKind.IMAGE, {"exif": False})
    assert (request.kind, request.payload, request.options) == (MediaKind.IMAGE, image_file, {"exif": False})


def test_audio_needs_an_audio_stream_and_an_audio_trunk(embedder, tmp_path, recording):
    silent = write_recording(tmp_path / "silent.mp4", 3, audio=False)
    assert [r.kind for r in make_planner(embedder).requests(silent, MediaKind.VIDEO, {})] == [MediaKind.VIDEO]
    vision_only = Embedder(
        filled_model(small_config(), modalities=[ModalityType.VISION]), transforms=TRANSFORMS
    )
    assert {r.kind for r in make_planner(vision_only).requests(recording, MediaKind.VIDEO, {})} == {
        MediaKind.VIDEO
    }


def test_a_window_is_no_shorter_than_a_clip(embedder, imu_table):
    requests = list(make_planner(embedder, 0.5, 0.5).requests(imu_table, MediaKind.IMU, {}))
    assert spans_of(requests)[0] == (0, 2)


def test_a_custom_transform_is_unchanged(small_model, recording):
    class CustomTransform:
        def __call__(self, item):
            return torch.zeros(3, 32, 32)

    custom = Embedder(small_model, transforms={MediaKind.VIDEO: CustomTransform()})
    request = next(make_planner(custom).requests(recording, MediaKind.VIDEO, {}))
    assert request.payload == recording and isinstance(
        make_planner(custom).embedder.transform(MediaKind.VIDEO), CustomTransform
    )


@pytest.mark.parametrize("window, hop", [(9, 0), (9, 0.001), (9, 10), (0, 0), (math.inf, 5), (math.nan, 5)])
def test_windows_with_gaps_or_no_length_are_refused(embedder, window, hop):
    with pytest.raises(ValueError, match=r"0\.04 <= hop <= window"):
        make_planner(embedder, window, hop)


def test_the_lengths_of_windows_may_be_numbers_of_numpy(embedder, imu_table):
    planner = make_planner(embedder, np.float32(6), np.float32(3))
    assert spans_of(planner.requests(imu_table, MediaKind.IMU, {}))[:2] == [(0, 6), (3, 9)]


def test_a_damaged_recording_is_named(embedder, tmp_path, recording):
    (tmp_path / "cut.mp4").write_bytes(recording.read_bytes()[:1000])
    with pytest.raises(MediaError, match=r"cut\.mp4"):
        list(make_planner(embedder).requests(tmp_path / "cut.mp4", MediaKind.VIDEO, {}))


# Headers that state centuries


def long_requests(planner, path, kind, seconds, opened=None):
    requests = planner._stretches(path, kind, {}, Fraction(seconds), opened)
    return sum(1 for _ in requests)


@pytest.mark.parametrize("kind", TRANSFORMS)
def test_a_recording_that_states_centuries_is_refused_by_name(embedder, tmp_path, kind):
    planner = WindowPlanner(embedder, window_seconds=4.0, hop_seconds=2.0)
    with pytest.raises(MediaError, match=r"old\.bin: .* s.*max_seconds"):
        long_requests(planner, tmp_path / "old.bin", kind, 10**10)


def test_a_long_video_needs_a_frame_in_each_window(embedder, recording):
    planner = WindowPlanner(embedder, window_seconds=4.0, hop_seconds=2.0)
    with open_video(recording) as opened:
        frames = opened.info.frames
        day = replace(opened, info=replace(opened.info, frames=24 * 3600))
        assert long_requests(planner, recording, MediaKind.VIDEO, 24 * 3600, day) > 1000
        with pytest.raises(MediaError, match=f"a frame in each 2 s, got .* of {frames} frames"):
            long_requests(planner, recording, MediaKind.VIDEO, 24 * 3600, opened)
