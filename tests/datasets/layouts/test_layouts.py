"""Small copies of published data sets with real files are read and trained on."""

import logging
from pathlib import Path

import numpy as np
import pytest

from imagebind.datasets.layouts import audioset, ego4d, llvip, pack_imu, sun_rgbd
from imagebind.datasets.pairs import PairDataset, PairSample
from imagebind.errors import MediaError
from imagebind.training.data.augment import AlignedAudio, AlignedImages, AlignedImu, pair_transform
from imagebind.transforms.audio import AudioTransform
from imagebind.transforms.depth import DepthTransform
from tests.training.made import ramp, write_audio, write_image, write_imu, write_video

SEGMENTS = """\
# Segments csv created Sun Mar  5 10:54:31 2017
# num_ytids=3, num_segs=3, num_unique_labels=527, num_positive_labels=5
# YTID, start_seconds, end_seconds, positive_labels
--4gqARaEJE, 0.000, 10.000, "/m/068hy,/m/07q6cd_,/m/0bt9lr"
-0xzrMun0Rs, 30.000, 40.000, "/m/01jnbd"
gone_______, 1.500, 11.500, "/m/01jnbd"
"""


def assert_readable(pairs: list) -> None:
    """Assert that every pair can be read with the paper's augmentation."""
    dataset = PairDataset(pairs, pair_transform(pairs[0].modality))
    for index in range(len(dataset)):
        sample = dataset[index]
        assert isinstance(sample, PairSample), sample


@pytest.fixture
def segments(tmp_path) -> Path:
    path = tmp_path / "balanced_train_segments.csv"
    path.write_text(SEGMENTS)
    return path


def test_audioset_finds_its_clips_and_lists_the_missing(tmp_path, segments, caplog):
    for stem in ("--4gqARaEJE_0", "-0xzrMun0Rs_30"):
        write_video(tmp_path / "clips" / stem[:2] / f"{stem}.mp4", seconds=3)
        write_audio(tmp_path / "sound" / f"{stem}.flac", seconds=3)
    with caplog.at_level(logging.WARNING):
        found = audioset(segments, tmp_path / "clips", sound=tmp_path / "sound")
    assert [pair.name for pair in found.pairs] == ["AudioSet --4gqARaEJE_0", "AudioSet -0xzrMun0Rs_30"]
    assert [Path(file).name for file in found.missing] == ["gone________1.5.*"] * 2
    assert "2 files missing" in caplog.text and "…" not in caplog.text
    assert found.pairs[1].span is None
    assert_readable(found.pairs)


def test_audioset_accepts_name_patterns_and_whole_videos(tmp_path, segments):
    for ytid in ("--4gqARaEJE", "-0xzrMun0Rs"):
        write_video(tmp_path / "whole" / f"{ytid}.mp4", seconds=1)
    found = audioset(segments, tmp_path / "whole", pattern="{ytid}", cut=False)
    assert [pair.span for pair in found.pairs] == [(0, 10), (30, 40)]
    assert found.pairs[0].vision["video"] == found.pairs[0].other["audio"], "the video's own track"
    (tmp_path / "whole" / "-0xzrMun0Rs_30000_40000.mp4").touch()
    by_milliseconds = audioset(segments, tmp_path / "whole", pattern="{ytid}_{start_ms}_{end_ms}")
    assert [pair.vision["video"].stem for pair in by_milliseconds.pairs] == ["-0xzrMun0Rs_30000_40000"]
    for pattern in ("{id}", "{ytid.id}", "{start[0]}", "{ytid:.3f}", "{0}", "{"):
        with pytest.raises(ValueError, match="pattern: expected fields of ytid, start"):
            audioset(segments, tmp_path / "whole", pattern=pattern)


@pytest.mark.parametrize(
    "line, message",
    [
        ("abc, 1", "line 1: expected the columns YTID.*, got 2 columns"),
        ("\nabc, x, 2, a", "line 2: expected a number of seconds, got 'x'"),
        ("abc, nan, 2, a", "line 1: expected a number of seconds, got 'nan'"),
        ("abc, 1, inf, a", "line 1: expected a number of seconds, got 'inf'"),
        ("abc, 2, 1, a", "line 1: expected a clip with 0 <= start < end, got one from 2 to 1 s"),
        ("abc, 1, 2, " + "a" * 200_000, "line 1: expected a row of CSV, got one that cannot be read"),
    ],
)
def test_an_invalid_segment_is_an_error_that_names_its_line(tmp_path, line, message):
    (tmp_path / "list.csv").write_text(line)
    with pytest.raises(MediaError, match=f"list.csv.*{message}"):
        audioset(tmp_path / "list.csv", tmp_path)


def rotated(metres: np.ndarray) -> np.ndarray:
    """Return 16-bit millimetres rotated left by 3, as SUN RGB-D stores them."""
    value = (metres * 1000).astype(np.uint16)
    return (value << 3) | (value >> 13)


@pytest.fixture
def sun(tmp_path) -> Path:
    root = tmp_path / "SUNRGBD"
    views = (
        "kv1/NYUdata/NYU0001",
        "kv2/kinect2data/000002",
        "realsense/sa/one",
        "xtion/sun3ddata/deep/er/two",
    )
    for number, view in enumerate(views):
        write_image(root / view / "image" / "0001.jpg", ramp(30, 40))
        for kind, metres in (("depth", 2.0), ("depth_bfx", 4.0)):
            write_image(root / view / kind / "0001.png", rotated(np.full((30, 40), metres)))
        (root / view / "intrinsics.txt").write_text(f"{500 + number}.5 0 320\n0 500 240\n0 0 1\n")
    return root


def test_sun_rgbd_gives_the_sensor_the_focal_length_and_metres(sun):
    found = sun_rgbd(sun)
    assert [pair.other["sensor"] for pair in found.pairs] == ["kinect_v1", "kinect_v2", "realsense", "xtion"]
    assert found.missing == []
    raw = AlignedImages(depth=DepthTransform(preset="raw"))
    for metres, refined in ((2.0, False), (4.0, True)):
        dataset = PairDataset(sun_rgbd(sun, refined=refined).pairs, raw)
        for number, baseline in enumerate((0.075, 0.075, 0.095, 0.095)):
            disparity = dataset[number].other
            assert disparity.mean().item() == pytest.approx(baseline * (500.5 + number) / metres, rel=1e-4)
    assert_readable(found.pairs)


def test_sun_rgbd_accepts_split_views_with_any_path_prefix(sun):
    split = ["/n/fs/sun3d/data/SUNRGBD/kv2/kinect2data/000002", "kv1/NYUdata/NYU0001", "kv1/NYUdata/NYU9999"]
    found = sun_rgbd(sun.parent, views=split)
    assert [pair.name for pair in found.pairs] == [
        "SUN RGB-D kv2/kinect2data/000002",
        "SUN RGB-D kv1/NYUdata/NYU0001",
    ]
    assert len(found.missing) == 1 and "NYU9999" in found.missing[0]


def test_sun_rgbd_lists_the_missing_files_of_a_view(sun):
    (sun / "kv1/NYUdata/NYU0001/intrinsics.txt").unlink()
    (sun / "realsense/sa/one/depth_bfx/0001.png").unlink()
    found = sun_rgbd(sun)
    assert len(found.pairs) == 2
    assert [Path(file).parent.name + "/" + Path(file).name for file in found.missing] == [
        "NYU0001/intrinsics.txt",
        "depth_bfx/*.png",
    ]


def test_llvip_pairs_images_of_the_same_name(tmp_path):
    for name in ("010001", "010002", "010003"):
        write_image(tmp_path / "visible" / "train" / f"{name}.jpg", ramp(40, 50))
        write_image(tmp_path / "infrared" / "train" / f"{name}.jpg", ramp(40, 50))
    (tmp_path / "infrared/train/010002.jpg").unlink()
    (tmp_path / "visible/train/010003.jpg").unlink()
    found = llvip(tmp_path, split="train")
    assert [pair.name for pair in found.pairs] == ["LLVIP train/010001.jpg"]
    assert [Path(file).parts[-3:] for file in found.missing] == [
        ("infrared", "train", "010002.jpg"),
        ("visible", "train", "010003.jpg"),
    ]
    assert_readable(found.pairs)
    with pytest.raises(MediaError, match=r"expected images \(visible/test/\*.jpg and infrared/test"):
        llvip(tmp_path, split="test")
    with pytest.raises(ValueError, match="split: expected one of train, test"):
        llvip(tmp_path, split="val")


@pytest.fixture
def ego(tmp_path) -> Path:
    """Two videos, the second cut to a clip; the first one's IMU timestamps begin at 1.25 s."""
    write_video(tmp_path / "videos" / "uid-1.mp4", seconds=12, rate=5)
    write_video(tmp_path / "videos" / "clip-2.mp4", seconds=6)
    write_imu(tmp_path / "imu" / "uid-1.csv", seconds=12, first_ms=1250)
    write_imu(tmp_path / "imu" / "uid-2.csv", seconds=40)
    (tmp_path / "clips.csv").write_text(
        "clip_uid,video_uid,start_sec,end_sec,scenario\n"
        ",uid-1,4,11,cooking\nclip-2,uid-2,20,26,walking\n,uid-3,0,5,gone\nclip-4,uid-1,2,9,whole\n"
    )
    return tmp_path


def read_ego(ego: Path):
    return ego4d(ego / "clips.csv", ego / "videos", ego / "imu")


def test_ego4d_finds_clips_in_whole_videos_and_in_separate_files(ego):
    found = read_ego(ego)
    assert [(pair.vision["video"].name, pair.span) for pair in found.pairs] == [
        ("uid-1.mp4", (4, 11)),
        ("clip-2.mp4", None),
        ("uid-1.mp4", (2, 9)),
    ]
    assert [Path(file).name for file in found.missing] == ["uid-3.csv", "uid-3.mp4"]
    assert_readable(found.pairs)


@pytest.mark.parametrize("packed", [False, True])
def test_ego4d_imu_has_the_time_of_the_frames(ego, packed):
    if packed:
        for name in ("uid-1", "uid-2"):
            assert pack_imu(ego / "imu" / f"{name}.csv") == ego / "imu" / f"{name}.npy"
    found = read_ego(ego)
    assert {pair.other["imu"].suffix for pair in found.pairs} == {".npy" if packed else ".csv"}
    dataset = PairDataset(found.pairs, AlignedImu().plain())
    for index, middle in ((0, 7.5), (1, 23.0), (2, 5.5)):
        hours = dataset[index].other[3, [0, -1]].double()  # `write_imu` stores them in gyro_x
        begin, end = 3600 * hours
        assert (begin + end).item() / 2 == pytest.approx(middle, abs=0.02)


@pytest.mark.parametrize("kept", [0, 64, 200])
def test_damaged_ego4d_imu_counts_as_missing(ego, caplog, kept):
    packed = pack_imu(ego / "imu" / "uid-1.csv")
    packed.write_bytes(packed.read_bytes()[:kept])
    found = read_ego(ego)
    assert [pair.vision["video"].name for pair in found.pairs] == ["clip-2.mp4"]
    assert found.missing.count(str(packed)) == 2 and f"{packed}: expected a file of pack_imu" in caplog.text


@pytest.mark.parametrize("damage", ["archive", "part of an archive", "header"])
def test_ego4d_imu_of_another_format_than_npy_counts_as_missing(ego, caplog, damage):
    path = ego / "imu" / "uid-1.npy"
    if damage == "header":
        np.save(path, np.zeros((10, 7)))
        path.write_bytes(path.read_bytes().replace(b"(10, 7)", b"(10, 7("))
    else:
        np.savez(ego / "imu" / "uid-1.npz", np.zeros((10, 7)))
        content = (ego / "imu" / "uid-1.npz").read_bytes()
        path.write_bytes(content if damage == "archive" else content[:60])
    assert str(path) in read_ego(ego).missing
    assert f"{path}: expected a file of pack_imu" in caplog.text


def test_ego4d_imu_without_timestamps_counts_as_missing(ego, caplog):
    np.save(ego / "imu" / "uid-1.npy", np.zeros((10, 6)))
    assert str(ego / "imu" / "uid-1.npy") in read_ego(ego).missing
    assert "expected an array (t, 7) with time in seconds first, got (10, 6)" in caplog.text


def test_imu_packing_that_fails_leaves_no_file(ego, monkeypatch):
    def full(file, rows: np.ndarray) -> None:
        file.write(b"half")
        raise OSError("No space left on device")

    before = sorted((ego / "imu").iterdir())
    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OSError, match="No space left"):
        pack_imu(ego / "imu" / "uid-1.csv")
    assert sorted((ego / "imu").iterdir()) == before


def test_ego4d_errors_name_the_row_and_the_table(ego):
    (ego / "clips.csv").write_text("video_uid,start_sec,end_sec\nuid-1,5,2\n")
    with pytest.raises(
        MediaError, match=r"clips\.csv, line 2: expected a clip with 0 <= start < end, got one from 5 to 2 s"
    ):
        read_ego(ego)
    (ego / "clips.csv").write_text("video,start,end\nuid-1,5,2\n")
    with pytest.raises(MediaError, match="video_uid, start_sec, end_sec among the columns"):
        read_ego(ego)


def test_a_wrong_folder_is_an_error_that_names_it(tmp_path, segments):
    for read in (
        lambda: audioset(segments, tmp_path),
        lambda: sun_rgbd(tmp_path),
        lambda: llvip(tmp_path / "gone", split="train"),
        lambda: ego4d(tmp_path / "gone.csv", tmp_path, tmp_path),
    ):
        with pytest.raises(MediaError, match=str(tmp_path)):
            read()


def test_audio_is_read_from_the_track_of_the_video_at_the_time_of_the_frames(tmp_path, segments):
    video = write_video(tmp_path / "clips" / "--4gqARaEJE_0.mp4", seconds=6, audio=True)
    (pair,) = audioset(segments, tmp_path / "clips").pairs
    sample = PairDataset([pair], AlignedAudio().plain())[0]
    expected = AudioTransform().with_spans(write_audio(tmp_path / "chirp.wav", seconds=6), [(2, 4)])[0]
    pitch, wanted = (mel[0, 0, :, :198].argmax(dim=0).float() for mel in (sample.other, expected))
    assert (pitch - wanted)[10:-10].abs().max() <= 2  # of 128 bands; a lossy codec, and its delay of 64 ms
    assert sample.vision.shape == (1, 3, 2, 224, 224) and video.is_file()
