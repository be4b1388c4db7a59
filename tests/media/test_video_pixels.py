"""Frames converted to RGB: colours of every matrix and range, display matrices, non-square pixels."""

import gc
import subprocess
from contextlib import closing
from fractions import Fraction

import av
import numpy as np
import pytest
from av.filter import Graph

from imagebind.errors import MediaError
from imagebind.io.source import Limits
from imagebind.media import video_pixels
from imagebind.media.video_file import open_video
from imagebind.media.video_pixels import RgbConverter
from imagebind.transforms.video import VideoTransform
from tests.media.filmed import ffmpeg, make_video, needs_ffmpeg, record, to_rgb, with_display_matrix

# H.273's number of each matrix, and the weights of red and blue in its luma.
MATRICES = {
    "BT.709": (1, 0.2126, 0.0722),
    "unspecified": (2, 0.299, 0.114),  # as BT.601
    "FCC": (4, 0.30, 0.11),
    "BT.601, 625 lines": (5, 0.299, 0.114),
    "BT.601, 525 lines": (6, 0.299, 0.114),
    "SMPTE 240M": (7, 0.212, 0.087),
    "BT.2020": (9, 0.2627, 0.0593),
    "BT.2020, constant luminance": (10, 0.2627, 0.0593),
    "reserved": (3, 0.299, 0.114),
}
COLOURS = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (128, 128, 128), (250, 250, 250), (5, 5, 5)]
LIMITED, FULL = 1, 2
PIXEL_FORMATS = ("yuv420p", "yuv422p", "yuv444p", "yuv420p10le")
FORMATS_AND_RANGES = [
    *((name, value) for name in PIXEL_FORMATS for value in (LIMITED, FULL)),
    ("yuvj420p", FULL),
]
IMAGE = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)


def one_colour(colour, *, matrix: str, color_range: int, pixel_format: str) -> av.VideoFrame:
    """Return a frame of one colour, computed from the definition of its colour matrix."""
    code, red_weight, blue_weight = MATRICES[matrix]
    red, green, blue = (value / 255 for value in colour)
    luma = red_weight * red + (1 - red_weight - blue_weight) * green + blue_weight * blue
    chroma = [(blue - luma) / (2 - 2 * blue_weight), (red - luma) / (2 - 2 * red_weight)]
    bits = 10 if "10" in pixel_format else 8
    if color_range == FULL:
        values = [luma * (2**bits - 1), *(2 ** (bits - 1) + part * (2**bits - 1) for part in chroma)]
    else:
        scale = 2 ** (bits - 8)
        values = [scale * (16 + 219 * luma), *(scale * (128 + 224 * part) for part in chroma)]
    frame = av.VideoFrame(64, 48, pixel_format)
    for plane, value in zip(frame.planes, values, strict=True):
        stored = np.dtype("<u2" if bits > 8 else "u1")
        plane.update(np.full(plane.buffer_size // stored.itemsize, round(value), stored).tobytes())
    frame.colorspace, frame.color_range = code, color_range
    return frame


@pytest.mark.parametrize(("pixel_format", "color_range"), FORMATS_AND_RANGES)
@pytest.mark.parametrize("matrix", MATRICES)
def test_colours_follow_from_the_matrix_and_range_of_the_frame(matrix, color_range, pixel_format):
    for colour in COLOURS:
        frame = one_colour(colour, matrix=matrix, color_range=color_range, pixel_format=pixel_format)
        assert np.abs(to_rgb(frame).astype(int) - colour).max() <= 3, colour


@pytest.mark.parametrize("pixel_format", ["rgb24", "gbrp", "bgra", "gray", "rgb48le"])
@pytest.mark.parametrize("color_range", [0, FULL])
def test_frames_without_a_matrix_keep_their_colours(pixel_format, color_range):
    pixels = np.random.default_rng(3).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    if pixel_format == "gray":
        pixels[:] = pixels[..., :1]
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=pixel_format)
    frame.color_range = color_range
    assert np.abs(to_rgb(frame).astype(int) - pixels).max() <= (20 if pixel_format == "gray" else 1)


EIGHT_BITS = ["yuv420p", "yuvj420p", "yuv422p", "yuv444p", "yuv411p", "yuv440p", "nv12", "gray", "gbrp"]
MORE_BITS = ["yuv420p10le", "yuv420p12le", "yuv422p10le", "yuv444p10le", "gray10le", "rgb48le"]


@needs_ffmpeg
@pytest.mark.parametrize("size", ["162x122", "161x121"])
@pytest.mark.parametrize("pixel_format", EIGHT_BITS + MORE_BITS)
def test_every_pixel_equals_that_of_ffmpeg(pixel_format, size, tmp_path):
    path = tmp_path / "raw.nut"
    source = ("-f", "lavfi", "-i", "testsrc2=s=200x200:r=10:d=0.2")
    crop = ("-vf", f"crop={size.replace('x', ':')}:0:0:exact=1")
    ffmpeg(*source, *crop, "-pix_fmt", pixel_format, "-c:v", "rawvideo", path)
    assert_every_frame_equals_that_of_ffmpeg(path)


@needs_ffmpeg
def test_every_pixel_of_interlaced_video_equals_that_of_ffmpeg(tmp_path):
    path = record(tmp_path / "interlaced.mp4", "-c:v libx264 -flags +ildct+ilme", seconds=0.4)
    assert_every_frame_equals_that_of_ffmpeg(path)


def assert_every_frame_equals_that_of_ffmpeg(path):
    command = ["ffmpeg", "-loglevel", "error", "-i", path, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    pixels = np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.uint8)
    with av.open(str(path)) as container:
        frames = np.stack([to_rgb(frame) for frame in container.decode(video=0)])
    assert np.array_equal(frames.ravel(), pixels)


def test_reserved_transfer_and_primaries_tags_do_not_change_colours():
    frame = one_colour((200, 30, 30), matrix="BT.709", color_range=LIMITED, pixel_format="yuv420p")
    expected = to_rgb(frame)
    frame.color_trc = frame.color_primaries = 0
    assert (to_rgb(frame) == expected).all()


def test_a_filter_graph_does_not_stay_in_memory_until_the_next_garbage_collection():
    gc.disable()
    try:
        before = sum(type(held) is Graph for held in gc.get_objects())
        to_rgb(av.VideoFrame(64, 48, "yuv420p"))
        assert sum(type(held) is Graph for held in gc.get_objects()) == before
    finally:
        gc.enable()


def test_frames_of_one_converter_equal_those_of_a_converter_each():
    frames = [
        one_colour(colour, matrix=matrix, color_range=color_range, pixel_format=pixel_format)
        for pixel_format, color_range in FORMATS_AND_RANGES
        for matrix in MATRICES
        for colour in COLOURS
    ]
    order = np.random.default_rng(5).permutation(len(frames))
    with closing(RgbConverter()) as shared:
        for index in [*range(len(frames)), *order]:
            assert np.array_equal(shared(frames[index]), to_rgb(frames[index])), index


def test_frames_of_the_same_properties_share_a_filter_graph(monkeypatch):
    graphs = []
    monkeypatch.setattr(video_pixels, "Graph", lambda: graphs.append(Graph()) or graphs[-1])
    frames = [av.VideoFrame.from_ndarray(np.full((48, 64, 3), level, np.uint8)) for level in range(5)]
    with closing(RgbConverter()) as converter:
        levels = [converter(frame)[0, 0, 0] for frame in frames]
    assert levels == [0, 1, 2, 3, 4]
    assert len(graphs) == 1


# Display matrices


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((1, 0, 0, 1), IMAGE),
        ((-1, 0, 0, 1), IMAGE[:, ::-1]),
        ((1, 0, 0, -1), IMAGE[::-1]),
        ((-1, 0, 0, -1), IMAGE[::-1, ::-1]),
        ((0, 1, -1, 0), np.rot90(IMAGE, -1)),
        ((0, -1, 1, 0), np.rot90(IMAGE)),
        ((0, 1, 1, 0), IMAGE.swapaxes(0, 1)),
        ((0, -1, -1, 0), IMAGE[::-1, ::-1].swapaxes(0, 1)),
    ],
)
def test_each_of_the_eight_display_matrices_moves_each_pixel_to_its_position(matrix, expected):
    shown = to_rgb(av.VideoFrame.from_ndarray(IMAGE, format="rgb24"), matrix=matrix)
    assert (shown == expected).all()
    a, b, c, d = matrix
    for row, column in np.ndindex(IMAGE.shape[:2]):
        x, y = a * column + c * row, b * column + d * row
        x, y = x % shown.shape[1], y % shown.shape[0]  # the translation makes -1 the last
        x -= 1 if -1 in (a, c) else 0
        y -= 1 if -1 in (b, d) else 0
        assert (shown[y, x] == IMAGE[row, column]).all()


@needs_ffmpeg
@pytest.mark.parametrize("d", [1, -1])
@pytest.mark.parametrize("a", [1, -1])
@pytest.mark.parametrize("is_transposed", [False, True])
@pytest.mark.parametrize("pixel_format", ["yuv444p", "yuv420p10le"])
def test_videos_are_rotated_and_mirrored_as_by_ffmpeg(a, d, is_transposed, pixel_format, tmp_path):
    path = record(tmp_path / "stored.mp4", f"-c:v libx264 -qp 0 -pix_fmt {pixel_format}", seconds=0.2)
    path.write_bytes(
        with_display_matrix(path.read_bytes(), matrix=(0, a, d, 0) if is_transposed else (a, 0, 0, d))
    )
    command = ["ffmpeg", "-loglevel", "error", "-i", path, "-frames:v", "1", "-f", "rawvideo"]
    raw = subprocess.run([*command, "-pix_fmt", "rgb24", "-"], capture_output=True, check=True).stdout
    expected = np.frombuffer(raw, np.uint8).reshape((160, 120, 3) if is_transposed else (120, 160, 3))
    with open_video(path) as video:
        (_, frame), *_ = video.decode([0])
    assert frame.shape == expected.shape
    assert np.abs(frame.astype(int) - expected).max() <= 3  # versions of swscale round differently


def test_a_rotation_between_two_quarter_turns_is_rounded_to_the_nearer_one():
    rotated = with_display_matrix(make_video(frames=1, size=(64, 48)), matrix=(0.17, 0.98, -0.98, 0.17))
    with open_video(rotated) as video:
        (_, frame), *_ = video.decode([0])
    assert frame.shape == (64, 48, 3)


# Pixel aspect


@needs_ffmpeg
def test_square_pixels_give_the_clips_of_a_video_with_square_pixels(tmp_path):
    """A widescreen PAL video has 720 x 576 pixels, shown at 1024 x 576."""
    source = ["-f", "lavfi", "-i", "testsrc2=s=1024x576:r=25:d=0.1,boxblur=4", "-qp", 1]
    square, narrow = tmp_path / "square.mp4", tmp_path / "narrow.mp4"
    ffmpeg(*source, square)
    ffmpeg(*source, "-vf", "scale=720:576,setsar=64/45", narrow)
    with open_video(narrow) as video:
        assert video.timeline.pixel_aspect == Fraction(64, 45)
        (_, stored), *_ = video.decode([0])
        (_, shown), *_ = video.decode([0], square_pixels=True)
    assert stored.shape == (576, 720, 3) and shown.shape == (576, 1024, 3)
    expected = VideoTransform()(square)
    stretched = VideoTransform(square_pixels=True)(narrow)
    assert (stretched - expected).abs().mean() < 0.05
    assert (VideoTransform()(narrow) - expected).abs().mean() > 0.2
    assert (VideoTransform(square_pixels=True)(square) == expected).all()


@needs_ffmpeg
def test_square_pixels_stretch_a_rotated_video_along_its_stored_width(tmp_path):
    path = record(tmp_path / "side.mp4", "-vf setsar=2 -pix_fmt yuv420p", seconds=0.2)
    path.write_bytes(with_display_matrix(path.read_bytes(), matrix=(0, 1, -1, 0)))
    with open_video(path) as video:
        (_, frame), *_ = video.decode([0], square_pixels=True)
    assert frame.shape == (320, 120, 3)


@needs_ffmpeg
def test_max_pixels_applies_to_square_pixels(tmp_path):
    path = record(tmp_path / "wide.mp4", "-vf setsar=100 -pix_fmt yuv420p", seconds=0.2)
    limits = Limits(max_pixels=160 * 120 * 50)
    assert VideoTransform(limits=limits)(path).isfinite().all()
    with pytest.raises(MediaError, match=r"wide\.mp4: .*max_pixels.*square pixels"):
        VideoTransform(limits=limits, square_pixels=True)(path)
