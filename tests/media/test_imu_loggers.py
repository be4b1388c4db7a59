"""IMU tables as loggers write them: each gives the same recording without options."""

import numpy as np
import pytest

from imagebind.errors import MediaError, collect_warnings
from imagebind.media.detect import detect
from imagebind.media.imu_layouts import LAYOUTS
from imagebind.modality import MediaKind
from imagebind.transforms.imu import ImuTransform, load_imu
from tests.media.loggers import (
    ACCEL,
    DEGREES,
    GYRO,
    IMU_SAMPLES,
    ONE_FILE_LOGGERS,
    SAMPLE_COUNT,
    SECONDS,
    UP,
    axes,
    euroc,
    phyphox,
    rows,
    xsens_mtw,
)
from tests.media.motion import GRAVITY


def check(recording, seconds=SECONDS):
    np.testing.assert_allclose(recording.samples, IMU_SAMPLES, atol=1e-6)
    np.testing.assert_allclose(recording.seconds, seconds, atol=1e-6)


@pytest.mark.parametrize("suffix", [".csv", ".txt"])
@pytest.mark.parametrize("write", ONE_FILE_LOGGERS, ids=lambda write: write.__name__)
def test_the_table_of_each_logger_is_read_without_options(write, suffix, tmp_path):
    path = tmp_path / f"recording{suffix}"
    path.write_text(write(), encoding="utf-8")
    assert detect(path) is MediaKind.IMU
    with collect_warnings() as warnings:
        check(load_imu(path))
    assert warnings == []


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1", "cp1252"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_a_table_is_read_in_any_encoding_and_with_any_line_end(encoding, newline, tmp_path):
    header = f"Time (s),{axes('ACCELEROMETER {} (m/s²)')},{axes('GYROSCOPE {} (°/s)')}"
    path = tmp_path / "recording.csv"
    path.write_bytes((header + "\n" + rows(SECONDS, ACCEL, DEGREES)).replace("\n", newline).encode(encoding))
    assert detect(path) is MediaKind.IMU
    check(load_imu(path))


def test_motionsense_tables_have_no_clock_and_are_read_at_50_hz(tmp_path):
    header = (
        f",{axes('attitude.{}', ('roll', 'pitch', 'yaw'))},{axes('gravity.{}')},{axes('rotationRate.{}')},"
    )
    header += axes("userAcceleration.{}")
    path = tmp_path / "sub_1.csv"
    path.write_text(header + "\n" + rows(np.arange(SAMPLE_COUNT), UP, UP, GYRO, ACCEL / GRAVITY - UP))
    check(load_imu(path), seconds=SECONDS * 2)


@pytest.mark.parametrize(
    ("layout", "first_column"), [("pamap2", 4), ("pamap2_chest", 21), ("pamap2_ankle", 38)]
)
def test_pamap2_is_read_by_the_name_of_its_layout(layout, first_column, tmp_path):
    table = np.zeros((SAMPLE_COUNT, 54))
    table[:, 0], table[:, 2] = SECONDS + 5, np.nan
    table[:, first_column : first_column + 3], table[:, first_column + 6 : first_column + 9] = ACCEL, GYRO
    path = tmp_path / "subject101.dat"
    path.write_text(rows(table, sep=" "))
    check(load_imu(path, layout=layout))
    assert ImuTransform(layout=layout, window_seconds=2)(path).shape == (6, 2000)


def test_axes_without_a_sensor_are_assigned_by_their_unit():
    header = f"epoc (ms),elapsed (s),{axes('{}-axis (g)')},{axes('{}-axis (deg/s)')}\n"
    check(load_imu((header + rows(SECONDS * 1000, SECONDS, ACCEL / GRAVITY, DEGREES)).encode()))


def test_an_accelerometer_with_gravity_is_preferred_to_one_without():
    header = (
        f"t,{axes('Linear Acceleration {} (m/s^2)')},{axes('Acceleration {} (m/s^2)')},{axes('gyro{}')}\n"
    )
    check(load_imu((header + rows(SECONDS, ACCEL - GRAVITY * UP, ACCEL, GYRO)).encode()))


def test_the_only_accelerometer_is_read_with_a_warning_if_it_excludes_gravity():
    header = f"t,{axes('Linear Acceleration {} (m/s^2)')},{axes('Gyroscope {} (rad/s)')}\n"
    with collect_warnings() as warnings:
        recording = load_imu((header + rows(SECONDS, ACCEL - GRAVITY * UP, GYRO)).encode())
    np.testing.assert_allclose(recording.samples[:, :3], ACCEL - GRAVITY * UP, atol=1e-6)
    assert len(warnings) == 1 and "without gravity" in warnings[0]


def test_the_option_overrides_the_unit_in_the_header_even_an_unknown_one():
    text = phyphox().replace("rad/s", "furlongs")
    with pytest.raises(MediaError, match=r"expected gyro in one of .*, got 'furlongs'; .*gyro_unit="):
        load_imu(text.encode())
    check(load_imu(text.encode(), gyro_unit="rad/s"))
    np.testing.assert_allclose(
        load_imu(text.encode(), gyro_unit="deg/s").samples[:, 3:], np.deg2rad(GYRO), atol=1e-6
    )


def test_the_layout_sets_degrees_for_an_xsens_gyroscope():
    recording = load_imu(xsens_mtw().encode(), layout="xsens_dot")
    np.testing.assert_allclose(recording.samples[:, 3:], np.deg2rad(GYRO), atol=1e-6)


def test_nanoseconds_since_1970_are_subtracted_exactly():
    steps = np.diff(load_imu(euroc().encode()).seconds)
    np.testing.assert_allclose(steps, 0.01, atol=1e-12)


def test_two_devices_in_one_table_are_refused():
    header = f"t,{axes('left_acc_{}')},{axes('right_acc_{}')},{axes('gyro_{}')}\n"
    text = (header + rows(SECONDS, ACCEL, UP, GYRO)).encode()
    with pytest.raises(MediaError, match=r"left acc and right acc.*columns="):
        load_imu(text)
    left = {
        "accel": ("left_acc_x", "left_acc_y", "left_acc_z"),
        "gyro": ("gyro_x", "gyro_y", "gyro_z"),
        "time": "t",
    }
    check(load_imu(text, columns=left))


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_can_be_passed_by_its_name_and_hashed(name):
    assert ImuTransform(layout=name).layout == name
    assert hash(ImuTransform(layout=name)) == hash(ImuTransform(layout=name))


@pytest.mark.parametrize(
    "accel, gyro, clock, names",
    [
        ("a{}", "g{}", "t", "xyz"),
        ("A{}", "G{}", "Time", "XYZ"),
        ("a{}", "g{}", "time (s)", "XYZ"),
        ("{}acc", "{}gyro", "time_sec", "xyz"),
        ("acc.{}", "gyr.{}", "Timestamp [s]", "xyz"),
        ("IMU_Acc{}", "IMU_Gyr{}", "IMU_Time", "XYZ"),
        ("accelerometer_{}", "gyroscope_{}", "seconds_elapsed", "xyz"),
        ("accel_{}_m_s2", "gyro_{}_rad_s", "elapsed_s", "xyz"),
        ("Acceleration {} [m/s²]", "Angular velocity {} [rad/s]", "Elapsed time (s)", "XYZ"),
        ("imu.linearAcceleration.{}", "imu.angularVelocity.{}", "timestamp", "xyz"),
        ("Accelerometer {}-axis (m/s/s)", "Gyroscope {}-axis (radians/s)", "Relative time", "XYZ"),
        ("{} acceleration (metres per second squared)", "{} rotation rate (rad per sec)", "seconds", "xyz"),
        ("left_wrist_acc_{}", "left_wrist_gyro_{}", "timestamp", "xyz"),
        ("a_{}", "w_{}", "#timestamp [s]", "xyz"),
    ],
)
def test_columns_are_named_in_many_ways(accel, gyro, clock, names):
    header = f"{clock},{axes(accel, names)},{axes(gyro, names)}\n"
    check(load_imu((header + rows(SECONDS, ACCEL, GYRO)).encode()))
