"""TIFF images of several channels: in strips or tiles, plain or deflated, or with a page for each channel."""

import io
import struct
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imagebind.errors import MediaError, MissingExtraError
from imagebind.io.source import Limits
from imagebind.media.channel_images import load_channels
from tests.media.measured import tiff

SHAPE = (21, 18, 5)  # (h, w, c): not multiples of the tiles and strips


def pixels(dtype: str = "u2") -> np.ndarray:
    return (np.random.default_rng(0).uniform(0, 200, SHAPE)).astype(dtype)


def load(data: bytes, channels: int = 5, **limits: int) -> np.ndarray:
    return np.asarray(
        load_channels(io.BytesIO(data), channels=channels, key="array", limits=Limits(**limits))
    )


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "u4", "f4", "f8"])
@pytest.mark.parametrize("tiled", [False, True], ids=["strips", "tiles"])
def test_the_stored_numbers_are_returned_in_their_dtype(dtype, tiled):
    image = pixels(dtype)
    for order, planar, deflate in product("<>", (False, True), (False, True)):
        found = load(tiff(image, order=order, planar=planar, deflate=deflate, tiled=tiled))
        assert found.dtype == image.dtype and np.array_equal(found, image)


def test_differences_are_summed_and_the_orientation_applied():
    image = pixels()
    assert np.array_equal(load(tiff(image, deflate=True, predictor=2)), image)
    assert np.array_equal(load(tiff(image, orientation=6)), np.rot90(image, -1))


def test_a_page_for_each_channel_is_an_image_of_these_channels(tmp_path):
    pages = [Image.fromarray(np.ascontiguousarray(pixels()[..., channel])) for channel in range(5)]
    path = tmp_path / "pages.tif"
    pages[0].save(path, save_all=True, append_images=pages[1:])
    assert np.array_equal(load(path.read_bytes()), pixels())
    assert load(path.read_bytes(), channels=4).shape == SHAPE[:2]  # not the number of pages: the first page


def test_files_written_by_tifffile_are_read(tmp_path):
    import tifffile

    path: Path = tmp_path / "x.tif"
    for dtype, planar, compression in product(("u2", "f4"), ("contig", "separate"), (None, "zlib")):
        image = pixels(dtype)
        stored = image if planar == "contig" else image.transpose(2, 0, 1)
        options = {"photometric": "minisblack", "planarconfig": planar, "compression": compression}
        tifffile.imwrite(path, stored, **options, metadata=None)
        assert np.array_equal(load(path.read_bytes()), image)


def test_a_damaged_file_raises_an_error_that_names_it(tmp_path):
    path = tmp_path / "bands.tif"
    whole = tiff(pixels())
    for data in (
        tiff(pixels(), deflate=True).replace(b"x\x9c", b"xx", 1),
        whole.replace(struct.pack("<HHI", 273, 4, 3), struct.pack("<HHI", 275, 4, 3), 1),  # no strips
    ):
        path.write_bytes(data)
        with pytest.raises(MediaError, match=r"bands\.tif: expected an "):
            load_channels(path, channels=5, key="array")


def test_a_huge_image_is_refused_before_memory_is_allocated():
    data = tiff(pixels())
    huge = data.replace(struct.pack("<HHII", 257, 4, 1, 21), struct.pack("<HHII", 257, 4, 1, 2**31), 1)
    with pytest.raises(MediaError, match=r"expected 1 to .*, got an image of shape \(2147483648, 18, 5\)"):
        load(huge)
    wide = tiff(pixels(), tiled=True)
    wide = wide.replace(struct.pack("<HHII", 322, 4, 1, 16), struct.pack("<HHII", 322, 4, 1, 2**31), 1)
    with pytest.raises(
        MediaError, match=r"got an image of shape \(21, 18, 5\) in tiles of \(16, 2147483648\)"
    ):
        load(wide)


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(MissingExtraError, match=r"TIFF images of several channels needs tifffile.*\[tiff\]"):
        load(tiff(pixels()))


@pytest.mark.parametrize("seed", range(40))
def test_a_mutated_file_gives_numbers_or_a_media_error(seed):
    rng = np.random.default_rng(seed)
    data = bytearray(tiff(pixels("u2"), deflate=bool(seed % 2), tiled=bool(seed % 3)))
    for _ in range(6):
        data[int(rng.integers(len(data) - 400, len(data)))] = int(rng.integers(256))
    try:
        found = load(bytes(data), max_pixels=10_000)
    except MediaError:
        return
    assert found.size <= 10_000 * 5
