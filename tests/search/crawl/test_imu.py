"""A crawl of IMU exports: each recording is one item, even if it has several files."""

import numpy as np
import pytest

from imagebind.intake.mapping import parse_mapping
from imagebind.search.index import Index
from tests.media.loggers import ACCEL, DEGREES, SECONDS, rows, sensor_logger, xsens_dot
from tests.media.motion import GRAVITY
from tests.search.crawled import crawled, outcomes, tiny, vectors


@pytest.mark.parametrize(
    "mappings", [[], [parse_mapping("**/*[er].csv=imu"), parse_mapping("**/G*.csv=imu")]]
)
def test_an_export_of_several_files_is_one_item(mappings, tmp_path):
    folder = sensor_logger(tmp_path / "walk")
    (tmp_path / "dot.csv").write_text(xsens_dot())
    report = crawled(tmp_path / "db", tmp_path, mappings=mappings)
    assert outcomes(report) == {"added": 2} and not report.failures
    found = vectors(tmp_path / "db", tmp_path)
    assert {name for name, *_ in found} == {"walk/Accelerometer.csv", "dot.csv"}
    expected = tiny().encode([{"imu": folder}])
    for vector in found.values():  # both are the same recording
        np.testing.assert_allclose(vector, expected[0], atol=1e-4)


def test_an_unknown_logger_is_read_with_a_layout_file_in_the_mapping(tmp_path):
    layout = tmp_path / "my_logger.json"
    layout.write_text('{"columns": {"accel": [1, 2, 3], "gyro": [4, 5, 6], "time": 0}, "gyro_unit": "dps"}')
    media = tmp_path / "media"
    media.mkdir()
    (media / "a.log").write_text(rows(SECONDS, ACCEL / GRAVITY, DEGREES, sep=" "))
    report = crawled(tmp_path / "db", media, mappings=[parse_mapping(f"**/*.log=imu:{layout},accel_unit=g")])
    assert outcomes(report) == {"added": 1}
    (tmp_path / "dot.csv").write_text(xsens_dot())
    hit = Index.open(tmp_path / "db", tiny()).search({"imu": tmp_path / "dot.csv"}, 1)[0]
    assert hit.cosine > 0.999
