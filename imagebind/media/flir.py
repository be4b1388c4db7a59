"""Read FLIR's radiometric images: sensor counts in a JPEG or FFF file, and convert them to temperatures.

The JPEG shows false colours. Its APP1 segments "FLIR" together form an FFF file: a directory of records, one
with the counts (raw, or as a PNG) and one with the camera's constants, as ExifTool documents. The temperature
follows from Planck's law with constants fitted to the camera, corrected for emissivity, reflection, air and
window. Half of the air is in front of the window, half behind it.
"""

import contextlib
import io
import math
import os
import struct
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from PIL import Image

from imagebind.errors import MediaError
from imagebind.io.source import Limits
from imagebind.media.deep_images import ORIENTATION_TAG, PNG_SIGNATURE, check_pixels, decode_deep, upright

FFF_SIGNATURE = b"FFF\0"
ZERO_CELSIUS = 273.15  # kelvin
ROOM_KELVIN = ZERO_CELSIUS + 20  # used if the camera stored no temperature of its surroundings
EXPECTED_FLIR_IMAGE = "an undamaged radiometric image of a FLIR camera"
_JPEG_SIGNATURE, _FLIR_SEGMENT = b"\xff\xd8\xff", b"FLIR\0"
_RAW_DATA, _CAMERA_INFO = 1, 0x20  # record types
_RAW_HEADER_BYTES = 32
_MAX_RECORDS = 4096
# Offsets of floats in the camera record.
_EMISSIVITY, _DISTANCE, _REFLECTED, _AIR, _WINDOW, _TRANSMISSION = 0x20, 0x24, 0x28, 0x2C, 0x30, 0x34
_HUMIDITY, _R1, _B, _F, _R2 = 0x3C, 0x58, 0x5C, 0x60, 0x30C
_ALPHA1, _ALPHA2, _BETA1, _BETA2, _X = 0x70, 0x74, 0x78, 0x7C, 0x80
_O = 0x308  # offset of an integer


@dataclass(frozen=True, kw_only=True)
class PlanckCalibration:
    """A camera's Planck constants, and the optical path to the scene, as the camera stored them.

    Temperatures are in kelvin, distance in metres, emissivity, humidity and transmission in [0, 1]. The
    constants alpha, beta and x describe how the air absorbs radiation.
    """

    r1: float
    b: float
    f: float
    o: float
    r2: float
    emissivity: float = 1.0
    distance: float = 0.0
    reflected: float = ROOM_KELVIN
    air: float = ROOM_KELVIN
    window: float = ROOM_KELVIN
    transmission: float = 1.0
    humidity: float = 0.0
    alpha1: float = 0.0
    alpha2: float = 0.0
    beta1: float = 0.0
    beta2: float = 0.0
    x: float = 0.0

    def counts_of(self, kelvin: float) -> float:
        """Return the counts of a black body at a temperature."""
        return self.r1 / (self.r2 * (math.exp(self.b / kelvin) - self.f)) - self.o

    def air_transmission(self) -> float:
        """Return the share of radiation that passes half of the air, in [0, 1] for plausible constants."""
        air = self.air - ZERO_CELSIUS
        water = self.humidity * math.exp(1.5587 + 0.06939 * air - 2.7816e-4 * air**2 + 6.8455e-7 * air**3)
        root_distance, root_water = math.sqrt(self.distance / 2), math.sqrt(water)
        first = math.exp(-root_distance * (self.alpha1 + self.beta1 * root_water))
        second = math.exp(-root_distance * (self.alpha2 + self.beta2 * root_water))
        return self.x * first + (1 - self.x) * second

    def celsius(self, counts: np.ndarray) -> np.ndarray:
        """Convert counts (h, w) to the temperatures of the surfaces in °C, (h, w) float32."""
        air, window, emissivity = self.air_transmission(), self.transmission, self.emissivity
        signal = counts.astype(np.float64)
        # Undo the path from sensor to surface: air, window, air, and reflection by the surface.
        signal = (signal - (1 - air) * self.counts_of(self.air)) / air
        signal = (signal - (1 - window) * self.counts_of(self.window)) / window
        signal = (signal - (1 - air) * self.counts_of(self.air)) / air
        signal = (signal - (1 - emissivity) * self.counts_of(self.reflected)) / emissivity
        signal = np.maximum(signal + self.o, 1)  # a dead pixel has no temperature; it becomes very cold
        return (self.b / np.log(self.r1 / (self.r2 * signal) + self.f) - ZERO_CELSIUS).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class RadiometricImage:
    """Counts (h, w) uint16, and their calibration if the camera stored it."""

    counts: np.ndarray
    calibration: PlanckCalibration | None


def read_radiometric(file: BinaryIO, *, name: str, limits: Limits) -> RadiometricImage | None:
    """Read the counts of an FFF file, or those in a FLIR camera's JPEG; None for any other file.

    Raises:
        MediaError: the image is damaged, cut short, or beyond `limits`.
    """
    file.seek(0)
    start = file.read(len(FFF_SIGNATURE))
    if start == FFF_SIGNATURE:
        return _read_fff(file, name=name, limits=limits)
    if not start.startswith(_JPEG_SIGNATURE):
        return None
    fff = _flir_segments(file, name)
    if not fff:
        return None
    image = _read_fff(io.BytesIO(fff), name=name, limits=limits)
    orientation = 1
    file.seek(0)
    with contextlib.suppress(Exception), Image.open(file, formats=["JPEG"]) as shown:
        orientation = shown.getexif().get(ORIENTATION_TAG, 1)  # an image with damaged EXIF data is still read
    return RadiometricImage(counts=upright(image.counts, orientation), calibration=image.calibration)


def _flir_segments(file: BinaryIO, name: str) -> bytes:
    """Join the APP1 segments "FLIR" of a JPEG: at most 256 of 64 KB."""
    parts: dict[int, bytes] = {}
    file.seek(2)
    while len(marker := file.read(4)) == 4 and marker[0] == 0xFF and marker[1] not in (0xDA, 0xD9):
        if marker[1] == 0xFF:  # a fill byte
            file.seek(-3, os.SEEK_CUR)
            continue
        length = int.from_bytes(marker[2:], "big") - 2
        if marker[1] != 0xE1:
            file.seek(max(length, 0), os.SEEK_CUR)
            continue
        data = file.read(max(length, 0))
        if data.startswith(_FLIR_SEGMENT) and len(data) >= 8:
            parts.setdefault(data[6], data[8:])
    if parts and max(parts) + 1 != len(parts):
        raise MediaError(
            name,
            got=f"{len(parts)} of its {max(parts) + 1} parts",
            expected=EXPECTED_FLIR_IMAGE,
        )
    return b"".join(parts[number] for number in sorted(parts))


def _read_fff(file: BinaryIO, *, name: str, limits: Limits) -> RadiometricImage:
    try:
        file.seek(0)
        header = file.read(64)
        # The format's version, 100 to 199, shows the byte order.
        order = next(order for order in "><" if 100 <= struct.unpack_from(f"{order}I", header, 20)[0] < 200)
        start, count = struct.unpack_from(f"{order}II", header, 24)
        file.seek(start)
        directory = file.read(32 * min(count, _MAX_RECORDS))
        records: dict[int, tuple[int, int]] = {}
        for at in range(0, len(directory) - 31, 32):
            (record_type,) = struct.unpack_from(f"{order}H", directory, at)
            records.setdefault(record_type, struct.unpack_from(f"{order}II", directory, at + 12))
        counts = _read_counts(_record(file, records[_RAW_DATA], limits), name=name, limits=limits)
        camera = _record(file, records[_CAMERA_INFO], limits) if _CAMERA_INFO in records else b""
    except MediaError:
        raise
    except (StopIteration, KeyError, struct.error, ValueError, OSError) as error:
        raise MediaError(
            name, got="one that is damaged or has no counts", expected=EXPECTED_FLIR_IMAGE
        ) from error
    return RadiometricImage(counts=counts, calibration=_calibration(camera))


def _record(file: BinaryIO, extent: tuple[int, int], limits: Limits) -> bytes:
    start, length = extent
    file.seek(start)
    return file.read(min(length, 2 * limits.max_pixels + 2**20))  # 2 bytes per pixel, and the headers


def _order_of(record: bytes) -> str:
    """Return the byte order of a record; every record begins with the number 2."""
    return "<" if record[:2] == b"\2\0" else ">"


def _read_counts(record: bytes, *, name: str, limits: Limits) -> np.ndarray:
    order = _order_of(record)
    width, height = struct.unpack_from(f"{order}HH", record, 2)
    body = record[_RAW_HEADER_BYTES:]
    if body.startswith(PNG_SIGNATURE):
        width, height = struct.unpack_from(">II", body, 16)
        check_pixels(width, height, name, limits)
        counts = decode_deep(body, "png", name=name, limits=limits)[..., 0]
        # Most cameras write these PNGs in the wrong byte order; the right one gives the smoother image.
        return min(counts.byteswap(), counts, key=_roughness)
    check_pixels(width, height, name, limits)
    if len(body) < 2 * width * height:
        raise MediaError(
            name,
            got=f"{len(body):,} bytes of counts for {width} x {height} pixels",
            expected=EXPECTED_FLIR_IMAGE,
        )
    counts = np.frombuffer(body, f"{order}u2", count=width * height).reshape(height, width)
    return counts.astype(np.uint16)


def _roughness(counts: np.ndarray) -> int:
    """Return the sum of absolute differences between neighbouring pixels."""
    levels = counts.astype(np.int64)
    return int(np.abs(np.diff(levels, axis=0)).sum() + np.abs(np.diff(levels, axis=1)).sum())


def _calibration(record: bytes) -> PlanckCalibration | None:
    """Read a camera record; None if it has no Planck constants, or constants that give no temperature.

    Any other float outside its plausible range is replaced by a default, such as emissivity 1 or room
    temperature.
    """
    order = _order_of(record)
    if len(record) < _R2 + 4:
        return None

    def stored(offset: int, *, low: float, high: float, otherwise: float) -> float:
        (value,) = struct.unpack_from(f"{order}f", record, offset)
        return float(value) if low <= value <= high else otherwise  # NaN gives `otherwise`, too

    def kelvin(offset: int) -> float:
        return stored(offset, low=100, high=5000, otherwise=ROOM_KELVIN)

    def positive(offset: int) -> float:
        return stored(offset, low=1e-12, high=1e12, otherwise=0)

    def term(offset: int) -> float:
        return stored(offset, low=-10, high=10, otherwise=0)

    r1, b, r2 = positive(_R1), positive(_B), positive(_R2)
    if not (r1 and b and r2):
        return None
    humidity = stored(_HUMIDITY, low=0, high=100, otherwise=0)
    calibration = PlanckCalibration(
        r1=r1,
        b=b,
        f=stored(_F, low=0, high=100, otherwise=1),
        o=struct.unpack_from(f"{order}i", record, _O)[0],
        r2=r2,
        emissivity=stored(_EMISSIVITY, low=0.01, high=1, otherwise=1),
        distance=stored(_DISTANCE, low=0, high=10_000, otherwise=0),
        reflected=kelvin(_REFLECTED),
        air=kelvin(_AIR),
        window=kelvin(_WINDOW),
        transmission=stored(_TRANSMISSION, low=0.01, high=1, otherwise=1),
        humidity=humidity / 100 if humidity > 2 else humidity,  # some cameras store per cent
        alpha1=term(_ALPHA1),
        alpha2=term(_ALPHA2),
        beta1=term(_BETA1),
        beta2=term(_BETA2),
        x=term(_X),
    )
    try:
        with np.errstate(all="raise"):
            calibration.celsius(np.array(0x4000))  # the middle of 15 bits, to try the constants
    except ArithmeticError:
        return None
    return calibration
