"""Clocks of IMU tables: units by name and by size, dates, repeated timestamps, gaps."""

import numpy as np
import pytest

from imagebind.errors import MediaError, collect_warnings
from imagebind.media.imu_recording import to_recording
from imagebind.transforms.imu import ImuTransform, load_imu
from tests.media.loggers import ACCEL, GYRO, IMU_SAMPLES, SAMPLE_COUNT, SECONDS, dates, rows, stamps

HEADER = "timestamp,accl_x,accl_y,accl_z,gyro_x,gyro_y,gyro_z\n"
EPOCH_SECONDS = 1_700_000_000


def table(clock, header=HEADER, *, accel=ACCEL, gyro=GYRO, **row_options) -> bytes:
    return (header + rows(clock, accel, gyro, **row_options)).encode()


@pytest.mark.parametrize(
    "clock",
    [
        [f"{EPOCH_SECONDS + second:.3f}" for second in SECONDS],
        stamps(1e3, EPOCH_SECONDS * 10**3),
        stamps(1e6, EPOCH_SECONDS * 10**6 + 123_456),
        stamps(1e9, EPOCH_SECONDS * 10**9 + 123_456_789),
        [f"{(EPOCH_SECONDS + second) * 1e3:.18e}" for second in SECONDS],
    ],
)
def test_the_unit_of_timestamps_since_1970_is_inferred_from_their_size(clock):
    with collect_warnings() as warnings:
        np.testing.assert_allclose(load_imu(table(clock)).seconds, SECONDS, atol=1e-3)
    assert warnings == []


@pytest.mark.parametrize(
    "scale, start, unit", [(1e3, 0, "ms"), (1e6, 55, "us"), (1e9, 0, "ns"), (1e9, 252_207_666_810_782, "ns")]
)
def test_a_clock_without_a_unit_that_cannot_be_in_seconds_is_read_and_reported(scale, start, unit):
    with collect_warnings() as warnings:
        np.testing.assert_allclose(load_imu(table(stamps(scale, start))).seconds, SECONDS, atol=1e-9)
    assert len(warnings) == 1 and f"taken for {unit}" in warnings[0] and "time_unit=" in warnings[0]


@pytest.mark.parametrize("step", [200, 300_000, 10**9])
def test_a_clock_that_could_be_in_two_units_or_none_is_refused(step):
    clock = [str(step * n) for n in range(SAMPLE_COUNT)]
    with pytest.raises(MediaError, match=r"without a unit.*pass time_unit=, one of s, ms, us, ns"):
        load_imu(table(clock))
    assert load_imu(table(clock), time_unit="ns").seconds[1] == pytest.approx(step * 1e-9)


def test_an_unknown_unit_of_numbers_is_refused_unless_passed():
    data = table(SECONDS, HEADER.replace("timestamp", "timestamp (ticks)"))
    with pytest.raises(MediaError, match=r"'ticks'.*time_unit="):
        load_imu(data)
    np.testing.assert_allclose(load_imu(data, time_unit="s").seconds, SECONDS, atol=1e-9)


@pytest.mark.parametrize(
    "form",
    [
        "2024-05-01T10:30:{:02d}.{:03d}",
        "2024-05-01T10:30:{:02d}.{:03d}Z",
        "2024-05-01 10:30:{:02d},{:03d}",
        "2024-05-01 10:30:{:02d}.{:03d}000 +0200",
        "2024-05-01T10:30:{:02d}.{:03d}456789-07:00",
        "2024/05/01 10:30:{:02d}.{:03d}",
        "2024-05-01 10:30:{:02d}:{:03d}",
        "2024-05-01_10-30-{:02d}_{:03d}",
        "10:30:{:02d}.{:03d}",
        "10:30:{:02d}:{:03d}",
    ],
)
def test_dates_and_times_of_day_are_read_as_clocks(form):
    data = (HEADER.replace(",", ";") + rows(dates(form), ACCEL, GYRO, sep=";")).encode()
    np.testing.assert_allclose(load_imu(data).seconds, SECONDS, atol=1e-6)


def test_a_clock_increases_across_a_change_of_month():
    clock = ["2024-02-29T23:59:59.990Z", "2024-03-01T00:00:00.000Z", "2024-03-01T02:00:00.010+02:00"]
    recording = load_imu(table(clock, accel=ACCEL[:3], gyro=GYRO[:3]))
    np.testing.assert_allclose(recording.seconds, [0, 0.01, 0.02], atol=1e-9)


@pytest.mark.parametrize(
    "clock", [["2024-13-01T00:00:00"] * SAMPLE_COUNT, ["noon"] * SAMPLE_COUNT, ["2024-05-01"] * SAMPLE_COUNT]
)
def test_an_invalid_time_is_named_with_its_line(clock):
    with pytest.raises(MediaError, match=r"2024-05-01T10:30.*, got .* in the time column at line 2"):
        load_imu(table(clock))


@pytest.mark.parametrize("unit", [None, "ns"])
def test_a_time_beyond_the_range_of_a_float_is_named_with_its_line(unit):
    clock = [str(10**400 + n) for n in range(SAMPLE_COUNT)]
    with pytest.raises(
        MediaError, match=r"expected a finite number, .*, got '1000.* in the time column at line 2"
    ):
        load_imu(table(clock), time_unit=unit)


@pytest.mark.parametrize("rate", [-1, float("inf"), 10**400, "fast"])
def test_a_rate_other_than_a_positive_finite_number_is_refused(rate):
    for read in (
        lambda: load_imu(table([""] * SAMPLE_COUNT), rate=rate),
        lambda: to_recording(IMU_SAMPLES, rate=rate),
    ):
        with pytest.raises(MediaError, match="expected a positive, finite rate in Hz"):
            read()


def test_samples_of_a_few_repeated_timestamps_are_averaged():
    clock = SECONDS.copy()
    clock[5] = clock[4]
    with collect_warnings() as warnings:
        for recording in (load_imu(table(clock)), to_recording(IMU_SAMPLES, timestamps=clock)):
            assert recording.samples.shape == (SAMPLE_COUNT - 1, 6)
            np.testing.assert_allclose(recording.samples[4], IMU_SAMPLES[4:6].mean(axis=0), atol=1e-6)
            np.testing.assert_allclose(recording.samples[5:], IMU_SAMPLES[6:], atol=1e-6)
    assert warnings == []


def test_many_repeated_timestamps_give_a_warning_and_more_than_half_are_refused():
    twice = np.repeat(SECONDS[: SAMPLE_COUNT // 2], 2)
    with collect_warnings() as warnings:
        recording = load_imu(table(twice))
    np.testing.assert_allclose(recording.samples, IMU_SAMPLES.reshape(-1, 2, 6).mean(axis=1), atol=1e-6)
    assert "150 of 300 samples" in warnings[0]
    with pytest.raises(MediaError, match=r"3 times for 300 samples.*rate="):
        load_imu(table(np.floor(SECONDS)))


def test_gaps_are_reported_and_refused_in_a_window():
    clock = SECONDS + 2.0 * (SECONDS >= 1)
    with collect_warnings() as warnings:
        recording = load_imu(table(clock))
    assert len(warnings) == 1 and "no sample for 2.01 s from 0.99 s on" in warnings[0]
    with pytest.raises(MediaError, match=r"2\.01 s from 0\.99 s"):
        ImuTransform(window_seconds=3)(recording)


def test_an_empty_time_column_is_ignored():
    header = HEADER.replace("timestamp", "timestamp,time")
    data = (header + rows([""] * SAMPLE_COUNT, SECONDS, ACCEL, GYRO)).encode()
    np.testing.assert_allclose(load_imu(data).seconds, SECONDS, atol=1e-9)
    with pytest.raises(MediaError, match="rate="):
        load_imu(table([""] * SAMPLE_COUNT))
    np.testing.assert_allclose(load_imu(table([""] * SAMPLE_COUNT), rate=100).seconds, SECONDS, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.uint64, np.float64])
def test_clocks_of_arrays_are_exact_in_any_dtype(dtype):
    ticks = np.arange(100).astype(dtype)
    if dtype in (np.int64, np.uint64):
        ticks += dtype(EPOCH_SECONDS * 10**9)
    recording = to_recording(IMU_SAMPLES[:100], timestamps=ticks, time_unit="ms")
    np.testing.assert_array_equal(recording.seconds, np.arange(100) * 1e-3)
