"""Files of measurements, read by the depth loader: archives, limits, damage."""

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from PIL import Image

from imagebind.errors import MediaError
from imagebind.io.source import Limits
from imagebind.media.arrays import positive_number
from imagebind.transforms.depth import DepthTransform, load_depth
from tests.media.measured import damaged, encoded

FRAME_MM = np.random.default_rng(0).integers(500, 8000, (48, 64)).astype(np.uint16)


def test_an_archive_needs_one_array_or_one_named_depth():
    file = io.BytesIO()
    np.savez(file, left=FRAME_MM, right=FRAME_MM)
    with pytest.raises(MediaError, match=r"one named 'depth', got .*left, right"):
        load_depth(file)
    several = io.BytesIO()
    np.savez(several, rgb=np.zeros(3), depth=FRAME_MM)
    assert load_depth(several).shape == FRAME_MM.shape


def test_errors_name_the_exceeded_limit():
    few = Limits(max_pixels=100)
    for form in ("PNG", "TIFF", "npy", "npz"):
        with pytest.raises(MediaError, match="max_pixels"):
            load_depth(encoded(FRAME_MM, form), limits=few)
    with pytest.raises(MediaError, match="max_pixels"):
        DepthTransform(limits=few)(Image.fromarray(FRAME_MM))
    with pytest.raises(MediaError, match="max_bytes"):
        load_depth(encoded(FRAME_MM, "PNG"), limits=Limits(max_bytes=100))


def test_a_header_with_a_huge_shape_is_refused():
    header = np.lib.format.magic(1, 0)
    text = b"{'descr': '<f8', 'fortran_order': False, 'shape': (9000, 9000), }\n"
    false_header = header + len(text).to_bytes(2, "little") + text + b"\0" * 64
    with pytest.raises(MediaError, match=r"bytes of numbers for shape .*, got 64"):
        load_depth(false_header)
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("depth.npy", false_header.replace(b"(9000, 9000)", b"(90000,90000)") + bytes(10**7))
    with pytest.raises(MediaError, match="max_pixels"):
        load_depth(bomb)


def test_pickled_objects_are_never_loaded():
    file = io.BytesIO()
    np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(MediaError, match="object"):
        load_depth(file)


def test_positive_number_returns_none_for_anything_but_a_positive_finite_number():
    assert [positive_number(value) for value in (2, 0.5, "1/256", np.float32(4))] == [2, 0.5, 1 / 256, 4]
    for value in (0, -1, True, 10**400, f"{10**400}", "1/0", "mm", float("inf"), float("nan"), None):
        assert positive_number(value) is None, value


DEPTH_FILES = [
    encoded(FRAME_MM, "PNG"),
    encoded(FRAME_MM, "TIFF"),
    encoded(FRAME_MM, "TIFF", compression="tiff_lzw"),
    encoded(FRAME_MM.astype(np.float32), "TIFF"),
    encoded(FRAME_MM, "npy"),
    encoded(FRAME_MM, "npz"),
]


@pytest.mark.filterwarnings("ignore")  # Pillow warns of damaged metadata
@given(damaged(DEPTH_FILES))
@settings(max_examples=150, deadline=None)
def test_a_damaged_file_gives_a_finite_tensor_or_an_error_that_names_the_item(bad):
    try:
        out = DepthTransform(size=14, limits=Limits(max_pixels=10**6))(bad)
    except MediaError as error:
        assert "bytes>" in error.item
    else:
        assert out.shape == (1, 14, 14) and out.isfinite().all()
