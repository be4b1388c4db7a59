"""Image formats of phones and cameras: HEIC with and without its plug-in, and images of 16 bits."""

import io
import pickle
import sys

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from imagebind import data
from imagebind.errors import AmbiguousMediaError, MediaError, MissingExtraError, collect_warnings
from imagebind.intake.requests import default_transform, identify, prepare
from imagebind.io.source import Limits
from imagebind.media.detect import detect
from imagebind.media.image_file import is_avif, is_heic
from imagebind.modality import MediaKind
from imagebind.transforms.image import ImageTransform, load_image
from imagebind.transforms.mel import mel_filters, resampling_kernel

ROWS, COLUMNS = np.mgrid[0:60, 0:80]
COLOURS = np.stack([COLUMNS * 3, ROWS * 4, COLUMNS + ROWS], -1).astype(np.uint8)
PLAIN = ImageTransform(size=16, mean=(0, 0, 0), std=(1, 1, 1))


def encoded(image: Image.Image, form: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def with_orientation(orientation: int) -> Image.Image:
    """Return an image with an EXIF orientation, like a phone's photo before it is saved as HEIC."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return Image.open(io.BytesIO(encoded(Image.fromarray(COLOURS), "PNG", exif=exif)))


@pytest.fixture
def heif() -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()


def ftyp(major: bytes, *compatible: bytes) -> bytes:
    body = b"ftyp" + major + bytes(4) + b"".join(compatible)
    return (len(body) + 4).to_bytes(4, "big") + body + b"\0\0\0\x08mdat"


# --- HEIC


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_heic_image_is_rotated_upright_exactly_once(heif, orientation):
    stored = with_orientation(orientation)
    stored.load()
    data = encoded(stored, "HEIF", quality=100)  # pillow-heif converts the orientation to irot and imir
    assert orientation == 1 or b"irot" in data or b"imir" in data
    upright = np.asarray(ImageOps.exif_transpose(stored), dtype=int)
    for exif in (True, False):  # irot and imir always apply, the EXIF orientation does not
        read = np.asarray(load_image(data, exif=exif), dtype=int)
        assert read.shape == upright.shape and np.abs(read - upright).mean() < 4


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "I;16"])
def test_every_mode_of_heic_becomes_an_image(heif, mode):
    if mode == "I;16":
        image = Image.fromarray(COLOURS[..., 0].astype(np.uint16) * 257)
    else:
        image = Image.fromarray(COLOURS).convert(mode)
    data = encoded(image, "HEIF", quality=100)
    assert detect(data) is MediaKind.IMAGE
    read = np.asarray(load_image(data), dtype=int)
    expected = COLOURS if mode.startswith("RGB") else np.asarray(Image.fromarray(COLOURS).convert("L"))
    if mode == "I;16":
        expected = COLOURS[..., 0]
    expected = expected if expected.ndim == 3 else expected[..., None]
    assert read.shape == COLOURS.shape and np.abs(read - expected).mean() < 4


def test_the_primary_image_of_a_heic_file_of_several_is_read(heif):
    black = Image.new("RGB", (32, 32))
    data = encoded(black, "HEIF", save_all=True, append_images=[Image.fromarray(COLOURS)], primary_index=1)
    assert load_image(data).size == (80, 60)


def test_the_pixel_limit_applies_to_heic_and_a_file_cut_short_raises_an_error(heif):
    data = encoded(Image.fromarray(COLOURS), "HEIF")
    with pytest.raises(MediaError, match="max_pixels"):
        load_image(data, limits=Limits(max_pixels=100))
    with pytest.raises(MediaError, match=r"damaged or cut short|not an image"):
        load_image(data[: len(data) // 2])


def test_without_its_plug_in_an_image_is_recognised_and_the_error_names_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    heic = io.BytesIO(ftyp(b"heic", b"mif1", b"heic"))
    heic.name = "photo.heic"
    for key in ("image", "depth", "thermal"):
        with pytest.raises(
            MissingExtraError, match=r"photo\.heic.*pip install 'imagebind\[heic\]'"
        ) as caught:
            prepare(identify({key: heic}), default_transform(MediaKind(key)))
        assert isinstance(caught.value, MediaError)  # so that only this item fails
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    assert identify(heic).kind is MediaKind.IMAGE
    with pytest.raises(MediaError, match="pip install pillow-jxl-plugin"):
        prepare(identify(b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40)), ImageTransform())


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"])
def test_heic_is_recognised_by_its_brands(brand):
    assert detect(ftyp(brand, b"mif1", b"heic")) is MediaKind.IMAGE


def test_the_brands_distinguish_avif_and_video_from_heic():
    avif = ftyp(b"mif1", b"miaf", b"avif")
    assert is_avif(avif) and not is_heic(avif)
    assert not is_heic(ftyp(b"isom", b"heic")) and not is_heic(ftyp(b"qt  "))


# --- 16 bits: a file, its PIL image and its array are treated alike

DEEP = np.linspace(0, 65535, 60 * 80).reshape(60, 80).astype(np.uint16)


@pytest.mark.parametrize("form", ["PNG", "TIFF", "PPM"])
def test_a_deep_gray_image_is_ambiguous_as_a_file_and_as_a_pil_image(form):
    data = encoded(Image.fromarray(DEEP), form)
    opened = Image.open(io.BytesIO(data))
    messages = {}
    for item in (data, opened, Image.fromarray(DEEP.astype(np.float32)), Image.fromarray(DEEP)):
        with pytest.raises(AmbiguousMediaError, match="depth or thermal") as caught:
            identify(item)
        messages[id(item)] = caught.value.got
    assert messages[id(data)] == messages[id(opened)]


def test_16_bits_declared_as_an_image_are_scaled_to_8(tmp_path):
    Image.fromarray(DEEP).save(tmp_path / "g.png")
    Image.fromarray(DEEP).save(tmp_path / "g.tif")
    expected = PLAIN(np.rint(DEEP / 257).astype(np.uint8))
    big = Image.frombytes("I;16B", (80, 60), DEEP.astype(">u2").tobytes())
    items = [tmp_path / "g.png", tmp_path / "g.tif", Image.open(tmp_path / "g.png"), big, DEEP]
    items += [DEEP[..., None], torch.from_numpy(DEEP[None]), Image.fromarray(DEEP.astype(np.int32))]
    items += [
        DEEP.astype(">u2"),
        np.repeat(DEEP[..., None], 3, axis=2),
        np.repeat(DEEP[..., None], 4, axis=2),
    ]
    for item in items:
        for key in ("image", "vision"):
            views = prepare(identify({key: item}), PLAIN).views
            torch.testing.assert_close(views[0], expected, msg=repr(item)[:60])


def test_16_bit_colours_are_scaled_channel_by_channel():
    deep = COLOURS.astype(np.uint16) * 257
    torch.testing.assert_close(PLAIN(deep), PLAIN(COLOURS))
    torch.testing.assert_close(PLAIN(torch.from_numpy(deep).permute(2, 0, 1)), PLAIN(COLOURS))


def test_16_bits_that_are_nearly_black_as_an_image_give_a_warning():
    with collect_warnings() as warnings:
        PLAIN(Image.fromarray(DEEP))
    assert warnings == []
    with collect_warnings() as warnings:
        PLAIN((DEEP // 16 + 1).clip(max=4000))
    assert len(warnings) == 1 and "4000 of 65535" in warnings[0] and "'depth'" in warnings[0]


def test_other_integer_types_are_refused_as_images():
    for dtype in (np.int16, np.int64, np.uint32):
        with pytest.raises(MediaError, match="uint8, uint16"):
            PLAIN(DEEP.astype(dtype))


@pytest.mark.parametrize("form", ["PNG", "TIFF", "PPM"])
def test_the_drop_in_loader_clips_deep_grayscale_images_as_the_original_did(tmp_path, form):
    path = tmp_path / "deep"
    path.write_bytes(encoded(Image.fromarray(DEEP), form))
    clipped = ImageTransform(exif=False)(Image.open(path).convert("RGB"))
    torch.testing.assert_close(data.load_and_transform_vision_data([path], "cpu")[0], clipped)


def test_a_default_dtype_of_64_bits_changes_no_tensor():
    tone = np.sin(np.arange(48_000) / 10)
    items = [{"image": COLOURS}, {"image": COLOURS / 255}, {"depth": DEEP}, {"thermal": DEEP}]
    items += [{"audio": tone, "rate": rate} for rate in (16_000, 44_100)]
    items += [{"imu": np.full((2000, 6), 9.81), "rate": 200}]
    requests = [identify(item) for item in items]
    expected = [prepare(request, default_transform(request.kind)).views for request in requests]
    torch.set_default_dtype(torch.float64)
    mel_filters.cache_clear()
    resampling_kernel.cache_clear()
    try:
        for request, views in zip(requests, expected, strict=True):
            again = prepare(request, default_transform(request.kind)).views
            assert again.dtype is torch.float32
            torch.testing.assert_close(again, views, atol=1e-5, rtol=0)
    finally:
        torch.set_default_dtype(torch.float32)
