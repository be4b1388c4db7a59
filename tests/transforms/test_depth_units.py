"""Units of depth: every storage format gives the same metres, and doubtful units give a warning."""

import logging
import re

import numpy as np
import pytest
import torch
from PIL import Image

from imagebind import data
from imagebind.errors import MediaError, collect_warnings
from imagebind.intake.requests import default_transform, identify, prepare
from imagebind.transforms import depth_units
from imagebind.transforms.depth import DepthTransform, fill_holes, load_depth
from imagebind.transforms.depth_units import DEPTH_UNITS, along_axis, stored_depth, to_metres
from tests.media.measured import encoded

METRES = (1 + 3 * np.linspace(0, 1, 64)[None] + np.linspace(0, 1, 48)[:, None]).astype(np.float32)
STEPS = {"mm": 1000, "kitti": 256, "tum": 5000, "icl": 5000, "nyu": 1000, "scannet": 1000, "arkit": 1000}
STEPS |= {"redwood": 1000, "7scenes": 1000, "matterport": 4000, "vkitti": 100, "ibims": 65535 / 50}


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("form", ["PNG", "TIFF", "npy"])
def test_the_name_of_a_data_set_gives_true_metres(name, form):
    stored = encoded(np.rint(METRES * STEPS[name]).astype(np.uint16), form)
    metres = load_depth(stored, unit=name)
    assert metres.dtype == np.float32 and np.abs(metres - METRES).max() <= 0.51 / STEPS[name] + 1e-6
    by_number = load_depth(stored, unit=1 / STEPS[name])
    np.testing.assert_allclose(by_number, metres, rtol=1e-6)


@pytest.mark.parametrize("name", ["m", "diode", "hypersim"])
def test_float_metres_are_not_converted(name, tmp_path):
    np.save(tmp_path / "depth.npy", METRES[..., None])  # as DIODE stores them
    np.testing.assert_array_equal(load_depth(tmp_path / "depth.npy", unit=name), METRES)


def test_the_table_names_each_unit_and_no_other():
    assert set(re.findall(r"^\| `(\w+)` \|", depth_units.__doc__, re.MULTILINE)) == set(DEPTH_UNITS)


def test_former_names_and_numbers_as_text_are_accepted():
    assert stored_depth("millimetres") is DEPTH_UNITS["mm"] and stored_depth("metres") is DEPTH_UNITS["m"]
    assert stored_depth("sunrgbd") is DEPTH_UNITS["sun_rgbd"]
    assert stored_depth("1/5000") == stored_depth(1 / 5000) == stored_depth("0.0002")
    assert stored_depth(np.float32(0.5)) == stored_depth(0.5)


@pytest.mark.parametrize(
    "unit", ["feet", "", 0, -1, float("nan"), float("inf"), True, "1/0", "-1", "1e999", b"mm"]
)
def test_an_unknown_unit_is_refused_by_the_constructor(unit):
    for refuse in (lambda: DepthTransform(unit=unit), lambda: load_depth(encoded(METRES, "npy"), unit=unit)):
        with pytest.raises(ValueError, match=r"expected metres per stored step .* one of m, mm, kitti"):
            refuse()


def test_the_unit_is_an_option_of_the_transform_the_item_and_the_drop_in_loader(tmp_path):
    path = tmp_path / "depth.png"
    Image.fromarray((METRES * 256).astype(np.uint16)).save(path)
    expected = DepthTransform()(METRES)
    for out in (
        DepthTransform(unit="kitti")(path),
        DepthTransform(unit="tum")({"depth": path, "unit": "kitti"}),
        prepare(identify({"depth": path, "unit": "1/256"}), default_transform("depth")).views[0],
        data.load_and_transform_depth_data([path], "cpu", unit=1 / 256)[0],
        DepthTransform(unit="tum", encoding="kitti")(path),  # the former name of `unit`
    ):
        torch.testing.assert_close(out, expected, atol=0.02, rtol=0)
    with pytest.raises(MediaError, match="feet"):
        prepare(identify({"depth": path, "unit": "feet"}), default_transform("depth"))


def test_holes_of_7_scenes_are_filled_and_the_sky_of_virtual_kitti_is_far():
    stored = np.full((8, 8), 2000, np.uint16)
    stored[0] = 65535
    assert (to_metres(stored, unit="7scenes")[0] == 0).all()
    assert fill_holes(to_metres(stored, unit="7scenes"))[1] == 0.125
    assert (to_metres(stored, unit="vkitti")[0] > 655).all()


def test_distances_along_the_rays_are_converted_to_depth_if_the_focal_length_is_given():
    focal, depth = 50.0, 2.0  # a wall perpendicular to the axis: its corners are farther away than its centre
    rows, columns = np.mgrid[-23.5:24, -31.5:32]
    distances = (depth * np.sqrt(1 + (rows**2 + columns**2) / focal**2)).astype(np.float32)
    np.testing.assert_allclose(along_axis(distances, focal), depth, rtol=1e-6)
    wall = DepthTransform(unit="m", focal=focal)(np.full((48, 64), depth, np.float32))
    torch.testing.assert_close(DepthTransform(unit="hypersim", focal=focal)(distances), wall)
    # Without a focal length, values are not converted.
    assert DepthTransform(unit="hypersim")(distances).std() > 0


# --- warnings


@pytest.mark.parametrize("unit, warned", [("m", True), (1, True), (1 / 1000, False), ("kitti", False)])
def test_an_implausible_median_gives_a_warning_that_names_the_option(unit, warned):
    with collect_warnings() as warnings:
        to_metres((METRES * 1000).astype(np.uint16), unit=unit)
    assert bool(warnings) is warned
    assert not warned or re.search(r"median depth is \d.* m; .*unit=1/5000.*unit='kitti'", warnings[0])


def test_depth_that_is_too_near_gives_a_warning_and_a_room_does_not():
    for scale, warned in ((1, False), (0.01, True)):
        with collect_warnings() as warnings:
            DepthTransform()(METRES * scale)
        assert bool(warnings) is warned


def test_rotated_bits_read_as_millimetres_give_a_warning():
    millimetres = np.rint(METRES * 1000).astype(np.uint16)
    rotated = (millimetres << 3) | (millimetres >> 13)
    with collect_warnings() as warnings:
        to_metres(rotated)
    assert len(warnings) == 1 and "unit='sun_rgbd'" in warnings[0]
    for values, unit in ((rotated, "sun_rgbd"), (millimetres, None), (np.full((9, 9), 800, np.uint16), None)):
        with collect_warnings() as warnings:
            to_metres(values, unit=unit)
        assert warnings == []


def test_a_warning_reaches_the_views():
    views = prepare(identify({"depth": METRES * 200, "unit": "m"}), default_transform("depth"))
    assert len(views.warnings) == 1 and "unit=" in views.warnings[0]


# --- shapes and types


@pytest.mark.parametrize("shape", [(48, 64), (48, 64, 1), (1, 48, 64), (1, 1, 48, 64), (1, 48, 64, 1)])
@pytest.mark.parametrize("dtype", ["f2", "f4", ">f8", "u2", ">u2", "i4", "u4", "i8"])
def test_one_channel_of_any_shape_and_dtype_is_depth(shape, dtype):
    expected = DepthTransform()(METRES)
    values = METRES if "f" in dtype else np.rint(METRES * 1000)
    frame = values.astype(dtype).reshape(shape)
    frame.flags.writeable = False
    torch.testing.assert_close(DepthTransform()(frame), expected, atol=0.02, rtol=0)
    if dtype in ("f2", "f4", "i4", "i8"):
        tensor = torch.from_numpy(frame.copy())
        torch.testing.assert_close(DepthTransform()(tensor), expected, atol=0.02, rtol=0)


def test_masked_pixels_are_holes(caplog):
    share = (METRES > 4.5).mean()
    with caplog.at_level(logging.DEBUG, logger="imagebind"):
        DepthTransform()(np.ma.masked_greater(METRES, 4.5))
    assert f"filled {100 * share:.1f}%" in caplog.text and share > 0


@pytest.mark.parametrize("channels", [3, 4])
def test_equal_16_bit_channels_are_reduced_to_one_and_others_are_refused(channels):
    stored = np.repeat(np.rint(METRES * 1000).astype(np.uint16)[..., None], channels, axis=2)
    np.testing.assert_allclose(to_metres(stored), METRES, atol=1e-3)
    stored[3, 3, 0] += 1
    with pytest.raises(MediaError, match="one channel"):
        to_metres(stored)


@pytest.mark.parametrize(
    "start, about",
    [
        (b"\x89HDF\r\n\x1a\n", "HDF5.*h5py"),
        (b"MATLAB 5.0 MAT-file", "MATLAB.*scipy"),
        (b"v/1\x01", "OpenEXR"),
    ],
)
def test_the_error_for_an_unsupported_format_has_a_way_out(start, about):
    with pytest.raises(MediaError, match=about):
        load_depth(start + bytes(100))
