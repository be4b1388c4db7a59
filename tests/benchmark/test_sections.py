"""Each section yields finite rows with their targets on a small model, and removes its files."""

import math
import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from imagebind import data
from imagebind.benchmark import forward, image, loading
from imagebind.benchmark.captions import captions, with_new_words
from imagebind.benchmark.images import write_images, write_video
from imagebind.benchmark.run import SECTIONS, measure
from imagebind.benchmark.sizes import HUGE, SMALL
from imagebind.benchmark.video import all_frames, picked_frames
from imagebind.checkpoints.loading import save_state_dict
from imagebind.config import ImageBindConfig
from imagebind.errors import ImageBindError
from imagebind.modality import ModalityType
from imagebind.models.imagebind_model import ImageBindModel
from imagebind.transforms.text import Tokenizer, trim

TARGETS = {  # section -> the targets of its rows, in order
    "load": [2.0, None, 0.6, None, None, 1.9],
    "text": [20_000, 5.0],
    "image": [1.8],
    "audio": [1.5, None, None, None, None, None],
    "video": [1.5, 0.2, None],
    "forward": [0.75, None, 0.75, 0.6, None, 0.6],  # two trunks, in two precisions
    "encode": [0.85],
    "detect": [0.85, 1],
    "training": [None, None, 0.9, None, None, 0.9, 1.1],
    "search": [None] * 10,  # the targets apply to a million vectors
    "index": [0.85, None, 1.1, 3.0],
    "moments": [0.85, 1.1],
    "generate": [50.0, 50.0, 50.0],
    "app": [0, None, None, None, None, None],
}
TWO_TRUNKS = replace(
    SMALL, config=ImageBindConfig(embed_dim=16, vision=SMALL.config.vision, imu=SMALL.config.imu)
)


@pytest.fixture
def temporary(monkeypatch):
    """Use a folder with a short name, because the path of a worker's socket may have at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="b") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


SLOW_SECTIONS = ("app", "index", "moments", "search")


@pytest.mark.parametrize(
    "section",
    [pytest.param(name, marks=pytest.mark.huge) if name in SLOW_SECTIONS else name for name in SECTIONS],
)
def test_a_section_yields_finite_rows_with_targets_and_removes_its_files(section, quick, temporary):
    rows = list(measure([section], size=TWO_TRUNKS if section == "forward" else SMALL))
    if section in TARGETS:  # other sections have targets from the same run
        assert [row.target for row in rows] == TARGETS[section]
    assert rows
    assert all(row.section == section and row.name and math.isfinite(row.value) for row in rows)
    assert list(temporary.iterdir()) == []


def test_a_section_removes_its_files_after_a_failure(quick, temporary, monkeypatch):
    monkeypatch.setattr(loading, "convert", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        list(measure(["load"], size=SMALL))
    assert list(temporary.iterdir()) == []


def test_given_weights_are_also_loaded_with_plain_torch_and_kept(quick, tmp_path):
    path = tmp_path / "mine.pth"
    save_state_dict(ImageBindModel(SMALL.config).state_dict(), path)
    rows = list(measure(["load"], size=SMALL, weights=path, naive=True))
    assert "mine.pth" in rows[0].name and any("load_state_dict" in row.name for row in rows)
    assert path.is_file()


def test_weights_of_another_size_raise_an_error_with_their_name(tmp_path):
    path = tmp_path / "other.pth"
    save_state_dict({"modality_heads.text.x": torch.zeros(1)}, path)
    with pytest.raises(ImageBindError, match=r"other\.pth: does not fit the model"):
        list(measure(["load"], size=SMALL, weights=path))


def test_an_unknown_section_is_refused_before_anything_is_measured():
    with pytest.raises(ValueError, match=r"expected some of the sections load, text.*, got sound"):
        measure(["sound"])


def test_too_little_disk_or_memory_is_an_error_before_weights_are_written(monkeypatch, tmp_path):
    free_bytes = 10**12
    monkeypatch.setattr(loading.shutil, "disk_usage", lambda _: SimpleNamespace(free=free_bytes))
    monkeypatch.setattr(loading, "_free_memory", lambda: 10**9)
    with pytest.raises(ImageBindError, match=r"memory: expected 6\.2 GB free, got 1\.0"):
        list(loading.measure(HUGE, tmp_path))
    free_bytes = 10**9
    with pytest.raises(ImageBindError, match=r"expected 10\.6 GB of free disk space.*, got 1\.0"):
        list(loading.measure(HUGE, tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_captions_differ_and_have_about_twelve_tokens():
    written = captions(2000)
    assert len(set(written)) == 2000 and written == captions(2000)
    lengths = (Tokenizer()(written) != 0).sum(dim=1).float()
    assert 11 <= lengths.mean() <= 13.5 and trim(Tokenizer()(written)).shape[1] <= 16
    names = [caption.rsplit(" ", 1)[1] for caption in with_new_words(written)]
    assert len(set(names)) == 2000 and not {*names} & {word for line in written for word in line.split()}


def test_the_image_loader_is_compared_with_code_that_returns_the_same_tensor(tmp_path):
    paths = write_images(tmp_path / "images", 3, (320, 240))
    assert torch.equal(image._plainly(paths), data.load_and_transform_vision_data(paths, "cpu"))


def test_both_video_loaders_return_the_same_tensor(tmp_path):
    path = tmp_path / "video.mp4"
    write_video(path, duration=3.0, size=(64, 48))
    ours, theirs = picked_frames(path), all_frames(path)
    assert ours.shape == (15, 3, 2, 224, 224)
    torch.testing.assert_close(ours, theirs)


def test_flops_equal_a_count_by_hand():
    # One row of 3 tokens of width 2: 4 + 8 matrices of 2 x 2; then 3 x 4 scores and as many mixtures.
    assert forward.flops((1, 3, 2), 1, learned_key=True) == (2 * 3 * 12 * 4, 2 * (2 * 3 * 4 * 2))
    assert forward.flops((5, 3, 2), 7, learned_key=False) == (35 * 2 * 3 * 12 * 4, 35 * 2 * (2 * 3 * 3 * 2))


@pytest.mark.parametrize("modality", SMALL.config.modalities)
def test_the_model_accepts_the_example_inputs(modality):
    model = ImageBindModel(SMALL.config, modalities=[modality]).eval()
    inputs = forward.example_input(SMALL.config, modality, 2)
    if modality is ModalityType.TEXT:
        assert inputs.shape == (2, 77)
    with torch.inference_mode():
        assert model.forward_features(modality, inputs).shape[0] == 2


def test_only_some_blocks_of_a_slow_trunk_are_measured(quick):
    vision = replace(SMALL.config.vision, num_blocks=3)
    config = ImageBindConfig(embed_dim=16, vision=vision)
    rows = list(forward.measure(replace(SMALL, config=config, pass_seconds=0.0)))
    assert "1 of 3 blocks" in rows[0].detail
    rows = list(forward.measure(replace(SMALL, config=config, pass_seconds=100.0)))
    assert "blocks" not in rows[0].detail


def test_each_path_of_write_images_is_an_image(tmp_path):
    paths = write_images(tmp_path / "images", 2, (64, 48))
    assert [Path(path).name for path in paths] == ["0000.jpg", "0001.jpg"]
    assert all(Image.open(path).size == (64, 48) for path in paths)
