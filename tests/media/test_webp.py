"""Animated images as videos: WebP by Pillow, GIF, APNG and AVIF by FFmpeg."""

import io

import numpy as np
import pytest
from PIL import Image

from imagebind.errors import MediaError, collect_warnings
from imagebind.intake.requests import identify
from imagebind.io.source import Limits
from imagebind.media.detect import detect
from imagebind.media.video_file import open_video
from imagebind.modality import MediaKind
from imagebind.transforms.video import VideoTransform

GRAY_LEVELS = [10, 60, 110, 160, 210, 250]
DURATIONS = [100, 200, 300, 100, 100, 200]  # milliseconds
FORMATS = ["WEBP", "GIF", "PNG", "AVIF"]


def animation(
    form: str = "WEBP", *, durations=DURATIONS, levels=GRAY_LEVELS, size=(80, 60), **options
) -> bytes:
    frames = [Image.new("RGB", size, (level, level, level)) for level in levels]
    buffer = io.BytesIO()
    frames[0].save(buffer, form, save_all=True, append_images=frames[1:], duration=durations, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("form", FORMATS)
def test_an_animated_image_is_a_video_with_its_own_times(form):
    with open_video(animation(form)) as video, collect_warnings() as warnings:
        assert video.info.frames == 6
        assert video.info.duration == pytest.approx(1.0, abs=0.001)
        starts = [float(tick * video.clock.tick) for tick in video.clock.ticks]
        assert starts == pytest.approx([0, 0.1, 0.3, 0.6, 0.7, 0.8], abs=0.001)
        for indices in (range(6), [0, 5], [3]):
            frames = dict(video.decode(indices))
            assert list(frames) == list(indices)
            for index, frame in frames.items():
                assert frame.shape == (60, 80, 3)
                assert abs(float(frame.mean()) - GRAY_LEVELS[index]) < 4
    assert warnings == []


@pytest.mark.parametrize("form", FORMATS)
def test_an_animated_image_is_an_image_unless_declared_a_video(form, tmp_path):
    path = tmp_path / f"animated.{form.lower()}"
    path.write_bytes(animation(form))
    assert detect(path) is identify({"vision": path}).kind is MediaKind.IMAGE
    request = identify({"video": path})
    assert request.kind is MediaKind.VIDEO
    assert VideoTransform(clips=2)(path).shape == (6, 3, 2, 224, 224)


def test_frames_of_webp_that_change_only_a_part_are_composed():
    frames = []
    for step in range(4):
        frame = Image.new("RGB", (64, 64), (0, 0, 200))
        frame.paste((200, 0, 0), (16 * step, 16, 16 * step + 16, 32))
        frames.append(frame)
    buffer = io.BytesIO()
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:], duration=40, lossless=True)
    with open_video(buffer.getvalue()) as video:
        for index, frame in video.decode(range(4)):
            assert (frame == np.array(frames[index])).all()


def test_frames_of_webp_without_a_duration_are_shown_for_a_tenth_of_a_second():
    with open_video(animation(durations=0)) as video:
        assert video.info.duration == pytest.approx(0.6)


def test_a_still_webp_is_a_video_of_one_frame():
    buffer = io.BytesIO()
    Image.new("RGB", (80, 60), "red").save(buffer, "WEBP")
    assert VideoTransform(clips=1)(buffer.getvalue()).shape == (3, 3, 2, 224, 224)


@pytest.mark.parametrize("lossless", [False, True])
def test_a_webp_cut_short_gives_its_complete_frames_and_a_warning(lossless):
    noise = np.random.default_rng(0).integers(0, 256, (6, 60, 80, 3), np.uint8)
    frames = [Image.fromarray(frame) for frame in noise]
    buffer = io.BytesIO()
    options = {"save_all": True, "append_images": frames[1:], "duration": 100, "lossless": lossless}
    frames[0].save(buffer, "WEBP", **options)
    whole = buffer.getvalue()
    with open_video(whole) as video:
        expected = dict(video.decode(range(6)))
    for share, complete in ((0.3, 1), (0.6, 3), (0.9, 5), (0.9999, 5)):
        with collect_warnings() as warnings, open_video(whole[: int(len(whole) * share)]) as video:
            (warning,) = warnings
            assert warning.endswith(f"cut short: only its first {complete} frames are complete")
            assert video.info.frames == complete and video.info.duration == pytest.approx(0.1 * complete)
            for index, frame in video.decode(range(complete)):
                assert (frame == expected[index]).all()


def test_a_webp_cut_before_its_first_frame_is_an_error():
    with pytest.raises(MediaError, match="damaged WebP"), open_video(animation()[:60]):
        pass


def test_max_pixels_applies_to_webp():
    with (
        pytest.raises(MediaError, match=r"max_pixels.*80 x 60 = 4,800 pixels"),
        open_video(animation(), limits=Limits(max_pixels=4799)),
    ):
        pass


@pytest.mark.parametrize("seed", range(20))
def test_damaged_webp_gives_frames_or_a_media_error(seed):
    rng = np.random.default_rng(seed)
    damaged = bytearray(animation())
    for position in rng.integers(20, len(damaged), 4):
        damaged[position] = rng.integers(0, 256)
    try:
        with open_video(bytes(damaged)) as video:
            for _, frame in video.decode(range(video.info.frames)):
                assert frame.dtype == np.uint8 and frame.shape[-1] == 3
    except MediaError:
        pass


@pytest.mark.parametrize("form", FORMATS)
def test_an_animated_image_that_ends_within_its_header_raises_an_error_with_its_name(form):
    for size in range(1, 32):
        with pytest.raises(MediaError, match=f"<{size} bytes>"):
            VideoTransform()(animation(form)[:size])
