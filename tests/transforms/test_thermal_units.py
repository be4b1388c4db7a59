"""Units of thermal cameras, and palettes that are converted to the order of temperatures."""

import io
import re
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

from imagebind import data
from imagebind.errors import MediaError, collect_warnings
from imagebind.intake.requests import identify, prepare
from imagebind.media.palettes import PALETTES, palette_of, palette_steps
from imagebind.transforms import thermal
from imagebind.transforms.thermal import THERMAL_UNITS, ThermalTransform, load_thermal
from tests.media.measured import encoded

FILES = Path(__file__).parents[1] / "data" / "preprocessing"
CELSIUS = (10 + 20 * np.linspace(0, 1, 64)[None] + 5 * np.linspace(0, 1, 48)[:, None]).astype(np.float64)
STORED = {
    "celsius": CELSIUS,
    "kelvin": CELSIUS + 273.15,
    "centikelvin": np.rint(100 * (CELSIUS + 273.15)).astype(np.uint16),
    "decikelvin": np.rint(10 * (CELSIUS + 273.15)).astype(np.uint16),
    "decicelsius": np.rint(10 * CELSIUS).astype(np.int16),
    1 / 64: np.rint(64 * (CELSIUS + 273.15)).astype(np.uint16),
    "0.04": np.rint(25 * (CELSIUS + 273.15)).astype(np.uint16),
}


@pytest.mark.parametrize("unit", STORED)
def test_with_a_unit_temperatures_low_and_high_are_in_celsius(unit):
    stored = STORED[unit]
    celsius = load_thermal(encoded(stored, "npy"), unit=unit)
    assert celsius.dtype == np.float32 and np.abs(celsius - CELSIUS).max() < 0.06
    expected = ThermalTransform(low=10, high=30)(CELSIUS)
    for item in (stored, stored[..., None], stored[None], torch.from_numpy(stored.astype(np.float64))):
        out = ThermalTransform(unit=unit, low=10, high=30)(item)
        torch.testing.assert_close(out, expected, atol=5e-3, rtol=0)


@pytest.mark.parametrize("form", ["PNG", "TIFF", "npy"])
def test_the_unit_is_an_option_of_the_item_and_the_drop_in_loader(form, tmp_path):
    path = tmp_path / "lepton"
    path.write_bytes(encoded(STORED["centikelvin"], form))
    expected = ThermalTransform(low=10, high=30)(CELSIUS)
    item = {"thermal": path, "unit": "centikelvin", "low": 10, "high": 30}
    options = {key: value for key, value in item.items() if key != "thermal"}
    for out in (
        prepare(identify(item), ThermalTransform()).views[0],
        data.load_and_transform_thermal_data([path], "cpu", **options)[0],
    ):
        torch.testing.assert_close(out, expected, atol=5e-3, rtol=0)


def test_numbers_are_not_converted_without_a_unit_or_with_raw():
    counts = STORED["centikelvin"]
    for unit in (None, "raw"):
        values = load_thermal(encoded(counts, "PNG"), unit=unit)
        assert values.dtype == np.uint16
        np.testing.assert_array_equal(values, counts)


def test_the_table_names_each_unit_and_no_other():
    assert set(re.findall(r"^\| `(\w+)` \|", thermal.__doc__, re.MULTILINE)) == {*THERMAL_UNITS, "raw"}


@pytest.mark.parametrize(
    "unit, stored", [("celsius", "centikelvin"), ("kelvin", "centikelvin"), (1, "decikelvin")]
)
def test_an_implausible_unit_gives_a_warning(unit, stored):
    with collect_warnings() as warnings:
        ThermalTransform(unit=unit)(STORED[stored])
    assert len(warnings) == 1 and "°C" in warnings[0] and "unit=" in warnings[0]
    with collect_warnings() as warnings:
        ThermalTransform(unit=stored)(STORED[stored])
    assert warnings == []


def test_8_bit_values_with_a_unit_are_refused():
    with pytest.raises(MediaError, match=r"16 bits or floats for unit='centikelvin', got 8 bits per pixel"):
        ThermalTransform(unit="centikelvin")(np.zeros((9, 9), np.uint8))


@pytest.mark.parametrize(
    "options", [{"unit": "fahrenheit"}, {"unit": 0}, {"unit": True}, {"palette": "sunset"}]
)
def test_a_wrong_unit_or_palette_is_refused_by_the_constructor(options):
    for refuse in (
        lambda: ThermalTransform(**options),
        lambda: load_thermal(encoded(CELSIUS, "npy"), **options),
    ):
        with pytest.raises(ValueError, match="expected one of"):
            refuse()


def test_masked_pixels_are_refused_as_not_finite():
    with pytest.raises(MediaError, match=r"1,\d+ of 3,072"):
        ThermalTransform()(np.ma.masked_less(CELSIUS, 20))


# --- false colours

LEVELS = np.rint(np.linspace(0, 255, 320)[None].repeat(240, 0)).astype(np.uint8)


def coloured(name: str, levels: np.ndarray = LEVELS) -> np.ndarray:
    return matplotlib.colormaps[name](levels, bytes=True)[..., :3]


def jpeg(pixels: np.ndarray, quality: int = 90) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return file.getvalue()


@pytest.mark.parametrize("name", PALETTES)
def test_a_known_palette_is_converted_to_its_steps_with_a_warning(name):
    with collect_warnings() as warnings:
        levels = load_thermal(jpeg(coloured(name)))
    assert levels.dtype == np.uint8 and np.corrcoef(levels[100], LEVELS[100])[0, 1] > 0.98
    assert len(warnings) == 1 and f"palette {name!r}" in warnings[0] and "'gray'" in warnings[0]
    if name == "turbo":
        np.testing.assert_array_equal(palette_steps(coloured(name), name)[0], LEVELS[0])
    with collect_warnings() as warnings:
        converted = load_thermal(jpeg(coloured(name)), palette=name)
        gray = load_thermal(jpeg(coloured(name)), palette="gray")
    assert warnings == []
    np.testing.assert_array_equal(converted, levels)
    pixels = Image.open(io.BytesIO(jpeg(coloured(name))))
    np.testing.assert_array_equal(gray, np.asarray(pixels.convert("L")))


def test_a_palette_is_recognised_under_a_logo_and_by_a_part_of_its_range():
    levels = 60 + LEVELS // 2
    pixels = coloured("inferno", levels)
    pixels[:30, :60] = 255
    pixels[10:20, 10:50] = [0, 0, 255]
    assert palette_of(pixels) == "inferno"


def test_unknown_colours_are_converted_to_brightness_with_a_warning():
    with collect_warnings() as warnings:
        levels = load_thermal(FILES / "rgb_640x480.jpg")
    with Image.open(FILES / "rgb_640x480.jpg") as image:
        np.testing.assert_array_equal(levels, np.asarray(image.convert("L")))
    assert len(warnings) == 1 and "grayscale (white hot)" in warnings[0] and "jet" in warnings[0]


def test_noise_of_all_colours_and_a_single_colour_are_not_a_palette():
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3)).astype(np.uint8)
    assert palette_of(noise) is None
    for name in ("jet", "hot"):
        assert palette_of(coloured(name, np.full((60, 80), 200, np.uint8))) is None


@pytest.mark.parametrize("quality", [50, 95])
def test_grayscale_in_three_channels_is_brightness_without_a_warning(quality):
    gray = np.repeat(LEVELS[..., None], 3, axis=2)
    gray[:20, :60] = [255, 0, 0]  # a red logo
    with collect_warnings() as warnings:
        levels = load_thermal(jpeg(gray, quality))
    assert warnings == [] and np.abs(levels[100].astype(int) - LEVELS[100]).max() <= 4


def test_arrays_tensors_and_palette_pngs_of_false_colours_agree():
    pixels = coloured("jet")
    expected = ThermalTransform()(palette_steps(pixels, "jet"))
    alpha = np.full((240, 320, 1), 255, np.uint8)
    items = [pixels, np.concatenate([pixels, alpha], axis=2), torch.from_numpy(pixels).permute(2, 0, 1)]
    items += [Image.fromarray(pixels), encoded(pixels, "PNG"), pixels.astype(np.uint16) * 257]
    for item in items:
        torch.testing.assert_close(ThermalTransform()(item), expected)
