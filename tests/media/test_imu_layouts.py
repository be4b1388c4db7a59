"""Layouts: loggers by name, and JSON files with columns, units and a rate."""

import json
import os

import numpy as np
import pytest

from imagebind.media.imu_layouts import layout_of
from imagebind.transforms.imu import ImuTransform, load_imu
from tests.media.loggers import ACCEL, DEGREES, IMU_SAMPLES, SECONDS, rows
from tests.media.motion import GRAVITY

COLUMNS = {"accel": [2, 3, 4], "gyro": ["e", "f", "g"], "time": "when"}
UNITS = {"accel_unit": "g", "gyro_unit": "dps", "time_unit": "ms"}
TABLE = ("when,n,b,c,d,e,f,g\n" + rows(SECONDS * 1000, SECONDS, ACCEL / GRAVITY, DEGREES)).encode()


@pytest.mark.parametrize("entries", [{"columns": COLUMNS, **UNITS}, {**COLUMNS, **UNITS}])
def test_a_json_file_may_contain_columns_and_units(entries, tmp_path):
    path = tmp_path / "my_logger.json"
    path.write_text(json.dumps(entries))
    for layout in (str(path), path):
        recording = load_imu(TABLE, layout=layout)
        np.testing.assert_allclose(recording.samples, IMU_SAMPLES, atol=1e-6)
        np.testing.assert_allclose(recording.seconds, SECONDS, atol=1e-6)
    assert ImuTransform(layout=str(path), window_seconds=2)(TABLE).shape == (6, 2000)
    assert ImuTransform(window_seconds=2)({"imu": TABLE, "layout": str(path)}).shape == (6, 2000)


def test_a_json_file_may_contain_a_rate_and_extend_a_logger(tmp_path):
    path = tmp_path / "my_logger.json"
    path.write_text(
        json.dumps({"layout": "uci_har", "columns": {"accel": [2, 3, 4], "gyro": [5, 6, 7]}, "rate": 100})
    )
    recording = load_imu(TABLE, layout=path, gyro_unit="deg/s")
    np.testing.assert_allclose(recording.samples, IMU_SAMPLES, atol=1e-6)
    np.testing.assert_allclose(recording.seconds, SECONDS, atol=1e-6)


def test_a_json_file_that_has_changed_is_read_again(tmp_path):
    path = tmp_path / "my_logger.json"
    path.write_text('{"rate": 50}')
    assert layout_of(path).rate == 50
    path.write_text('{"rate": 100}')
    os.utime(path, ns=(1, 1))
    assert layout_of(path).rate == 100


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", "my_logger.json"),
        ("[1]", "expected an object"),
        ('{"colums": {}}', "expected some of accel_unit, columns.*got 'colums'"),
        ('{"columns": {"accel": [1, 2]}}', "columns: expected"),
        ('{"accel_unit": "furlong"}', "accel_unit: expected one of m/s2, g, mg, got 'furlong'"),
        ('{"rate": -1}', "rate: expected a positive number in Hz, got -1"),
        (f'{{"rate": {10**400}}}', "rate: expected a positive number in Hz, got 1000"),
        *(
            (f'{{"layout": {base}}}', "expected one of ego4d, ")
            for base in ('"phyfox"', '"my_logger.json"', "5", "[]")
        ),
        ("[" * 60_000, "my_logger.json: maximum recursion depth"),
    ],
)
def test_a_json_file_of_another_form_is_refused_by_the_constructor(text, message, tmp_path):
    path = tmp_path / "my_logger.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        ImuTransform(layout=str(path))


@pytest.mark.parametrize("layout", ["phyfox", "nowhere.json"])
def test_a_missing_layout_is_refused_by_the_constructor(layout):
    with pytest.raises(ValueError, match=f"layout: .*{layout}"):
        ImuTransform(layout=layout)
