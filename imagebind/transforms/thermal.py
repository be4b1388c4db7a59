"""Convert an infrared image to the tensor that the thermal trunk takes: one channel of brightness.

No loader was ever published. Users found that the trunk expects [0, 1] without mean and std: this gives an
accuracy of 62.4% on LLVIP, and CLIP's statistics give 55.2%; the paper reports 63.4% (community).

Units of 16-bit and float images (ours). With a unit, temperatures, `low` and `high` are in °C.

| unit | a stored number is | written by |
|---|---|---|
| `celsius` | °C | float TIFF and `.npy` exports, Seek, FLIR Tools' CSV saved as `.npy` |
| `kelvin` | K | |
| `centikelvin` | 1/100 K | FLIR Lepton and Boson (TLinear), Tau 2, FLIR A-series |
| `decikelvin` | 1/10 K | the same cameras at their low resolution |
| `decicelsius` | 1/10 °C | DJI Thermal SDK |
| a number, such as 1/64 | that many K | 1/64: InfiRay; 0.04: FLIR Ax5 |
| `raw` | not converted | 14-bit TIFF of FLIR ADAS, and the counts of a radiometric FLIR JPEG |
"""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from imagebind.checks import check_whole, is_number
from imagebind.errors import MediaError, warn_of
from imagebind.io.source import DEFAULT_LIMITS, Limits, Source, is_source, name_of, open_source
from imagebind.media.arrays import as_numpy, decode_image, drop_channel, is_deep, positive_number, read_values
from imagebind.media.flir import ZERO_CELSIUS, read_radiometric
from imagebind.media.image_file import is_deep_gray
from imagebind.media.palettes import PALETTES, is_coloured, palette_of, palette_steps
from imagebind.modality import ModalityType
from imagebind.transforms.image import SIXTEEN_BIT_STEP, Crop, resize_and_crop
from imagebind.transforms.options import PER_ITEM

LOW_PERCENTILE, HIGH_PERCENTILE = 1, 99  # so that a dead or hot pixel does not set the scale (ours)
EXPECTED_THERMAL = "8-bit grayscale or RGB, or one channel of 16-bit or float radiometry"
RAW_UNIT = "raw"
THERMAL_UNITS = {  # unit -> kelvin per stored step, and °C of a stored 0
    "celsius": (1.0, 0.0),
    "kelvin": (1.0, -ZERO_CELSIUS),
    "centikelvin": (0.01, -ZERO_CELSIUS),
    "decikelvin": (0.1, -ZERO_CELSIUS),
    "decicelsius": (0.1, 0.0),
}
GRAY_PALETTE = "gray"  # palette option that reads brightness
DOUBTFUL_COLD, DOUBTFUL_HOT = -100.0, 1000.0  # °C; a median outside causes a warning (ours)
ThermalUnit = float | str
ThermalItem = Source | Image.Image | np.ndarray | Tensor


def load_thermal(
    source: Source,
    *,
    unit: ThermalUnit | None = None,
    palette: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> np.ndarray:
    """Read an infrared image (h, w) as uint8 brightness, as °C if the unit is known, or as stored numbers.

    16-bit and float PNG, TIFF, PGM, `.npy` and `.npz` keep their bits, also with equal colour channels. A
    JPEG or FFF file of a FLIR camera gives its temperatures (ours). Colours, scaled to 8 bits, become the
    steps of a known palette (ours), else grayscale as by Pillow's `convert("L")` (community). Both cause a
    warning unless `palette` is given.

    Args:
        unit: unit of 16-bit and float numbers, from the table above; by default they are not converted.
            "raw" also keeps the counts of a FLIR camera.
        palette: palette of a colour image, one of `PALETTES`, or "gray" for brightness; detected by default.

    Raises:
        MediaError: the file is neither an image nor an array of one frame, damaged, beyond `limits`, or has
            8 bits per pixel and a unit.
        ValueError: the unit or palette is unknown.
    """
    name = name_of(source)
    _check_choices(unit, palette)
    with open_source(source, limits=limits) as file:
        camera = read_radiometric(file, name=name, limits=limits)
        if camera is None:
            values = read_values(file, name=name, key="thermal", limits=limits)
            return _pixels(values, name=name, unit=unit, palette=palette, limits=limits)
    if unit == RAW_UNIT:
        return camera.counts
    if camera.calibration is None:
        warn_of(name, "the camera stored no constants for temperatures; its counts are used")
        return camera.counts
    return camera.calibration.celsius(camera.counts)


def to_celsius(values: np.ndarray, *, unit: ThermalUnit, name: str = "thermal") -> np.ndarray:
    """Convert stored numbers to float32 °C; `unit` as in `load_thermal`, where "raw" changes nothing.

    An implausible median causes a warning.

    Raises:
        MediaError: values have 8 bits, which cannot be temperatures.
        ValueError: the unit is unknown.
    """
    _check_choices(unit, None)
    if unit == RAW_UNIT:
        return values
    if values.dtype == np.uint8:
        raise MediaError(name, got="8 bits per pixel", expected=f"16 bits or floats for unit={unit!r}")
    step, zero = (positive_number(unit), -ZERO_CELSIUS) if positive_number(unit) else THERMAL_UNITS[unit]  # type: ignore[index]
    celsius = (values * np.float64(step) + zero).astype(np.float32)  # type: ignore[arg-type]
    finite = celsius[np.isfinite(celsius)]
    if finite.size and not DOUBTFUL_COLD <= (median := float(np.median(finite))) <= DOUBTFUL_HOT:
        warn_of(name, f"the median temperature is {median:.4g} °C with unit={unit!r}; pass another unit=")
    return celsius


def radiometric_to_unit(
    values: np.ndarray, *, low: float | None = None, high: float | None = None
) -> np.ndarray:
    """Map counts or temperatures linearly from [low, high] to [0, 1], clipped: (h, w) -> (h, w) float32.

    Unless both are given, low and high are the image's 1st and 99th percentile, or, if these are equal (a
    small hot spot on a uniform background), its extremes. A uniform image then becomes 0. Source: ours.
    """
    values = values.astype(np.float64)
    if low is None or high is None:
        low, high = np.percentile(values, (LOW_PERCENTILE, HIGH_PERCENTILE))
        if not low < high:
            low, high = values.min(), values.max()
    if not low < high:
        return np.zeros(values.shape, dtype=np.float32)
    return ((values.clip(low, high) - low) / (high - low)).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class ThermalTransform:
    """Convert an infrared image to (1, size, size) in [0, 1]. Source: community; 16 bits and floats: ours.

    Args:
        low, high: values of a 16-bit or float image that map to 0 and 1: in °C if the unit is known or stored
            by a FLIR camera, else as stored; both or neither. 8-bit values are always divided by 255. For
            floats that are already in [0, 1], pass 0 and 1.
        unit, palette: as in `load_thermal`.
        crop: function that makes a square of `size` from a PIL image or (1, h, w); training passes its own.
    """

    modality: ClassVar[ModalityType] = ModalityType.THERMAL

    low: float | None = field(default=None, metadata=PER_ITEM)
    high: float | None = field(default=None, metadata=PER_ITEM)
    unit: float | str | None = field(default=None, metadata=PER_ITEM)
    palette: str | None = field(default=None, metadata=PER_ITEM)
    size: int = 224
    limits: Limits = field(default=DEFAULT_LIMITS, metadata=PER_ITEM)
    crop: Crop = field(default=resize_and_crop, repr=False, metadata=PER_ITEM)

    def __post_init__(self) -> None:
        if (self.low is None) != (self.high is None):
            raise ValueError(
                f"low, high: expected both low and high or neither, got low={self.low!r}, high={self.high!r}"
            )
        low, high = self.low, self.high
        if low is not None and high is not None and not (is_number(low) and is_number(high) and low < high):
            raise ValueError(f"low, high: expected finite low < high, got low={low!r}, high={high!r}")
        check_whole(1, size=self.size)
        _check_choices(self.unit, self.palette)

    def __call__(self, thermal: ThermalItem) -> Tensor:
        """Convert a file, PIL image, array or tensor to (1, size, size) float32.

        An array is one channel, (h, w), (h, w, 1) or (1, h, w), or 8-bit or 16-bit colour, (h, w, 3) or
        (h, w, 4); a uint8 colour tensor may also be (3, h, w).

        Raises:
            MediaError: as `load_thermal`, the item is none of these, or values are NaN or infinite.
        """
        name = name_of(thermal)
        options = {"unit": self.unit, "palette": self.palette, "limits": self.limits}
        if is_source(thermal):
            pixels = load_thermal(thermal, **options)  # type: ignore[arg-type]
        else:
            pixels = _pixels(thermal, name=name, **options)  # type: ignore[arg-type]
        if pixels.dtype == np.uint8:  # resized in 8 bits, as images are
            square = F.to_image(self.crop(Image.fromarray(pixels), self.size))  # (h, w) -> (1, size, size)
            return F.to_dtype(square, torch.float32, scale=True).as_subclass(Tensor)
        if not np.isfinite(pixels).all():
            broken = np.count_nonzero(~np.isfinite(pixels))
            raise MediaError(
                name, got=f"{broken:,} of {pixels.size:,} that are NaN or infinite", expected="finite pixels"
            )
        scaled = radiometric_to_unit(pixels, low=self.low, high=self.high)  # (h, w)
        return self.crop(torch.from_numpy(scaled)[None], self.size).clamp(0, 1)  # bicubic overshoots


def _pixels(
    item: object, *, name: str, unit: ThermalUnit | None, palette: str | None, limits: Limits
) -> np.ndarray:
    """Return one channel (h, w): stored numbers or °C, or for colour 8-bit brightness."""
    plane = _plane(item, name=name, palette=palette, limits=limits)
    if plane.dtype.kind == "f":  # values beyond float32 become infinite, which is refused
        with np.errstate(over="ignore"):
            plane = plane.astype(np.float32)
    return plane if unit is None else to_celsius(plane, unit=unit, name=name)


def _plane(item: object, *, name: str, palette: str | None, limits: Limits) -> np.ndarray:
    if isinstance(item, Image.Image):
        image = decode_image(item, name=name, limits=limits)
        if is_deep_gray(image):
            return np.asarray(image)
        return np.asarray(image) if image.mode == "L" else _brightness(image, name, palette)
    if not isinstance(item, (np.ndarray, Tensor)):
        raise MediaError(name, got=type(item).__name__, expected=EXPECTED_THERMAL)
    values = as_numpy(item)
    if isinstance(values, np.ma.MaskedArray) and values.mask.any():
        values = np.ma.filled(values.astype(np.float64), np.nan)  # NaN is refused with its count
    if values.dtype == np.uint8 and values.ndim == 3 and values.size:
        if isinstance(item, Tensor) and values.shape[0] == 3:
            values = values.transpose(1, 2, 0)  # (3, h, w) -> (h, w, 3)
        if values.shape[2] in (3, 4):
            return _brightness(Image.fromarray(np.ascontiguousarray(values[..., :3])), name, palette)
    if is_deep(values) and values.ndim == 3 and values.shape[2] in (3, 4):
        colours = values[..., :3]
        if (colours != colours[..., :1]).any() and values.max() <= 0xFFFF and values.min() >= 0:
            eight = np.rint(colours / SIXTEEN_BIT_STEP).astype(np.uint8)
            return _brightness(Image.fromarray(eight), name, palette)
    return drop_channel(values, name=name, expected=EXPECTED_THERMAL)


def _brightness(image: Image.Image, name: str, palette: str | None) -> np.ndarray:
    """Convert an 8-bit image to grayscale: the steps of its palette if known, else Pillow's brightness."""
    pixels = np.asarray(image.convert("RGB"))
    if palette is None and is_coloured(pixels):
        palette = palette_of(pixels)
        if palette is None:
            warn_of(
                name,
                "colours of no known palette, whose brightness may not rise with temperature: export the "
                "image in grayscale (white hot) or radiometric, or pass palette=, one of "
                + ", ".join(PALETTES),
            )
        else:
            warn_of(
                name,
                f"colours of the palette {palette!r}, read as its steps from cold to hot; pass palette="
                f"{palette!r} if that is right, or palette={GRAY_PALETTE!r} to read their brightness",
            )
    return (
        np.asarray(image.convert("L")) if palette in (None, GRAY_PALETTE) else palette_steps(pixels, palette)
    )


def _check_choices(unit: object, palette: str | None) -> None:
    named = unit is None or (isinstance(unit, str) and (unit in THERMAL_UNITS or unit == RAW_UNIT))
    if not named and positive_number(unit) is None:
        names = ", ".join((*THERMAL_UNITS, RAW_UNIT))
        raise ValueError(
            f"unit: expected one of {names}, or kelvin per stored step, such as 1/64, got {unit!r}"
        )
    if palette not in (None, GRAY_PALETTE, *PALETTES):
        raise ValueError(f"palette: expected one of {', '.join((GRAY_PALETTE, *PALETTES))}, got {palette!r}")
