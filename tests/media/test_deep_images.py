"""The stored numbers of 16-bit files of any colour type, byte order and highest value."""

import io
import struct
import subprocess
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from PIL import Image

from imagebind.errors import MediaError
from imagebind.io.source import Limits
from imagebind.media.arrays import load_values
from imagebind.media.deep_images import upright
from imagebind.transforms.depth import load_depth
from imagebind.transforms.thermal import ThermalTransform, load_thermal
from tests.media.measured import damaged, tiff

COUNTS = (7 * np.arange(48 * 64) + 1000).reshape(48, 64).astype(np.uint16)
COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # of PNG, by channels


def png(values: np.ndarray, *chunks: tuple[bytes, bytes], filtered: int = 0) -> bytes:
    """Return a PNG of 16 bits a channel, (h, w, c); filter 2 stores differences between rows."""
    height, width, channels = values.shape
    rows = values.astype(">u2").reshape(height, -1).view(np.uint8)
    if filtered == 2:
        rows = np.diff(rows, axis=0, prepend=np.zeros_like(rows[:1]))
    lines = np.concatenate([np.full((height, 1), filtered, np.uint8), rows], axis=1).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 16, COLOUR_TYPES[channels], 0, 0, 0)
    body = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in body
    )


def coloured(channels: int) -> np.ndarray:
    """Return the counts in each colour channel, and a different alpha channel if `channels` is 2 or 4."""
    values = np.repeat(COUNTS[..., None], channels, axis=2)
    if channels in (2, 4):
        values[..., -1] = 65535 - COUNTS
    return values


def pnm(form: int, highest: int, values: np.ndarray = COUNTS, comment: str = "") -> bytes:
    header = f"P{form}\n{comment}{values.shape[1]} {values.shape[0]}\n{highest}\n".encode()
    if form in (2, 3):
        return header + b"\n".join(
            b" ".join(b"%d" % v for v in row) for row in values.reshape(len(values), -1)
        )
    return header + values.astype(">u2").tobytes()


FILES = {f"png of {c} channels": png(coloured(c)) for c in COLOUR_TYPES}
FILES["png with a gamma"] = png(coloured(2), (b"gAMA", struct.pack(">I", 45455)))
FILES["png of differences"] = png(coloured(3), filtered=2)
FILES |= {f"tiff of {c} channels {o}": tiff(coloured(c), order=o) for c in (1, 2, 3, 4) for o in "<>"}
FILES |= {f"pgm up to {top}": pnm(5, top) for top in (22498, 32767, 65535)}
FILES |= {"plain pgm": pnm(2, 30000), "commented pgm": pnm(5, 30000, comment="# a 16383 camera\n")}
FILES |= {"plain ppm": pnm(3, 30000, coloured(3)), "ppm": pnm(6, 30000, coloured(3))}


@pytest.mark.parametrize("name", FILES)
def test_depth_and_thermal_get_the_stored_numbers(name):
    np.testing.assert_array_equal(load_thermal(FILES[name]), COUNTS)
    np.testing.assert_allclose(load_depth(FILES[name]), COUNTS / 1000, rtol=1e-6)


@pytest.mark.parametrize("top", [256, 1023, 4095, 10000, 16383, 65535])
def test_a_pgm_of_any_highest_value_above_255_gives_the_stored_numbers(top):
    values = (np.arange(300) % (top + 1)).reshape(15, 20).astype(np.uint16)
    np.testing.assert_array_equal(load_values(pnm(5, top, values), key=""), values)
    np.testing.assert_array_equal(load_values(pnm(2, top, values), key=""), values)


def test_numbers_of_a_plain_pgm_may_follow_a_long_comment_or_many_blanks():
    for gap in ("\n" * 500, "# " + "x" * 500 + "\n"):
        data = f"P2\n2 1\n300\n{gap}5 300\n".encode()
        np.testing.assert_array_equal(load_values(data, key=""), [[5, 300]])


@pytest.mark.parametrize("numbers", ["", " ", "5", "5 65536", "5 99999999999", "-5 3"])
def test_missing_and_too_large_numbers_of_a_plain_pgm_are_refused(numbers):
    with pytest.raises(MediaError, match=r"expected 2 numbers for|numbers of at most 65535, got"):
        load_values(f"P2\n2 1\n60000\n{numbers}".encode(), key="")


def test_a_pgm_with_a_highest_value_above_65535_is_refused():
    with pytest.raises(MediaError, match="expected an image"):
        load_values(pnm(5, 65536), key="")


def test_a_pgm_of_8_bits_is_scaled_by_its_highest_value_as_thermal_and_refused_as_depth():
    dim = b"P5\n2 2\n100\n" + bytes([0, 50, 100, 100])
    np.testing.assert_array_equal(load_thermal(dim), [[0, 128], [255, 255]])
    with pytest.raises(MediaError, match="8 bits"):
        load_depth(dim)


@pytest.mark.parametrize("form", ["png", "tif"])
@pytest.mark.parametrize("layout", ["ya16", "rgb48", "rgba64", "gray16"])
def test_files_written_by_ffmpeg_give_the_stored_numbers(form, layout, tmp_path, needs_ffmpeg):
    order = "be" if form == "png" else "le"
    command = "ffmpeg -y -loglevel error -f rawvideo -pix_fmt gray16le -s 64x48 -i - -pix_fmt "
    path = tmp_path / f"counts.{form}"
    run = subprocess.run([*command.split(), layout + order, str(path)], input=COUNTS.astype("<u2").tobytes())
    if run.returncode:
        pytest.skip(f"FFmpeg writes no {layout} as {form}")
    np.testing.assert_array_equal(load_thermal(path), COUNTS)


@pytest.fixture
def needs_ffmpeg() -> None:
    try:
        subprocess.run(["ffmpeg", "-version"], capture_output=True, check=True)
    except OSError:
        pytest.skip("no ffmpeg")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_deep_images_are_rotated_upright_like_other_images(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(COUNTS).save(file, "PNG", exif=exif)
    expected = load_thermal(file)  # through Pillow
    np.testing.assert_array_equal(upright(COUNTS, orientation), expected)
    np.testing.assert_array_equal(load_thermal(tiff(coloured(3), orientation=orientation)), expected)
    chunk = struct.pack(">2sHIHHHIHHI", b"MM", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    np.testing.assert_array_equal(load_thermal(png(coloured(4), (b"eXIf", chunk))), expected)


def test_16_bit_colours_are_refused_as_depth_and_reduced_to_8_bits_as_thermal():
    values = coloured(3)
    values[..., 0] = 3 * (values[..., 0] // 4)
    with pytest.raises(MediaError, match=r"one channel.*\(48, 64, 3\)"):
        load_depth(png(values))
    eight = np.asarray(Image.fromarray(np.rint(values / 257).astype(np.uint8)).convert("L"))
    np.testing.assert_array_equal(load_thermal(png(values)), eight)


def test_files_over_the_pixel_limit_and_files_cut_short_are_refused():
    for name, data in FILES.items():
        with pytest.raises(MediaError, match="max_pixels"):
            load_thermal(data, limits=Limits(max_pixels=1000))
        with pytest.raises(MediaError):
            print(name, load_thermal(data[: len(data) * 2 // 3]))


@pytest.mark.filterwarnings("ignore")  # Pillow warns of damaged metadata
@given(damaged(list(FILES.values())))
@settings(max_examples=150, deadline=None)
def test_a_damaged_file_gives_an_image_or_an_error_with_its_name(bad):
    try:
        out = ThermalTransform(size=14, limits=Limits(max_pixels=10**6))(bad)
    except MediaError as error:
        assert "bytes>" in error.item
    else:
        assert out.shape == (1, 14, 14) and out.min() >= 0 and out.max() <= 1


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_ends_within_its_header_raises_an_error_with_its_name(name):
    for size in range(1, 64):
        with pytest.raises(MediaError, match=f"<{size} bytes>"):
            load_thermal(FILES[name][:size])
