"""Thermal transform: 8-bit images and radiometric counts computed by hand, and invalid files."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from imagebind.errors import MediaError
from imagebind.io.source import Limits
from imagebind.transforms.thermal import ThermalTransform, load_thermal, radiometric_to_unit
from tests.media.measured import damaged, encoded

RNG = np.random.default_rng(0)
GRAYSCALE = RNG.integers(0, 256, (224, 224)).astype(np.uint8)
COUNTS = RNG.integers(20000, 30000, (48, 64)).astype(np.uint16)


# --- 8-bit images


def test_8_bit_values_are_divided_by_255_and_not_changed_otherwise():
    out = ThermalTransform()(GRAYSCALE)  # already 224 x 224
    torch.testing.assert_close(out, torch.from_numpy(GRAYSCALE).float()[None] / 255, rtol=0, atol=1e-7)


def test_colour_is_converted_to_grayscale_as_by_pillow():
    colour = np.zeros((224, 224, 3), np.uint8)
    colour[..., 0] = 200  # Pillow's L: (200 · 19595 + 32768) // 65536 = 60
    expected = torch.full((1, 224, 224), 60 / 255)
    for item in (
        colour,
        Image.fromarray(colour),
        encoded(colour, "PNG"),
        torch.from_numpy(colour).permute(2, 0, 1),
    ):
        torch.testing.assert_close(ThermalTransform()(item), expected)


def test_the_centre_of_a_wide_image_is_kept():
    wide = np.zeros((224, 448), np.uint8)
    wide[:, 112:336] = 255
    assert (ThermalTransform()(wide) == 1).all()


# --- radiometric counts


def test_counts_are_mapped_from_low_and_high_to_0_and_1():
    out = radiometric_to_unit(np.array([[50, 100, 150, 200, 250]]), low=100, high=200)
    np.testing.assert_array_equal(out, [[0, 0, 0.5, 1, 1]])


def test_by_default_the_1st_and_99th_percentile_become_0_and_1():
    out = radiometric_to_unit(np.arange(101.0)[None])
    np.testing.assert_allclose(out[0, [0, 1, 50, 99, 100]], [0, 0, 0.5, 1, 1])


def test_a_small_hot_spot_on_a_uniform_background_stays_visible():
    image = np.full((100, 100), 290.0)
    image[50, 50] = 350.0
    out = radiometric_to_unit(image)
    assert out[50, 50] == 1 and out.sum() == 1


@pytest.mark.parametrize("value", [0, 7, 65535])
def test_a_uniform_image_becomes_zero(value):
    assert (ThermalTransform()(np.full((9, 9), value, np.uint16)) == 0).all()


def test_without_bounds_the_scale_of_counts_does_not_change_the_tensor():
    kelvin = COUNTS.astype(np.float32) / 100
    torch.testing.assert_close(ThermalTransform()(kelvin), ThermalTransform()(COUNTS), atol=1e-5, rtol=0)


def test_the_bounds_0_and_1_keep_floats_that_are_between_them():
    unit = RNG.random((224, 224), dtype=np.float32)
    out = ThermalTransform(low=0, high=1)(unit)
    torch.testing.assert_close(out, torch.from_numpy(unit)[None], atol=1e-6, rtol=0)


def test_every_input_type_gives_the_same_tensor(tmp_path):
    transform = ThermalTransform()
    expected = transform(COUNTS)
    assert expected.shape == (1, 224, 224) and expected.dtype == torch.float32
    path = tmp_path / "image.png"
    path.write_bytes(encoded(COUNTS, "PNG"))
    with path.open("rb") as file:
        items = [str(path), path, path.read_bytes(), file, Image.open(path), encoded(COUNTS, "TIFF")]
        items += [
            encoded(COUNTS, "npy"),
            torch.from_numpy(COUNTS.astype(np.int32)),
            COUNTS.astype(np.float64),
        ]
        items += [encoded(COUNTS.astype(np.float32), "TIFF"), COUNTS[None], COUNTS.astype(">u2")]
        for item in items:
            torch.testing.assert_close(transform(item), expected)
    np.testing.assert_array_equal(load_thermal(path), COUNTS)


def test_a_pickled_transform_gives_the_same_tensor():
    transform = ThermalTransform(low=21000, high=29000)
    assert torch.equal(pickle.loads(pickle.dumps(transform))(COUNTS), transform(COUNTS))


@given(
    arrays(
        st.sampled_from([np.uint8, np.uint16, np.int32, np.float32]),
        array_shapes(min_dims=2, max_dims=2, max_side=40),
    ).filter(lambda image: np.isfinite(image).all())
)
@settings(max_examples=50, deadline=None)
def test_any_finite_image_gives_values_from_0_to_1(image):
    out = ThermalTransform(size=28)(image)
    assert out.shape == (1, 28, 28) and out.min() >= 0 and out.max() <= 1


# --- errors


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf, 1e300])
def test_pixels_that_are_not_finite_are_counted(broken, tmp_path):
    image = np.ones((4, 4))
    image[0, :2] = broken
    np.save(tmp_path / "broken.npy", image)
    with pytest.raises(MediaError, match=r"broken\.npy: expected finite pixels, got 2 of 16"):
        ThermalTransform()(tmp_path / "broken.npy")


@pytest.mark.parametrize(
    "options",
    [
        {"low": 2, "high": 1},
        {"low": 1, "high": 1},
        {"low": 1},
        {"high": 1},
        {"low": float("nan"), "high": 1},
        {"size": 0},
    ],
)
def test_a_wrong_option_is_refused_by_the_constructor(options):
    with pytest.raises(ValueError):
        ThermalTransform(**options)


@pytest.mark.parametrize(
    "item",
    [
        np.ones((4, 4, 3), np.float32),
        np.ones((4, 0), np.uint8),
        np.ones((4, 0, 3), np.uint8),
        np.ones((4, 4), bool),
        torch.ones(2, 4, 4),
        [[1]],
        None,
        b"",
        b"no image",
    ],
)
def test_items_that_are_no_thermal_image_are_refused(item):
    with pytest.raises(MediaError):
        ThermalTransform()(item)


def test_errors_name_the_limit():
    for item in (encoded(COUNTS, "PNG"), encoded(COUNTS, "npy"), Image.fromarray(COUNTS)):
        with pytest.raises(MediaError, match="max_pixels"):
            ThermalTransform(limits=Limits(max_pixels=100))(item)


def test_the_error_for_a_truncated_image_names_the_file(tmp_path):
    path = tmp_path / "cut.png"
    path.write_bytes(encoded(COUNTS, "PNG")[:2000])
    with pytest.raises(MediaError, match=r"cut\.png"):
        load_thermal(path)


FILES = [encoded(GRAYSCALE[:40, :40], "PNG"), encoded(GRAYSCALE[:40, :40], "JPEG"), encoded(COUNTS, "PNG")]
FILES += [encoded(COUNTS, "TIFF"), encoded(COUNTS, "npy")]


@pytest.mark.filterwarnings("ignore")  # Pillow warns of damaged metadata
@given(damaged(FILES))
@settings(max_examples=100, deadline=None)
def test_a_damaged_file_gives_an_image_or_a_named_error(bad):
    try:
        out = ThermalTransform(size=14, limits=Limits(max_pixels=10**6))(bad)
    except MediaError as error:
        assert "bytes>" in error.item
    else:
        assert out.shape == (1, 14, 14) and out.min() >= 0 and out.max() <= 1
