"""Rendered worlds: the stored tensors are close to those that inference reads from the scene's files."""

import json

import numpy as np
import pytest
import torch

from imagebind.modality import MediaKind
from imagebind.toyworld import World, render_video, world_transforms, write_scene
from imagebind.toyworld.rendered import ABOUT_NAME, STORED, open_world, render_world


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    render_world(folder, 3, seed=4)
    return folder


@pytest.mark.parametrize("kind", STORED)
def test_a_stored_tensor_is_close_to_that_of_the_transform_for_the_file(folder, tmp_path, kind):
    files = write_scene(World(seed=4, held_out=False).scene(2), tmp_path)
    transformed = world_transforms()[kind](files[kind.value])
    stored = open_world(folder).tensor(kind, 2)
    assert stored.dtype == torch.float32 and stored.shape == transformed.shape
    # The files have compressed video and 16-bit audio; the stored half precision has 11 bits.
    error = (stored - transformed).abs().mean() / transformed.abs().mean()
    assert error < {MediaKind.VIDEO: 0.1, MediaKind.AUDIO: 2e-3, MediaKind.IMU: 2e-2}.get(kind, 1e-3)


def test_the_two_stored_frames_of_a_clip_are_bit_identical_to_those_of_the_whole_video(folder):
    frames = render_video(World(seed=4, held_out=False).scene(0))
    stored = open_world(folder).arrays[MediaKind.VIDEO][0]
    assert np.array_equal(stored, np.moveaxis(frames[[0, -1]], -1, 0))


def test_a_flip_exchanges_left_and_right(folder):
    rendered = open_world(folder)
    for kind in (MediaKind.IMAGE, MediaKind.DEPTH):
        assert torch.equal(rendered.tensor(kind, 1, flip=True), rendered.tensor(kind, 1).flip(-1))


def test_the_number_of_workers_changes_no_tensor(folder, tmp_path):
    render_world(tmp_path, 3, seed=4, workers=2)
    for kind in STORED:
        assert np.array_equal(open_world(tmp_path).arrays[kind], open_world(folder).arrays[kind])


def test_a_stored_world_is_not_rendered_again_and_another_world_replaces_it(tmp_path):
    render_world(tmp_path, 1, seed=0)
    written = (tmp_path / "image.npy").stat().st_mtime_ns
    render_world(tmp_path, 1, seed=0)
    assert (tmp_path / "image.npy").stat().st_mtime_ns == written
    assert len(render_world(tmp_path, 2, seed=0)) == 2
    rendered_again = (tmp_path / "image.npy").stat().st_mtime_ns
    assert rendered_again > written
    assert json.loads((tmp_path / ABOUT_NAME).read_text())["count"] == 2
    assert len(render_world(tmp_path, 1, seed=0)) == 1  # the first of two
    assert (tmp_path / "image.npy").stat().st_mtime_ns == rendered_again


@pytest.mark.parametrize("about", [None, "[1]", '{"count": null}'])
def test_an_interrupted_rendering_is_repeated(tmp_path, about):
    render_world(tmp_path, 1, seed=0)
    (tmp_path / ABOUT_NAME).unlink()
    if about:
        (tmp_path / ABOUT_NAME).write_text(about)
    (tmp_path / "imu.npy").write_bytes(b"")
    assert render_world(tmp_path, 1, seed=0).tensor(MediaKind.IMU, 0).abs().sum() > 0


def test_a_folder_without_a_rendered_world_is_an_error_that_names_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        open_world(tmp_path / "nowhere")
