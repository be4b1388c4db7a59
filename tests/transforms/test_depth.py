"""Depth transform: values computed by hand, behaviour, and invalid files."""

import contextlib
import logging
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from imagebind.errors import MediaError
from imagebind.transforms.depth import NYU_FOCAL, DepthTransform, fill_holes, load_depth, load_focal
from tests.media.measured import encoded

RNG = np.random.default_rng(0)
FRAME_MM = RNG.integers(500, 8000, (48, 64)).astype(np.uint16)


def rotated(millimetres: np.ndarray) -> np.ndarray:
    """Return 16 bits rotated left by 3, as SUN RGB-D stores them."""
    return ((millimetres << 3) | (millimetres >> 13)).astype(np.uint16)


# --- parity with the authors' result, and presets computed by hand


def authors_omnivore(sun_png: np.ndarray, *, baseline: float, focal: float) -> np.ndarray:
    """Return the authors' result on the rotated scale: clip to [0.01, 50], clamp at 75, standardise."""
    rotated_metres = np.clip(sun_png.astype(np.float64) / 1000, 0.01, 50)
    return (np.minimum(baseline * focal / rotated_metres, 75) / 75 - 0.0418) / 0.0295


@pytest.mark.parametrize("millimetres", [20, 64, 66, 300, 518, 519, 1000, 2000, 6250])
def test_omnivore_in_true_metres_equals_the_authors_result_on_the_rotated_scale(millimetres):
    frame = rotated(np.full((8, 8), millimetres, np.uint16))
    ours = DepthTransform(encoding="sunrgbd", focal=NYU_FOCAL, sensor="kinect_v1")(frame)
    authors = authors_omnivore(frame, baseline=0.075, focal=518.857901)
    torch.testing.assert_close(ours, torch.full((1, 224, 224), authors[0, 0], dtype=torch.float32))


def test_omnivore_of_two_metres_equals_the_value_computed_by_hand():
    # 0.075 · 518.857901 / 2 = 19.45717; / 75 = 0.259429; (0.259429 - 0.3344) / 0.236 = -0.317674
    out = DepthTransform()(np.full((10, 12), 2.0, np.float32))
    torch.testing.assert_close(out, torch.full((1, 224, 224), -0.317674), atol=1e-5, rtol=0)


def test_codebind_of_two_metres_equals_the_value_computed_by_hand():
    # (0.259429 - 0.318441) / 0.11506188 = -0.512872
    out = DepthTransform(preset="codebind")(np.full((10, 12), 2.0, np.float32))
    torch.testing.assert_close(out, torch.full((1, 224, 224), -0.512872), atol=1e-5, rtol=0)


def test_codebind_is_clamped_at_a_disparity_of_75():
    # 38.914 / 75 = 0.519 m; nearer than that is (1 - 0.318441) / 0.11506188 = 5.923413
    out = DepthTransform(preset="codebind")(np.full((10, 12), 0.4, np.float32))
    torch.testing.assert_close(out, torch.full((1, 224, 224), 5.923413), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "metres, disparity",
    [(2.0, 19.457171), (8.0, 4.864293), (80.0, 4.864293), (0.01, 3891.434), (0.001, 3891.434)],
)
def test_raw_is_disparity_of_depth_clamped_from_a_centimetre_to_8_metres(metres, disparity):
    out = DepthTransform(preset="raw")(np.full((10, 12), metres, np.float32))
    torch.testing.assert_close(out, torch.full((1, 224, 224), disparity), rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    "sensor, baseline", [("kinect_v1", 0.075), ("kinect_v2", 0.075), ("realsense", 0.095), ("xtion", 0.095)]
)
def test_a_sensor_sets_its_baseline(sensor, baseline):
    frame = np.full((4, 4), 1.0, np.float32)
    out = DepthTransform(preset="raw", sensor=sensor, focal=500)(frame)
    torch.testing.assert_close(out.mean().item(), baseline * 500, rtol=1e-6, atol=0)
    torch.testing.assert_close(out, DepthTransform(preset="raw", baseline=baseline, focal=500)(frame))


# --- encodings and inputs


@pytest.mark.parametrize("form", ["PNG", "TIFF", "npy", "npz"])
def test_integers_are_millimetres(form):
    np.testing.assert_allclose(load_depth(encoded(FRAME_MM, form)), FRAME_MM / 1000, rtol=1e-6)


@pytest.mark.parametrize("form", ["TIFF", "npy", "npz"])
def test_floats_are_metres(form):
    metres = FRAME_MM.astype(np.float32) / 1000
    np.testing.assert_array_equal(load_depth(encoded(metres, form)), metres)


def test_every_16_bit_value_survives_the_rotation():
    millimetres = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    loaded = load_depth(encoded(rotated(millimetres), "PNG"), encoding="sunrgbd")
    np.testing.assert_array_equal(np.rint(loaded * 1000), millimetres)


def test_a_given_encoding_overrides_the_dtype():
    assert load_depth(encoded(np.full((2, 2), 3, np.uint16), "PNG"), encoding="metres").max() == 3
    assert load_depth(encoded(np.full((2, 2), 3000.0), "npy"), encoding="millimetres").max() == 3


@pytest.mark.parametrize("form", ["array", "npy", "TIFF"])
def test_floats_that_look_like_millimetres_are_refused_unless_the_unit_is_given(form):
    millimetres = FRAME_MM.astype(np.float32)
    millimetres[0, :2] = np.nan, 0
    item = millimetres if form == "array" else encoded(millimetres, form)
    with pytest.raises(MediaError, match=r"as if in millimetres.*unit='mm'.*unit='m'"):
        DepthTransform()(item)
    given = DepthTransform(encoding="millimetres")(item)
    torch.testing.assert_close(given, DepthTransform()(millimetres / 1000))
    assert DepthTransform(encoding="metres")(item).std() < 1e-6  # all pixels are farther than 8 m


def test_a_view_over_a_field_is_accepted_as_metres():
    field = np.full((40, 40), 10_000.0, np.float32)  # the sky of a rendered scene
    field[-4:] = np.linspace(5, 80, 160).reshape(4, 40)
    assert DepthTransform()(field).std() > 0


def test_every_input_type_gives_the_same_tensor(tmp_path):
    path = tmp_path / "frame.png"
    path.write_bytes(encoded(FRAME_MM, "PNG"))
    transform = DepthTransform()
    expected = transform(FRAME_MM)
    assert expected.shape == (1, 224, 224) and expected.dtype == torch.float32
    with path.open("rb") as file:
        items = [str(path), path, path.read_bytes(), file, Image.open(path), Image.fromarray(FRAME_MM)]
        metres = FRAME_MM.astype(np.float32) / 1000
        items += [torch.from_numpy(metres), torch.from_numpy(metres)[None], metres, {"depth": path}]
        items += [
            Image.fromarray(metres),
            Image.fromarray(FRAME_MM.astype(np.int32)),
            torch.from_numpy(FRAME_MM),
        ]
        items += [FRAME_MM.astype(">u2")]
        for item in items:
            torch.testing.assert_close(transform(item), expected)


def test_a_mapping_may_contain_camera_options(tmp_path):
    intrinsics = tmp_path / "intrinsics.txt"
    intrinsics.write_text("529.500000 0.000000 365.000000\n0 529.5 265\n0 0 1\n")
    assert load_focal(intrinsics) == 529.5
    frame = np.full((4, 4), 1.0, np.float32)
    out = DepthTransform(preset="raw")({"depth": frame, "focal": intrinsics, "sensor": "xtion"})
    torch.testing.assert_close(out.mean().item(), 0.095 * 529.5, rtol=1e-6, atol=0)
    same = DepthTransform(preset="raw", focal=intrinsics, sensor="kinect_v1")(
        {"depth": frame, "baseline": 0.095}
    )
    torch.testing.assert_close(out, same)


def test_disparity_is_resized_and_not_depth():
    frame = np.tile(np.array([1.0, 4.0], np.float32), (448, 224))  # halved to one value
    out = DepthTransform(preset="raw", focal=1.0, baseline=1.0)(frame)
    torch.testing.assert_close(out[0, 50:-50, 50:-50], torch.full((124, 124), 0.625))  # not 1 / 2.5


def test_the_centre_of_a_wide_frame_is_kept():
    frame = np.full((224, 448), 1.0, np.float32)
    frame[:, 112:336] = 4.0
    out = DepthTransform(preset="raw", focal=1.0, baseline=1.0)(frame)
    torch.testing.assert_close(out, torch.full((1, 224, 224), 0.25))


def test_the_input_is_not_modified():
    frame = np.array([[0, 1], [2, 3]], np.float32)
    DepthTransform()(frame)
    np.testing.assert_array_equal(frame, [[0, 1], [2, 3]])


def test_threads_and_pickled_transforms_give_the_same_tensor():
    transform = DepthTransform(sensor="xtion")
    expected = transform(FRAME_MM)
    with ThreadPoolExecutor(4) as pool:
        for out in pool.map(pickle.loads(pickle.dumps(transform)), [FRAME_MM] * 8):
            assert torch.equal(out, expected)


# --- holes


def test_holes_are_filled_from_their_neighbours():
    filled, share = fill_holes(np.array([[1, 0, np.nan, 3], [1, 2, -1, np.inf]], np.float32))
    # the hole in the left block is the mean of 1, 1, 2; the right block only has 3
    torch.testing.assert_close(filled, torch.tensor([[1, 4 / 3, 3, 3], [1, 2, 3, 3]]))
    assert share == 0.5


def test_one_valid_pixel_fills_the_frame():
    frame = np.zeros((17, 33), np.float32)
    frame[16, 5] = 2.5
    filled, share = fill_holes(frame)
    assert (filled == 2.5).all() and share == pytest.approx(1 - 1 / 561)


def test_a_frame_without_holes_is_unchanged():
    filled, share = fill_holes(FRAME_MM)
    assert share == 0 and torch.equal(filled, torch.from_numpy(FRAME_MM.astype(np.float32)))


def test_the_filled_share_is_logged(caplog):
    frame = np.full((10, 10), 2.0, np.float32)
    frame[:, 0] = 0
    with caplog.at_level(logging.DEBUG, logger="imagebind"):
        out = DepthTransform()(frame)
    assert fill_holes(frame)[1] == pytest.approx(0.1) and "10.0%" in caplog.text
    torch.testing.assert_close(out, DepthTransform()(np.full((10, 10), 2.0, np.float32)))


@pytest.mark.parametrize("hole", [0.0, np.nan, np.inf, -np.inf, -1.0])
def test_a_frame_with_no_valid_pixel_is_refused(hole, tmp_path):
    path = tmp_path / "blind.npy"
    np.save(path, np.full((4, 4), hole))
    with pytest.raises(MediaError, match=r"blind\.npy.*no valid pixel"):
        DepthTransform()(path)


@given(
    st.data(),
    arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.floats(width=32)),
)
@settings(max_examples=25, deadline=None)
def test_any_frame_with_a_valid_pixel_gives_finite_values(data, frame):
    frame.flat[data.draw(st.integers(0, frame.size - 1))] = data.draw(st.floats(0.125, 100, width=32))
    filled, _ = fill_holes(frame)
    valid = frame[np.isfinite(frame) & (frame > 0)]
    assert valid.min() * 0.999 <= filled.min() and filled.max() <= valid.max() * 1.001
    for preset in ("omnivore", "codebind", "raw"):
        assert DepthTransform(preset=preset, size=28, encoding="metres")(frame).isfinite().all()


# --- errors


def test_8_bit_images_are_refused_with_the_expected_formats(tmp_path):
    for mode in ("L", "RGB", "P", "RGBA"):
        path = tmp_path / f"{mode}.png"
        Image.new(mode, (8, 8)).save(path)
        with pytest.raises(
            MediaError, match=rf"{mode}\.png: expected one channel of 16-bit or float depth.*, got .*8 bits"
        ):
            load_depth(path)
    with pytest.raises(MediaError, match="8 bits"):
        DepthTransform()(np.ones((4, 4), np.uint8))


@pytest.mark.parametrize(
    "item",
    [
        np.ones((4, 4, 3), np.float32),
        np.ones((0, 4), np.float32),
        np.ones(4, np.float32),
        np.ones((4, 4), bool),
        np.ones((4, 4), complex),
        torch.ones(3, 4, 4),
        [[1.0, 2.0]],
        None,
        {"depht": np.ones((4, 4))},
        {"depth": np.ones((4, 4)), "focus": 1.0},
        {"depth": np.ones((4, 4)), "focal": -1.0},
        {"depth": np.ones((4, 4)), "focal": [1.0, 2.0]},
        {"depth": np.ones((4, 4)), "sensor": "sonar"},
        {"depth": np.ones((4, 4)), "sensor": "xtion", "baseline": 0.1},
        b"",
        "no_such_file.png",
    ],
)
def test_items_without_a_depth_frame_or_with_wrong_options_are_refused(item):
    with pytest.raises(MediaError):
        DepthTransform()(item)


@pytest.mark.parametrize(
    "options",
    [
        {"preset": "omni"},
        {"sensor": "kinect"},
        {"encoding": "inches"},
        {"focal": 0},
        {"baseline": float("nan")},
        {"sensor": "xtion", "baseline": 0.1},
        {"size": 0},
    ],
)
def test_a_wrong_option_is_refused_by_the_constructor(options):
    with pytest.raises(ValueError):
        DepthTransform(**options)


def test_rotated_values_must_be_16_bit():
    with pytest.raises(MediaError, match="sun_rgbd"):
        load_depth(encoded(np.ones((2, 2)), "npy"), encoding="sunrgbd")
    with pytest.raises(MediaError, match="sun_rgbd"):
        load_depth(encoded(np.full((2, 2), 70000), "npy"), encoding="sunrgbd")


@given(st.binary(max_size=64))
@settings(max_examples=50, deadline=None)
def test_any_intrinsics_give_a_focal_length_or_a_media_error(data):
    with contextlib.suppress(MediaError):
        assert 0 < load_focal(data) < float("inf")
