"""IMU transform: results computed by hand, inputs, and invalid recordings."""

import io
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from imagebind.errors import MediaError
from imagebind.intake.mapping import parse_mapping
from imagebind.io.source import Limits
from imagebind.media.imu_recording import ImuRecording, to_recording
from imagebind.transforms.imu import IMU_STEPS, ImuTransform, load_imu
from tests.media.measured import damaged, encoded
from tests.media.motion import GRAVITY, PLAIN, PLAIN_HEADER, PLAIN_SAMPLES, PLAIN_SECONDS, walk

RNG = np.random.default_rng(0)


def ramp(samples: int, rate: float) -> np.ndarray:
    """Return channels c + time in seconds: straight lines, which linear interpolation must keep."""
    return np.arange(samples)[:, None] / rate + np.arange(6)


# --- known answers


def test_5_seconds_at_400_hz_are_returned_unchanged():
    samples = walk()
    out = ImuTransform()((samples, 400))
    assert out.shape == (6, IMU_STEPS) and out.dtype == torch.float32
    torch.testing.assert_close(out, torch.from_numpy(samples.T.astype(np.float32)), atol=1e-5, rtol=0)


def test_samples_are_interpolated_linearly():
    out = ImuTransform()((ramp(501, 100), 100.0))  # 5.01 s; the middle 5 s start at 0.005 s
    seconds = 0.005 + torch.arange(2000) / 400
    expected = torch.arange(6)[:, None] + seconds
    torch.testing.assert_close(out[:, :-4], expected[:, :-4], atol=1e-5, rtol=0)  # before the last sample


def test_an_uneven_clock_is_resampled_by_time_and_not_by_index():
    clock = np.sort(RNG.uniform(0, 5, 400))
    clock[0], clock[-1] = 0, 5
    samples = clock[:, None] + np.arange(6)
    out = ImuTransform(start=0)({"imu": samples, "timestamps": clock})
    expected = torch.arange(6)[:, None] + torch.arange(2000) / 400
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=0)


def test_a_long_recording_gives_its_middle_or_the_window_at_start():
    samples = ramp(2000, 100)  # 20 s, middle window from 7.5 s
    assert ImuTransform()((samples, 100))[0, 0].item() == pytest.approx(7.5)
    assert ImuTransform(start=3)((samples, 100))[0, 0].item() == pytest.approx(3)
    assert ImuTransform(window_seconds=10)((samples, 100))[0, 0].item() == pytest.approx(5)


def test_windows_may_overlap_and_are_returned_with_their_spans():
    windows, spans = ImuTransform().with_spans((ramp(2000, 100), 100), [(0, 5), (2.5, 7.5), (12, 17)])
    assert windows.shape == (3, 6, 2000) and spans == [(0, 5), (2.5, 7.5), (12, 17)]
    torch.testing.assert_close(windows[:, 0, 0], torch.tensor([0, 2.5, 12.0]))
    windows, spans = ImuTransform().with_spans((ramp(2000, 100), 100))
    assert windows.shape == (1, 6, 2000) and spans == [(7.5, 12.5)]


def test_units_are_converted_to_si():
    samples = np.zeros((500, 6))
    samples[:, 2], samples[:, 3] = 1.0, 180.0
    out = ImuTransform(accel_unit="g", gyro_unit="deg/s")((samples, 100))
    torch.testing.assert_close(out[2], torch.full((2000,), 9.80665))
    torch.testing.assert_close(out[3], torch.full((2000,), torch.pi))


def test_a_short_gap_at_the_end_repeats_the_last_sample():
    out = ImuTransform()((ramp(480, 100), 100))
    torch.testing.assert_close(out[0, 1920:], torch.full((80,), 4.79))


# --- inputs


@pytest.mark.parametrize(
    "layout", [PLAIN_SAMPLES, PLAIN_SAMPLES.T, np.column_stack([PLAIN_SECONDS, PLAIN_SAMPLES])]
)
def test_npy_files_may_be_transposed_or_have_a_time_column(layout, tmp_path):
    path = tmp_path / "recording.npy"
    np.save(path, layout)
    recording = load_imu(path, rate=100)
    np.testing.assert_array_equal(recording.samples, PLAIN_SAMPLES)
    np.testing.assert_allclose(recording.seconds, PLAIN_SECONDS)


def test_every_input_type_gives_the_same_tensor(tmp_path):
    path = tmp_path / "recording.csv"
    path.write_bytes(PLAIN)
    transform = ImuTransform(rate=100)
    expected = transform(PLAIN_SAMPLES)
    with path.open("rb") as file:
        items = [
            str(path),
            path,
            PLAIN,
            file,
            (PLAIN_SAMPLES, 100),
            PLAIN_SAMPLES.T,
            torch.from_numpy(PLAIN_SAMPLES),
        ]
        items += [
            {"imu": PLAIN_SAMPLES, "rate": 100},
            {"imu": PLAIN_SAMPLES.T, "timestamps": PLAIN_SECONDS},
            (path, 100),
        ]
        items += [{"imu": PLAIN_SAMPLES, "timestamps": PLAIN_SECONDS.tolist()}, load_imu(PLAIN)]
        items += [
            {"imu": PLAIN_SAMPLES, "timestamps": torch.from_numpy(PLAIN_SECONDS) + 1.7e9},
            {"imu": path},
        ]
        items += [pickle.loads(pickle.dumps(load_imu(PLAIN)))]
        for item in items:
            torch.testing.assert_close(transform(item), expected, atol=1e-4, rtol=0)
    assert torch.equal(pickle.loads(pickle.dumps(transform))(PLAIN_SAMPLES), expected)


@given(
    st.integers(100, 400).flatmap(
        lambda t: arrays(np.float64, (t, 6), elements=st.floats(-20, 20), fill=st.floats(-20, 20))
    ),
    st.integers(1, 10**6),
)
@settings(max_examples=30, deadline=None)
def test_any_recording_in_range_gives_finite_values_within_its_range(samples, seed):
    clock = np.cumsum(np.random.default_rng(seed).uniform(0.01, 0.1, len(samples)))
    transform = ImuTransform(accel_unit="m/s2", window_seconds=1)
    out = transform({"imu": samples, "timestamps": clock}).double().numpy()
    assert out.shape == (6, 2000) and np.isfinite(out).all()
    assert (out.min(1) >= samples.min(0) - 1e-5).all() and (out.max(1) <= samples.max(0) + 1e-5).all()


# --- errors


def test_the_error_for_a_short_recording_has_both_lengths(tmp_path):
    path = tmp_path / "short.npy"
    np.save(path, walk(300))
    with pytest.raises(MediaError, match=r"short\.npy: .*, got 3 s .*0 to 5 s.*window_seconds="):
        ImuTransform(rate=100)(path)
    assert ImuTransform(rate=100, window_seconds=3)(path).shape == (6, 2000)


@pytest.mark.parametrize(("samples", "gap"), [(300, 2), (290, 3)])
def test_the_error_for_a_short_recording_names_the_option_of_the_command_line(samples, gap):
    item = (walk(samples), 100)
    with pytest.raises(MediaError, match=f"on the command line, .* --map 'GLOB=imu:max_gap_seconds={gap}'$"):
        ImuTransform()(item)
    assert parse_mapping(f"**=imu:max_gap_seconds={gap}").options["max_gap_seconds"] == gap
    assert ImuTransform(max_gap_seconds=gap)(item).shape == (6, 2000)


def test_a_window_that_ends_after_the_recording_is_refused():
    with pytest.raises(MediaError, match="window from 18 to 23"):
        ImuTransform(start=18)((walk(2000), 100))


def test_a_gap_in_the_window_is_refused_and_one_outside_is_not():
    clock = np.arange(2000) / 100
    clock[300:] += 0.6
    item = {"imu": walk(2000), "timestamps": clock}
    with pytest.raises(MediaError, match=r"max_gap_seconds=0\.5, got no sample for 0\.61 s from 2\.99 s"):
        ImuTransform(start=1)(item)
    assert ImuTransform(start=4)(item).isfinite().all()
    assert ImuTransform(start=1, max_gap_seconds=0.7)(item).isfinite().all()


def test_milliseconds_read_as_seconds_are_refused_with_the_option_for_the_unit():
    with pytest.raises(MediaError, match="time_unit="):
        ImuTransform()({"imu": PLAIN_SAMPLES, "timestamps": PLAIN_SECONDS * 1000})


@pytest.mark.parametrize("at, value, message", [(7, 0.05, "runs back.*sample 7"), (7, np.nan, "NaN")])
def test_a_clock_that_does_not_increase_is_refused(at, value, message):
    clock = PLAIN_SECONDS.copy()
    clock[at] = value
    with pytest.raises(MediaError, match=message):
        ImuTransform()({"imu": PLAIN_SAMPLES, "timestamps": clock})


def test_an_accelerometer_in_g_is_refused_unless_its_unit_is_given():
    in_g = walk()
    in_g[:, :3] /= GRAVITY
    with pytest.raises(MediaError, match=r"median magnitude of 1\.?\d*.*accel_unit='g'"):
        ImuTransform()((in_g, 400))
    assert ImuTransform(accel_unit="g")((in_g, 400))[2].mean().item() == pytest.approx(GRAVITY, abs=0.1)
    read_as_si = ImuTransform(accel_unit="m/s2")((in_g, 400))
    assert read_as_si[2].mean().item() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("scale", [0.0, 0.05, 0.5, 2.0, 3.0])
def test_recordings_without_gravity_or_with_strong_acceleration_are_accepted(scale):
    samples = walk()
    samples[:, :3] *= scale
    assert ImuTransform()((samples, 400)).isfinite().all()


def test_implausible_units_are_refused_with_the_option_to_pass():
    milli_g = walk()
    milli_g[:, :3] *= 1000 / GRAVITY
    with pytest.raises(MediaError, match="accel_unit="):
        ImuTransform()((milli_g, 400))
    assert ImuTransform(accel_unit="mg")((milli_g, 400)).isfinite().all()
    degrees = walk()
    degrees[:, 3:] *= 180 / np.pi
    with pytest.raises(MediaError, match="gyro_unit='deg/s'"):
        ImuTransform()((degrees, 400))
    assert ImuTransform(gyro_unit="deg/s")((degrees, 400)).isfinite().all()


@pytest.mark.parametrize("broken", [np.nan, np.inf, 1e200])
def test_the_error_for_a_value_that_is_not_finite_names_the_sample(broken):
    samples = walk()
    samples[17, 4] = broken
    with pytest.raises(MediaError, match="in 1 samples, first in sample 17"):
        ImuTransform()((samples, 400))


@pytest.mark.parametrize("shape", [(6, 6), (7, 6), (6, 7), (7, 7)])
def test_shapes_with_an_ambiguous_channel_axis_are_refused(shape):
    with pytest.raises(MediaError, match="a number of samples other than 6 and 7"):
        ImuTransform()((np.ones(shape), 1.0))


@pytest.mark.parametrize(
    "item",
    [
        (np.ones((100, 5)), 10),
        (np.ones((2, 6, 100)), 10),
        (np.ones((1, 6)), 10),
        (np.ones((0, 6)), 10),
        (np.ones((100, 6), bool), 10),
        (PLAIN_SAMPLES, 0),
        (PLAIN_SAMPLES, float("nan")),
        (PLAIN_SAMPLES, "fast"),
        PLAIN_SAMPLES,  # no clock
        {"imu": PLAIN_SAMPLES},
        {"imu": PLAIN_SAMPLES, "rate": 100, "timestamps": PLAIN_SECONDS},
        {"imu": PLAIN_SAMPLES, "hertz": 100},
        {"rate": 100},
        {"imu": PLAIN_SAMPLES, "timestamps": PLAIN_SECONDS[:-1]},
        {"imu": PLAIN_SAMPLES, "timestamps": [[1], [2, 3]]},
        {"imu": np.column_stack([PLAIN_SECONDS, PLAIN_SAMPLES]), "timestamps": PLAIN_SECONDS},
        [[1, 2]],
        None,
        "no_such_file.csv",
        b"",
        b"hello",
        b"\0\0\0",
        PLAIN_HEADER.encode(),
        PLAIN.replace(b"gyro_z", b"label"),
        PLAIN.replace(b"gyro_z", b"gyro_y"),
        PLAIN.replace(b"gyro_z", b"gyro_z (rpm)"),
        PLAIN.replace(b"gyro_z", b"gyro_z (deg/s)").replace(b"gyro_x", b"gyro_x (rad/s)"),
        PLAIN.replace(b"0.01,", b"soon,", 1),
    ],
)
def test_items_that_are_no_recording_are_refused(item):
    with pytest.raises(MediaError):
        ImuTransform()(item)


@pytest.mark.parametrize(
    "options",
    [
        {"window_seconds": 0},
        {"start": -1},
        {"rate": -5},
        {"max_gap_seconds": 0},
        {"accel_unit": "feet"},
        {"gyro_unit": "g"},
        {"time_unit": "fortnight"},
    ],
)
def test_a_wrong_option_is_refused_by_the_constructor(options):
    with pytest.raises(ValueError):
        ImuTransform(**options)


@pytest.mark.parametrize("spans", [[], [(-1, 4)], [(4, 4)], [(0, float("inf"))]])
def test_a_span_without_a_positive_length_is_refused(spans):
    with pytest.raises(ValueError):
        ImuTransform().with_spans((PLAIN_SAMPLES, 100), spans)


def test_a_recording_object_is_checked_too():
    with pytest.raises(MediaError, match="runs back"):
        ImuTransform()(ImuRecording(samples=PLAIN_SAMPLES, seconds=PLAIN_SECONDS[::-1]))


def test_the_input_is_not_modified():
    samples = PLAIN_SAMPLES.copy()
    to_recording(samples, rate=100, accel_unit="m/s2", gyro_unit="deg/s")
    np.testing.assert_array_equal(samples, PLAIN_SAMPLES)


def test_errors_name_the_limit():
    with pytest.raises(MediaError, match="max_seconds"):
        load_imu(PLAIN, limits=Limits(max_seconds=1))
    with pytest.raises(MediaError, match="max_bytes"):
        load_imu(PLAIN, limits=Limits(max_bytes=1000))


@pytest.mark.parametrize(("unit", "ticks"), [("us", 1e6), ("ns", 1e9)])
def test_the_error_for_a_clock_that_is_not_in_seconds_names_the_option(unit, ticks):
    table = np.column_stack([PLAIN_SECONDS * ticks, PLAIN_SAMPLES])
    with pytest.raises(
        MediaError, match=r"max_seconds.*; pass the time_unit= of its clock \(s, ms, us, ns\)"
    ):
        load_imu(encoded(table, "npy"), gyro_unit="deg/s")
    recording = load_imu(encoded(table, "npy"), gyro_unit="deg/s", time_unit=unit)
    np.testing.assert_allclose(recording.seconds, PLAIN_SECONDS, atol=1e-6)


def test_pickled_objects_are_never_loaded():
    file = io.BytesIO()
    np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(MediaError, match="object"):
        load_imu(file)


@given(damaged([PLAIN, encoded(PLAIN_SAMPLES, "npy")]))
@settings(max_examples=80, deadline=None)
def test_a_damaged_file_gives_a_window_or_a_named_error(bad):
    try:
        out = ImuTransform(rate=100, window_seconds=1)(bad)
    except MediaError as error:
        assert "bytes>" in error.item
    else:
        assert out.shape == (6, 2000) and out.isfinite().all()


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
def test_a_rate_that_is_not_positive_is_refused_even_if_the_file_has_a_clock_or_a_layout(rate, tmp_path):
    path = tmp_path / "imu.csv"
    path.write_bytes(PLAIN)
    bare = tmp_path / "bare.npy"
    np.save(bare, PLAIN_SAMPLES)
    with pytest.raises(MediaError, match=r"imu\.csv: expected a positive, finite rate in Hz, got a rate of"):
        load_imu(path, rate=rate)
    for item in ((path, rate), (bare, rate), {"imu": bare, "rate": rate, "layout": "motionsense"}):
        with pytest.raises((MediaError, ValueError), match="rate"):
            ImuTransform()(item)
