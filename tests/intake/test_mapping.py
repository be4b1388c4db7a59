"""Mappings: how they are parsed, which files they match, and errors for typos."""

from pathlib import Path

import pytest

from imagebind.intake.mapping import mapping_for, parse_kind, parse_mapping
from imagebind.media.discover import FoundFile
from imagebind.modality import MediaKind


def found(path: str, root: str = "/media") -> FoundFile:
    return FoundFile(path=Path(root) / path, root=Path(root), size=1, mtime_ns=1)


@pytest.mark.parametrize(
    "text, glob, kind, options",
    [
        ("**/thermal/*.tiff=thermal", "**/thermal/*.tiff", MediaKind.THERMAL, {}),
        ("depth/**.png=depth:kinect_v1", "depth/**.png", MediaKind.DEPTH, {"sensor": "kinect_v1"}),
        ("depth/**.png=depth:kitti", "depth/**.png", MediaKind.DEPTH, {"unit": "kitti"}),
        ("d.png=depth:tum,xtion", "d.png", MediaKind.DEPTH, {"unit": "tum", "sensor": "xtion"}),
        ("*.png=depth:1/256,focal=721.5", "*.png", MediaKind.DEPTH, {"unit": "1/256", "focal": 721.5}),
        ("*.png=depth:unit=0.0002", "*.png", MediaKind.DEPTH, {"unit": 0.0002}),
        ("*.png=depth:encoding=sunrgbd", "*.png", MediaKind.DEPTH, {"encoding": "sunrgbd"}),
        ("*.png=depth:focal=518.9,baseline=0.1", "*.png", MediaKind.DEPTH, {"focal": 518.9, "baseline": 0.1}),
        (
            "a=b/*.png=depth:realsense, focal=600",
            "a=b/*.png",
            MediaKind.DEPTH,
            {"sensor": "realsense", "focal": 600},
        ),
        ("*.tif=thermal:low=0,high=1", "*.tif", MediaKind.THERMAL, {"low": 0, "high": 1}),
        ("*.tif=thermal:centikelvin", "*.tif", MediaKind.THERMAL, {"unit": "centikelvin"}),
        ("*.tif=thermal:unit=1/64", "*.tif", MediaKind.THERMAL, {"unit": "1/64"}),
        ("*.jpg=thermal:palette=jet", "*.jpg", MediaKind.THERMAL, {"palette": "jet"}),
        ("*.csv=imu:rate=200,accel_unit=g", "*.csv", MediaKind.IMU, {"rate": 200, "accel_unit": "g"}),
        ("*.csv=imu:motionsense", "*.csv", MediaKind.IMU, {"layout": "motionsense"}),
        ("*.dat=imu:pamap2,rate=100", "*.dat", MediaKind.IMU, {"layout": "pamap2", "rate": 100}),
        ("*.csv=imu:antialias=false", "*.csv", MediaKind.IMU, {"antialias": False}),
        ("*.mp4=video:crops=1", "*.mp4", MediaKind.VIDEO, {"crops": 1}),
        ("*.jpg=image:exif=false", "*.jpg", MediaKind.IMAGE, {"exif": False}),
        ("*.log=text", "*.log", MediaKind.TEXT, {}),
    ],
)
def test_a_mapping_is_a_pattern_a_media_type_and_options(text, glob, kind, options):
    mapping = parse_mapping(text)
    assert (mapping.glob, mapping.kind, mapping.options) == (glob, kind, options)


@pytest.mark.parametrize(
    "text, about",
    [
        ("depth", "expected GLOB=TYPE"),
        ("=depth", "expected GLOB=TYPE"),
        ("*.png=depht", "'depht': expected one of image, video"),
        ("*.png=depth:kinect", r"expected a sensor \(kinect_v1, .* or a unit \(m, mm, kitti, .*got 'kinect'"),
        ("*.png=depth:fokal=500", r"expected an option of depth \(baseline, encoding, focal, sensor"),
        ("*.png=depth:unit=feet", "expected metres per stored step .* or one of m, mm.*got 'feet'"),
        ("*.png=depth:unit=0", "expected metres per stored step"),
        ("*.png=depth:unit=true", "unit: expected a word or float, got True"),
        ("*.png=depth:focal=-5", "expected a positive, finite number, got -5"),
        ("*.png=depth:baseline=wide", "baseline: expected float, got 'wide'"),
        ("*.png=depth:kinect_v1,baseline=0.1", "a sensor or a baseline"),
        ("*.png=thermal:low=3", "both low and high"),
        ("*.png=thermal:kitti", "expected one of celsius, kelvin, centikelvin.*got 'kitti'"),
        ("*.png=thermal:palette=sunset", "palette: expected one of gray, jet.*got 'sunset'"),
        ("*.csv=imu:accel_unit=furlong", "accel_unit: expected one of"),
        ("*.csv=imu:accel_unit=3", "accel_unit: expected a word, got 3"),
        ("*.csv=imu:phyfox", "layout: expected one of ego4d, phyphox"),
        ("*.csv=imu:nowhere.json", "layout: nowhere.json cannot be read"),
        ("*.csv=imu:columns=1", r"expected an option of imu \(accel_unit, antialias"),
        ("*.txt=text:kinect", r"expected an option of text \(none\), got 'kinect'"),
        ("*.wav=audio:clips=0", "clips: expected a whole number of at least 1, got 0"),
        ("*.wav=audio:channel=left", "channel: expected int"),
        ("*.jpg=image:exif=1", "exif: expected bool"),
    ],
)
def test_the_error_for_a_typo_has_the_expected_values(text, about):
    with pytest.raises(ValueError, match=about):
        parse_mapping(text)


def test_huge_numbers_and_deeply_nested_values_are_refused():
    for value in ("9" * 400, "[" * 10**5):
        with pytest.raises(ValueError, match="expected metres per stored step"):
            parse_mapping(f"*.png=depth:unit={value}")


@pytest.mark.parametrize("text", ["*.png=depth:preset=raw", "*.png=image:size=100", "*.wav=audio:mean=0"])
def test_options_that_change_the_embedding_space_are_refused(text):
    with pytest.raises(ValueError, match="expected an option of"):
        parse_mapping(text)


@pytest.mark.parametrize(
    "glob, path, matches",
    [
        ("depth/**.png", "depth/a.png", True),
        ("depth/**.png", "depth/b/c/a.png", True),
        ("depth/**.png", "rooms/depth/a.png", False),  # matches from the start of the path below the root
        ("**/thermal/*.tiff", "thermal/a.tiff", True),
        ("**/thermal/*.tiff", "x/y/thermal/a.tiff", True),
        ("**/thermal/*.tiff", "thermal/x/a.tiff", False),
        ("*.png", "a.png", True),
        ("*.png", "x/a.png", False),
        ("a?.png", "ab.png", True),
        ("[a].png", "[a].png", True),
        ("/media/depth/*", "depth/a.png", True),
        ("/depth/*", "depth/a.png", False),
    ],
)
def test_patterns_match_the_path_below_the_root_or_the_whole_path(glob, path, matches):
    assert parse_mapping(f"{glob}=depth").matches(found(path)) is matches


def test_the_first_mapping_that_matches_a_file_is_used():
    mappings = [parse_mapping("a/*.png=thermal"), parse_mapping("**.png=depth")]
    assert mapping_for(mappings, found("a/x.png")).kind is MediaKind.THERMAL
    assert mapping_for(mappings, found("b/x.png")).kind is MediaKind.DEPTH
    assert mapping_for(mappings, found("b/x.jpg")) is None


def test_a_file_given_directly_is_matched_by_its_name():
    file = FoundFile(path=Path("/media/x.png"), root=Path("/media/x.png"), size=1, mtime_ns=1)
    assert parse_mapping("*.png=depth").matches(file)


def test_a_media_type_is_parsed_with_its_options():
    assert parse_kind(" depth:kinect_v2 ") == (MediaKind.DEPTH, {"sensor": "kinect_v2"})


def test_an_imu_mapping_may_name_a_layout_file(tmp_path):
    path = tmp_path / "my_logger.json"
    path.write_text('{"columns": {"accel": [1, 2, 3], "gyro": [4, 5, 6], "time": 0}, "accel_unit": "g"}')
    assert parse_mapping(f"**/*.csv=imu:{path}").options == {"layout": str(path)}
    path.write_text('{"columns": {"accel": [1, 2]}}')
    with pytest.raises(ValueError, match=r"my_logger\.json: columns: expected"):
        parse_mapping(f"**/*.csv=imu:{path}")
