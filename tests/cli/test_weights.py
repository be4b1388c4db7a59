"""`imagebind weights`: download, verify and convert, with one-line errors."""

from imagebind import config
from imagebind.checkpoints.factory import load_model
from imagebind.checkpoints.loading import save_state_dict


def test_conversion_splits_by_modality(imagebind, small_model, tmp_path):
    save_state_dict(small_model.state_dict(), tmp_path / "small.pth")
    run = imagebind("weights", "convert", tmp_path / "split", "--weights", tmp_path / "small.pth")
    assert run.code == 0
    names = {path.name for path in (tmp_path / "split").iterdir()}
    modalities = ("vision", "text", "audio", "depth", "thermal", "imu")
    assert names == {f"{name}.safetensors" for name in modalities} | {"model.safetensors.index.json"}


def test_a_saved_model_keeps_its_sizes_when_it_is_converted(imagebind, small_model, small_weights, tmp_path):
    run = imagebind("weights", "convert", tmp_path / "again", "-w", small_weights)
    assert run.code == 0 and "config.json" in run.out
    assert load_model(tmp_path / "again").config == small_model.config


def test_the_small_model_of_the_package_can_be_converted(imagebind, tmp_path):
    run = imagebind("weights", "convert", tmp_path / "out", "--weights", "tiny")
    assert run.code == 0, run.err
    assert load_model(tmp_path / "out", modalities=["imu"]).config == config.tiny_config().only(["imu"])


def test_verify_recognises_another_file_than_the_released_one(imagebind, tmp_path):
    (tmp_path / "imagebind_huge.pth").write_bytes(b"short")
    run = imagebind("weights", "verify", tmp_path / "imagebind_huge.pth")
    assert run.code == 1 and "got 5" in run.err and "4,803,584,173" in run.err


def test_offline_the_error_has_the_searched_paths_and_the_licence(imagebind, tmp_path, monkeypatch):
    monkeypatch.setenv("IMAGEBIND_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    run = imagebind("weights", "download", "--cache-dir", tmp_path)
    assert run.code == 1 and str(tmp_path) in run.err and "CC BY-NC-SA 4.0" in run.err
