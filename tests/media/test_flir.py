"""FLIR's radiometric images as the cameras store them: JPEG segments, records, both byte orders."""

import io
import struct

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from PIL import Image

from imagebind.errors import MediaError, collect_warnings
from imagebind.intake.requests import identify, prepare
from imagebind.io.source import Limits
from imagebind.media.detect import detect
from imagebind.modality import MediaKind
from imagebind.transforms.thermal import ThermalTransform, load_thermal
from tests.media.measured import damaged, encoded

# The constants of a FLIR E40, from which the temperatures below follow by Planck's law.
PLANCK = {"r1": 14906.216, "b": 1396.5, "f": 1.0, "o": -7261, "r2": 0.010956882}
AIR = {"alpha1": 0.006569, "alpha2": 0.01262, "beta1": -0.002276, "beta2": -0.00667, "x": 1.9}
ZERO_CELSIUS = 273.15  # kelvins
CELSIUS = (20 + 15 * np.linspace(0, 1, 64)[None] + 5 * np.linspace(0, 1, 48)[:, None]).round(2)  # °C


def signal_of(celsius, r1, b, f, o, r2):
    """Return the counts of a black body, without noise and rounding."""
    return r1 / (r2 * (np.exp(b / (np.asarray(celsius) + ZERO_CELSIUS)) - f)) - o


COUNTS = np.rint(signal_of(CELSIUS, **PLANCK)).astype(np.uint16)


def camera_record(order: str = "<", *, emissivity=1.0, distance=0.0, reflected=20.0, **constants) -> bytes:
    constants = {**PLANCK, **AIR, **constants}
    record = bytearray(0x400)
    struct.pack_into(f"{order}H", record, 0, 2)
    floats = {
        0x20: emissivity,
        0x24: distance,
        0x28: reflected + ZERO_CELSIUS,
        0x2C: 22 + ZERO_CELSIUS,
        0x30: 22 + ZERO_CELSIUS,
    }
    floats |= {0x34: 1.0, 0x3C: 0.5, 0x58: constants["r1"], 0x5C: constants["b"], 0x60: constants["f"]}
    air = [constants[name] for name in AIR]
    floats |= dict(zip(range(0x70, 0x84, 4), air, strict=True)) | {0x30C: constants["r2"]}
    for position, value in floats.items():
        struct.pack_into(f"{order}f", record, position, value)
    struct.pack_into(f"{order}i", record, 0x308, constants["o"])
    return bytes(record)


def raw_record(counts: np.ndarray = COUNTS, order: str = "<", form: str = "raw") -> bytes:
    head = struct.pack(f"{order}3H26x", 2, counts.shape[1], counts.shape[0])
    if form == "raw":
        return head + counts.astype(f"{order}u2").tobytes()
    return head + encoded(counts.byteswap() if form == "swapped png" else counts, "PNG")


def fff(raw: bytes, camera: bytes | None, order: str = ">") -> bytes:
    records = [(0x22, b"palette"), (1, raw), *([] if camera is None else [(0x20, camera)])]
    start = 64 + 32 * len(records)
    directory, body = b"", b""
    for record_type, data in records:
        directory += struct.pack(f"{order}HHIIII12x", record_type, 1, 100, 1, start + len(body), len(data))
        body += data
    head = b"FFF\0" + b"MTX IR".ljust(16, b"\0") + struct.pack(f"{order}III", 101, 64, len(records))
    return head.ljust(64, b"\0") + directory + body


def flir_jpeg(whole: bytes, *, part_bytes: int = 3000, orientation: int = 1) -> bytes:
    """Return a JPEG in false colours with an FFF file in APP1 segments after the EXIF segment."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    image.save(file, "JPEG", exif=exif)
    jpeg = file.getvalue()
    parts = [whole[at : at + part_bytes] for at in range(0, len(whole), part_bytes)]
    segments = b"".join(
        b"\xff\xe1" + struct.pack(">H", len(part) + 10) + b"FLIR\0\1" + bytes([number, len(parts) - 1]) + part
        for number, part in enumerate(parts)
    )
    after_exif = 4 + int.from_bytes(jpeg[4:6], "big")  # SOI, then the first segment
    return jpeg[:after_exif] + segments + jpeg[after_exif:]


@pytest.mark.parametrize("form", ["raw", "png", "swapped png"])
@pytest.mark.parametrize("directory", "<>")
@pytest.mark.parametrize("order", "<>")
def test_a_flir_image_gives_its_temperatures_and_its_counts(form, directory, order):
    whole = fff(raw_record(order=order, form=form), camera_record(order), directory)
    for data in (whole, flir_jpeg(whole), flir_jpeg(whole, part_bytes=60_000)):
        celsius = load_thermal(data)
        assert celsius.dtype == np.float32
        np.testing.assert_allclose(celsius, CELSIUS, atol=0.03)  # from rounding to counts
        np.testing.assert_array_equal(load_thermal(data, unit="raw"), COUNTS)
        np.testing.assert_array_equal(load_thermal(data, unit="celsius"), celsius)


def test_emissivity_and_reflection_are_corrected():
    mixed = 0.9 * signal_of(CELSIUS, **PLANCK) + 0.1 * signal_of(40.0, **PLANCK)
    camera = camera_record(emissivity=0.9, reflected=40.0)
    celsius = load_thermal(fff(raw_record(np.rint(mixed).astype(np.uint16)), camera))
    np.testing.assert_allclose(celsius, CELSIUS, atol=0.03)


def test_the_transmission_of_the_air_is_corrected():
    distance, air, humidity = 50.0, 22.0, 0.5
    water = humidity * np.exp(1.5587 + 0.06939 * air - 2.7816e-4 * air**2 + 6.8455e-7 * air**3)
    weights = ((AIR["x"], AIR["alpha1"], AIR["beta1"]), (1 - AIR["x"], AIR["alpha2"], AIR["beta2"]))
    half = sum(w * np.exp(-np.sqrt(distance / 2) * (a + b * np.sqrt(water))) for w, a, b in weights)
    signal = signal_of(CELSIUS, **PLANCK)
    for _ in range(2):
        signal = half * signal + (1 - half) * signal_of(air, **PLANCK)
    assert 0.8 < half < 1 and np.abs(signal - COUNTS).max() > 20
    celsius = load_thermal(
        fff(raw_record(np.rint(signal).astype(np.uint16)), camera_record(distance=distance))
    )
    np.testing.assert_allclose(celsius, CELSIUS, atol=0.05)


def test_low_and_high_are_in_celsius():
    data = flir_jpeg(fff(raw_record(), camera_record()))
    expected = ThermalTransform(low=20, high=40)(CELSIUS.astype(np.float32))
    torch.testing.assert_close(ThermalTransform(low=20, high=40)(data), expected, atol=2e-3, rtol=0)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_temperatures_are_rotated_like_the_jpeg(orientation):
    data = flir_jpeg(fff(raw_record(), camera_record()), orientation=orientation)
    turns = {1: 0, 3: 2, 6: 3, 8: 1}[orientation]
    np.testing.assert_allclose(load_thermal(data), np.rot90(CELSIUS, turns), atol=0.03)


def test_a_dead_pixel_becomes_very_cold_and_the_image_is_still_read():
    counts = COUNTS.copy()
    counts[3, 3] = 0
    celsius = load_thermal(fff(raw_record(counts), camera_record()))
    assert np.isfinite(celsius).all() and celsius[3, 3] < -100


@pytest.mark.parametrize(
    "camera",
    [
        *(None, camera_record(r1=0.0), camera_record()[:0x300], bytes(0x400)),
        *(camera_record(b=1e12), camera_record(b=1e-12), camera_record(distance=1e4, alpha1=-10, alpha2=-10)),
    ],
)
def test_without_usable_planck_constants_the_counts_are_read_with_a_warning(camera):
    with collect_warnings() as warnings:
        values = load_thermal(fff(raw_record(), camera))
    np.testing.assert_array_equal(values, COUNTS)
    assert len(warnings) == 1 and "no constants" in warnings[0]


def test_a_flir_jpeg_is_an_image_unless_declared_thermal_and_an_fff_file_is_thermal(tmp_path):
    path = tmp_path / "FLIR0001.jpg"
    path.write_bytes(flir_jpeg(fff(raw_record(), camera_record())))
    assert detect(path) is MediaKind.IMAGE
    views = prepare(identify({"thermal": path}), ThermalTransform())
    assert views.warnings == ()
    expected = ThermalTransform()(CELSIUS)
    torch.testing.assert_close(views.views[0], expected, atol=5e-3, rtol=0)
    (tmp_path / "a.fff").write_bytes(fff(raw_record(), camera_record()))
    assert detect(tmp_path / "a.fff") is MediaKind.THERMAL


def test_limits_are_checked_before_memory_is_allocated():
    for form in ("raw", "png"):
        with pytest.raises(MediaError, match="max_pixels"):
            load_thermal(fff(raw_record(form=form), camera_record()), limits=Limits(max_pixels=1000))
    head = struct.pack("<3H26x", 2, 60_000, 60_000)
    with pytest.raises(MediaError, match="max_pixels"):
        load_thermal(fff(head + bytes(100), None))


def test_missing_parts_and_cut_counts_raise_errors_with_the_reason(tmp_path):
    whole = flir_jpeg(fff(raw_record(), camera_record()))
    first = whole.index(b"FLIR\0") - 4
    length = int.from_bytes(whole[first + 2 : first + 4], "big") + 2
    path = tmp_path / "camera.jpg"
    path.write_bytes(whole[:first] + whole[first + length :])
    with pytest.raises(
        MediaError, match=r"camera\.jpg: expected an undamaged radiometric image .*, got \d+ of its \d+ parts"
    ):
        load_thermal(path)
    with pytest.raises(MediaError, match="bytes of counts"):
        load_thermal(fff(raw_record()[:-10], None))


FILES = [fff(raw_record(form=form), camera_record()) for form in ("raw", "png")]
FILES += [flir_jpeg(FILES[0]), flir_jpeg(FILES[1])]


@pytest.mark.filterwarnings("ignore")  # Pillow warns of damaged metadata
@given(damaged(FILES))
@settings(max_examples=150, deadline=None)
def test_a_damaged_flir_image_gives_an_image_or_an_error_with_its_name(bad):
    try:
        out = ThermalTransform(size=14, limits=Limits(max_pixels=10**6))(bad)
    except MediaError as error:
        assert "bytes>" in error.item
    else:
        assert out.shape == (1, 14, 14) and out.min() >= 0 and out.max() <= 1
