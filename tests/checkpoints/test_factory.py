"""Models with weights: named, saved, loaded, partial and in another precision."""

import json
from pathlib import Path

import pytest
import torch

import imagebind
from imagebind.checkpoints.factory import (
    imagebind_huge,
    imagebind_tiny,
    load_model,
    pretrained_model,
    save_model,
)
from imagebind.checkpoints.loading import load_into, save_state_dict
from imagebind.errors import CheckpointError
from imagebind.models import imagebind_model
from imagebind.models.imagebind_model import ImageBindModel
from tests.reference import filled_model, reference_input, small_config


def test_the_public_names_are_exported():
    assert imagebind.imagebind_huge is imagebind_huge is imagebind_model.imagebind_huge
    assert imagebind.ImageBindModel is imagebind_model.ImageBindModel
    assert imagebind_model.ModalityType.VISION == "vision"
    assert {t.name for t in imagebind_model.ModalityType} == {
        "VISION",
        "TEXT",
        "AUDIO",
        "THERMAL",
        "DEPTH",
        "IMU",
    }
    from imagebind import data

    assert callable(data.load_and_transform_text)
    with pytest.raises(AttributeError, match="imagebind_tall"):
        _ = imagebind.imagebind_tall


def test_a_saved_model_is_loaded_bit_for_bit(small_model, small_weights):
    loaded = load_model(small_weights)
    assert loaded.config == small_model.config and not loaded.training
    for name, tensor in small_model.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name]), name


def test_a_model_of_some_trunks_is_saved_and_loaded(tmp_path):
    part = imagebind_tiny(pretrained=True, modalities=["text", "depth"])
    save_model(part, tmp_path)
    loaded = load_model(tmp_path)
    assert loaded.modalities == ("text", "depth") == loaded.config.modalities
    for name, tensor in part.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name]), name


def test_a_modality_added_by_a_subclass_is_saved_and_loaded(tmp_path):
    class WithRadar(ImageBindModel):
        def __init__(self) -> None:
            super().__init__(small_config(), modalities=["depth"])
            self.modality_trunks["radar"] = torch.nn.Linear(4, 4)

    model = WithRadar()
    assert model.modalities == ("depth", "radar") and model.config.modalities == ("depth",)
    save_model(model, tmp_path)
    assert (tmp_path / "radar.safetensors").is_file()
    assert load_model(tmp_path).modalities == ("depth",)
    assert torch.equal(
        load_into(WithRadar(), tmp_path).modality_trunks["radar"].weight,
        model.modality_trunks["radar"].weight,
    )


@pytest.mark.parametrize("name", ["model-1.0", "x.pth", "x.safetensors", "run.2026"])
def test_a_model_is_saved_to_a_folder_of_any_name(tmp_path, name):
    model = ImageBindModel(small_config(), modalities=["imu"])
    save_model(model, tmp_path / name)
    assert load_model(tmp_path / name).config == model.config


def test_a_failed_save_keeps_the_existing_model(tmp_path, monkeypatch):
    old = ImageBindModel(small_config(), modalities=["imu"])
    save_model(old, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full_disk(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("imagebind.checkpoints.formats._write_json", full_disk)
    with pytest.raises(CheckpointError, match="no space left"):
        save_model(ImageBindModel(small_config(), modalities=["imu", "depth"]), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_saving_into_a_file_raises_an_error_that_names_it(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(
        CheckpointError, match=r"file: expected a writable folder, got one that cannot be created"
    ):
        save_model(ImageBindModel(small_config(), modalities=["imu"]), tmp_path / "file")


@pytest.mark.parametrize("path", ["/path", Path("/path")])
def test_imagebind_tiny_refuses_a_path_and_suggests_load_model(path):
    with pytest.raises(TypeError, match=r"'/path'.*load_model|Path.*/path.*load_model"):
        imagebind_tiny(pretrained=path)


def test_pretrained_none_builds_an_untrained_model_in_training_mode_without_resolving_weights(monkeypatch):
    monkeypatch.setattr("imagebind.checkpoints.factory.resolve", None)  # fail instead of downloading
    small = {"modalities": ["imu"], "device": "meta"}
    assert imagebind_huge(pretrained=None, **small).training
    assert imagebind_tiny(pretrained=None, **small).training


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_bare_state_dict_loads_strictly(small_model, tmp_path, suffix):
    path = tmp_path / f"small{suffix}"
    save_state_dict(small_model.state_dict(), path)
    loaded = load_into(ImageBindModel(small_config(), device="meta"), path)
    inputs = {"depth": reference_input("depth")}
    with torch.inference_mode():
        assert torch.equal(loaded.eval()(inputs)["depth"], small_model(inputs)["depth"])
    if suffix == ".pth":
        fresh = ImageBindModel(small_config())
        assert str(fresh.load_state_dict(torch.load(path))) == "<All keys matched successfully>"


def test_only_the_requested_modalities_are_built_and_read(small_weights):
    (small_weights / "audio.safetensors").rename(small_weights / "elsewhere")
    try:
        loaded = load_model(small_weights, modalities=["text", "depth"])
    finally:
        (small_weights / "elsewhere").rename(small_weights / "audio.safetensors")
    assert loaded.modalities == ("text", "depth")


def test_a_model_loads_in_another_precision(small_weights):
    loaded = load_model(small_weights, dtype=torch.bfloat16)
    assert {p.dtype for p in loaded.parameters()} == {torch.bfloat16}


def test_imagebind_huge_refuses_weights_of_another_size(small_weights):
    with pytest.raises(CheckpointError, match=r"does not fit the model.*other sizes"):
        imagebind_huge(small_weights)


def test_a_model_is_loaded_from_the_home_folder(small_weights, monkeypatch):
    monkeypatch.setenv("HOME", str(small_weights.parent))
    for load in (load_model, pretrained_model):
        assert load(f"~/{small_weights.name}").config == small_config()


@pytest.mark.parametrize("name", ["x" * 300, "~no-such-user/model"])
def test_a_name_that_cannot_be_a_path_raises_an_error_with_the_valid_sources(name):
    with pytest.raises(CheckpointError, match=f"{name}: no such file .*hf://"):
        pretrained_model(name)
    with pytest.raises(CheckpointError, match="expected the sizes of a saved model"):
        load_model(name)


def test_a_missing_or_invalid_config_json_raises_an_error_that_names_the_cause(tmp_path):
    with pytest.raises(CheckpointError, match=r"config\.json.*expected the sizes of a saved model"):
        load_model(tmp_path)
    for sizes, message in (({"embed_dim": 4, "visoin": None}, "visoin"), ([4], "sizes by name")):
        (tmp_path / "config.json").write_text(json.dumps(sizes))
        with pytest.raises(CheckpointError, match=message):
            load_model(tmp_path)


def test_missing_weights_offline_raise_an_error_with_the_reason(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=r"imagebind_huge\.pth: no local copy.*offline"):
        imagebind_huge(pretrained=True, cache_dir=tmp_path, offline=True)


def test_a_loaded_model_can_be_trained(small_weights):
    model = load_model(small_weights, modalities=["depth"]).train()
    before = model.modality_heads["depth"][2].weight.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model({"depth": reference_input("depth")})["depth"].square().sum().backward()
    model({"depth": reference_input("depth")})["depth"][:, 0].sum().backward()
    optimizer.step()
    assert not torch.equal(before, model.modality_heads["depth"][2].weight)
    assert torch.equal(
        before, load_model(small_weights).modality_heads["depth"][2].weight
    )  # the file is unchanged


def test_deterministic_weights_do_not_depend_on_which_modalities_are_built(small_model):
    part = filled_model(small_config(), modalities=["imu"])
    inputs = {"imu": reference_input("imu")}
    with torch.inference_mode():
        assert torch.equal(part(inputs)["imu"], small_model(inputs)["imu"])


@pytest.mark.parametrize("scheme", ["memory", "file"])
def test_a_saved_model_is_loaded_by_its_uri(
    small_model, small_weights, memory, scheme, tmp_path, monkeypatch
):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    uri = f"file://{small_weights}" if scheme == "file" else "memory://models/small"
    for file in small_weights.iterdir():
        memory.put_file(str(file), f"/models/small/{file.name}")
    for loaded in (pretrained_model(uri), load_model(uri)):
        for name, entry in small_model.state_dict().items():
            assert torch.equal(loaded.state_dict()[name], entry)
    with pytest.raises(CheckpointError, match=f"{scheme}://none"):
        pretrained_model(f"{scheme}://none")
