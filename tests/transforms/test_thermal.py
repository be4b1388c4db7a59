"""Thermal: the community's recipe by hand, then radiometry, then bad files."""

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
GREY = RNG.integers(0, 256, (224, 224)).astype(np.uint8)
COUNTS = RNG.integers(20000, 30000, (48, 64)).astype(np.uint16)


# --- the community's recipe


def test_eight_bits_are_divided_by_255_and_nothing_else():
    out = ThermalTransform()(GREY)  # already 224 x 224
    torch.testing.assert_close(out, torch.from_numpy(GREY).float()[None] / 255, rtol=0, atol=1e-7)


def test_colour_is_greyed_as_pillow_does():
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


def test_a_wide_picture_keeps_its_centre():
    wide = np.zeros((224, 448), np.uint8)
    wide[:, 112:336] = 255
    assert (ThermalTransform()(wide) == 1).all()


# --- radiometry


def test_counts_between_low_and_high_by_hand():
    out = radiometric_to_unit(np.array([[50, 100, 150, 200, 250]]), low=100, high=200)
    np.testing.assert_array_equal(out, [[0, 0, 0.5, 1, 1]])


def test_by_default_the_1st_and_99th_percentile_become_0_and_1():
    out = radiometric_to_unit(np.arange(101.0)[None])
    np.testing.assert_allclose(out[0, [0, 1, 50, 99, 100]], [0, 0, 0.5, 1, 1])


def test_a_small_hot_spot_on_an_even_ground_stays_visible():
    picture = np.full((100, 100), 290.0)
    picture[50, 50] = 350.0
    out = radiometric_to_unit(picture)
    assert out[50, 50] == 1 and out.sum() == 1


@pytest.mark.parametrize("value", [0, 7, 65535])
def test_an_even_picture_is_all_zero(value):
    assert (ThermalTransform()(np.full((9, 9), value, np.uint16)) == 0).all()


def test_the_scale_of_counts_does_not_matter_without_bounds():
    kelvin = COUNTS.astype(np.float32) / 100
    torch.testing.assert_close(ThermalTransform()(kelvin), ThermalTransform()(COUNTS), atol=1e-5, rtol=0)


def test_zero_and_one_as_bounds_keep_floats_that_are_in_them_already():
    unit = RNG.random((224, 224), dtype=np.float32)
    out = ThermalTransform(low=0, high=1)(unit)
    torch.testing.assert_close(out, torch.from_numpy(unit)[None], atol=1e-6, rtol=0)


def test_every_kind_of_input_gives_the_same(tmp_path):
    transform = ThermalTransform()
    expected = transform(COUNTS)
    assert expected.shape == (1, 224, 224) and expected.dtype == torch.float32
    path = tmp_path / "picture.png"
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


def test_a_pickled_transform_gives_the_same():
    transform = ThermalTransform(low=21000, high=29000)
    assert torch.equal(pickle.loads(pickle.dumps(transform))(COUNTS), transform(COUNTS))


@given(
    arrays(
        st.sampled_from([np.uint8, np.uint16, np.int32, np.float32]),
        array_shapes(min_dims=2, max_dims=2, max_side=40),
    ).filter(lambda picture: np.isfinite(picture).all())
)
@settings(max_examples=50, deadline=None)
def test_any_finite_picture_gives_numbers_in_0_to_1(picture):
    out = ThermalTransform(size=28)(picture)
    assert out.shape == (1, 28, 28) and out.min() >= 0 and out.max() <= 1


# --- what is refused


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf, 1e300])
def test_pixels_that_are_not_finite_are_counted(broken, tmp_path):
    picture = np.ones((4, 4))
    picture[0, :2] = broken
    np.save(tmp_path / "broken.npy", picture)
    with pytest.raises(MediaError, match=r"broken\.npy.*2 of 16 pixels"):
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
def test_a_wrong_choice_is_refused_at_once(options):
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
        b"no picture",
    ],
)
def test_what_is_no_thermal_picture_is_refused(item):
    with pytest.raises(MediaError):
        ThermalTransform()(item)


def test_limits_are_named():
    for item in (encoded(COUNTS, "PNG"), encoded(COUNTS, "npy"), Image.fromarray(COUNTS)):
        with pytest.raises(MediaError, match="max_pixels"):
            ThermalTransform(limits=Limits(max_pixels=100))(item)


def test_a_cut_picture_is_named(tmp_path):
    path = tmp_path / "cut.png"
    path.write_bytes(encoded(COUNTS, "PNG")[:2000])
    with pytest.raises(MediaError, match=r"cut\.png"):
        load_thermal(path)


FILES = [encoded(GREY[:40, :40], "PNG"), encoded(GREY[:40, :40], "JPEG"), encoded(COUNTS, "PNG")]
FILES += [encoded(COUNTS, "TIFF"), encoded(COUNTS, "npy")]


@pytest.mark.filterwarnings("ignore")  # Pillow's, of damaged metadata
@given(damaged(FILES))
@settings(max_examples=100, deadline=None)
def test_a_cut_or_flipped_file_gives_a_picture_or_a_named_error(bad):
    try:
        out = ThermalTransform(size=14, limits=Limits(max_pixels=10**6))(bad)
    except MediaError as error:
        assert "bytes>" in error.item
    else:
        assert out.shape == (1, 14, 14) and out.min() >= 0 and out.max() <= 1
