"""Tests of Ego4D's scenarios: windows, splits, narrations, damaged recordings."""

import json

import numpy as np
import pytest

from imagebind.datasets.layouts import ego4d_scenarios as layout
from imagebind.datasets.layouts.ego4d import pack_imu, read_imu
from imagebind.datasets.layouts.ego4d_scenarios import ego4d_scenarios
from imagebind.errors import MediaError
from imagebind.evaluation import evaluate
from imagebind.intake.requests import identify, prepare
from imagebind.transforms.imu import ImuTransform
from tests.evaluation.layouts_sensors import (
    SCENARIO_NAMES,
    write_ego4d,
    write_ego4d_imu,
    write_ego4d_world,
)


def ramp(root, uid: str, *, first: float, last: float, gap: tuple[float, float] = (0, 0)) -> np.ndarray:
    """Write a recording at 200 Hz whose gyroscope's x is the time in hours; return its clock."""
    seconds = np.arange(first, last, 1 / 200)
    seconds = seconds[(seconds <= gap[0]) | (seconds >= gap[1])]
    samples = np.zeros((len(seconds), 6))
    samples[:, 2], samples[:, 3] = 9.81, seconds / 3600
    write_ego4d_imu(root / "v2" / "imu" / f"{uid}.csv", seconds, samples)
    return seconds


@pytest.fixture
def small(tmp_path):
    """Three videos: one has two scenarios, and the first one's IMU begins 3 s into the video."""
    ramp(tmp_path, "a", first=3.0, last=40.0, gap=(20.0, 21.0))
    ramp(tmp_path, "b", first=0.0, last=20.0)
    ramp(tmp_path, "c", first=0.0, last=20.0)
    write_ego4d(
        tmp_path,
        {"a": ["Cooking"], "b": ["Cooking", "Eating"], "c": ["Walking"]},
        {"a": ([4.0, 5.5, 10.0, 18.0, 23.6], [10.0, 37.4, 38.0]), "b": ([9.0], []), "c": ([], [2.5, 9.0])},
    )
    (tmp_path / "split.txt").write_text("a\nb\nc\n")
    return tmp_path


def names(found) -> list[str]:
    return [item.name for item in found.items]


def test_windows_are_those_that_the_recording_fills_in_videos_of_one_scenario(small):
    found = ego4d_scenarios(small, split_file=small / "split.txt")
    assert [each.label for each in found.classes] == ["Cooking", "Eating", "Walking"]
    assert names(found) == [
        f"Ego4D {each} s" for each in ("a at 5.5", "a at 10", "a at 23.6", "a at 37.4")
    ] + [
        "Ego4D c at 2.5 s",
        "Ego4D c at 9 s",
    ]
    assert [item.labels for item in found.items] == [(0,)] * 4 + [(2,)] * 2
    first = ego4d_scenarios(small, split_file=small / "split.txt", passes=[1])
    assert names(first) == [f"Ego4D a at {time} s" for time in ("5.5", "10", "23.6")]
    short = ego4d_scenarios(small, split_file=small / "split.txt", imu_window=1.0)
    assert "Ego4D a at 4 s" in names(short) and "Ego4D a at 18 s" in names(short)


@pytest.mark.parametrize("packed", [False, True])
def test_the_times_of_a_window_are_those_of_the_video(small, packed):
    if packed:
        pack_imu(small / "v2" / "imu" / "a.csv")
    found = ego4d_scenarios(small, split_file=small / "split.txt")
    for index, middle in ((0, 5.5), (1, 10.0)):
        item = found.items[index].item
        assert item.sources[0].suffix == (".npy" if packed else ".csv")
        views = prepare(identify(item.load()), ImuTransform()).views  # (1, 6, 2000)
        hours = views[0, 3, [0, -1]].double()
        assert (3600 * hours.mean()).item() == pytest.approx(middle, abs=0.01)
        assert (3600 * (hours[1] - hours[0])).item() == pytest.approx(5.0, abs=0.02)


def test_windows_of_a_recording_are_cut_from_one_reading(small, monkeypatch):
    read = []
    monkeypatch.setattr(layout, "read_imu", lambda path: read.append(path.stem) or read_imu(path))
    found = ego4d_scenarios(small, split_file=small / "split.txt")
    assert read == ["a", "c"]
    for item in found.items:
        item.item.load()
    assert read == ["a", "c", "a", "c"]


def test_a_split_without_a_file_is_random_with_a_seed(tmp_path):
    scenarios = {f"uid{number:02}": ["Cooking" if number % 2 else "Walking"] for number in range(25)}
    for uid in scenarios:
        ramp(tmp_path, uid, first=0.0, last=2.0)
    write_ego4d(tmp_path, scenarios, {uid: ([1.0], []) for uid in scenarios})
    short = {"imu_window": 1.0}
    test, train = (names(ego4d_scenarios(tmp_path, split=split, **short)) for split in ("test", "train"))
    assert len(test) == 3 and len(train) == 22 and not set(test) & set(train)
    assert names(ego4d_scenarios(tmp_path, **short)) == test
    assert names(ego4d_scenarios(tmp_path, seed=1, **short)) != test


def test_missing_and_damaged_recordings_are_listed(small):
    (small / "v2" / "imu" / "a.csv").unlink()
    (small / "v2" / "imu" / "c.csv").write_text("nothing\n")
    found = ego4d_scenarios(small, split_file=small / "split.txt")
    assert len(found.items) == 0 and len(found.missing) == len(found.damaged) == 1
    assert found.missing[0].endswith("a.csv") and "c.csv" in found.damaged[0]


def test_narrations_may_be_below_videos_in_the_redacted_file(small):
    path = small / "v2" / "annotations" / "narration.json"
    before = names(ego4d_scenarios(small, split_file=small / "split.txt"))
    path.rename(path.with_name("all_narrations_redacted.json"))
    path = path.with_name("all_narrations_redacted.json")
    path.write_text(json.dumps({"videos": json.loads(path.read_text())}))
    assert names(ego4d_scenarios(small, split_file=small / "split.txt")) == before


def test_folders_of_scenarios_are_read_too(small, tmp_path):
    recording = (small / "v2" / "imu" / "c.csv").read_bytes()
    for scenario in ("Eating", "Cooking"):
        folder = tmp_path / "windows" / "test" / scenario
        folder.mkdir(parents=True)
        (folder / "1.csv").write_bytes(recording)
    found = ego4d_scenarios(tmp_path / "windows")
    assert names(found) == ["Cooking/1.csv", "Eating/1.csv"]
    assert [found.classes[item.labels[0]].label for item in found.items] == ["Cooking", "Eating"]
    assert ImuTransform()(found.items[0].item["imu"]).shape == (6, 2000)


def test_a_wrong_split_and_missing_or_invalid_files_are_named(small, tmp_path):
    with pytest.raises(ValueError, match="split: expected one of train, test"):
        ego4d_scenarios(small, split="val")
    (small / "split.txt").write_text("a\nz\n")
    with pytest.raises(MediaError, match=r"split\.txt: expected uids of videos, got 'z'"):
        ego4d_scenarios(small, split_file=small / "split.txt")
    narrations = small / "v2" / "annotations" / "narration.json"
    narrations.write_text("{")
    with pytest.raises(MediaError, match=r"narration\.json: expected .*, got a file that cannot be read"):
        ego4d_scenarios(small)
    narrations.unlink()
    with pytest.raises(MediaError, match=r"narration\.json: no such file; also tried "):
        ego4d_scenarios(small)
    (small / "split.txt").write_text("a\n")
    for content, message in (
        ('{"videos": []}', "expected narrations with timestamp_sec"),
        ('{"a": {"narration_pass_1": [1]}}', "expected narrations with timestamp_sec"),
        ('{"a": {"narration_pass_1": {"narrations": [{"timestamp_sec": NaN}]}}}', "expected a number of sec"),
    ):
        narrations.write_text(content)
        with pytest.raises(MediaError, match=f"Ego4D narrations of a: {message}"):
            ego4d_scenarios(small, split_file=small / "split.txt")
    (small / "ego4d.json").rename(small / "v2" / "ego4d.json")
    (small / "v2" / "ego4d.json").write_text(json.dumps({"videos": [{"video_uid": "a"}]}))
    with pytest.raises(
        MediaError, match=r"v2/ego4d\.json: expected videos with .*, got some .* \(KeyError\('scenarios'\)\)"
    ):
        ego4d_scenarios(small)
    with pytest.raises(MediaError, match="v2/imu: no such folder"):
        ego4d_scenarios(tmp_path / "v2" / "annotations")


def test_the_small_model_recognises_motions_by_their_imu(world_embedder, tmp_path):
    root = write_ego4d_world(tmp_path)
    options = {
        "templates": "short",
        "imu_window": 1.9,
        "split_file": root / "test.txt",
        "names": SCENARIO_NAMES,
    }
    result = evaluate("ego4d", world_embedder, root, options=options, cache=tmp_path / "cache")
    assert result.samples == 15 and result.figures["top1"].value >= 80
    moved = dict(zip(SCENARIO_NAMES, [*list(SCENARIO_NAMES.values())[1:], "resting"], strict=True))
    shuffled = evaluate(
        "ego4d", world_embedder, root, options={**options, "names": moved}, cache=tmp_path / "cache"
    )
    assert shuffled.figures["top1"].value < 40
