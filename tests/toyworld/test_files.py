"""Files of a scene: the library's transforms give for them the tensors of the rendering."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from imagebind.errors import MediaError
from imagebind.modality import MediaKind
from imagebind.toyworld import (
    CLIP_SECONDS,
    World,
    is_held_out,
    read_manifest,
    render_audio,
    render_depth,
    render_image,
    render_imu,
    render_thermal,
    render_video,
    world_transforms,
    write_scene,
    write_world,
)
from imagebind.transforms.imu import ImuTransform
from imagebind.transforms.video import probe_video
from tests.toyworld.scenes import ENDS, SCENE


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return write_scene(SCENE, tmp_path_factory.mktemp("scene") / "0")


def test_a_scene_is_written_as_eight_files(paths):
    names = "audio.wav depth.png image.png image.txt imu.csv thermal.png video.mp4 video.txt"
    assert sorted(path.name for path in paths.values()) == names.split()


RENDERED = {
    MediaKind.IMAGE: lambda: render_image(SCENE),
    MediaKind.DEPTH: lambda: render_depth(SCENE),
    MediaKind.THERMAL: lambda: render_thermal(SCENE),
    MediaKind.AUDIO: lambda: render_audio(SCENE),
    MediaKind.IMU: lambda: dict(zip(("timestamps", "imu"), render_imu(SCENE), strict=True)),
}
LOSSES = {MediaKind.AUDIO: 0.05, MediaKind.IMU: 2e-3}  # 16 bits, 4 decimals; the others keep every bit


@pytest.mark.parametrize("kind", RENDERED)
def test_the_tensor_of_a_file_equals_that_of_the_rendering_except_for_rounding(kind, paths):
    transform = world_transforms()[kind]
    tensors = transform(paths[kind.value]), transform(RENDERED[kind]())
    torch.testing.assert_close(*tensors, atol=LOSSES.get(kind, 0), rtol=0)


def test_a_clip_of_the_video_is_its_first_and_last_frame_except_for_compression_errors(paths):
    assert float(probe_video(paths["video"]).duration) == pytest.approx(CLIP_SECONDS)
    transform = world_transforms()[MediaKind.VIDEO]
    views = transform(paths["video"])
    ends = torch.from_numpy(render_video(SCENE, ENDS)).permute(3, 0, 1, 2)
    assert views.shape == (1, 3, 2, 224, 224)
    assert (views - transform({"video": ends})).abs().mean() < 0.15  # of a standard deviation


def test_the_imu_file_states_its_units(paths):
    tensor = ImuTransform(window_seconds=CLIP_SECONDS)(paths["imu"])
    assert torch.equal(tensor, world_transforms()[MediaKind.IMU](paths["imu"]))


def test_thermal_is_stored_in_16_bits(paths):
    assert Image.open(paths["thermal"]).mode.startswith("I;16")


def test_captions_are_text_files_and_that_of_the_image_names_no_motion(paths):
    still, clip = (paths[f"{kind}_caption"].read_text() for kind in ("image", "video"))
    assert still.endswith("\n") and clip.endswith("\n")
    assert not any(word in still for word in ("spinning", "rotating", "turning"))


# --- worlds


def test_a_world_has_a_manifest_of_its_files_and_attributes(tmp_path):
    manifest = write_world(tmp_path / "world", 3, seed=4, held_out=True)
    entries = list(read_manifest(manifest))
    assert [entry["index"] for entry in entries] == [0, 1, 2]
    for number, entry in enumerate(entries):
        scene = World(seed=4, held_out=True).scene(number)
        assert entry["attributes"] == scene.attributes
        assert is_held_out(scene.shape, scene.colour, scene.motion)
        assert all(path.is_file() for path in entry["files"].values())
        assert entry["captions"]["image"] + "\n" == entry["files"]["image_caption"].read_text()
        assert entry["scene"]["seed"] == scene.seed


def test_a_larger_world_begins_with_the_smaller_one_for_any_number_of_workers(tmp_path):
    one = write_world(tmp_path / "one", 2, seed=0)
    two = write_world(tmp_path / "two", 3, seed=0, workers=2)
    assert one.read_text().splitlines() == two.read_text().splitlines()[:2]
    for first, second in zip(read_manifest(one), read_manifest(two), strict=False):
        for name, path in first["files"].items():
            assert path.read_bytes() == second["files"][name].read_bytes(), name


def test_paths_in_a_manifest_are_relative_so_that_a_world_can_be_moved(tmp_path):
    manifest = write_world(tmp_path / "here", 1, seed=0)
    (tmp_path / "here").rename(tmp_path / "there")
    [entry] = read_manifest(tmp_path / "there" / manifest.name)
    assert entry["files"]["image"].is_file()


@pytest.mark.parametrize("line", [b"{", b"[]", b'{"files": 1}', b'"\xff"'])
def test_the_error_for_a_damaged_manifest_names_the_line(tmp_path, line):
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_bytes(json.dumps({"files": {}}).encode() + b"\n" + line)
    with pytest.raises(MediaError, match="line 2"):
        list(read_manifest(manifest))


def test_the_depth_file_keeps_every_value(paths):
    np.testing.assert_array_equal(np.asarray(Image.open(paths["depth"])), render_depth(SCENE))
