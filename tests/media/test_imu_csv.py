"""IMU tables in text: the ways of writing a header."""

import time

import numpy as np
import pytest

from imagebind.errors import MediaError
from imagebind.media.imu_table import is_imu_table
from imagebind.transforms.imu import load_imu
from tests.media.motion import GRAVITY, PLAIN, PLAIN_HEADER, PLAIN_SAMPLES, PLAIN_SECONDS, table


@pytest.mark.parametrize(
    "header, delimiter, scale",
    [
        ("timestamp,accl_x,accl_y,accl_z,gyro_x,gyro_y,gyro_z", ",", (1, 1, 1)),
        ("Time;ax;ay;az;gx;gy;gz", ";", (1, 1, 1)),
        ("timestamp_ms\tacc_x\tacc_y\tacc_z\tgyr_x\tgyr_y\tgyr_z", "\t", (1e3, 1, 1)),
        ("timestamp_ns,accel_x,accel_y,accel_z,gyro_x,gyro_y,gyro_z", ",", (1e9, 1, 1)),
        (
            "timestamp [us],accl_x [g],accl_y [g],accl_z [g],gyro_x (deg/s),gyro_y (deg/s),gyro_z (deg/s)",
            ",",
            (1e6, 1 / GRAVITY, 180 / np.pi),
        ),
        (
            '"t","accelerometer_x (m/s²)","accelerometer_y (m/s²)","accelerometer_z (m/s²)","gyroscope_x",'
            '"gyroscope_y","gyroscope_z (rad/s)"',
            ",",
            (1, 1, 1),
        ),
    ],
)
def test_headers_name_columns_and_units_in_many_ways(header, delimiter, scale):
    time, accel, gyro = scale
    written = np.column_stack(
        [PLAIN_SECONDS * time, PLAIN_SAMPLES[:, :3] * accel, PLAIN_SAMPLES[:, 3:] * gyro]
    )
    for data in (table(header, written, delimiter), b"\xef\xbb\xbf" + table(header, written, delimiter)):
        recording = load_imu(data)
        np.testing.assert_allclose(recording.samples, PLAIN_SAMPLES, atol=1e-6)
        np.testing.assert_allclose(recording.seconds, PLAIN_SECONDS, atol=1e-6)


def test_columns_may_be_in_any_order_among_others():
    header = "gyro_z,accl_y,label,gyro_x,timestamp,accl_x,gyro_y,accl_z"
    rows = []
    for second, (ax, ay, az, gx, gy, gz) in zip(PLAIN_SECONDS, PLAIN_SAMPLES, strict=True):
        rows.append(f"{gz!s},{ay!s},walking,{gx!s},{second!s},{ax!s},{gy!s},{az!s}")
    data = "\r\n".join([header, *rows]).encode()
    np.testing.assert_array_equal(load_imu(data).samples, PLAIN_SAMPLES)


def test_the_table_of_ego4d_is_read_on_its_canonical_clock():
    clocks = "component_idx,component_timestamp_ms,canonical_timestamp_ms"
    header = f"{clocks},gyro_x,gyro_y,gyro_z,accl_x,accl_y,accl_z"
    component = np.zeros(500)
    rows = np.column_stack(
        [component, component, PLAIN_SECONDS * 1000 + 40, PLAIN_SAMPLES[:, 3:], PLAIN_SAMPLES[:, :3]]
    )
    recording = load_imu(table(header, rows))
    np.testing.assert_allclose(recording.samples, PLAIN_SAMPLES, atol=1e-6)
    np.testing.assert_allclose(recording.seconds, PLAIN_SECONDS, atol=1e-9)


def test_a_comma_is_a_decimal_sign_if_the_delimiter_is_a_semicolon():
    data = table("timestamp;ax;ay;az;gx;gy;gz", np.column_stack([PLAIN_SECONDS, PLAIN_SAMPLES]), ";").replace(
        b".", b","
    )
    np.testing.assert_allclose(load_imu(data).samples, PLAIN_SAMPLES, atol=1e-6)


def test_a_table_without_a_clock_uses_the_rate():
    data = table(PLAIN_HEADER.removeprefix("timestamp,"), PLAIN_SAMPLES)
    assert load_imu(data, rate=50).seconds[-1] == pytest.approx(499 / 50)
    with pytest.raises(MediaError, match="rate= in Hz"):
        load_imu(data)


def test_an_argument_overrides_the_header():
    data = PLAIN.replace(b"timestamp,", b"timestamp_ms,")
    assert load_imu(data, time_unit="s").seconds[-1] == pytest.approx(4.99)


@pytest.mark.parametrize("option", ["accel_unit", "gyro_unit", "time_unit"])
def test_an_unknown_unit_is_refused_as_an_argument(option):
    with pytest.raises(ValueError, match=f"^{option}: expected one of .*, got 'furlong'"):
        load_imu(PLAIN, **{option: "furlong"})


@pytest.mark.parametrize(
    "text, is_imu",
    [
        (PLAIN.decode(), True),
        ("t;ax;ay;az;gx;gy;gz\n0;1;2;3;4;5;6\n", True),
        ("id,caption,label\n1,a,b", False),
        ("", False),
        ("ax,ay,az\n1,2,3", False),
        ("Dear all,\nax, ay and az are the axes.\n", False),
    ],
)
def test_imu_tables_are_distinguished_from_other_tables(text, is_imu):
    assert is_imu_table(text, name="table", path=None) is is_imu


def test_an_unnamed_first_column_does_not_shift_the_others():
    header = PLAIN_HEADER.replace(",", "\t")
    rows = np.column_stack([np.arange(500), PLAIN_SECONDS, PLAIN_SAMPLES])
    np.testing.assert_allclose(load_imu(table("\t" + header, rows, "\t")).samples, PLAIN_SAMPLES, atol=1e-6)


@pytest.mark.parametrize("cell", [" " * 10**6, "[" * 10**6, "gyro_x" + " (" * 10**6])
def test_a_hostile_header_is_refused_quickly(cell):
    start = time.monotonic()
    with pytest.raises(MediaError, match=r"no column for|shorter lines"):
        load_imu(f"{cell},{cell}\n1,2\n".encode())
    assert time.monotonic() - start < 5
