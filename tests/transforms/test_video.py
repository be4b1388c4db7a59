"""Video transform: parity with the released loader, known answers, and errors."""

import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from imagebind.errors import MediaError
from imagebind.io.source import Limits
from imagebind.media.video_file import open_video
from imagebind.transforms.image import IMAGE_MEAN, IMAGE_STD
from imagebind.transforms.video import VideoTransform, spatial_crops
from tests.media.filmed import GRAY_STEP, make_video, needs_ffmpeg, record

DATA = Path(__file__).parents[1] / "data" / "preprocessing"
EXPECTED = np.load(DATA / "video_expected_every16th.npz")
TALL = DATA / "tall_240x320_30fps_4s.mp4"
LEVELS = VideoTransform(size=8, crops=1, mean=(0, 0, 0), std=(1, 1, 1))  # values stay in [0, 1]


def counted(frames: int, height: int = 12, width: int = 16) -> np.ndarray:
    """Return frames (t, h, w, 3); all values of frame i are i."""
    return np.broadcast_to(np.arange(frames, dtype=np.uint8)[:, None, None, None], (frames, height, width, 3))


def frame_numbers(views: torch.Tensor, step: int = 1) -> list[list[int]]:
    """Return the indices of the frames in each view."""
    return (views.mean(dim=(1, 3, 4)) * 255 / step).round().int().tolist()


@pytest.mark.parametrize("name", EXPECTED.files)
def test_a_file_gives_the_tensor_of_the_released_loader(name):
    ours = VideoTransform()(DATA / name)
    assert ours.shape == (15, 3, 2, 224, 224) and ours.dtype == torch.float32
    difference = np.abs(ours[..., ::16, ::16].numpy() - EXPECTED[name])
    assert difference.max() < 0.03 and difference.mean() < 2e-3


def test_a_file_and_its_decoded_frames_give_the_same_tensor():
    transform = VideoTransform(size=32, clips=3)
    with open_video(TALL) as video:
        frames = np.stack([frame for _, frame in video.decode(range(120))])
    expected = transform(TALL)
    assert torch.equal(transform((frames, 30)), expected)
    assert torch.equal(transform((torch.tensor(frames), 30.0)), expected)
    with TALL.open("rb") as file:
        for source in (str(TALL), TALL.read_bytes(), file):
            assert torch.equal(transform(source), expected)


def test_clips_are_spread_evenly_and_frames_are_the_first_and_last_of_each():
    views, spans = LEVELS.with_spans((counted(100), 10))
    assert spans == [(0, 2), (2, 4), (4, 6), (6, 8), (8, 10)]
    assert frame_numbers(views) == [[0, 19], [20, 39], [40, 59], [60, 79], [80, 99]]


def test_a_video_file_gives_the_frames_of_its_clips():
    views, spans = LEVELS.with_spans(make_video(frames=75))
    assert spans == [(0, 2), (0.25, 2.25), (0.5, 2.5), (0.75, 2.75), (1, 3)]
    assert frame_numbers(views, GRAY_STEP) == [[0, 49], [7, 56], [13, 62], [19, 68], [25, 74]]


def test_given_spans_are_cut_in_their_order():
    views, spans = LEVELS.with_spans((counted(100), 10), spans=[(5, 6), (0, 10), (9.5, 12)])
    assert spans == [(5.0, 6.0), (0.0, 10.0), (9.5, 12.0)]
    assert frame_numbers(views) == [[50, 59], [0, 99], [95, 99]]


def test_more_than_two_frames_are_evenly_spaced():
    transform = VideoTransform(clips=1, frames=3, crops=1, size=8, mean=(0, 0, 0), std=(1, 1, 1))
    assert frame_numbers(transform((counted(21), 10))) == [[0, 9, 19]]


@pytest.mark.parametrize("frames", [1, 2, 7])
def test_a_video_shorter_than_a_clip_gives_the_same_clip_each_time(frames):
    for video in ((counted(frames), 25), make_video(frames=frames)):
        views = LEVELS(video)
        assert len(views) == 5
        assert all(torch.equal(view, views[0]) for view in views)
    assert frame_numbers(LEVELS((counted(frames), 25)))[0] == [0, frames - 1]


def test_the_crops_of_a_clip_follow_each_other_in_the_views():
    views = VideoTransform(clips=2, size=8)((counted(100), 10))
    assert views.shape == (6, 3, 2, 8, 8)
    assert torch.equal(views[0], views[2]) and not torch.equal(views[2], views[3])


@pytest.mark.parametrize("axis", [1, 2])
def test_crops_are_the_start_the_centre_rounded_up_and_the_end_of_the_longer_side(axis):
    shape = [3, 4, 4]
    shape[axis] = 9
    frame = torch.arange(9.0).view(1, *(9 if a == axis else 1 for a in (1, 2))).expand(shape)
    crops = spatial_crops(frame, size=4, crops=3)
    assert [crop[0, 0, 0].item() for crop in crops] == [0, 3, 5]
    assert torch.equal(spatial_crops(frame, size=4, crops=1)[0], crops[1])


def test_the_longer_side_is_rounded_down():
    """5 x 8 resized to short side 3: 8 * 3 / 5 = 4.8 is rounded to 4, so the last crop starts at 1."""
    ramp = torch.arange(8.0).expand(3, 5, 8)
    resized = torch.nn.functional.interpolate(ramp[None], size=(3, 4), mode="bilinear")[0]
    assert torch.equal(spatial_crops(ramp, size=3, crops=3)[2], resized[:, :, 1:])


def test_grayscale_frames_equal_their_rgb_copies():
    grayscale = np.random.default_rng(0).integers(0, 256, (10, 12, 20), np.uint8)
    rgb = np.repeat(grayscale[..., None], 3, axis=-1)
    assert torch.equal(VideoTransform(size=8)((grayscale, 25)), VideoTransform(size=8)((rgb, 25)))


def test_reversed_and_read_only_frames_are_accepted():
    assert frame_numbers(LEVELS((counted(100)[::-1], 10)))[0] == [99, 80]


def test_values_are_standardised_as_images_are():
    white = VideoTransform(size=4)((np.full((3, 6, 6, 3), 255, np.uint8), 25))
    expected = (1 - torch.tensor(IMAGE_MEAN)) / torch.tensor(IMAGE_STD)
    torch.testing.assert_close(white, expected.view(1, 3, 1, 1, 1).expand(15, 3, 2, 4, 4))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_a_clip_that_is_already_cut_gives_its_first_and_last_frame(dtype):
    clip = torch.tensor(counted(60)).permute(3, 0, 1, 2).to(dtype)  # (3, t, h, w), as in pytorchvideo
    views, spans = LEVELS.with_spans({"video": clip, "audio": None})
    assert frame_numbers(views) == [[0, 59]] and spans == [(0.0, 2.0)]
    assert VideoTransform(size=8)({"video": clip}).shape == (3, 3, 2, 8, 8)


def test_an_animated_gif_is_read_as_video():
    assert LEVELS(make_video(container="gif", codec="gif", frames=4)).shape == (5, 3, 2, 8, 8)


def test_inputs_are_not_modified():
    frames = counted(10).copy()
    clip = torch.full((3, 4, 6, 6), 99.0)
    VideoTransform(size=4)((frames, 25))
    VideoTransform(size=4)({"video": clip})
    assert (frames == counted(10)).all() and (clip == 99).all()


def test_the_transform_works_after_pickling_and_in_threads():
    transform = pickle.loads(pickle.dumps(VideoTransform(size=16)))
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(transform, [TALL] * 6))
    assert transform == VideoTransform(size=16)
    expected = VideoTransform(size=16)(TALL)
    assert all(torch.equal(result, expected) for result in results)


# ---- errors


@pytest.mark.parametrize(
    ("video", "message"),
    [
        (np.zeros((5, 8, 8, 3), np.uint8), r"expected a file, .*\(frames, .*, got ndarray"),
        ((np.zeros((5, 8, 8, 4), np.uint8), 25), r"shape \(5, 8, 8, 4\)"),
        ((np.zeros((0, 8, 8, 3), np.uint8), 25), r"shape \(0, 8, 8, 3\)"),
        ((np.zeros((5, 8, 8, 3), np.float32), 25), "expected uint8 frames, got type float32"),
        ((np.zeros((5, 8, 8, 3), np.uint8), 0), "a rate of 0"),
        ((np.zeros((5, 8, 8, 3), np.uint8), float("nan")), "a rate of nan"),
        ((np.zeros((5, 8, 8, 3), np.uint8), "25"), "a rate of '25'"),
        (([1, 2], 25), "list"),
        ({"frames": 1}, r"as 'video', got NoneType"),
        ({"video": torch.zeros(5, 8, 8, 3)}, r"shape \(5, 8, 8, 3\)"),
        ({"video": torch.zeros(3, 5, 8, 8, dtype=torch.int64)}, "type torch.int64"),
        (
            {"video": torch.full((3, 5, 8, 8), 300.0)},
            r"expected floats in \[0, 255\], got floats from 300 to 300",
        ),
        ({"video": torch.full((3, 5, 8, 8), float("nan"))}, "floats from nan"),
        (DATA / "mono_16k_1s.wav", "no video stream"),
        (b"junk", "expected a video file, got a file that cannot be opened as one"),
        (None, "got NoneType"),
    ],
)
def test_the_error_for_items_that_are_no_video_describes_them(video, message):
    with pytest.raises(MediaError, match=message):
        VideoTransform(size=8)(video)


def test_frames_that_would_be_too_large_after_resizing_are_refused():
    with pytest.raises(
        MediaError, match=r"pixels with a short side of 224, got 16,808,960 \(1 x 335 before resizing\)"
    ):
        VideoTransform()((np.zeros((2, 335, 1, 3), np.uint8), 25))
    assert VideoTransform(clips=1)((np.zeros((2, 1, 334, 3), np.uint8), 25)).shape == (3, 3, 2, 224, 224)
    with pytest.raises(MediaError, match="max_pixels"):
        VideoTransform(limits=Limits(max_pixels=1000))(make_video(frames=2))


@pytest.mark.parametrize(
    "options", [{"crops": 2}, {"clips": 0}, {"frames": 0}, {"size": 0}, {"clip_seconds": 0}]
)
def test_wrong_options_are_refused_by_the_constructor(options):
    with pytest.raises(ValueError, match="expected"):
        VideoTransform(**options)


def test_wrong_spans_are_refused():
    with pytest.raises(ValueError, match="end after the start"):
        LEVELS.with_spans((counted(10), 10), spans=[(1, 1)])
    with pytest.raises(ValueError, match="at least one"):
        LEVELS.with_spans((counted(10), 10), spans=[])
    with pytest.raises(ValueError, match="already cut"):
        LEVELS.with_spans({"video": torch.zeros(3, 5, 8, 8)}, spans=[(0, 1)])


FORK_SCRIPT = """
import gc, os, signal, sys
from imagebind.transforms.video import VideoTransform
gc.disable()
transform = VideoTransform(clips=2, crops=1)
for path in sys.argv[1:]:
    for _ in range(3):
        transform(path)
    child = os.fork()
    if not child:
        signal.alarm(10)  # ends a child that waits forever
        gc.collect()
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        sys.exit(f"{path}: its decoder cannot be freed in a forked process")
"""


@needs_ffmpeg
@pytest.mark.skipif(not hasattr(os, "fork"), reason="forking is POSIX")
def test_a_forked_process_can_free_the_decoders_of_its_parent(tmp_path):
    encoders = {
        "h264.mp4": "-c:v libx264 -x264-params slices=4",
        "hevc.mp4": "-c:v libx265 -x265-params log-level=none",
        "vp9.webm": "-c:v libvpx-vp9 -deadline realtime -row-mt 1",
        "mpeg4.avi": "-c:v mpeg4",
        "jpeg.mov": "-c:v mjpeg",
    }
    paths = [
        record(tmp_path / name, f"-pix_fmt yuv420p {encoder}", seconds=1, size="320x180")
        for name, encoder in encoders.items()
    ]
    subprocess.run([sys.executable, "-c", FORK_SCRIPT, *paths], check=True, timeout=120)
