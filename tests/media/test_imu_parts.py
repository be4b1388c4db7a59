"""IMU recordings in several files: found by their names, joined by time."""

import numpy as np
import pytest

from imagebind.errors import CompanionMediaError, MediaError, collect_warnings
from imagebind.media.detect import detect
from imagebind.media.imu_table import first_stamp
from imagebind.modality import MediaKind
from imagebind.transforms.imu import load_imu
from tests.media.loggers import (
    ACCEL,
    DEGREES,
    GYRO,
    IMU_SAMPLES,
    SAMPLE_COUNT,
    SECONDS,
    UP,
    axes,
    dates,
    rows,
    sensor_logger,
    stamps,
)
from tests.media.motion import GRAVITY


def check(recording, *, seconds=SECONDS, samples=IMU_SAMPLES):
    np.testing.assert_allclose(recording.samples, samples, atol=1e-6)
    np.testing.assert_allclose(recording.seconds, seconds, atol=1e-6)


@pytest.mark.parametrize(
    "files, unit",
    [
        ("Accelerometer Gyroscope Gravity Magnetometer", 1.0),
        ("Accelerometer Gyroscope Gravity", GRAVITY),  # an iPhone whose units were not standardised
        ("Accelerometer Gyroscope TotalAcceleration", 1.0),
        ("Accelerometer Gyroscope TotalAcceleration Gravity", GRAVITY),
        ("TotalAcceleration Gyroscope", 1.0),
    ],
)
def test_an_export_of_sensor_logger_is_one_recording_with_gravity(files, unit, tmp_path):
    folder = sensor_logger(tmp_path / "walk", files=files, unit=unit)
    first = "Accelerometer.csv" if "Accelerometer" in files else "TotalAcceleration.csv"
    with collect_warnings() as warnings:
        for path in (folder, folder / first, folder / "Gyroscope.csv", str(folder)):
            check(load_imu(path))
    assert warnings == []
    assert detect(folder) is detect(folder / first) is MediaKind.IMU
    for name in {*files.split()} - {first.removesuffix(".csv"), "Magnetometer"}:
        with pytest.raises(
            CompanionMediaError, match=rf"{name}\.csv: .*{first}, which is read together with"
        ):
            detect(folder / f"{name}.csv")
    for name in ("Metadata.csv", "Magnetometer.csv"):
        if (folder / name).exists():
            with pytest.raises(MediaError, match="a table whose header") as caught:
                detect(folder / name)
            assert not isinstance(caught.value, CompanionMediaError)


def test_without_a_gravity_file_the_recording_is_read_unchanged(tmp_path):
    folder = sensor_logger(tmp_path / "walk", files="Accelerometer Gyroscope")
    check(load_imu(folder), samples=IMU_SAMPLES - GRAVITY * np.pad(UP, ((0, 0), (0, 3))))


PAIRS = {
    "phyphox": ("Accelerometer.csv", "Gyroscope.csv", "Time (s)", "{} (m/s^2)", "{} (rad/s)"),
    "phyphox, newer": (
        *("Accelerometer.csv", "Gyroscope.csv"),
        *("Time (s)", "Acceleration {} (m/s^2)", "Gyroscope {} (rad/s)"),
    ),
    "GoPro": (
        *("GH010001_HERO8 Black-ACCL.csv", "GH010001_HERO8 Black-GYRO.csv"),
        *('"cts"', '"Accelerometer ({}) [m/s2]"', '"Gyroscope ({}) [rad/s]"'),
    ),
    "MetaWear": (
        "MetaWear_2019_C8B1_Accelerometer_50.000Hz_1.4.4.csv",
        "MetaWear_2019_C8B1_Gyroscope_100.000Hz_1.4.4.csv",
        *("epoc (ms)", "{}-axis (g)", "{}-axis (deg/s)"),
    ),
    "others": ("s1_acc.csv", "s1_gyr.csv", "timestamp_ms", "acc_{}", "gyr_{}"),
    "capitals": ("LOG_ACC_1.TXT", "LOG_GYRO_1.TXT", "timestamp_ms", "{}", "{}"),
}


@pytest.mark.parametrize("names", PAIRS.values(), ids=PAIRS)
def test_a_pair_of_files_is_joined_on_the_clock_of_the_accelerometer(names, tmp_path):
    first, second, clock, accel, gyro = names
    scale = 1 if "(s)" in clock else 1000
    accel_unit, gyro_unit = (GRAVITY if "(g)" in accel else 1), (np.pi / 180 if "deg" in gyro else 1)
    gyro_seconds = SECONDS - 0.005  # between the accelerometer's samples
    gyro_samples = np.stack([np.interp(gyro_seconds, SECONDS, axis) for axis in GYRO.T], axis=1)
    order = [2, 0, 1]  # GoPro's z, x, y
    (tmp_path / first).write_text(
        f"{clock},{axes(accel, 'zxy')}\n" + rows(SECONDS * scale, ACCEL[:, order] / accel_unit)
    )
    (tmp_path / second).write_text(
        f"{clock},{axes(gyro, 'zxy')}\n" + rows(gyro_seconds * scale, gyro_samples[:, order] / gyro_unit)
    )
    inside = gyro_seconds[-1] >= SECONDS
    expected = np.stack([np.interp(SECONDS[inside], gyro_seconds, axis) for axis in gyro_samples.T], axis=1)
    for path in (tmp_path / first, tmp_path / second, tmp_path):
        recording = load_imu(path)
        np.testing.assert_allclose(recording.samples[:, :3], ACCEL[inside], atol=1e-6)
        np.testing.assert_allclose(recording.samples[:, 3:], expected, atol=1e-5)
    assert detect(tmp_path / first) is MediaKind.IMU
    with pytest.raises(CompanionMediaError):
        detect(tmp_path / second)


def test_wisdm_files_are_found_in_folders_by_sensor(tmp_path):
    clock = stamps(1e9, 252_207_666_810_782)
    for sensor, samples in (("accel", ACCEL), ("gyro", GYRO)):
        folder = tmp_path / "raw" / "phone" / sensor
        folder.mkdir(parents=True)
        text = rows(["1600"] * SAMPLE_COUNT, ["A"] * SAMPLE_COUNT, clock, samples, end=";")
        (folder / f"data_1600_{sensor}_phone.txt").write_text(text)
    first = tmp_path / "raw" / "phone" / "accel" / "data_1600_accel_phone.txt"
    check(load_imu(first))
    assert detect(first) is MediaKind.IMU
    with pytest.raises(CompanionMediaError):
        detect(tmp_path / "raw" / "phone" / "gyro" / "data_1600_gyro_phone.txt")


def test_raw_files_of_uci_har_have_no_clock_and_are_read_at_50_hz(tmp_path):
    (tmp_path / "acc_exp01_user01.txt").write_text(rows(ACCEL / GRAVITY, sep=" "))
    (tmp_path / "gyro_exp01_user01.txt").write_text(rows(GYRO, sep=" "))
    check(load_imu(tmp_path / "acc_exp01_user01.txt"), seconds=SECONDS * 2)
    assert detect(tmp_path / "acc_exp01_user01.txt") is MediaKind.IMU
    with pytest.raises(CompanionMediaError):
        detect(tmp_path / "gyro_exp01_user01.txt")


def test_no_sample_is_interpolated_across_a_gap_of_the_gyroscope(tmp_path):
    present = (SECONDS < 1) | (SECONDS >= 1.8)
    (tmp_path / "acc.csv").write_text(f"t,{axes('acc_{}')}\n" + rows(SECONDS, ACCEL))
    (tmp_path / "gyro.csv").write_text(f"t,{axes('gyro_{}')}\n" + rows(SECONDS[present], GYRO[present]))
    with collect_warnings() as warnings:
        recording = load_imu(tmp_path)
    np.testing.assert_allclose(recording.seconds, SECONDS[present], atol=1e-9)
    assert "no sample for 0.81 s" in warnings[0]


def test_sensors_without_a_common_time_are_refused_with_both_times(tmp_path):
    (tmp_path / "acc.csv").write_text(f"t,{axes('acc_{}')}\n" + rows(SECONDS, ACCEL))
    (tmp_path / "gyro.csv").write_text(f"t,{axes('gyro_{}')}\n" + rows(SECONDS + 100, GYRO))
    with pytest.raises(
        MediaError, match=r"acc\.csv: .*from 0 to 2\.99 s and a gyroscope from 100 to 102\.99 s"
    ):
        load_imu(tmp_path)


def test_bytes_of_one_sensor_are_refused_with_a_way_out(tmp_path):
    folder = sensor_logger(tmp_path / "walk")
    for item in (
        (folder / "Accelerometer.csv").read_bytes(),
        f"t,{axes('acc_{}')}\n0,1,2,3\n1,1,2,3\n".encode(),
    ):
        with pytest.raises(MediaError, match="the path of the accelerometer's file"):
            load_imu(item)


def test_the_error_for_one_sensor_names_the_missing_columns(tmp_path):
    path = tmp_path / "acc.csv"
    path.write_text(f"t,{axes('acc_{}')}\n" + rows(SECONDS, ACCEL))
    with pytest.raises(MediaError, match=r"acc\.csv: .*, got no column for gyro_x, gyro_y, gyro_z"):
        load_imu(path)
    with pytest.raises(MediaError, match=r"acc\.csv: expected .*, got a table whose header"):
        detect(path)
    alone = sensor_logger(tmp_path / "walk", files="Accelerometer")
    with pytest.raises(
        MediaError, match=r"Accelerometer\.csv: .*Gyroscope\.csv.*, got axes without a sensor's name"
    ):
        load_imu(alone / "Accelerometer.csv")


@pytest.mark.parametrize(
    "file, header, there",
    [
        ("Accelerometer", "gyro_{}", "gyro"),
        ("Gyroscope", "acc_{}", "user acceleration, gravity"),
        ("Gravity", "acc_{}", "accel"),
        ("TotalAcceleration", "gravity_{}", "gravity"),
    ],
)
def test_a_file_with_another_sensor_than_its_name_states_is_refused(file, header, there, tmp_path):
    folder = sensor_logger(tmp_path / "walk")
    text = f"time,seconds_elapsed,{axes(header)}\n" + rows(stamps(1e9), SECONDS, ACCEL)
    (folder / f"{file}.csv").write_text(text)
    with pytest.raises(MediaError, match=rf"\.csv: expected samples of .*, got samples of {there} only"):
        load_imu(folder)


@pytest.mark.parametrize("sensor", ["acc", "gyro"])
def test_the_start_of_a_table_of_one_sensor_is_refused(sensor):
    with pytest.raises(
        MediaError, match=r"expected samples of an accelerometer and a gyroscope, got samples"
    ):
        first_stamp(f"t,{axes(sensor + '_{}')}\n0,1,2,3\n".encode(), name="imu.csv")


@pytest.mark.parametrize("names", [(), ("acc_1", "gyro_1", "acc_2", "gyro_2")])
def test_a_folder_without_one_recording_is_refused(names, tmp_path):
    for name in names:
        (tmp_path / f"{name}.csv").write_text("t,x,y,z\n" + rows(SECONDS, ACCEL))
    with pytest.raises(MediaError, match="one recording"):
        load_imu(tmp_path)


def test_files_with_dates_are_joined(tmp_path):
    (tmp_path / "acc.csv").write_text(f"time,{axes('acc_{} (g)')}\n" + rows(dates(), ACCEL / GRAVITY))
    (tmp_path / "gyro.csv").write_text(f"time,{axes('gyro_{} (deg/s)')}\n" + rows(dates(), DEGREES))
    check(load_imu(tmp_path))
