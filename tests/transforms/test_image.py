"""Image transform: parity with the released loader, known answers, and errors."""

import io
import pickle
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from imagebind.errors import MediaError
from imagebind.io.source import Limits
from imagebind.transforms.image import IMAGE_MEAN, IMAGE_STD, ImageTransform, load_image, resize_and_crop
from tests.media.measured import tiff

DATA = Path(__file__).parents[1] / "data" / "preprocessing"
EXPECTED = np.load(DATA / "vision_expected_every4th.npz")
PLAIN = ImageTransform(size=8, mean=(0, 0, 0), std=(1, 1, 1))  # values stay in [0, 1]


def encoded(image: Image.Image, form: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def ramp(height: int = 20, width: int = 30) -> np.ndarray:
    values = np.arange(height * width * 3) % 251
    return values.reshape(height, width, 3).astype(np.uint8)


@pytest.mark.parametrize("name", EXPECTED.files)
def test_a_file_gives_the_tensor_of_the_released_loader(name):
    ours = ImageTransform(exif=False)(DATA / name)
    assert ours.shape == (3, 224, 224) and ours.dtype == torch.float32
    np.testing.assert_allclose(ours[:, ::4, ::4].numpy(), EXPECTED[name], atol=1e-5)


def test_every_source_type_gives_the_same_tensor():
    path = DATA / "rgb_640x480.jpg"
    image = Image.open(path)
    array = np.asarray(image)
    expected = ImageTransform()(path)
    with path.open("rb") as file:
        for source in (
            str(path),
            path.read_bytes(),
            file,
            image,
            array,
            torch.tensor(array).permute(2, 0, 1),
        ):
            assert torch.equal(ImageTransform()(source), expected)


def test_white_is_1_standardised():
    expected = (1 - torch.tensor(IMAGE_MEAN)) / torch.tensor(IMAGE_STD)
    white = ImageTransform(size=4)(np.full((5, 9, 3), 255, np.uint8))
    torch.testing.assert_close(white, expected[:, None, None].expand(3, 4, 4))


def test_the_crop_is_the_centre():
    strip = np.zeros((8, 24, 3), np.uint8)
    strip[:, 8:16] = 255
    assert torch.equal(PLAIN(strip), torch.ones(3, 8, 8))


def test_float_images_agree_with_8_bit_images_within_rounding():
    array = np.asarray(Image.open(DATA / "rgb_640x480.jpg"))
    transform = ImageTransform(size=64, mean=(0, 0, 0), std=(1, 1, 1))
    difference = (transform(array / 255) - transform(array)).abs()
    assert difference.max() < 3 / 255 and difference.mean() < 0.5 / 255


@pytest.mark.parametrize("shape", [(9, 12), (9, 12, 1)])
def test_grayscale_arrays_become_three_equal_channels(shape):
    grayscale = np.arange(9 * 12, dtype=np.uint8).reshape(shape)
    result = PLAIN(grayscale)
    assert torch.equal(result[0], result[1]) and torch.equal(result[1], result[2])
    assert torch.equal(PLAIN(torch.tensor(grayscale.reshape(1, 9, 12))), result)


def test_an_alpha_channel_is_dropped():
    alpha = np.zeros((20, 30, 1), np.uint8)
    assert torch.equal(PLAIN(np.concatenate([ramp(), alpha], axis=2)), PLAIN(ramp()))


def test_mirrored_and_read_only_arrays_are_accepted():
    for array in (ramp(), ramp() / np.float32(255)):
        mirrored = array[:, ::-1]
        mirrored.flags.writeable = False
        assert torch.equal(PLAIN(mirrored), PLAIN(mirrored.copy()))


def test_half_precision_tensors_and_gradients_are_accepted():
    image = torch.full((3, 10, 10), 0.5, dtype=torch.bfloat16, requires_grad=True)
    torch.testing.assert_close(PLAIN(image), torch.full((3, 8, 8), 0.5))


def test_a_16_bit_grayscale_png_is_scaled_and_not_clipped_to_white():
    image = Image.fromarray(np.full((10, 10), 65535 // 2, np.uint16))
    assert load_image(encoded(image)).getpixel((5, 5)) == (127, 127, 127)
    torch.testing.assert_close(PLAIN(image), torch.full((3, 8, 8), 127 / 255))


def test_a_float_grayscale_image_needs_values_from_0_to_1():
    assert PLAIN(Image.fromarray(np.full((9, 9), 0.2, np.float32))).mean().item() == pytest.approx(0.2)
    for bad in (1.5, -0.1, float("nan")):
        with pytest.raises(MediaError, match=r"expected grayscale within \[0, 1\], got grayscale from "):
            PLAIN(Image.fromarray(np.full((9, 9), bad, np.float32)))


@pytest.mark.parametrize("form", ["GIF", "WEBP"])
def test_an_animation_gives_its_first_frame(form):
    red, blue = (Image.new("RGB", (16, 16), colour) for colour in ("red", "blue"))
    data = encoded(red, form, save_all=True, append_images=[blue])
    red_channel, _, blue_channel = np.asarray(load_image(data))[8, 8]
    assert red_channel > 240 and blue_channel < 15


def with_orientation() -> bytes:
    """Return an image, black at the top and white at the bottom, stored rotated with an EXIF orientation."""
    upright = np.zeros((16, 16, 3), np.uint8)
    upright[8:] = 255
    tags = Image.Exif()
    tags[0x0112] = 6  # Orientation: rotate clockwise by 90 degrees for display
    return encoded(Image.fromarray(np.rot90(upright).copy()), exif=tags)


def test_the_exif_orientation_is_applied_unless_disabled():
    upright = PLAIN(with_orientation())
    assert upright[:, 0].max() < 0.1 and upright[:, -1].min() > 0.9
    stored = load_image(with_orientation(), exif=False)
    assert stored.getpixel((0, 0)) == stored.getpixel((0, 15)) != stored.getpixel((15, 0))


def test_an_image_that_was_rotated_upright_is_not_rotated_again():
    assert torch.equal(PLAIN(load_image(with_orientation())), PLAIN(with_orientation()))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 300), (300, 1), (2, 100_000), (7, 8)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_images_of_any_aspect_ratio_are_converted(height, width, dtype):
    result = ImageTransform()(np.ones((height, width, 3), dtype))
    assert result.shape == (3, 224, 224) and result.isfinite().all()


def test_resizing_a_float_map_keeps_its_channels_and_a_constant():
    resized = resize_and_crop(torch.full((1, 31, 47), 3.5), 16)
    torch.testing.assert_close(resized, torch.full((1, 16, 16), 3.5))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 32))
def test_resizing_always_gives_a_square(height, width, size):
    assert resize_and_crop(torch.zeros(2, height, width), size).shape == (2, size, size)


def test_inputs_are_not_modified():
    array, tensor = ramp(), torch.rand(3, 9, 9)
    image = Image.fromarray(np.full((9, 9), 40_000, np.uint16))
    before = array.copy(), tensor.clone(), np.asarray(image).copy()
    for item in (array, tensor, image):
        PLAIN(item)
    assert (array == before[0]).all() and torch.equal(tensor, before[1])
    assert image.mode.startswith("I") and (np.asarray(image) == before[2]).all()


def test_the_transform_works_after_pickling_and_in_threads():
    transform = pickle.loads(pickle.dumps(ImageTransform(size=32)))
    path = DATA / "rgb_640x480.jpg"
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(transform, [path] * 8))
    assert transform == ImageTransform(size=32)
    expected = ImageTransform(size=32)(path)
    assert all(torch.equal(result, expected) for result in results)


# ---- errors


@pytest.mark.parametrize("name", [name for name in EXPECTED.files if "rgb" in name or "cmyk" in name])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.9])
def test_the_error_for_a_truncated_file_names_it(name, share, tmp_path):
    whole = (DATA / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(MediaError, match=name):
        load_image(path)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_flipped_bits_give_an_image_or_a_media_error(data):
    form = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"]))
    damaged = bytearray(encoded(Image.fromarray(ramp()), form))
    for position in data.draw(st.lists(st.integers(0, len(damaged) * 8 - 1), min_size=1, max_size=8)):
        damaged[position // 8] ^= 1 << position % 8
    with suppress(MediaError):
        assert PLAIN(bytes(damaged)).isfinite().all()


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_an_image_or_a_media_error(junk):
    try:
        load_image(junk)
    except MediaError as error:
        assert error.item == f"<{len(junk)} bytes>"


def test_a_decompression_bomb_is_refused_by_its_header():
    def chunk(chunk_type: bytes, body: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(chunk_type + body))
        return struct.pack(">I", len(body)) + chunk_type + body + checksum

    header = struct.pack(">IIBBBBB", 12_000, 12_000, 8, 2, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )
    with pytest.raises(
        MediaError, match=r"at most 100,000,000 pixels \(max_pixels\), got .*144,000,000 pixels"
    ):
        load_image(bomb)


@pytest.mark.parametrize(
    "make", [bytes, Image.fromarray, np.asarray, lambda a: torch.tensor(a).permute(2, 0, 1)]
)
def test_max_pixels_limits_every_input_type(make):
    item = encoded(Image.fromarray(ramp())) if make is bytes else make(ramp())
    with pytest.raises(MediaError, match="max_pixels"):
        ImageTransform(limits=Limits(max_pixels=599))(item)
    assert ImageTransform(limits=Limits(max_pixels=600))(item).shape == (3, 224, 224)


def test_max_bytes_limits_files():
    with pytest.raises(MediaError, match="max_bytes"):
        load_image(DATA / "rgb_640x480.jpg", limits=Limits(max_bytes=1000))


def test_postscript_is_refused():
    with pytest.raises(MediaError, match="not an image"):
        load_image(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (np.zeros((3, 20, 20), np.uint8), r"shape \(3, 20, 20\)"),
        (np.zeros((0, 20, 3), np.uint8), r"shape \(0, 20, 3\)"),
        (np.zeros(5, np.uint8), r"shape \(5,\)"),
        (np.zeros((20, 20, 3), np.int64), "type int64"),
        (np.full((20, 20, 3), 7.0), r"expected floats in \[0, 1\], got floats from 7.0 to 7.0"),
        (np.full((20, 20, 3), np.nan), "floats from nan"),
        (torch.zeros(20, 20, 3), r"shape \(20, 20, 3\)"),
        (torch.zeros(2, 3, 20, 20), r"shape \(2, 3, 20, 20\)"),
        (torch.full((3, 20, 20), -1.0), "floats from -1.0"),
        (None, "got NoneType"),
        (b"", "empty"),
        ("no/such/image.jpg", "^no/such/image.jpg: no such file$"),
    ],
)
def test_the_error_for_items_that_are_no_image_describes_them(item, message):
    with pytest.raises(MediaError, match=message):
        ImageTransform()(item)


@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bit_tiffs_that_pillow_decodes_wrongly_have_the_right_colours(order):
    steps = np.arange(60 * 80, dtype=np.uint16).reshape(60, 80) * 13
    colours = np.stack([steps, 65535 - steps, steps[::-1]], axis=2)
    planar = np.asarray(load_image(tiff(colours, order=order, planar=True)))
    assert np.abs(planar - colours / 257).max() <= 0.5
    if order == "<":  # Pillow refuses the other order
        gray = np.asarray(load_image(tiff(steps[..., None], order=order, white_is_zero=True)))
        assert np.abs(gray - (65535 - steps[..., None]) / 257).max() <= 0.5
